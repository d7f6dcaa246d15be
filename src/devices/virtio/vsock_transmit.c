/* vsock_transmit.c: guest to host, out of the buffers of the tx queue. */
#include "devices/virtio/vsock_impl.h"

#include "base/bytes.h"
#include "base/own.h"

#include <errno.h>
#include <sys/socket.h>

/* Our copy of a packet's header. */
struct packet {
    uint64_t src_cid;
    uint64_t dst_cid;
    uint32_t guest_port;
    uint32_t host_port;
    uint32_t bytes;
    uint16_t type;
    uint16_t op;
    uint32_t flags;
    uint32_t alloc;
    uint32_t forward;
};

static bool read_packet(struct vq_chain *chain, struct packet *packet)
{
    uint8_t wire[VSOCK_HEADER_BYTES];

    if (!vq_chain_read(chain, wire, sizeof wire))
        return false;
    *packet = (struct packet){
        .src_cid = load_le64(wire),
        .dst_cid = load_le64(wire + 8),
        .guest_port = load_le32(wire + 16),
        .host_port = load_le32(wire + 20),
        .bytes = load_le32(wire + 24),
        .type = load_le16(wire + 28),
        .op = load_le16(wire + 30),
        .flags = load_le32(wire + 32),
        .alloc = load_le32(wire + 36),
        .forward = load_le32(wire + 40),
    };
    return packet->bytes <= chain->read_left;
}

/* Answer with RST. There is room: vsock_transmit() sees to it. */
static void refuse(struct vsock *vsock, const struct packet *packet)
{
    if (packet->op == VSOCK_OP_RST)
        return;
    vsock->refusal[vsock->refusals++] = (struct vsock_refusal){
        .host_cid = packet->dst_cid,
        .host_port = packet->host_port,
        .guest_port = packet->guest_port,
        .type = packet->type,
    };
}

/* The guest broke the protocol on this connection, or we cannot go on. */
static void reset_connection(struct vsock_connection *connection)
{
    vsock_close_host(connection);
    queue_done(&connection->waiting);
    connection->state.forward = connection->state.received;
    vsock_send_soon(connection, VSOCK_PENDING_RST);
}

/* ---- opening ---- */

/* Make room by giving up a connection that waits for nothing but the guest's
 * last word. */
static void reap_one(struct vsock *vsock)
{
    for (unsigned i = 0; i < VSOCK_BUCKETS; i++)
        for (struct vsock_connection *at = vsock->bucket[i]; at; at = at->next)
            if (at->state.phase == VSOCK_CLOSING && !at->state.pending &&
                at->state.host_told == VSOCK_SHUT_BOTH) {
                vsock_remove(at);
                return;
            }
}

static void open_connection(struct vsock *vsock, const struct packet *packet)
{
    const struct vsock_ops *ops = vsock->config.ops;
    struct vsock_connection *connection;
    AUTO_CLOSE int fd = -1;

    if (vsock->count >= vsock->config.connections_max)
        reap_one(vsock);
    if (ops && vsock->count < vsock->config.connections_max)
        fd = ops->accept(vsock->config.context, packet->host_port,
                         packet->guest_port);
    if (fd < 0) {
        refuse(vsock, packet);
        return;
    }
    connection =
        vsock_add(vsock, packet->guest_port, packet->host_port, VSOCK_OPEN);
    if (!connection || vsock_attach(connection, fd, NULL) != 0) {
        if (connection)
            vsock_remove(connection);
        refuse(vsock, packet);
        return;
    }
    own_take_fd(&fd);
    connection->state.peer_alloc = packet->alloc;
    connection->state.peer_forward = packet->forward;
    connection->state.sent = packet->forward;
    vsock_send_soon(connection, VSOCK_PENDING_RESPONSE);
}

static void opened(struct vsock_connection *connection)
{
    /* RESPONSE is right only to a REQUEST that we have sent. */
    if (connection->state.phase != VSOCK_CONNECTING ||
        connection->state.pending & VSOCK_PENDING_REQUEST) {
        reset_connection(connection);
        return;
    }
    connection->state.phase = VSOCK_OPEN;
    vsock_update_watch(connection);
}

/* ---- data ---- */

/* Hand as much as fits straight from guest memory to the host's end. Returns
 * the bytes, or -1 if that takes nothing any more. */
static int64_t write_direct(struct vsock_connection *connection,
                            const struct vq_chain *chain, uint32_t bytes)
{
    struct iovec span[VQ_SEGMENTS_MAX];
    struct msghdr message = {.msg_iov = span};
    ssize_t done;

    message.msg_iovlen = vq_chain_readable(chain, bytes, span, VQ_SEGMENTS_MAX);
    do {
        done = sendmsg(connection->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (done < 0 && errno == EINTR);
    if (done < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
    return done;
}

/* Keep the next (bytes) of the chain until the host's end takes them. */
static bool keep(struct vsock_connection *connection, struct vq_chain *chain,
                 uint32_t bytes)
{
    uint8_t part[4096];

    while (bytes) {
        uint32_t count = (uint32_t)min_u64(bytes, sizeof part);

        vq_chain_read(chain, part, count);
        if (!queue_put(&connection->waiting, part, count))
            return false;
        bytes -= count;
    }
    return true;
}

static void take_data(struct vsock_connection *connection,
                      struct vq_chain *chain, uint32_t bytes)
{
    struct vsock_connection_state *state = &connection->state;
    int64_t done = 0;

    if (state->phase == VSOCK_CONNECTING ||
        state->guest_shut & VSOCK_SHUT_SEND ||
        bytes > connection->vsock->config.buffer_bytes -
                    queue_count(&connection->waiting)) {
        reset_connection(connection);
        return;
    }
    state->received += bytes;
    __atomic_fetch_add(&connection->vsock->counters.out_bytes, bytes,
                       __ATOMIC_RELAXED);
    if (state->host_shut & VSOCK_SHUT_RECEIVE || !bytes) {
        state->forward += bytes;
        return;
    }
    if (connection->fd >= 0 && !queue_count(&connection->waiting))
        done = write_direct(connection, chain, bytes);
    if (done < 0) {
        state->forward += bytes;
        vsock_host_shut(connection, VSOCK_SHUT_RECEIVE);
        return;
    }
    state->forward += (uint32_t)done;
    vq_chain_consumed(chain, (uint64_t)done);
    if (!keep(connection, chain, bytes - (uint32_t)done)) {
        reset_connection(connection);
        return;
    }
    vsock_drain(connection);
}

/* ---- closing ---- */

static void shut_by_guest(struct vsock_connection *connection, uint32_t flags)
{
    struct vsock_connection_state *state = &connection->state;
    unsigned fresh = flags & VSOCK_SHUT_BOTH & ~(unsigned)state->guest_shut;

    state->guest_shut |= (uint8_t)fresh;
    /* The host's program finds that out when it writes. */
    if (fresh & VSOCK_SHUT_RECEIVE && connection->fd >= 0)
        shutdown(connection->fd, SHUT_RD);
    /* A sending direction ends behind the data that waits. */
    if (fresh)
        vsock_drain(connection);
}

/* ---- packets ---- */

/* Take over what the packet says about credit; false if it cannot be: more
 * bytes taken than we ever sent. */
static bool update_credit(struct vsock_connection *connection,
                          const struct packet *packet)
{
    struct vsock_connection_state *state = &connection->state;

    if ((uint32_t)(packet->forward - state->peer_forward) >
        (uint32_t)(state->sent - state->peer_forward))
        return false;
    state->peer_alloc = packet->alloc;
    state->peer_forward = packet->forward;
    if (connection->readable && vsock_credit(state))
        vsock_make_ready(connection);
    return true;
}

static void serve_connection(struct vsock_connection *connection,
                             const struct packet *packet,
                             struct vq_chain *chain)
{
    if (packet->op == VSOCK_OP_RST) {
        vsock_remove(connection);
        return;
    }
    /* Our RST is on its way: what the guest says meanwhile is void. */
    if (connection->state.pending & VSOCK_PENDING_RST)
        return;
    if (!update_credit(connection, packet)) {
        reset_connection(connection);
        return;
    }
    switch (packet->op) {
    case VSOCK_OP_RESPONSE:
        opened(connection);
        break;
    case VSOCK_OP_RW:
        take_data(connection, chain, packet->bytes);
        break;
    case VSOCK_OP_SHUTDOWN:
        shut_by_guest(connection, packet->flags);
        break;
    case VSOCK_OP_CREDIT_UPDATE:
        break;
    case VSOCK_OP_CREDIT_REQUEST:
        vsock_send_soon(connection, VSOCK_PENDING_CREDIT_UPDATE);
        break;
    default: /* a second REQUEST, or nonsense */
        reset_connection(connection);
        break;
    }
}

static void serve(struct vsock *vsock, struct vq_chain *chain)
{
    struct vsock_connection *connection;
    struct packet packet;

    if (!read_packet(chain, &packet)) {
        virtio_needs_reset(&vsock->device, "packet is cut off");
        return;
    }
    /* Who lies about its own address gets no answer (5.10.6.4.2). */
    if (packet.src_cid != vsock->config.guest_cid)
        return;
    if (packet.dst_cid != VSOCK_HOST_CID || packet.type != VSOCK_TYPE_STREAM) {
        refuse(vsock, &packet);
        return;
    }
    connection = vsock_find(vsock, packet.guest_port, packet.host_port);
    if (connection)
        serve_connection(connection, &packet, chain);
    else if (packet.op == VSOCK_OP_REQUEST)
        open_connection(vsock, &packet);
    else
        refuse(vsock, &packet);
}

/*
 * Serve at most *left packets with kicks off. True if there were any. Each may
 * need an RST in answer: without room for that it stays in the queue, until
 * vsock_pump() has made some.
 */
static bool transmit_some(struct vsock *vsock, unsigned *left)
{
    struct virtio_device *device = &vsock->device;
    struct vq *vq = &device->queue[VSOCK_QUEUE_TX];
    struct vq_chain chain;
    unsigned before = *left;

    vq_kicks_off(vq);
    while (*left && vsock->refusals < VSOCK_REFUSALS_MAX &&
           virtio_pop(device, VSOCK_QUEUE_TX, &chain)) {
        serve(vsock, &chain);
        vq_push(vq, &chain);
        --*left;
    }
    vsock->tx_blocked = vsock->refusals == VSOCK_REFUSALS_MAX;
    return *left != before;
}

void vsock_transmit(struct vsock *vsock)
{
    struct virtio_device *device = &vsock->device;
    struct vq *vq = &device->queue[VSOCK_QUEUE_TX];
    unsigned left = VIRTIO_BATCH;

    transmit_some(vsock, &left);
    while (left && !vsock->tx_blocked && vq_kicks_on(vq) &&
           transmit_some(vsock, &left))
        ;
    virtio_interrupt(device, VSOCK_QUEUE_TX);
    if (!left)
        virtio_kick(device, VSOCK_QUEUE_TX);
}
