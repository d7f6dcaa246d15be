/* guest.h: the heart of the agent: what waits, what is due, who is whose.
 *
 * How it works
 *   One thread, one epoll. Sources are edge-triggered: a source only notes
 *   that something can be done and queues a task. Tasks take turns, each does
 *   one bounded piece of work (a frame, a chunk) and queues itself again if
 *   there is more, so that no stream starves another and nothing is asked of
 *   the kernel twice.
 *
 *   guest ─┬─ link (one session with the host) ── job, job, ...
 *          ├─ link ...                             └─ inlet, outlets
 *          └─ jobs by process number, for who ended
 *
 *   Everything that touches the machine as a whole (mounts, clock, power) is
 *   reached through struct guest_ops, so that tests run this code as an
 *   ordinary process. Objects that end while events for them may still be in
 *   hand are buried at the end of the turn.
 */
#ifndef SM_GUEST_GUEST_H
#define SM_GUEST_GUEST_H

#include "proto/agent.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The struct that (member) at (pointer) is part of. */
#define CONTAINER(pointer, type, member)                                       \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct guest;

/* Something in the epoll set; lives in the object that (fn) finds. */
struct source {
    void (*fn)(struct source *source, uint32_t events);
};

/* A piece of work whose turn comes; on one ring at most. */
struct task {
    void (*fn)(struct task *task);
    struct ring *on; /* NULL: on none */
    struct task *next, *prev;
};

/* Tasks in a row, first in, first out. */
struct ring {
    struct task *head;
    unsigned count;
};

/* An object that is freed at the end of the turn. */
struct grave {
    void (*fn)(struct grave *grave);
    struct grave *next;
};

enum guest_state {
    GUEST_BARE,   /* before SETUP: only SETUP leads on            */
    GUEST_READY,  /* entropy, clock, root in place: programs run  */
    GUEST_FAILED, /* SETUP or CLONE failed half way, or who held it
                     is gone: nothing leads on                    */
    GUEST_ENDING  /* power-off or reboot has begun                */
};

struct guest_ops {
    /* Make the machine what SETUP says. */
    int (*setup)(void *context, const struct agent_setup *setup,
                 struct sm_error *err);
    /* Make it another one, as CLONE says, while all programs are frozen. */
    int (*clone)(void *context, const struct agent_clone *clone,
                 struct sm_error *err);
    /* Signal every process but the agent. */
    void (*signal_all)(void *context, int signal);
    /* Sync and end the machine. Returns only in tests. */
    void (*end_machine)(void *context, enum agent_end end);
    /* A new connection to the host, still being made or made: a non-blocking
     * socket, or -1. */
    int (*connect)(void *context);
};

struct guest_config {
    const struct guest_ops *ops;
    void *context;
    const char *etc;         /* folder of passwd and group; "/etc"       */
    const char *cgroup_root; /* a cgroup v2 folder; NULL or unusable: kill
                                process groups instead of whole trees   */
    const char *proc;        /* "/proc"                                  */
    const char *kernel_log;  /* "/dev/kmsg"; NULL: nobody hears of memory
                                that ran out                            */
};

enum {
    PID_BUCKETS = 256,
    SHUTDOWN_GRACE_MS = 3000 /* when the guest's own poweroff asked for it */
};

struct guest {
    struct guest_config config;
    enum guest_state state;
    int epoll;
    int signals; /* signalfd */
    struct source signal_source;
    int kernel_log; /* -1: none */
    struct source kernel_log_source;
    struct task kernel_log_task;
    uint32_t oom_kills;
    uint64_t unclaimed_kill_ns; /* when one was killed whose program nobody
                                   knows; 0: none */
    int listener;               /* -1: none */
    struct source listen_source;
    struct ring due;   /* one step each per turn             */
    struct ring sends; /* links that flush when a turn ends  */
    struct grave *dead;
    struct link *links;
    struct job *jobs_by_pid[PID_BUCKETS];
    struct cgroups *cgroups; /* NULL: there are none */
    int group_watch;         /* inotify, from the first hold on; else -1 */
    struct source group_source;
    void (*groups_changed)(struct guest *guest);
    struct hold *hold; /* NULL: it is not held */
    int end_timer;     /* timerfd; -1 until GUEST_ENDING */
    struct source end_source;
    struct agent_shutdown end;
    bool finishing; /* the machine ends with this turn */
    bool stopped;
    uint8_t scratch[AGENT_FRAME_MAX]; /* for one task at a time */
};

/* Blocks SIGCHLD and the signals that end the machine in this process, and
 * ignores SIGPIPE. */
int guest_new(const struct guest_config *config, struct guest **ret,
              struct sm_error *err);
/* Links are closed, which kills what they started; nothing is waited for. */
void guest_free(struct guest *guest);

/* Serve until guest_stop(), or until ops->end_machine() returned. */
void guest_run(struct guest *guest);
void guest_stop(struct guest *guest);

/* Accept sessions from (fd), a listening socket, which belongs to the guest
 * from here on. */
int guest_listen(struct guest *guest, int fd, struct sm_error *err);
/* Ask the host for a session through ops->connect(). */
void guest_connect(struct guest *guest);

/* Watch (fd) edge-triggered for EPOLL* (events), until guest_close(). */
int guest_watch(struct guest *guest, int fd, uint32_t events,
                struct source *source);
/* Close *fd, if it is one, watched or not; it becomes -1. */
void guest_close(struct guest *guest, int *fd);
/* A new listener or the end of a hold: take whoever has called meanwhile. */
void guest_answer(struct guest *guest);
/* Put (task) at the end of (ring), off any other; where it is already, it
 * keeps its place. */
void ring_put(struct ring *ring, struct task *task);
void ring_remove(struct task *task);
/* Run the first task of (ring), which leaves the ring before. */
void ring_run(struct ring *ring);
/* Have (grave) freed once no event for it can be in hand. */
void guest_bury(struct guest *guest, struct grave *grave);

/* shutdown.c: begin to end the machine. Later calls change nothing. */
void guest_end(struct guest *guest, const struct agent_shutdown *shutdown);
/* No child is left: ending need not wait any longer. */
void guest_childless(struct guest *guest);
/* A turn has ended: end the machine if it is time. */
void guest_finish(struct guest *guest);

/* oom.c: take note of what the kernel says about memory. Reads on from where
 * the log is now; where that cannot be done, nothing is said. */
void guest_watch_memory(struct guest *guest);
/* Read what the kernel has said meanwhile. */
void guest_check_memory(struct guest *guest);
/* Whether a process has just been killed whose program could not be found out.
 * True once: for the program that fails next. */
bool guest_claim_kill(struct guest *guest);

uint64_t guest_monotonic_ns(void);

#endif
