/* inside.h: what machine.c and program.c share. */
#ifndef SM_MACHINE_INSIDE_H
#define SM_MACHINE_INSIDE_H

#include "exec/exec.h"
#include "machine/machine.h"
#include "machine/worker.h"

#include <pthread.h>

enum { PROGRAM_SIGNALS_MAX = 32 };

struct program {
    struct machine *machine;
    struct program *next;
    struct command command;
    int fds[AGENT_STREAMS];
    uint32_t timeout_ms;
    struct exec *exec; /* NULL: not sent yet */
    bool ended;
    struct exec_end end;
    /* Protected by machine->lock: what program_signal() left to send. */
    uint32_t signals[PROGRAM_SIGNALS_MAX];
    unsigned signal_count;
};

struct machine {
    struct machine_paths paths;
    struct machine_config config;
    enum machine_state state;
    struct loop *loop;
    struct loop_timer *deadline;
    struct loop_timer *grace; /* between the session's end and the worker's */
    bool expired;
    struct worker *worker;
    struct session *session;
    struct program *programs;
    struct sm_error why; /* of MACHINE_STOPPED */
    struct worker_steps steps;
    int log_fd;
    pthread_mutex_t lock; /* for machine_kill(): worker, killed; signals */
    bool killed;
};

/* Turn the loop until *flag, the machine's end, or (timeout_ms), 0: never.
 * False: time is up. */
bool machine_turn(struct machine *machine, const bool *flag,
                  uint32_t timeout_ms);
/* The session is there: send the program. Failure becomes its end. */
void program_send(struct program *program);
/* Send what program_signal() left. */
void program_send_signals(struct program *program);

#endif
