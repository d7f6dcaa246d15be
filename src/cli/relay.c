/* relay.c: bytes to and from those who are attached; see relay.h. */
#include "relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void relay_done(struct relay *relay)
{
    free(relay->bytes);
    *relay = (struct relay){0};
}

bool relay_waits(const struct relay *relay)
{
    return relay->end > relay->begin;
}

const char *relay_front(const struct relay *relay, size_t *ret_count)
{
    *ret_count = relay->end - relay->begin;
    return relay->bytes + relay->begin;
}

void relay_drop(struct relay *relay, size_t count)
{
    relay->begin += count;
    if (!relay_waits(relay))
        relay->begin = relay->end = 0;
}

bool relay_put(struct relay *relay, const void *bytes, size_t count)
{
    if (count > relay->capacity - relay->end) {
        size_t capacity = 2 * relay->end + count;
        char *more = realloc(relay->bytes, capacity);

        if (!more)
            return false;
        relay->bytes = more;
        relay->capacity = capacity;
    }
    if (count)
        memcpy(relay->bytes + relay->end, bytes, count);
    relay->end += count;
    return true;
}

bool relay_put_message(struct relay *relay, enum control_type type,
                       const void *bytes, size_t count)
{
    const struct control_header header = {(uint32_t)count, type};

    return relay_put(relay, &header, sizeof header) &&
           relay_put(relay, bytes, count);
}

bool relay_send(struct relay *relay, int fd)
{
    while (relay_waits(relay)) {
        size_t count;
        const char *front = relay_front(relay, &count);
        ssize_t sent = send(fd, front, count, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent > 0)
            relay_drop(relay, (size_t)sent);
        else if (sent < 0 && errno != EINTR)
            return errno == EAGAIN;
    }
    return true;
}
