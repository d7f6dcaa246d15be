/* turn.c: who turns a machine's loop: waiting calls, or the caller's own loop.
 */
#include "machine/inside.h"

enum {
    /* What a guest may take to switch itself off once nothing runs. */
    POWER_OFF_MS = 5000,
    /* For vcpus to stand still; a disk that hangs may hold one up. */
    PAUSE_MS = 30000
};

void machine_turned(struct machine *machine)
{
    if (machine->exposed)
        loop_drive(machine->loop);
    if (machine->untold)
        machine_nudge(machine);
}

bool machine_turn(struct machine *machine, const bool *flag,
                  uint32_t timeout_ms)
{
    bool waits = timeout_ms != SM_NOWAIT;

    machine->expired = false;
    if (waits && timeout_ms)
        loop_timer_start(machine->deadline, timeout_ms);
    if (!waits && !*flag && machine->state != MACHINE_STOPPED)
        loop_drive(machine->loop);
    while (waits && !*flag && machine->state != MACHINE_STOPPED &&
           !machine->expired)
        loop_turn(machine->loop, -1);
    loop_timer_stop(machine->deadline);
    if (waits)
        machine_turned(machine);
    else if (machine->untold)
        machine_nudge(machine);
    return *flag || machine->state == MACHINE_STOPPED;
}

void machine_nudge(struct machine *machine)
{
    if (machine->exposed)
        loop_wake(machine->loop);
}

void machine_tell(struct machine *machine)
{
    machine->untold = true;
}

int machine_fd(struct machine *machine, struct sm_error *err)
{
    int rc = loop_expose(machine->loop, err);

    if (rc)
        return rc;
    machine->exposed = true;
    /* What loop_expose() met is not lost on who waits next. */
    if (machine->untold)
        machine_nudge(machine);
    return loop_fd(machine->loop);
}

void machine_dispatch(struct machine *machine)
{
    loop_drive(machine->loop);
    /* Whoever dispatches asks for everything next. */
    machine->untold = false;
}

enum machine_state machine_state(const struct machine *machine)
{
    return machine->state;
}

void machine_kill(struct machine *machine)
{
    pthread_mutex_lock(&machine->lock);
    machine->killed = true;
    if (machine->worker)
        worker_kill(machine->worker);
    pthread_mutex_unlock(&machine->lock);
}

int machine_wait(struct machine *machine, uint32_t timeout_ms,
                 struct machine_end *ret, struct sm_error *err)
{
    static const bool never = false;

    if (machine->state == MACHINE_NEW)
        return fail(err, SM_ESTATE, "the machine was not started");
    if (!machine_turn(machine, &never, timeout_ms))
        return fail(err, SM_ETIMEOUT, "the machine has not ended");
    *ret = machine->end;
    return 0;
}

/* What is asked to stand still for a snapshot must be able to. False: it does
 * not get done with that. */
static bool let_it_be_taken(struct machine *machine)
{
    const struct machine_saving *saving = &machine->saving;

    return (saving->step != SAVING_HOLDING && saving->step != SAVING_TAKING) ||
           machine_turn(machine, &saving->went_on, PAUSE_MS);
}

static int why_it_ended(const struct machine *machine, struct sm_error *err)
{
    if (err)
        *err = machine->end.why;
    return machine->end.why.code;
}

int machine_pause(struct machine *machine, bool pause, struct sm_error *err)
{
    enum machine_state wanted = pause ? MACHINE_PAUSED : MACHINE_RUNNING;
    int rc;

    if (machine->state == wanted)
        return 0;
    if (machine->state != MACHINE_RUNNING && machine->state != MACHINE_PAUSED)
        return fail(err, SM_ESTATE, "the machine does not run");
    if (pause && !let_it_be_taken(machine))
        return fail(err, SM_ETIMEOUT,
                    "a snapshot was not taken within %d ms: the machine cannot "
                    "pause before",
                    PAUSE_MS);
    if (machine->state == MACHINE_STOPPED)
        return why_it_ended(machine, err);
    machine->pause_answered = false;
    rc = worker_pause(machine->worker, pause, err);
    if (rc)
        return rc;
    machine->pausing = pause;
    if (!machine_turn(machine, &machine->pause_answered, PAUSE_MS))
        return fail(err, SM_ETIMEOUT, "the machine did not %s within %d ms",
                    pause ? "pause" : "resume", PAUSE_MS);
    return machine->state == wanted ? 0 : why_it_ended(machine, err);
}

int machine_stop(struct machine *machine, uint32_t grace_ms,
                 struct sm_error *err)
{
    static const bool never = false;
    const struct agent_shutdown shutdown = {.end = AGENT_POWER_OFF,
                                            .grace_ms = grace_ms};
    int rc = 0;

    if (machine->state == MACHINE_NEW)
        return fail(err, SM_ESTATE, "the machine was not started");
    if (machine->state == MACHINE_PAUSED)
        rc = machine_pause(machine, false, err);
    /* The agent would hear of it only then. */
    if (!rc && machine->state == MACHINE_RUNNING)
        let_it_be_taken(machine);
    if (!rc && machine->state == MACHINE_RUNNING && machine->session)
        rc = session_shutdown(machine->session, &shutdown, err);
    if (rc)
        return rc;
    if (machine->state == MACHINE_STARTING ||
        !machine_turn(machine, &never, grace_ms + POWER_OFF_MS)) {
        machine_kill(machine);
        machine_turn(machine, &never, 0);
    }
    return 0;
}
