/* vsock_receive.c: host to guest, into the buffers of the rx queue. */
#include "devices/virtio/vsock_impl.h"

#include "base/bytes.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum { EVENT_TRANSPORT_RESET = 0, EVENT_BYTES = 4 };

/* What one turn of a connection came to. */
enum turn {
    TURN_SENT,    /* one packet; there may be more   */
    TURN_IDLE,    /* nothing to send now             */
    TURN_NO_ROOM, /* the guest has left no buffer    */
    TURN_GONE     /* the connection is freed         */
};

/* A packet's header, all but the credit. */
struct header {
    uint64_t host_cid;
    uint32_t host_port;
    uint32_t guest_port;
    uint32_t bytes;
    uint16_t type;
    uint16_t op;
    uint32_t flags;
    uint32_t forward;
};

uint32_t vsock_credit(const struct vsock_connection_state *state)
{
    uint32_t under_way = state->sent - state->peer_forward;

    return under_way < state->peer_alloc ? state->peer_alloc - under_way : 0;
}

/* struct virtio_vsock_hdr (virtio 1.2, 5.10.6), little endian. */
static void write_header(const struct vsock *vsock, struct vq_chain *chain,
                         const struct header *header)
{
    uint8_t wire[VSOCK_HEADER_BYTES];

    store_le64(wire, header->host_cid);
    store_le64(wire + 8, vsock->config.guest_cid);
    store_le32(wire + 16, header->host_port);
    store_le32(wire + 20, header->guest_port);
    store_le32(wire + 24, header->bytes);
    store_le16(wire + 28, header->type);
    store_le16(wire + 30, header->op);
    store_le32(wire + 32, header->flags);
    store_le32(wire + 36, vsock->config.buffer_bytes);
    store_le32(wire + 40, header->forward);
    vq_chain_write(chain, wire, sizeof wire);
}

/* A buffer that holds a header and at least a byte of data, or false. Kicks
 * are wanted only while we lack buffers. */
static bool take_buffer(struct vsock *vsock, struct vq_chain *chain)
{
    struct virtio_device *device = &vsock->device;
    struct vq *vq = &device->queue[VSOCK_QUEUE_RX];

    if (!virtio_pop(device, VSOCK_QUEUE_RX, chain) &&
        !(vq_kicks_on(vq) && virtio_pop(device, VSOCK_QUEUE_RX, chain)))
        return false;
    vq_kicks_off(vq);
    if (chain->write_left > VSOCK_HEADER_BYTES)
        return true;
    virtio_needs_reset(device, "receive buffer of %llu bytes",
                       (unsigned long long)chain->write_left);
    return false;
}

static struct header header_for(const struct vsock_connection *connection,
                                uint16_t op)
{
    return (struct header){
        .host_cid = VSOCK_HOST_CID,
        .host_port = connection->state.host_port,
        .guest_port = connection->state.guest_port,
        .type = VSOCK_TYPE_STREAM,
        .op = op,
        .forward = connection->state.forward,
    };
}

/* A packet without data. */
static enum turn send_control(struct vsock_connection *connection, uint16_t op,
                              uint32_t flags)
{
    struct vsock *vsock = connection->vsock;
    struct header header = header_for(connection, op);
    struct vq_chain chain;

    if (!take_buffer(vsock, &chain))
        return TURN_NO_ROOM;
    header.flags = flags;
    write_header(vsock, &chain, &header);
    vq_push(&vsock->device.queue[VSOCK_QUEUE_RX], &chain);
    connection->state.told_forward = header.forward;
    return TURN_SENT;
}

/* The packet of one bit in `pending`, which is cleared once it is sent. */
static enum turn send_pending(struct vsock_connection *connection)
{
    static const struct {
        uint8_t bit;
        uint16_t op;
    } packets[] = {
        {VSOCK_PENDING_RST, VSOCK_OP_RST},
        {VSOCK_PENDING_REQUEST, VSOCK_OP_REQUEST},
        {VSOCK_PENDING_RESPONSE, VSOCK_OP_RESPONSE},
        {VSOCK_PENDING_CREDIT_UPDATE, VSOCK_OP_CREDIT_UPDATE},
        {VSOCK_PENDING_CREDIT_REQUEST, VSOCK_OP_CREDIT_REQUEST},
    };
    uint8_t *pending = &connection->state.pending;

    for (size_t i = 0; i < ARRAY_LEN(packets); i++) {
        enum turn turn;

        if (!(*pending & packets[i].bit))
            continue;
        turn = send_control(connection, packets[i].op, 0);
        if (turn != TURN_SENT)
            return turn;
        *pending &= (uint8_t)~packets[i].bit;
        if (packets[i].bit != VSOCK_PENDING_RST)
            return TURN_SENT;
        vsock_remove(connection);
        return TURN_GONE;
    }
    return TURN_IDLE;
}

/* The host's end has no more data: is it half closed, or gone? */
static void end_of_data(struct vsock_connection *connection)
{
    struct pollfd ask = {.fd = connection->fd};
    bool gone = poll(&ask, 1, 0) == 1 && ask.revents & (POLLHUP | POLLERR);

    vsock_host_shut(connection, gone ? VSOCK_SHUT_BOTH : VSOCK_SHUT_SEND);
}

/*
 * The room for (bytes) of data in (buffer), behind the header, as iovecs:
 * `span` has room for VQ_SEGMENTS_MAX. Returns the first one's place.
 */
static struct iovec *data_room(const struct vq_chain *buffer, uint64_t bytes,
                               struct iovec *span, size_t *count)
{
    size_t header = VSOCK_HEADER_BYTES;

    *count = vq_chain_writable(buffer, VSOCK_HEADER_BYTES + bytes, span,
                               VQ_SEGMENTS_MAX);
    while (span->iov_len <= header) {
        header -= span->iov_len;
        span++;
        --*count;
    }
    span->iov_base = (char *)span->iov_base + header;
    span->iov_len -= header;
    return span;
}

/* Read from fd straight into the buffer behind its header. Returns the bytes
 * of data, 0 if there were none. */
static uint32_t read_host(struct vsock_connection *connection,
                          const struct vq_chain *buffer)
{
    struct iovec span[VQ_SEGMENTS_MAX];
    struct msghdr message = {0};
    uint64_t bytes;
    ssize_t done;

    bytes = min_u64(buffer->write_left - VSOCK_HEADER_BYTES,
                    vsock_credit(&connection->state));
    bytes = min_u64(bytes, VSOCK_PACKET_MAX);
    message.msg_iov = data_room(buffer, bytes, span, &message.msg_iovlen);
    do {
        done = recvmsg(connection->fd, &message, MSG_DONTWAIT);
    } while (done < 0 && errno == EINTR);
    if (done > 0)
        return (uint32_t)done;
    connection->readable = false;
    if (done == 0)
        end_of_data(connection);
    else if (errno != EAGAIN && errno != EWOULDBLOCK)
        vsock_host_shut(connection, VSOCK_SHUT_BOTH);
    return 0;
}

static bool may_send_data(const struct vsock_connection *connection)
{
    const struct vsock_connection_state *state = &connection->state;

    return connection->readable && connection->fd >= 0 &&
           state->phase == VSOCK_OPEN &&
           !(state->host_shut & VSOCK_SHUT_SEND) &&
           !(state->guest_shut & VSOCK_SHUT_RECEIVE);
}

static enum turn send_data(struct vsock_connection *connection)
{
    struct vsock *vsock = connection->vsock;
    struct vq *vq = &vsock->device.queue[VSOCK_QUEUE_RX];
    struct vsock_connection_state *state = &connection->state;
    struct header header = header_for(connection, VSOCK_OP_RW);
    struct vq_chain chain;

    if (!vsock_credit(state)) {
        if (connection->starved)
            return TURN_IDLE;
        connection->starved = true;
        state->pending |= VSOCK_PENDING_CREDIT_REQUEST;
        return send_pending(connection);
    }
    connection->starved = false;
    if (!take_buffer(vsock, &chain))
        return TURN_NO_ROOM;
    header.bytes = read_host(connection, &chain);
    if (!header.bytes) {
        vq_unpop(vq);
        return TURN_SENT; /* nothing, but the end may have to be told */
    }
    write_header(vsock, &chain, &header);
    vq_chain_wrote(&chain, header.bytes);
    vq_push(vq, &chain);
    state->sent += header.bytes;
    __atomic_fetch_add(&vsock->counters.in_bytes, header.bytes,
                       __ATOMIC_RELAXED);
    state->told_forward = header.forward;
    return TURN_SENT;
}

/* Tell the guest which directions have ended; data goes before. */
static enum turn send_shutdown(struct vsock_connection *connection)
{
    struct vsock_connection_state *state = &connection->state;
    enum turn turn;

    if (state->phase == VSOCK_CONNECTING ||
        state->host_told == state->host_shut)
        return TURN_IDLE;
    turn = send_control(connection, VSOCK_OP_SHUTDOWN, state->host_shut);
    if (turn == TURN_SENT)
        state->host_told = state->host_shut;
    return turn;
}

static enum turn take_turn(struct vsock_connection *connection)
{
    enum turn turn = TURN_IDLE;

    if (connection->state.pending)
        turn = send_pending(connection);
    else if (connection->state.host_told != connection->state.host_shut)
        turn = send_shutdown(connection);
    else if (may_send_data(connection))
        turn = send_data(connection);
    return turn;
}

static bool send_refusal(struct vsock *vsock)
{
    const struct vsock_refusal *oldest = &vsock->refusal[0];
    struct header header = {
        .host_cid = oldest->host_cid,
        .host_port = oldest->host_port,
        .guest_port = oldest->guest_port,
        .type = oldest->type,
        .op = VSOCK_OP_RST,
    };
    struct vq_chain chain;

    if (!take_buffer(vsock, &chain))
        return false;
    write_header(vsock, &chain, &header);
    vq_push(&vsock->device.queue[VSOCK_QUEUE_RX], &chain);
    vsock->refusals--;
    memmove(vsock->refusal, vsock->refusal + 1,
            vsock->refusals * sizeof vsock->refusal[0]);
    return true;
}

/* Let the next one send a packet. False if nobody can. */
static bool send_next(struct vsock *vsock)
{
    struct vsock_connection *connection;

    if (vsock->refusals)
        return send_refusal(vsock);
    connection = vsock_take_ready(vsock);
    if (!connection)
        return false;
    switch (take_turn(connection)) {
    case TURN_GONE:
        return true;
    case TURN_NO_ROOM:
        vsock_make_ready(connection);
        vsock_update_watch(connection);
        return false;
    case TURN_SENT:
        vsock_make_ready(connection);
        return true;
    case TURN_IDLE:
        break;
    }
    vsock_update_watch(connection);
    return true;
}

void vsock_pump(struct vsock *vsock)
{
    unsigned packets = 0;

    if (!virtio_is_live(&vsock->device))
        return;
    while (packets < VIRTIO_BATCH && send_next(vsock))
        packets++;
    if (packets == VIRTIO_BATCH)
        virtio_kick(&vsock->device, VSOCK_QUEUE_RX);
    if (vsock->tx_blocked && vsock->refusals < VSOCK_REFUSALS_MAX)
        virtio_kick(&vsock->device, VSOCK_QUEUE_TX);
    virtio_interrupt(&vsock->device, VSOCK_QUEUE_RX);
}

void vsock_send_event(struct vsock *vsock)
{
    struct virtio_device *device = &vsock->device;
    struct vq *vq = &device->queue[VSOCK_QUEUE_EVENT];
    uint8_t event[EVENT_BYTES];
    struct vq_chain chain;

    if (!vsock->event_pending)
        return;
    if (!virtio_pop(device, VSOCK_QUEUE_EVENT, &chain) &&
        !(vq_kicks_on(vq) && virtio_pop(device, VSOCK_QUEUE_EVENT, &chain)))
        return;
    store_le32(event, EVENT_TRANSPORT_RESET);
    if (!vq_chain_write(&chain, event, sizeof event)) {
        virtio_needs_reset(device, "event buffer of %llu bytes",
                           (unsigned long long)chain.write_left);
        return;
    }
    vsock->event_pending = false;
    vq_push(vq, &chain);
    virtio_interrupt(device, VSOCK_QUEUE_EVENT);
}
