/* process.h: start one of our own programs, or a copy of this one, and see it
 * end.
 *
 * How it works
 *   A child is known by a descriptor, not by its number: no SIGCHLD handler is
 *   needed, and a kill never reaches a stranger that got the number later. To
 *   the rest of this process it is an ordinary child all the same (execve(2)
 *   sets its exit signal to SIGCHLD): a handler of the caller's may see it, and
 *   a waitpid(-1) elsewhere may collect it, which loses its exit code, nothing
 *   else. A program that cannot be executed leaves no such trace.
 *
 *   Its descriptors 0, 1 and 2 are /dev/null, /dev/null and ours; the given
 *   ones follow from 3 on; all others are closed. Its environment is what it is
 *   given, by default nothing. It begins with every signal blocked and calls
 *   process_begin() first, unless it is a program of somebody else's.
 */
#ifndef SM_PLATFORM_PROCESS_H
#define SM_PLATFORM_PROCESS_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* A child. `fd` is readable once it ended (a pidfd on Linux). */
struct process {
    int pid;
    int fd;
};

#define PROCESS_NONE ((struct process){.pid = 0, .fd = -1})

enum { PROCESS_FDS_MAX = 8, PROCESS_COPY_FDS_MAX = 16, PROCESS_FD_FIRST = 3 };

/*
 * Start the program (path) with (argv), NULL at its end. (fds)[i] becomes
 * descriptor 3 + i of the child and stays open here.
 * Returns 0, or what execve(2) or clone(2) said: SM_ENOENT, SM_EACCES, ...
 */
int process_start(const char *path, char *const argv[], const int *fds,
                  unsigned fd_count, struct process *ret, struct sm_error *err);

/* The same with an environment: (env) is "NAME=value" strings, NULL at the
 * end, or NULL for none. */
struct process_plan {
    const char *path;
    char *const *argv;
    char *const *env;
    const int *fds;
    unsigned fd_count;
    /* What becomes descriptors 0 and 1; NULL: /dev/null. */
    const int *standard;
    /* Somebody else's, which knows nothing of process_begin(): it begins with
     * every signal as usual and without the limit that this process may have
     * set on its own memory (RLIMIT_DATA), and is killed when the thread that
     * starts it ends. */
    bool is_foreign;
};

int process_start_plan(const struct process_plan *plan, struct process *ret,
                       struct sm_error *err);
/* Any thread; a process that ended is left alone. */
void process_kill(const struct process *process);
/* Wait for the end and forget the child. *status, which may be NULL, becomes
 * its exit code, 128 + signal, or -1 if somebody else in this process has
 * collected it. Blocks. PROCESS_NONE is fine. */
void process_wait(struct process *process, int *status);

/*
 * A copy: this process as it is now goes on a second time
 *
 *   The copy has all memory of this moment, page by page shared until one of
 *   the two writes to it, and one thread, which does nothing but (work) and
 *   ends: no exit handler runs and nothing that is buffered is written. Its
 *   result comes back here. It is killed when the thread that made it ends.
 *
 *   What it finds is what was there: a lock that another thread held stays
 *   locked for ever. So (work) takes none, and calls nothing that does. Memory
 *   may be allocated (the C library sees to that), files be read and written;
 *   a copy of the copy is not to be had. Of descriptors it has those that it
 *   is given; all others are closed, and what they stand for is gone when this
 *   process closes its own. Signals of the terminal are not for it, others do
 *   as usual.
 */
typedef int process_work_fn(void *context, uint64_t *value,
                            struct sm_error *err);

struct process_work {
    process_work_fn *work; /* 0 or an error, and a number for whoever waits */
    void *context;
    const int *fds; /* that it has, at most PROCESS_COPY_FDS_MAX; -1 is fine */
    unsigned fd_count;
};

/* `process.fd` becomes readable once the copy has ended, whatever it came to:
 * then, and not before, process_copy_end() does not block. */
struct process_copy {
    struct process process;
    int result; /* our end of a socket */
};

#define PROCESS_COPY_NONE                                                      \
    ((struct process_copy){.process = PROCESS_NONE, .result = -1})

/* Any thread. Returns at once: 0, or SM_ENOTSUP (this platform cannot),
 * SM_ENOMEM, SM_ELIMIT, SM_EIO. */
int process_copy(const struct process_work *work, struct process_copy *ret,
                 struct sm_error *err);
/* What (work) returned, with its error and *value; SM_EIO if it died before it
 * could say so. Forgets the copy. Waits for its end. */
int process_copy_end(struct process_copy *copy, uint64_t *value,
                     struct sm_error *err);
/* Kill it, and forget it. PROCESS_COPY_NONE is fine. */
void process_copy_kill(struct process_copy *copy);

/* First call of a program that process_start() started: signals back to
 * normal. */
void process_begin(void);

#endif
