/* virtio.c: what all virtio devices have in common; see virtio.h. */
#include "devices/virtio/virtio.h"

#include "base/bytes.h"
#include "platform/clock.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    STATUS_ALL = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
                 VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_FEATURES_OK |
                 VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED,
    INTERRUPT_ALL = VIRTIO_INTERRUPT_USED | VIRTIO_INTERRUPT_CONFIG,
    REASON_BYTES = 160,
    RECORD_CAP = 64 << 20
};

/* ---- life ---- */

int virtio_device_init(struct virtio_device *device,
                       const struct virtio_ops *ops,
                       const struct virtio_env *env, uint64_t features,
                       unsigned queue_count, uint16_t queue_size,
                       struct sm_error *err)
{
    assert(queue_count && queue_count <= VIRTIO_QUEUES_MAX);
    *device = (struct virtio_device){
        .ops = ops,
        .mem = env->mem,
        .log = env->log,
        .features = features | VIRTIO_FEATURES_COMMON,
        .queue_count = queue_count,
        .irq = IRQ_NONE,
    };
    for (unsigned i = 0; i < queue_count; i++)
        vq_init(&device->queue[i], env->mem, queue_size);
    if (pthread_mutex_init(&device->lock, NULL) != 0)
        return fail(err, SM_ENOMEM, "%s: out of memory", ops->name);
    return 0;
}

void virtio_device_done(struct virtio_device *device)
{
    pthread_mutex_destroy(&device->lock);
}

void virtio_device_free(struct virtio_device *device)
{
    if (device)
        device->ops->free(device);
}

void virtio_device_connect(struct virtio_device *device,
                           const struct irq_line *irq, virtio_kick_fn *kick,
                           void *context)
{
    device->irq = *irq;
    device->kick = kick;
    device->kick_context = context;
}

void virtio_device_lock(struct virtio_device *device)
{
    pthread_mutex_lock(&device->lock);
}

void virtio_device_unlock(struct virtio_device *device)
{
    pthread_mutex_unlock(&device->lock);
}

/* ---- interrupts and kicks ---- */

bool virtio_is_live(const struct virtio_device *device)
{
    return (device->state.status &
            (VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_NEEDS_RESET |
             VIRTIO_STATUS_FAILED)) == VIRTIO_STATUS_DRIVER_OK;
}

bool virtio_has(const struct virtio_device *device, uint64_t feature)
{
    return device->state.driver_features & feature;
}

static void interrupt(struct virtio_device *device, unsigned cause)
{
    /* The cause must be there before the driver is woken: the pulse is a
     * system call or takes a lock, and either is a barrier. */
    atomic_fetch_or(&device->interrupt_status, cause);
    irq_pulse(&device->irq);
}

void virtio_interrupt(struct virtio_device *device, unsigned queue)
{
    if (vq_needs_interrupt(&device->queue[queue]))
        interrupt(device, VIRTIO_INTERRUPT_USED);
}

void virtio_kick(struct virtio_device *device, unsigned queue)
{
    if (device->kick)
        device->kick(device->kick_context, queue);
}

static void kick_all(struct virtio_device *device)
{
    for (unsigned i = 0; i < device->queue_count; i++)
        virtio_kick(device, i);
}

void virtio_config_changed(struct virtio_device *device)
{
    device->state.generation++;
    if (device->state.status & VIRTIO_STATUS_DRIVER_OK)
        interrupt(device, VIRTIO_INTERRUPT_CONFIG);
}

void virtio_needs_reset(struct virtio_device *device, const char *fmt, ...)
{
    char reason[REASON_BYTES];
    va_list ap;

    if (device->state.status & VIRTIO_STATUS_NEEDS_RESET)
        return;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    log_limited(&device->log, &device->log_limit, clock_monotonic_ns(),
                LOG_LEVEL_WARNING, "%s: the guest's driver: %s; needs a reset",
                device->ops->name, reason);
    device->state.status |= VIRTIO_STATUS_NEEDS_RESET;
    if (device->state.status & VIRTIO_STATUS_DRIVER_OK)
        interrupt(device, VIRTIO_INTERRUPT_CONFIG);
}

/* ---- serving queues ---- */

void virtio_device_notify(struct virtio_device *device, unsigned queue)
{
    virtio_device_lock(device);
    if (virtio_is_live(device) && queue < device->queue_count &&
        device->queue[queue].state.ready)
        device->ops->notify(device, queue);
    virtio_device_unlock(device);
}

void virtio_device_resume(struct virtio_device *device)
{
    kick_all(device);
    /* The interrupt may have been on its way when the record was made. One too
     * many does no harm. */
    if (atomic_load(&device->interrupt_status))
        irq_pulse(&device->irq);
}

bool virtio_pop(struct virtio_device *device, unsigned queue,
                struct vq_chain *chain)
{
    struct vq *vq = &device->queue[queue];
    int rc;

    if (!virtio_is_live(device))
        return false;
    rc = vq_pop(vq, chain);
    if (rc < 0)
        virtio_needs_reset(device, "queue %u: %s", queue, vq->broken);
    return rc > 0;
}

/* Serve at most *left requests with kicks off. True if there were any. */
static bool serve_some(struct virtio_device *device, unsigned queue,
                       virtio_serve_fn *serve, unsigned *left)
{
    struct vq_chain chain;
    unsigned before = *left;

    vq_kicks_off(&device->queue[queue]);
    while (*left && virtio_pop(device, queue, &chain)) {
        serve(device, queue, &chain);
        --*left;
    }
    return *left != before;
}

void virtio_serve(struct virtio_device *device, unsigned queue,
                  virtio_serve_fn *serve)
{
    struct vq *vq = &device->queue[queue];
    unsigned left = VIRTIO_BATCH;

    serve_some(device, queue, serve, &left);
    /* Finding nothing where the index promised something ends it: a driver
     * that takes requests back cannot keep us here. */
    while (left && vq_kicks_on(vq) && serve_some(device, queue, serve, &left))
        ;
    virtio_interrupt(device, queue);
    if (!left)
        virtio_kick(device, queue);
}

/* ---- bringing it up ---- */

/* Whether the steps of virtio 1.2, 3.1.1 lead to (status). */
static bool is_possible(unsigned status)
{
    if (status & ~(unsigned)STATUS_ALL)
        return false;
    if (status & VIRTIO_STATUS_DRIVER && !(status & VIRTIO_STATUS_ACKNOWLEDGE))
        return false;
    if (status & VIRTIO_STATUS_FEATURES_OK && !(status & VIRTIO_STATUS_DRIVER))
        return false;
    return !(status & VIRTIO_STATUS_DRIVER_OK) ||
           status & VIRTIO_STATUS_FEATURES_OK;
}

static bool features_fit(const struct virtio_device *device, uint64_t features)
{
    return !(features & ~device->features) && features & VIRTIO_F_VERSION_1;
}

static void apply_features(struct virtio_device *device)
{
    for (unsigned i = 0; i < device->queue_count; i++) {
        device->queue[i].event_idx = virtio_has(device, VIRTIO_F_EVENT_IDX);
        device->queue[i].indirect = virtio_has(device, VIRTIO_F_INDIRECT_DESC);
    }
}

static void reset(struct virtio_device *device)
{
    device->state.status = 0;
    device->state.driver_features = 0;
    atomic_store(&device->interrupt_status, 0);
    for (unsigned i = 0; i < device->queue_count; i++)
        vq_reset(&device->queue[i]);
    if (device->ops->reset)
        device->ops->reset(device);
}

void virtio_reset(struct virtio_device *device)
{
    virtio_device_lock(device);
    reset(device);
    virtio_device_unlock(device);
}

static void activate(struct virtio_device *device)
{
    if (device->ops->activate)
        device->ops->activate(device);
}

/* The driver takes steps; it never goes back but by a reset. */
static void advance(struct virtio_device *device, unsigned status)
{
    unsigned old = device->state.status;
    unsigned fresh;

    /* This bit is ours alone. */
    status &= ~(unsigned)VIRTIO_STATUS_NEEDS_RESET;
    status |= old & VIRTIO_STATUS_NEEDS_RESET;
    if (old & ~status || !is_possible(status)) {
        log_limited(&device->log, &device->log_limit, clock_monotonic_ns(),
                    LOG_LEVEL_WARNING,
                    "%s: the guest's driver: status %#x after %#x: ignored",
                    device->ops->name, status, old);
        return;
    }
    fresh = status & ~old;
    if (fresh & VIRTIO_STATUS_FEATURES_OK) {
        if (!features_fit(device, device->state.driver_features))
            status &= ~(unsigned)(VIRTIO_STATUS_FEATURES_OK |
                                  VIRTIO_STATUS_DRIVER_OK);
        else
            apply_features(device);
    }
    device->state.status = (uint8_t)status;
    if (status & fresh & VIRTIO_STATUS_DRIVER_OK) {
        activate(device);
        /* Drivers put buffers in, and kick, before they say DRIVER_OK. */
        kick_all(device);
    }
}

void virtio_set_status(struct virtio_device *device, uint8_t status)
{
    virtio_device_lock(device);
    if (status)
        advance(device, status);
    else
        reset(device);
    virtio_device_unlock(device);
}

void virtio_set_features(struct virtio_device *device, unsigned half,
                         uint32_t features)
{
    uint64_t *all = &device->state.driver_features;

    if (device->state.status & VIRTIO_STATUS_FEATURES_OK)
        return;
    if (half == 0)
        *all = (*all & ~(uint64_t)UINT32_MAX) | features;
    else if (half == 1)
        *all = (*all & UINT32_MAX) | (uint64_t)features << 32;
}

/* ---- configuration space ---- */

void virtio_config_read(struct virtio_device *device, unsigned offset,
                        uint8_t *to, unsigned count)
{
    uint8_t config[VIRTIO_CONFIG_MAX] = {0};
    unsigned size;

    virtio_device_lock(device);
    size = device->ops->config(device, config);
    virtio_device_unlock(device);
    memset(to, 0, count);
    if (offset < size)
        memcpy(to, config + offset, min_u64(count, size - offset));
}

void virtio_config_write(struct virtio_device *device, unsigned offset,
                         const uint8_t *from, unsigned count)
{
    uint8_t config[VIRTIO_CONFIG_MAX];
    unsigned size;

    virtio_device_lock(device);
    size = device->ops->config(device, config);
    if (device->ops->config_write && count <= size && offset <= size - count)
        device->ops->config_write(device, offset, from, count);
    virtio_device_unlock(device);
}

/* ---- records ---- */

void virtio_device_save(struct virtio_device *device, struct buf *to)
{
    struct buf own;

    virtio_device_lock(device);
    wire_put_string(to, device->ops->name);
    wire_put_u32(to, device->ops->version);
    wire_put_u8(to, device->state.status);
    wire_put_u32(to, device->state.generation);
    wire_put_u64(to, device->state.driver_features);
    wire_put_u32(to, atomic_load(&device->interrupt_status));
    wire_put_u32(to, device->queue_count);
    for (unsigned i = 0; i < device->queue_count; i++)
        vq_save(&device->queue[i], to);
    buf_init(&own, RECORD_CAP);
    device->ops->save(device, &own);
    wire_put_blob(to, own.data, own.size);
    to->failed |= own.failed;
    buf_done(&own);
    virtio_device_unlock(device);
}

/* The common part of a record, checked. */
struct common {
    struct virtio_state state;
    uint32_t interrupt_status;
    struct vq queue[VIRTIO_QUEUES_MAX];
};

static int read_common(const struct virtio_device *device,
                       struct wire_reader *from, struct common *common,
                       struct sm_error *err)
{
    const struct virtio_ops *ops = device->ops;
    size_t name_bytes;
    const uint8_t *name = wire_blob(from, &name_bytes);
    uint32_t version = wire_u32(from);
    unsigned status;
    uint64_t features;

    if (!wire_ok(from) || name_bytes != strlen(ops->name) ||
        memcmp(name, ops->name, name_bytes) != 0 || version != ops->version)
        return fail(err, SM_EIMAGE, "record of another device");
    common->state.status = wire_u8(from);
    common->state.generation = wire_u32(from);
    common->state.driver_features = wire_u64(from);
    common->interrupt_status = wire_u32(from);
    status = common->state.status;
    features = common->state.driver_features;
    if (wire_u32(from) != device->queue_count || !wire_ok(from) ||
        !is_possible(status) || common->interrupt_status > INTERRUPT_ALL ||
        (status & VIRTIO_STATUS_FEATURES_OK && !features_fit(device, features)))
        return fail(err, SM_EIMAGE, "record is damaged");
    for (unsigned i = 0; i < device->queue_count; i++) {
        int rc = vq_load(&common->queue[i], from, err);

        if (rc)
            return wrap(err, rc, "queue %u", i);
        if (common->queue[i].state.ready &&
            !(status & VIRTIO_STATUS_FEATURES_OK))
            return fail(err, SM_EIMAGE, "record is damaged");
    }
    return 0;
}

/* Exchange what the device is with (other). */
static void swap_common(struct virtio_device *device, struct common *other)
{
    struct common present = {.state = device->state};

    present.interrupt_status =
        atomic_exchange(&device->interrupt_status, other->interrupt_status);
    memcpy(present.queue, device->queue, sizeof present.queue);
    memcpy(device->queue, other->queue, sizeof device->queue);
    device->state = other->state;
    *other = present;
}

static int load(struct virtio_device *device, struct wire_reader *from,
                struct sm_error *err)
{
    struct common common = {0};
    struct wire_reader own;
    const uint8_t *bytes;
    size_t count;
    int rc;

    memcpy(common.queue, device->queue, sizeof common.queue);
    rc = read_common(device, from, &common, err);
    if (rc)
        return rc;
    bytes = wire_blob(from, &count);
    if (!wire_ok(from))
        return fail(err, SM_EIMAGE, "record is cut off");
    wire_read(&own, bytes, count);
    swap_common(device, &common);
    apply_features(device);
    rc = device->ops->load(device, &own, err);
    if (rc) {
        swap_common(device, &common);
        apply_features(device);
        return rc;
    }
    if (device->state.status & VIRTIO_STATUS_DRIVER_OK)
        activate(device);
    return 0;
}

int virtio_device_load(struct virtio_device *device, struct wire_reader *from,
                       struct sm_error *err)
{
    int rc;

    virtio_device_lock(device);
    rc = load(device, from, err);
    virtio_device_unlock(device);
    return rc ? wrap(err, rc, "%s", device->ops->name) : 0;
}
