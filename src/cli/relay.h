/* relay.h: bytes of a machine's command on their way to and from those who are
 * attached to it.
 *
 * How it works
 *   Nobody may hold up the keeper, so what a client's socket does not take now
 *   waits in its relay, and what the command does not take, too. While anything
 *   waits the other side is not read: a terminal that is held (Ctrl-S) stops
 *   the command, as if it were its own.
 */
#ifndef SM_CLI_RELAY_H
#define SM_CLI_RELAY_H

#include "control.h"

/* Begin with {0}. */
struct relay {
    char *bytes;
    size_t begin; /* of these, gone */
    size_t end;
    size_t capacity;
};

void relay_done(struct relay *relay);
bool relay_waits(const struct relay *relay);
/* What waits. */
const char *relay_front(const struct relay *relay, size_t *ret_count);
/* (count) of it are gone. */
void relay_drop(struct relay *relay, size_t count);
/* False: no memory. */
bool relay_put(struct relay *relay, const void *bytes, size_t count);

/* A control message with (count) bytes. False: no memory. */
bool relay_put_message(struct relay *relay, enum control_type type,
                       const void *bytes, size_t count);
/* Send what the socket (fd) takes now. False: nobody is there any more. */
bool relay_send(struct relay *relay, int fd);

#endif
