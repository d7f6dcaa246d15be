/* front.h: `run` on a terminal: the command that was typed, and a child of its
 * that keeps the machine.
 *
 * How it works
 *   Who types the keys that leave wants his shell back, and the shell waits for
 *   the process that it started. So that one is only attached (attached.h),
 * over a pair of sockets, to a keeper that is its child from the beginning. The
 *   child has the terminal's streams until the machine runs, for what it says
 * of pulling; then it has a session of its own, and of the terminal only
 * standard error, for its last words.
 *
 *   At the end the child waits until its parent has put the terminal back, says
 *   what is to be said, and the parent exits with its status. A parent that is
 *   killed takes the machine along; one that leaves does not.
 *
 *   Streams that are no terminal's are handed to the machine as they are, by
 * the one process that runs it (launch.c): no byte takes a detour there.
 */
#ifndef SM_CLI_FRONT_H
#define SM_CLI_FRONT_H

#include "keys.h"

#include <stdbool.h>

/*
 * Fork. In the child *ret_owner is its end, and the result -1: run the machine,
 * with front_tell() and front_leave() on the way, and exit. In the parent the
 * result is the exit status, when all is over. (keys) leave.
 */
int front_open(const struct keys *keys, int *ret_owner);

/* The child says that the machine is about to start (NULL), or that the machine
 * of this name runs. False: nobody is there any more. */
bool front_tell(int owner, const char *name);
/* Of the terminal's streams, keep only standard error, or not even that. */
void front_let_go(bool keep_error);
/* It is over: until the terminal is as it was before, and at most 2 s. Closes
 * (owner). */
void front_await(int owner);

#endif
