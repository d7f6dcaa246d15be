/* child.h: a new process, from fork to the program it is to be. */
#ifndef SM_GUEST_CHILD_H
#define SM_GUEST_CHILD_H

#include "proto/agent.h"

#include <sys/types.h>

struct child {
    const struct agent_exec *exec;
    const char *etc; /* folder of passwd and group                      */
    int stdio[AGENT_STREAMS]; /* -1: /dev/null. With a terminal all the same */
    int error_pipe; /* takes a struct agent_failure; closed by success  */
    int cgroup;     /* folder of the group to be born in, or -1         */
};

/* The parent's result: the child's number, or -1 and errno. The descriptors
 * stay the caller's; all of its others must be close-on-exec. */
pid_t child_start(const struct child *child);

#endif
