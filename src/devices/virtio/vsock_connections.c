/* vsock_connections.c: the table of connections and their host ends. */
#include "devices/virtio/vsock_impl.h"

#include "base/own.h"

#include <errno.h>
#include <sys/socket.h>

/* ---- the table ---- */

static unsigned bucket_of(uint32_t guest_port, uint32_t host_port)
{
    /* Either side counts ports up: a multiplication spreads both. */
    uint64_t key = (uint64_t)guest_port << 32 | host_port;

    return (unsigned)(key * UINT64_C(0x9e3779b97f4a7c15) >> 54);
}
_Static_assert(VSOCK_BUCKETS == 1 << (64 - 54), "bucket_of() fits");

struct vsock_connection *vsock_find(const struct vsock *vsock,
                                    uint32_t guest_port, uint32_t host_port)
{
    struct vsock_connection *connection =
        vsock->bucket[bucket_of(guest_port, host_port)];

    while (connection && (connection->state.guest_port != guest_port ||
                          connection->state.host_port != host_port))
        connection = connection->next;
    return connection;
}

struct vsock_connection *vsock_add(struct vsock *vsock, uint32_t guest_port,
                                   uint32_t host_port, enum vsock_phase phase)
{
    struct vsock_connection **link =
        &vsock->bucket[bucket_of(guest_port, host_port)];
    struct vsock_connection *connection = calloc(1, sizeof *connection);

    if (!connection)
        return NULL;
    /* At the end: a record that was loaded is saved in the same order. */
    while (*link)
        link = &(*link)->next;
    connection->vsock = vsock;
    connection->fd = -1;
    connection->state.guest_port = guest_port;
    connection->state.host_port = host_port;
    connection->state.phase = phase;
    queue_init(&connection->waiting, vsock->config.buffer_bytes);
    *link = connection;
    vsock->count++;
    return connection;
}

static void unlink_ready(struct vsock_connection *connection)
{
    struct vsock *vsock = connection->vsock;
    struct vsock_connection *before = NULL;
    struct vsock_connection *at = vsock->first_ready;

    if (!connection->is_ready)
        return;
    for (; at != connection; at = at->next_ready)
        before = at;
    if (before)
        before->next_ready = connection->next_ready;
    else
        vsock->first_ready = connection->next_ready;
    if (vsock->last_ready == connection)
        vsock->last_ready = before;
    connection->is_ready = false;
}

void vsock_remove(struct vsock_connection *connection)
{
    struct vsock *vsock = connection->vsock;
    struct vsock_connection **link = &vsock->bucket[bucket_of(
        connection->state.guest_port, connection->state.host_port)];

    while (*link != connection)
        link = &(*link)->next;
    *link = connection->next;
    vsock->count--;
    unlink_ready(connection);
    vsock_close_host(connection);
    queue_done(&connection->waiting);
    free(connection);
}

void vsock_for_all(struct vsock *vsock,
                   void (*fn)(struct vsock_connection *connection))
{
    for (unsigned i = 0; i < VSOCK_BUCKETS; i++) {
        struct vsock_connection *next;

        for (struct vsock_connection *at = vsock->bucket[i]; at; at = next) {
            next = at->next;
            fn(at);
        }
    }
}

void vsock_make_ready(struct vsock_connection *connection)
{
    struct vsock *vsock = connection->vsock;

    if (connection->is_ready)
        return;
    connection->is_ready = true;
    connection->next_ready = NULL;
    if (vsock->last_ready)
        vsock->last_ready->next_ready = connection;
    else
        vsock->first_ready = connection;
    vsock->last_ready = connection;
}

struct vsock_connection *vsock_take_ready(struct vsock *vsock)
{
    struct vsock_connection *connection = vsock->first_ready;

    if (connection)
        unlink_ready(connection);
    return connection;
}

void vsock_send_soon(struct vsock_connection *connection, unsigned packet)
{
    connection->state.pending |= (uint8_t)packet;
    vsock_make_ready(connection);
}

/* ---- the host's end ---- */

static void host_event(void *context, unsigned events)
{
    struct vsock_connection *connection = context;
    struct vsock *vsock = connection->vsock;

    virtio_device_lock(&vsock->device);
    /* A reset that waits may remove the connection; if it does not, its event
     * comes again. */
    if (vsock->reset_pending) {
        vsock_settle(vsock);
    } else {
        if (events & (LOOP_READ | LOOP_HUP)) {
            connection->readable = true;
            vsock_make_ready(connection);
        }
        if (events & (LOOP_WRITE | LOOP_HUP))
            vsock_drain(connection);
        /* Nobody reads for a device that is out of order: do not ask again. */
        if (!virtio_is_live(&vsock->device))
            vsock_update_watch(connection);
        vsock_pump(vsock);
    }
    virtio_device_unlock(&vsock->device);
}

int vsock_attach(struct vsock_connection *connection, int fd,
                 struct sm_error *err)
{
    int type = 0;
    socklen_t length = sizeof type;
    int rc;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 ||
        type != SOCK_STREAM)
        return fail(err, SM_EINVAL, "vsock: not a stream socket");
    rc = loop_watch(connection->vsock->config.loop, fd, 0, host_event,
                    connection, &connection->watch, err);
    if (rc)
        return rc;
    connection->fd = fd;
    vsock_update_watch(connection);
    return 0;
}

void vsock_update_watch(struct vsock_connection *connection)
{
    const struct vsock_connection_state *state = &connection->state;
    unsigned events = 0;

    if (!connection->watch)
        return;
    /* Data is read only once the guest has accepted. */
    if (state->phase == VSOCK_OPEN && !connection->readable &&
        !(state->host_shut & VSOCK_SHUT_SEND) &&
        !(state->guest_shut & VSOCK_SHUT_RECEIVE))
        events |= LOOP_READ;
    if (queue_count(&connection->waiting))
        events |= LOOP_WRITE;
    loop_change(connection->watch, events);
}

void vsock_close_host(struct vsock_connection *connection)
{
    loop_unwatch(connection->watch);
    connection->watch = NULL;
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
}

/* Bytes that wait are gone: nobody will take them. */
static void drop_waiting(struct vsock_connection *connection)
{
    connection->state.forward += (uint32_t)queue_count(&connection->waiting);
    queue_done(&connection->waiting);
}

void vsock_host_shut(struct vsock_connection *connection, unsigned directions)
{
    struct vsock_connection_state *state = &connection->state;

    state->host_shut |= (uint8_t)directions;
    if (directions & VSOCK_SHUT_RECEIVE)
        drop_waiting(connection);
    if (state->host_shut == VSOCK_SHUT_BOTH) {
        vsock_close_host(connection);
        state->phase = VSOCK_CLOSING;
    }
    vsock_make_ready(connection);
}

/* Write what waits. False if the host's end takes nothing any more. */
static bool write_waiting(struct vsock_connection *connection)
{
    while (queue_count(&connection->waiting)) {
        ssize_t done = send(connection->fd, queue_front(&connection->waiting),
                            queue_count(&connection->waiting),
                            MSG_DONTWAIT | MSG_NOSIGNAL);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        queue_drop(&connection->waiting, (size_t)done);
        connection->state.forward += (uint32_t)done;
    }
    /* Most connections never stall again: give the memory back. */
    queue_done(&connection->waiting);
    return true;
}

/* What follows once all that the guest has sent is with the host's end. */
static void all_forwarded(struct vsock_connection *connection)
{
    const struct vsock_connection_state *state = &connection->state;

    if (state->guest_shut == VSOCK_SHUT_BOTH) {
        /* A close: the RST that answers it ends the connection. */
        vsock_close_host(connection);
        vsock_send_soon(connection, VSOCK_PENDING_RST);
    } else if (state->guest_shut & VSOCK_SHUT_SEND && connection->fd >= 0) {
        shutdown(connection->fd, SHUT_WR);
    }
}

void vsock_drain(struct vsock_connection *connection)
{
    struct vsock_connection_state *state = &connection->state;

    if (connection->fd >= 0 && !write_waiting(connection))
        vsock_host_shut(connection, VSOCK_SHUT_RECEIVE);
    if (!queue_count(&connection->waiting))
        all_forwarded(connection);
    /* The guest may always have at least half of the buffer outstanding: no
     * sender waits for an update that does not come. */
    if (state->phase == VSOCK_OPEN &&
        state->forward - state->told_forward >=
            connection->vsock->config.buffer_bytes / 2)
        vsock_send_soon(connection, VSOCK_PENDING_CREDIT_UPDATE);
    vsock_update_watch(connection);
}
