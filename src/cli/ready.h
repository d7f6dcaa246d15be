/* ready.h: waits until a machine's program is ready, by a plan.
 *
 * How it works
 *   Nobody tells when a program is ready, so it is asked for at intervals, as
 *   Docker does with its health checks; the keeper's loop wakes up for that
 *   (ready_due_ms). Checks and the guest's tables of sockets are commands and
 *   files of the machine, carried by the same loop. Of a program that says
 *   nothing, the machine is watched from outside: over 200 ms its vcpus ran for
 *   less than 5 % of one, and it read nothing from its disk.
 */
#ifndef SM_CLI_READY_H
#define SM_CLI_READY_H

#include "ready_plan.h"

#include <supermachine.h>

enum ready_answer { READY_NOT_YET, READY_NOW, READY_LATE };

struct ready {
    /* The caller's to set. */
    const struct ready_plan *plan;
    uint64_t timeout_ms;
    /* For ready.c. */
    int64_t next_ms; /* on the caller's clock; 0: not begun */
    int64_t late_ms;
    bool runs;             /* its program has been loaded      */
    struct sm_exec *probe; /* a check, or a table that is read */
    unsigned table;        /* which one                        */
    char *text;            /* of it, so far                    */
    size_t count;
    struct ready_ports heard;
    struct sm_machine_stats before;
};

/*
 * Look at (machine), which has been dispatched, and go on with what is under
 * way. (now_ms): a monotonic clock.
 */
enum ready_answer ready_look(struct ready *ready, struct sm_machine *machine,
                             struct sm_exec *program, int64_t now_ms);
/* When to look again although nothing has happened. */
int64_t ready_due_ms(const struct ready *ready);
void ready_done(struct ready *ready);

#endif
