/* vsock_record.c: connections as plain data; see vsock.h, "Snapshots". */
#include "devices/virtio/vsock_impl.h"

#include <string.h>

static void save_connection(const struct vsock_connection *connection,
                            struct buf *to)
{
    const struct vsock_connection_state *state = &connection->state;
    size_t count;

    wire_put_u32(to, state->guest_port);
    wire_put_u32(to, state->host_port);
    wire_put_u8(to, (uint8_t)state->phase);
    wire_put_u8(to, state->pending);
    wire_put_u8(to, state->guest_shut);
    wire_put_u8(to, state->host_shut);
    wire_put_u8(to, state->host_told);
    wire_put_u32(to, state->peer_alloc);
    wire_put_u32(to, state->peer_forward);
    wire_put_u32(to, state->sent);
    wire_put_u32(to, state->received);
    wire_put_u32(to, state->forward);
    wire_put_u32(to, state->told_forward);
    count = queue_count(&connection->waiting);
    wire_put_blob(to, count ? queue_front(&connection->waiting) : NULL, count);
}

/* A reset that waits for the loop's thread has happened as far as the record
 * goes. */
static bool is_saved(const struct vsock *vsock,
                     const struct vsock_connection *connection)
{
    return !vsock->reset_pending ||
           (connection->state.phase == VSOCK_CONNECTING &&
            connection->state.pending & VSOCK_PENDING_REQUEST);
}

static uint32_t count_saved(const struct vsock *vsock)
{
    uint32_t count = 0;

    for (unsigned i = 0; i < VSOCK_BUCKETS; i++)
        for (struct vsock_connection *at = vsock->bucket[i]; at; at = at->next)
            count += is_saved(vsock, at);
    return count;
}

void vsock_save(struct virtio_device *device, struct buf *to)
{
    const struct vsock *vsock = vsock_of(device);
    unsigned refusals = vsock->reset_pending ? 0 : vsock->refusals;

    wire_put_u64(to, vsock->config.guest_cid);
    wire_put_u32(to, vsock->config.buffer_bytes);
    wire_put_u32(to, vsock->next_host_port);
    wire_put_u8(to, vsock->event_pending && !vsock->reset_pending);
    wire_put_u32(to, refusals);
    for (unsigned i = 0; i < refusals; i++) {
        wire_put_u64(to, vsock->refusal[i].host_cid);
        wire_put_u32(to, vsock->refusal[i].host_port);
        wire_put_u32(to, vsock->refusal[i].guest_port);
        wire_put_u16(to, vsock->refusal[i].type);
    }
    wire_put_u32(to, count_saved(vsock));
    for (unsigned i = 0; i < VSOCK_BUCKETS; i++)
        for (struct vsock_connection *at = vsock->bucket[i]; at; at = at->next)
            if (is_saved(vsock, at))
                save_connection(at, to);
}

/* The device's own fields of a record. */
struct fields {
    uint64_t guest_cid;
    uint32_t buffer_bytes;
    uint32_t next_host_port;
    uint8_t event_pending;
    uint32_t refusals;
    struct vsock_refusal refusal[VSOCK_REFUSALS_MAX];
};

static bool read_fields(struct wire_reader *from, struct fields *fields)
{
    fields->guest_cid = wire_u64(from);
    fields->buffer_bytes = wire_u32(from);
    fields->next_host_port = wire_u32(from);
    fields->event_pending = wire_u8(from);
    fields->refusals = wire_u32(from);
    if (!wire_ok(from) || fields->guest_cid < VSOCK_GUEST_CID_MIN ||
        fields->guest_cid >= UINT32_MAX || fields->event_pending > 1 ||
        fields->buffer_bytes < VSOCK_BUFFER_MIN ||
        fields->buffer_bytes > VSOCK_BUFFER_MAX ||
        fields->next_host_port < VSOCK_FIRST_HOST_PORT ||
        fields->next_host_port > INT32_MAX ||
        fields->refusals > VSOCK_REFUSALS_MAX)
        return false;
    for (unsigned i = 0; i < fields->refusals; i++) {
        fields->refusal[i].host_cid = wire_u64(from);
        fields->refusal[i].host_port = wire_u32(from);
        fields->refusal[i].guest_port = wire_u32(from);
        fields->refusal[i].type = wire_u16(from);
    }
    return wire_ok(from);
}

/* Whether a guest and we could have come to this state. */
static bool is_sane(const struct vsock_connection_state *state, uint32_t phase,
                    size_t waiting, uint32_t buffer_bytes)
{
    if (phase > VSOCK_CLOSING || state->pending & ~VSOCK_PENDING_ALL)
        return false;
    if ((state->guest_shut | state->host_shut) & ~VSOCK_SHUT_BOTH ||
        state->host_told & ~state->host_shut)
        return false;
    if ((phase == VSOCK_CLOSING) != (state->host_shut == VSOCK_SHUT_BOTH))
        return false;
    /* All that was received is either with the host's end or waits. */
    return waiting <= buffer_bytes &&
           (uint32_t)(state->received - state->forward) == waiting;
}

static int load_connection(struct vsock *vsock, struct wire_reader *from,
                           struct sm_error *err)
{
    struct vsock_connection_state state = {0};
    struct vsock_connection *connection;
    const uint8_t *waiting;
    uint32_t phase;
    size_t count;

    state.guest_port = wire_u32(from);
    state.host_port = wire_u32(from);
    phase = wire_u8(from);
    state.pending = wire_u8(from);
    state.guest_shut = wire_u8(from);
    state.host_shut = wire_u8(from);
    state.host_told = wire_u8(from);
    state.peer_alloc = wire_u32(from);
    state.peer_forward = wire_u32(from);
    state.sent = wire_u32(from);
    state.received = wire_u32(from);
    state.forward = wire_u32(from);
    state.told_forward = wire_u32(from);
    waiting = wire_blob(from, &count);
    if (!wire_ok(from) ||
        !is_sane(&state, phase, count, vsock->config.buffer_bytes) ||
        vsock_find(vsock, state.guest_port, state.host_port))
        return fail(err, SM_EIMAGE, "connection is damaged");
    connection = vsock_add(vsock, state.guest_port, state.host_port,
                           (enum vsock_phase)phase);
    if (!connection ||
        (count && !queue_put(&connection->waiting, waiting, count)))
        return fail(err, SM_ENOMEM, "out of memory");
    state.phase = (enum vsock_phase)phase;
    connection->state = state;
    vsock_make_ready(connection);
    return 0;
}

static int load_connections(struct vsock *vsock, struct wire_reader *from,
                            struct sm_error *err)
{
    uint32_t count = wire_u32(from);
    int rc = 0;

    if (!wire_ok(from) || count > vsock->config.connections_max)
        return fail(err, SM_EIMAGE, "%u connections: at most %u", count,
                    vsock->config.connections_max);
    for (uint32_t i = 0; !rc && i < count; i++)
        rc = load_connection(vsock, from, err);
    if (!rc && !wire_end(from))
        rc = fail(err, SM_EIMAGE, "record is damaged");
    return rc;
}

/* The connections that stand in for one another while a record is loaded. */
struct table {
    unsigned count;
    uint32_t buffer_bytes;
    struct vsock_connection *bucket[VSOCK_BUCKETS];
    struct vsock_connection *first_ready;
    struct vsock_connection *last_ready;
};

static void swap_table(struct vsock *vsock, struct table *other)
{
    struct table present = {.count = vsock->count,
                            .buffer_bytes = vsock->config.buffer_bytes,
                            .first_ready = vsock->first_ready,
                            .last_ready = vsock->last_ready};

    memcpy(present.bucket, vsock->bucket, sizeof present.bucket);
    vsock->count = other->count;
    vsock->config.buffer_bytes = other->buffer_bytes;
    vsock->first_ready = other->first_ready;
    vsock->last_ready = other->last_ready;
    memcpy(vsock->bucket, other->bucket, sizeof vsock->bucket);
    *other = present;
}

int vsock_load(struct virtio_device *device, struct wire_reader *from,
               struct sm_error *err)
{
    struct vsock *vsock = vsock_of(device);
    struct table table = {0};
    struct fields fields = {0};
    int rc;

    if (!read_fields(from, &fields))
        return fail(err, SM_EIMAGE, "record is damaged");
    table.buffer_bytes = fields.buffer_bytes;
    swap_table(vsock, &table);
    rc = load_connections(vsock, from, err);
    if (rc)
        swap_table(vsock, &table);
    /* Whichever table is not in use now is given up. */
    swap_table(vsock, &table);
    vsock_for_all(vsock, vsock_remove);
    swap_table(vsock, &table);
    if (rc)
        return rc;
    vsock->config.guest_cid = fields.guest_cid;
    vsock->next_host_port = fields.next_host_port;
    vsock->event_pending = fields.event_pending;
    vsock->refusals = fields.refusals;
    memcpy(vsock->refusal, fields.refusal, sizeof vsock->refusal);
    vsock->tx_blocked = false;
    vsock->reset_pending = false;
    vsock->has_orphans = true;
    return 0;
}
