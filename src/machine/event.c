/* event.c: what happened to a machine, kept until it is asked for. */
#include "machine/inside.h"

#include "platform/clock.h"

#include <stdio.h>

void event_add(struct machine *machine, enum sm_event_kind kind, uint32_t pid,
               const char *detail)
{
    struct machine_events *events = &machine->events;
    struct sm_event *event;

    if (events->count == MACHINE_EVENTS_MAX) {
        events->first = (events->first + 1) % MACHINE_EVENTS_MAX;
        events->count--;
    }
    event =
        &events->event[(events->first + events->count++) % MACHINE_EVENTS_MAX];
    *event =
        (struct sm_event){.kind = kind, .pid = pid, .time_ns = clock_wall_ns()};
    snprintf(event->detail, sizeof event->detail, "%s", detail);
    events->ready = true;
    machine_tell(machine);
}

int machine_next_event(struct machine *machine, uint32_t timeout_ms,
                       struct sm_event *ret, struct sm_error *err)
{
    struct machine_events *events = &machine->events;

    if (machine->state == MACHINE_NEW)
        return fail(err, SM_ESTATE, "the machine was not started");
    if (events->over)
        return fail(err, SM_ECLOSED, "nothing happens to a machine that ended");
    machine_turn(machine, &events->ready, timeout_ms);
    if (!events->ready)
        return fail(err, SM_ETIMEOUT, "nothing happened to the machine");
    *ret = events->event[events->first];
    events->first = (events->first + 1) % MACHINE_EVENTS_MAX;
    events->ready = --events->count > 0;
    events->over = ret->kind == SM_EVENT_ENDED;
    return 0;
}
