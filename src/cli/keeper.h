/* keeper.h: what holds a machine and answers those who ask for it.
 *
 * How it works
 *   The process that started a machine keeps it: for `run` in the foreground
 *   that is the command itself, for `run -d` a child of it that has let go of
 *   the terminal, and for `run` on a terminal a child whose first client the
 *   command is (front.h), so that it can leave. The keeper waits, on one
 *   thread, for the machine, for the socket of its record and for those who are
 *   connected to it, and does what they ask (control.h). It ends when the
 *   machine's command does.
 *
 *   A snapshot takes as long as the disk does, and is made while all else goes
 *   on, one after the other. One that has begun is made even if whoever asked
 *   for it goes away. A machine whose command ends meanwhile ends behind it; a
 *   machine that is killed, or has used up its time to stop, ends at once, and
 *   there is no snapshot.
 *
 *   A command that is to be kept as a snapshot (`run --warm`) gets no input
 *   before it is ready: what one caller has to say is none of the next one's
 *   business. Whoever works in the machine before that (exec, cp, kill, stop,
 *   pause), types Ctrl-C, or leaves behind what he typed, ends the waiting: it
 *   is not kept, and has its input. Once the snapshot is being made none of
 *   these ends it any more; its input follows.
 */
#ifndef SM_CLI_KEEPER_H
#define SM_CLI_KEEPER_H

#include "journal.h"
#include "ready_plan.h"

/* A command that is to be kept once it is ready. */
struct warming {
    struct ready_plan plan;
    uint64_t timeout_ms; /* 0: it is not to be kept */
    char name[SM_SNAPSHOT_NAME_MAX + 1];
    /* It is kept (NULL), or will not be: why. Called once. */
    void (*settled)(void *context, const char *why_not);
};

struct keeper {
    struct record *record; /* with its lock */
    struct sm_machine *machine;
    struct sm_exec *exec; /* the machine's command */
    struct journal journal;
    /* Its stdout and stderr are SM_BYTES and belong into the journal. */
    bool logged;
    /* The connection of one who is attached from the beginning, and without
     * whom the machine ends, unless he says that he leaves: then (left) is
     * called. -1: nobody. Closed by keeper_run(). */
    int owner;
    void (*left)(void *context);
    /* What is to be kept; NULL: nothing. */
    const struct warming *warming;
    /* Whose bytes are the command's stdin, which is SM_BYTES, once it may have
     * them; -1: nobody's. */
    int input;
    void *context; /* of left() and settled() */
};

/*
 * Serve a machine that has been started until its command ends. (listener) is
 * control_listen()'s and is closed. Returns what sm_exec_wait() did; the
 * record says so, too.
 */
int keeper_run(struct keeper *keeper, int listener,
               struct sm_exit_status *status, struct sm_error *err);

#endif
