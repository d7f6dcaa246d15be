/* program.h: from a command's name to a running program, or the reason. */
#ifndef SM_GUEST_PROGRAM_H
#define SM_GUEST_PROGRAM_H

#include "proto/agent.h"

/* Docker's, when neither the image nor the user says otherwise. */
#define PROGRAM_DEFAULT_PATH                                                   \
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/*
 * Become argv[0]: a name with a slash is a path from the working directory, any
 * other is looked for in (path), as execvp(3) does, but a file that is neither
 * a program nor a script is never handed to a shell.
 * Returns only on failure, with everything in *ret.
 */
void program_run(char *const argv[], char *const env[], const char *path,
                 struct agent_failure *ret);

#endif
