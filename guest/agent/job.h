/* job.h: one program that a host asked for, from EXEC to EXITED. */
#ifndef SM_GUEST_JOB_H
#define SM_GUEST_JOB_H

#include "cgroup.h"
#include "guest.h"

#include "base/queue.h"

#include <sys/resource.h>

struct link;

/* From the program to the host: a pipe or a terminal. */
struct outlet {
    struct source source;
    struct task task;
    struct job *job;
    int fd; /* -1: ended, or there is none */
    enum agent_stream stream;
    bool terminal;
    bool discarding; /* nobody wants it, but the program goes on    */
    bool hung_up;    /* no further event comes: read up to the end */
    bool last_call;  /* the program has ended: take what is there   */
    size_t left;     /* with last_call on a pipe: how much that is  */
    uint32_t credit; /* bytes that the host takes                   */
};

/* From the host to the program. */
struct inlet {
    struct source source;
    struct job *job;
    int fd; /* -1: closed, or there is none */
    bool terminal;
    bool ending;       /* close it once nothing waits         */
    struct queue wait; /* what the program did not take yet   */
    uint32_t allowed;  /* bytes that the host may send        */
    uint32_t returned; /* taken by the program, not yet said  */
};

enum job_state {
    JOB_STARTING, /* forked; the error pipe tells whether it became a program */
    JOB_RUNNING,  /* EXEC_STARTED is said                                     */
    JOB_DRAINING, /* the process has ended, its last output has not left      */
    JOB_FAILED    /* EXEC_FAILED is said; only to be collected                */
};

struct job {
    struct guest *guest;
    struct link *link; /* NULL: nobody is told any more */
    struct job *next_of_link;
    struct job *next_of_pid;
    struct grave grave;
    uint32_t channel;
    const struct agent_resume *resume; /* while a CLONE is served */
    uint32_t flags;                    /* AGENT_EXEC_*            */
    enum job_state state;
    pid_t pid; /* 0 once collected */
    uint64_t started_ns;
    struct cgroup cgroup;
    int error_pipe; /* -1 once read */
    struct source error_source;
    int timer; /* timerfd or -1 */
    struct source timer_source;
    struct inlet in;
    struct outlet out;
    struct outlet err;
    struct agent_exit exit;
};

/* Serve an EXEC. A program that cannot be started is told to the host and not
 * an error; errors are breaches of the protocol. */
int job_start(struct link *link, const struct frame *frame,
              struct sm_error *err);
/* Serve a message for a channel. One that has ended is ignored: the host may
 * not know yet. */
int job_message(struct link *link, const struct frame *frame,
                struct sm_error *err);

struct job *job_by_channel(struct link *link, uint32_t channel);
struct job *job_by_pid(struct guest *guest, pid_t pid);
/* The one whose tree process (pid) is part of, as far as that can be seen; or
 * NULL. */
struct job *job_of_process(struct guest *guest, pid_t pid);
/* Its process was collected. */
void job_ended(struct job *job, int status, const struct rusage *usage);
/* The link goes away: kill the tree, or leave it alone with KEEP. */
void job_abandon(struct job *job);
/* CLONE without it: it goes on, its stdin ends, its output is dropped. */
void job_orphan(struct job *job);
/* Close everything, tell nobody, end no process. */
void job_free(struct job *job);

/* resume.c: the link's jobs when a CLONE comes. All that it lists are there:
 * 0 or SM_EPROTO. They point to (clone) then, until jobs_announce(). */
int jobs_find_resumed(struct link *link, const struct agent_clone *clone,
                      struct sm_error *err);
/* These have their new channels, all others no link any more. */
void jobs_resume(struct link *link);
/* Their streams begin anew, and the host is told how they stand. */
void jobs_announce(struct link *link, const struct agent_clone *clone);

/* For the streams. */
/* Report the end if the process has ended and all output has left. */
void job_check_end(struct job *job);

/* outlet.c. (fd) is non-blocking and belongs to the outlet. */
void outlet_init(struct outlet *outlet, struct job *job,
                 enum agent_stream stream);
void outlet_start(struct outlet *outlet);
/* Its credit has grown. */
void outlet_grant(struct outlet *outlet);
/* From here on read and drop. */
void outlet_discard(struct outlet *outlet);
/* Another host takes (credit) bytes; 0: it wants none. */
void outlet_resume(struct outlet *outlet, uint32_t credit);
void outlet_last_call(struct outlet *outlet);
void outlet_close(struct outlet *outlet);

/* inlet.c. The same. */
void inlet_init(struct inlet *inlet, struct job *job);
void inlet_start(struct inlet *inlet);
/* False: more than was granted. */
bool inlet_take(struct inlet *inlet, const struct frame *frame);
/* Nothing more comes: close it once the program has taken all. */
void inlet_end(struct inlet *inlet);
/* Another host may send what there is room for. */
void inlet_resume(struct inlet *inlet);
void inlet_close(struct inlet *inlet);

#endif
