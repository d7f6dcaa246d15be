/* process.h: start one of our own programs, and see it end.
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

/* A child. `fd` is readable once it ended (a pidfd on Linux). */
struct process {
    int pid;
    int fd;
};

#define PROCESS_NONE ((struct process){.pid = 0, .fd = -1})

enum { PROCESS_FDS_MAX = 8, PROCESS_FD_FIRST = 3 };

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

/* First call of a program that process_start() started: signals back to
 * normal. */
void process_begin(void);

#endif
