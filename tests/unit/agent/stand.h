/* stand.h: the agent as an ordinary process, and a host end to talk to it.
 *
 * How it works
 *   stand_start() forks. The child runs the agent's own code (all but mounts,
 *   clock and power) on one end of a socket pair; the test drives the host end
 *   with a loop of its own. stand_stop() asks the agent to end as a machine
 *   would, and fails the test if it did not end cleanly, which includes what
 *   the sanitizers found in it.
 */
#ifndef SM_TESTS_STAND_H
#define SM_TESTS_STAND_H

#include "exec/exec.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the three above. */
#include <cmocka.h>
#include <sys/types.h>

struct stand {
    struct loop *loop;
    struct session *session;
    pid_t guest;
    char folder[64];  /* for the test's files; removed by stand_stop() */
    char socket[96];  /* path where the agent listens                  */
    char cgroups[96]; /* their root, with STAND_CGROUPS */
    int raw;          /* host end, if STAND_RAW                        */
    int listener;     /* where the agent calls after a reset           */
    int again;        /* the connection once more, with STAND_CLONES   */
    bool hello;
    bool ready;
    bool closed;
    bool held; /* with not_held.code, if it was refused */
    struct sm_error not_held;
    uint64_t pong;
    struct agent_hello guest_hello;
    struct agent_figures figures;
    struct buf processes; /* that came so far */
    bool processes_whole;
    struct agent_oom oom; /* the last */
    struct sm_error why;
};

enum {
    STAND_RAW = 1,     /* no session: the test speaks for itself */
    STAND_BARE = 2,    /* SETUP is not sent                      */
    STAND_CGROUPS = 4, /* with control groups, or the test skips */
    STAND_CLONES = 8   /* and a second way to the connection     */
};

void stand_start(struct stand *stand, unsigned flags);
void stand_stop(struct stand *stand);
/* session_hold(), and wait for its answer: stand->not_held. */
void stand_hold(struct stand *stand);
/* All groups of programs, or group (name), are frozen. */
bool stand_is_frozen(const struct stand *stand);
bool stand_group_is_frozen(const struct stand *stand, const char *name);
/* The group of programs is to be frozen, and is once those that were killed
 * in there have gone: for that they come out of the freezer for a moment. */
bool stand_stays_frozen(const struct stand *stand);
/* (pid) is in (state), a letter as in /proc/PID/stat. */
bool stand_state_is(pid_t pid, char state);
/* The entropy and names that a SETUP must have; hostname "refuse" makes the
 * agent's stand-in for the machine fail. */
void stand_setup(struct stand *stand, const char *hostname);
/* The events of a session; their context is a struct stand. */
extern const struct session_events stand_events;
/* A connection to the agent's listening socket. */
int stand_call(const struct stand *stand);
/* One round trip: what was sent before has been seen by the agent. */
void stand_sync(struct stand *stand);
/* Run the loop until *flag. */
void stand_until(struct stand *stand, const bool *flag);
/* Wait until process (pid) is gone, seen from the agent's side of things. */
void stand_until_gone(struct stand *stand, pid_t pid);

/* A program under test: what came out of it, and its end. */
struct run {
    struct stand *stand;
    struct exec *exec;
    struct exec_options options;
    const char *argv[8];
    struct buf out;
    struct buf err;
    bool hold; /* do not consume: the guest's window runs out     */
    bool drop; /* count and sum only, keep nothing                */
    uint64_t count;
    uint64_t sum;
    bool out_ended, err_ended;
    bool started;
    bool writable;
    bool ended;
    uint32_t pid;
    struct exec_end end;
};

/* `sh -c (script)` with stdout and stderr as bytes and no stdin; the caller may
 * change run->options before run_start(). */
void run_init(struct run *run, struct stand *stand, const char *script);
void run_start(struct run *run);
void run_wait(struct run *run);
/* All three. */
void run_script(struct run *run, struct stand *stand, const char *script);
void run_done(struct run *run);
/* What came, as a string. */
const char *run_out(struct run *run);
const char *run_err(struct run *run);

/* A sum that depends on every byte's value and place. */
uint64_t sum_bytes(uint64_t sum, uint64_t place, const uint8_t *bytes,
                   size_t count);

#endif
