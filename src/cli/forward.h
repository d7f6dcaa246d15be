/* forward.h: the caller's signals and terminal, handed on to a command.
 *
 * How it works
 *   A thread of its own waits for the signals that a user sends and gives them
 *   to the command, with the size of the terminal whenever that changes. Three
 *   SIGINT or SIGTERM end it for good. Begun before other threads are, for
 *   these signals are blocked from then on.
 */
#ifndef SM_CLI_FORWARD_H
#define SM_CLI_FORWARD_H

#include "terminal.h"

#include <signal.h>

/* Called on the forwarder's thread. */
struct forward_events {
    void (*signal)(void *context, int number);
    void (*resize)(void *context, uint32_t rows, uint32_t columns);
    void (*give_up)(void *context);
};

struct forward {
    const struct forward_events *events;
    void *context;
    struct terminal *terminal; /* NULL: the command has none */
    sigset_t set;
    pthread_t thread;
};

/* False: no thread. */
bool forward_start(struct forward *forward);
void forward_stop(struct forward *forward);

#endif
