/* vsock.c: the virtio socket device; see vsock.h and vsock_impl.h. */
#include "devices/virtio/vsock.h"

#include "base/bytes.h"
#include "base/own.h"
#include "devices/virtio/vsock_impl.h"

#include <sys/socket.h>

enum {
    QUEUE_SIZE = 256,
    CONFIG_BYTES = 8,
    DEFAULT_CONNECTIONS = 1024,
    DEFAULT_BUFFER_BYTES = 128 << 10,
    LAST_HOST_PORT = 0x7fffffff
};

#define GUEST_CID_MAX UINT64_C(0xfffffffe)

/* ---- resets, which happen on a vcpu's thread, reach the loop's ---- */

static bool is_new(const struct vsock_connection *connection)
{
    return connection->state.phase == VSOCK_CONNECTING &&
           connection->state.pending & VSOCK_PENDING_REQUEST;
}

/* The driver has forgotten what it knew. What it never heard of stays. */
static void drop_known(struct vsock_connection *connection)
{
    if (!is_new(connection))
        vsock_remove(connection);
}

void vsock_settle(struct vsock *vsock)
{
    if (!vsock->reset_pending)
        return;
    vsock->reset_pending = false;
    vsock->has_orphans = false;
    vsock->tx_blocked = false;
    vsock->event_pending = false;
    vsock->refusals = 0;
    vsock_for_all(vsock, drop_known);
}

static void reset_noticed(void *context, unsigned events)
{
    struct vsock *vsock = context;

    (void)events;
    notifier_clear(&vsock->reset);
    virtio_device_lock(&vsock->device);
    vsock_settle(vsock);
    virtio_device_unlock(&vsock->device);
}

static void vsock_reset(struct virtio_device *device)
{
    struct vsock *vsock = vsock_of(device);

    vsock->reset_pending = true;
    notifier_signal(&vsock->reset);
}

/* ---- serving ---- */

/* A loaded connection that nobody has adopted ends. */
static void end_orphan(struct vsock_connection *connection)
{
    if (connection->fd < 0 && connection->state.phase != VSOCK_CLOSING)
        vsock_send_soon(connection, VSOCK_PENDING_RST);
}

static void vsock_notify(struct virtio_device *device, unsigned queue)
{
    struct vsock *vsock = vsock_of(device);

    vsock_settle(vsock);
    if (vsock->has_orphans) {
        vsock->has_orphans = false;
        vsock_for_all(vsock, end_orphan);
    }
    if (queue == VSOCK_QUEUE_TX)
        vsock_transmit(vsock);
    else if (queue == VSOCK_QUEUE_EVENT)
        vsock_send_event(vsock);
    vsock_pump(vsock);
}

static unsigned vsock_config_space(struct virtio_device *device,
                                   uint8_t config[VIRTIO_CONFIG_MAX])
{
    store_le64(config, vsock_of(device)->config.guest_cid);
    return CONFIG_BYTES;
}

/* ---- what the machine calls ---- */

static uint32_t new_host_port(struct vsock *vsock, uint32_t guest_port)
{
    uint32_t port;

    /* There are more ports than connections. */
    do {
        port = vsock->next_host_port;
        vsock->next_host_port =
            port == LAST_HOST_PORT ? VSOCK_FIRST_HOST_PORT : port + 1;
    } while (vsock_find(vsock, guest_port, port));
    return port;
}

static int connect_locked(struct vsock *vsock, uint32_t guest_port, int *fd,
                          uint32_t *host_port, struct sm_error *err)
{
    struct vsock_connection *connection;
    uint32_t port;
    int rc;

    vsock_settle(vsock);
    if (vsock->count >= vsock->config.connections_max)
        return fail(err, SM_ELIMIT, "vsock: more than %u connections",
                    vsock->config.connections_max);
    port = new_host_port(vsock, guest_port);
    connection = vsock_add(vsock, guest_port, port, VSOCK_CONNECTING);
    if (!connection)
        return fail(err, SM_ENOMEM, "vsock: out of memory");
    rc = vsock_attach(connection, *fd, err);
    if (rc) {
        vsock_remove(connection);
        return rc;
    }
    own_take_fd(fd);
    if (host_port)
        *host_port = port;
    vsock_send_soon(connection, VSOCK_PENDING_REQUEST);
    vsock_pump(vsock);
    return 0;
}

int vsock_connect(struct vsock *vsock, uint32_t guest_port, int fd,
                  uint32_t *host_port, struct sm_error *err)
{
    AUTO_CLOSE int owned = fd;
    int rc;

    virtio_device_lock(&vsock->device);
    rc = connect_locked(vsock, guest_port, &owned, host_port, err);
    virtio_device_unlock(&vsock->device);
    return rc;
}

void vsock_each(struct vsock *vsock,
                void (*fn)(void *context,
                           const struct vsock_connection_state *state),
                void *context)
{
    virtio_device_lock(&vsock->device);
    for (unsigned i = 0; i < VSOCK_BUCKETS; i++)
        for (struct vsock_connection *at = vsock->bucket[i]; at; at = at->next)
            if (at->fd < 0 && at->state.phase != VSOCK_CLOSING)
                fn(context, &at->state);
    virtio_device_unlock(&vsock->device);
}

static int adopt_locked(struct vsock *vsock, uint32_t guest_port,
                        uint32_t host_port, int *fd, struct sm_error *err)
{
    struct vsock_connection *connection =
        vsock_find(vsock, guest_port, host_port);
    int rc;

    if (!connection)
        return fail(err, SM_ENOENT, "vsock: no connection %u to %u", guest_port,
                    host_port);
    if (connection->fd >= 0 || connection->state.phase == VSOCK_CLOSING)
        return fail(err, SM_ESTATE, "vsock: connection %u to %u is taken",
                    guest_port, host_port);
    rc = vsock_attach(connection, *fd, err);
    if (rc)
        return rc;
    own_take_fd(fd);
    if (connection->state.guest_shut & VSOCK_SHUT_RECEIVE)
        shutdown(connection->fd, SHUT_RD);
    vsock_drain(connection);
    return 0;
}

int vsock_adopt(struct vsock *vsock, uint32_t guest_port, uint32_t host_port,
                int fd, struct sm_error *err)
{
    AUTO_CLOSE int owned = fd;
    int rc;

    virtio_device_lock(&vsock->device);
    rc = adopt_locked(vsock, guest_port, host_port, &owned, err);
    virtio_device_unlock(&vsock->device);
    return rc;
}

void vsock_drop_all(struct vsock *vsock)
{
    virtio_device_lock(&vsock->device);
    vsock_settle(vsock);
    vsock_for_all(vsock, vsock_remove);
    vsock->has_orphans = false;
    vsock->refusals = 0;
    vsock->event_pending = true;
    vsock_send_event(vsock);
    virtio_device_unlock(&vsock->device);
}

static int check_cid(uint64_t cid, struct sm_error *err)
{
    if (cid < VSOCK_GUEST_CID_MIN || cid > GUEST_CID_MAX)
        return fail(err, SM_EINVAL, "vsock: context id %llu: %d to %llu",
                    (unsigned long long)cid, VSOCK_GUEST_CID_MIN,
                    (unsigned long long)GUEST_CID_MAX);
    return 0;
}

int vsock_set_guest_cid(struct vsock *vsock, uint64_t guest_cid,
                        struct sm_error *err)
{
    int rc = check_cid(guest_cid, err);

    if (rc)
        return rc;
    virtio_device_lock(&vsock->device);
    vsock->config.guest_cid = guest_cid;
    virtio_config_changed(&vsock->device);
    virtio_device_unlock(&vsock->device);
    return 0;
}

/* ---- life ---- */

static void release(struct vsock *vsock)
{
    if (!vsock)
        return;
    loop_unwatch(vsock->reset_watch);
    notifier_done(&vsock->reset);
    free(vsock);
}

OWN_DEFINE(struct vsock, release)

static void vsock_free(struct virtio_device *device)
{
    struct vsock *vsock = vsock_of(device);

    vsock_for_all(vsock, vsock_remove);
    virtio_device_done(device);
    release(vsock);
}

static const struct virtio_ops vsock_device_ops = {
    .name = "vsock",
    .id = VIRTIO_ID_VSOCK,
    .version = 1,
    .config = vsock_config_space,
    .notify = vsock_notify,
    .reset = vsock_reset,
    .save = vsock_save,
    .load = vsock_load,
    .free = vsock_free,
};

static int complete_config(struct vsock_config *config, struct sm_error *err)
{
    if (!config->connections_max)
        config->connections_max = DEFAULT_CONNECTIONS;
    if (!config->buffer_bytes)
        config->buffer_bytes = DEFAULT_BUFFER_BYTES;
    if (config->connections_max > VSOCK_CONNECTIONS_MAX)
        return fail(err, SM_EINVAL, "vsock: %u connections: at most %d",
                    config->connections_max, VSOCK_CONNECTIONS_MAX);
    if (config->buffer_bytes < VSOCK_BUFFER_MIN ||
        config->buffer_bytes > VSOCK_BUFFER_MAX)
        return fail(err, SM_EINVAL, "vsock: buffers of %u bytes: %d to %d",
                    config->buffer_bytes, VSOCK_BUFFER_MIN, VSOCK_BUFFER_MAX);
    return check_cid(config->guest_cid, err);
}

int vsock_new(const struct vsock_config *config, struct vsock **ret,
              struct sm_error *err)
{
    AUTO(releasep) struct vsock *vsock = calloc(1, sizeof *vsock);
    int rc;

    if (!vsock)
        return fail(err, SM_ENOMEM, "vsock: out of memory");
    vsock->config = *config;
    vsock->reset = NOTIFIER_NONE;
    vsock->next_host_port = VSOCK_FIRST_HOST_PORT;
    rc = complete_config(&vsock->config, err);
    if (!rc)
        rc = notifier_init(&vsock->reset, err);
    if (!rc)
        rc = loop_watch(config->loop, vsock->reset.fd, LOOP_READ, reset_noticed,
                        vsock, &vsock->reset_watch, err);
    if (!rc)
        rc = virtio_device_init(&vsock->device, &vsock_device_ops, &config->env,
                                0, VSOCK_QUEUES, QUEUE_SIZE, err);
    if (rc)
        return rc;
    *ret = own_take(vsock);
    return 0;
}

struct virtio_device *vsock_device(struct vsock *vsock)
{
    return &vsock->device;
}

struct vsock_counters vsock_counters(const struct vsock *vsock)
{
    const struct vsock_counters *from = &vsock->counters;

    return (struct vsock_counters){
        .in_bytes = __atomic_load_n(&from->in_bytes, __ATOMIC_RELAXED),
        .out_bytes = __atomic_load_n(&from->out_bytes, __ATOMIC_RELAXED),
    };
}
