/* mmio.c: virtio devices as memory-mapped registers; see mmio.h. */
#include "devices/virtio/mmio.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/clock.h"

#include <assert.h>

#define MAGIC_VALUE  UINT32_C(0x74726976) /* "virt" */
#define VENDOR_VALUE UINT32_C(0x4d564d53) /* "SMVM" */
enum { VERSION_VALUE = 2 };

struct virtio_mmio {
    struct device device;
    struct virtio_device *virtio;
    struct virtio_mmio_shm shm[VIRTIO_SHM_MAX];
    struct virtio_mmio_state state; /* under the device's lock */
};

static struct virtio_mmio *mmio_of(struct device *device)
{
    return CONTAINER_OF(device, struct virtio_mmio, device);
}

static uint32_t half_of(uint64_t value, bool high)
{
    return (uint32_t)(value >> (high ? 32 : 0));
}

/* ---- reading ---- */

/* The selected queue, or NULL. */
static struct vq *selected_queue(const struct virtio_mmio *mmio)
{
    struct virtio_device *virtio = mmio->virtio;

    return mmio->state.queue_sel < virtio->queue_count
               ? &virtio->queue[mmio->state.queue_sel]
               : NULL;
}

/* A region that is not there has length and address -1 (4.2.2.1). */
static uint32_t read_shm(const struct virtio_mmio *mmio, uint64_t offset)
{
    bool high = offset == VIRTIO_MMIO_SHM_LEN_HIGH ||
                offset == VIRTIO_MMIO_SHM_BASE_HIGH;
    bool length = offset < VIRTIO_MMIO_SHM_BASE_LOW;

    for (unsigned i = 0; i < VIRTIO_SHM_MAX; i++) {
        const struct virtio_mmio_shm *shm = &mmio->shm[i];

        if (shm->bytes && shm->id == mmio->state.shm_sel)
            return half_of(length ? shm->bytes : shm->at.v, high);
    }
    return UINT32_MAX;
}

static uint32_t read_device_features(const struct virtio_mmio *mmio)
{
    if (mmio->state.device_features_sel > 1)
        return 0;
    return half_of(mmio->virtio->features, mmio->state.device_features_sel);
}

/* Registers that need the device's lock. */
static uint32_t read_locked(struct virtio_mmio *mmio, uint64_t offset)
{
    const struct vq *vq = selected_queue(mmio);

    switch (offset) {
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return read_device_features(mmio);
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return vq ? vq->size_max : 0;
    case VIRTIO_MMIO_QUEUE_READY:
        return vq ? vq->state.ready : 0;
    case VIRTIO_MMIO_STATUS:
        return mmio->virtio->state.status;
    case VIRTIO_MMIO_SHM_LEN_LOW:
    case VIRTIO_MMIO_SHM_LEN_HIGH:
    case VIRTIO_MMIO_SHM_BASE_LOW:
    case VIRTIO_MMIO_SHM_BASE_HIGH:
        return read_shm(mmio, offset);
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return mmio->virtio->state.generation;
    default:
        return 0;
    }
}

static uint32_t read_register(struct virtio_mmio *mmio, uint64_t offset)
{
    struct virtio_device *virtio = mmio->virtio;
    uint32_t value;

    switch (offset) {
    case VIRTIO_MMIO_MAGIC:
        return MAGIC_VALUE;
    case VIRTIO_MMIO_VERSION:
        return VERSION_VALUE;
    case VIRTIO_MMIO_DEVICE_ID:
        return virtio->ops->id;
    case VIRTIO_MMIO_VENDOR_ID:
        return VENDOR_VALUE;
    case VIRTIO_MMIO_INTERRUPT_STATUS:
        return atomic_load(&virtio->interrupt_status);
    default:
        virtio_device_lock(virtio);
        value = read_locked(mmio, offset);
        virtio_device_unlock(virtio);
        return value;
    }
}

static uint64_t mmio_read(struct device *device, uint64_t offset,
                          unsigned bytes)
{
    struct virtio_mmio *mmio = mmio_of(device);
    uint8_t config[8] = {0};

    if (offset >= VIRTIO_MMIO_CONFIG) {
        virtio_config_read(mmio->virtio,
                           (unsigned)(offset - VIRTIO_MMIO_CONFIG), config,
                           bytes);
        return load_le64(config);
    }
    /* Control registers are 32 bits wide, and so must accesses be. */
    if (bytes != 4 || !is_aligned(offset, 4))
        return 0;
    return read_register(mmio, offset);
}

/* ---- writing ---- */

static void set_half(struct gpa *address, bool high, uint32_t value)
{
    if (high)
        address->v = (address->v & UINT32_MAX) | (uint64_t)value << 32;
    else
        address->v = (address->v & ~(uint64_t)UINT32_MAX) | value;
}

static void set_place(struct vq_state *state, uint64_t offset, uint32_t value)
{
    bool high = offset & 4;

    switch (offset) {
    case VIRTIO_MMIO_QUEUE_NUM:
        state->size = value <= UINT16_MAX ? (uint16_t)value : 0;
        break;
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
        set_half(&state->desc, high, value);
        break;
    case VIRTIO_MMIO_QUEUE_DRIVER_LOW:
    case VIRTIO_MMIO_QUEUE_DRIVER_HIGH:
        set_half(&state->avail, high, value);
        break;
    default:
        set_half(&state->used, high, value);
        break;
    }
}

/* Between FEATURES_OK and DRIVER_OK, when queues are set up (3.1.1). */
static bool is_set_up_time(const struct virtio_mmio *mmio)
{
    unsigned status = mmio->virtio->state.status;

    return (status & (VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK)) ==
           VIRTIO_STATUS_FEATURES_OK;
}

/* Where a queue is: frozen from QueueReady on. */
static void write_place(struct virtio_mmio *mmio, uint64_t offset,
                        uint32_t value)
{
    struct vq *vq = selected_queue(mmio);

    if (!vq)
        return;
    if (vq->state.ready)
        virtio_needs_reset(mmio->virtio, "queue %u was moved while in use",
                           mmio->state.queue_sel);
    else if (is_set_up_time(mmio))
        set_place(&vq->state, offset, value);
}

static void write_ready(struct virtio_mmio *mmio, uint32_t value)
{
    struct vq *vq = selected_queue(mmio);

    if (!vq)
        return;
    if (!value) {
        vq_stop(vq);
    } else if (!vq->state.ready && is_set_up_time(mmio)) {
        if (vq_start(vq, NULL) != 0)
            virtio_needs_reset(mmio->virtio, "queue %u: %s",
                               mmio->state.queue_sel, vq->broken);
    }
}

static void write_locked(struct virtio_mmio *mmio, uint64_t offset,
                         uint32_t value)
{
    struct virtio_mmio_state *state = &mmio->state;

    switch (offset) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        state->device_features_sel = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        state->driver_features_sel = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        virtio_set_features(mmio->virtio, state->driver_features_sel, value);
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        state->queue_sel = value;
        break;
    case VIRTIO_MMIO_SHM_SEL:
        state->shm_sel = value;
        break;
    case VIRTIO_MMIO_QUEUE_READY:
        write_ready(mmio, value);
        break;
    case VIRTIO_MMIO_QUEUE_NUM:
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
    case VIRTIO_MMIO_QUEUE_DRIVER_LOW:
    case VIRTIO_MMIO_QUEUE_DRIVER_HIGH:
    case VIRTIO_MMIO_QUEUE_DEVICE_LOW:
    case VIRTIO_MMIO_QUEUE_DEVICE_HIGH:
        write_place(mmio, offset, value);
        break;
    default: /* read-only, or nothing */
        break;
    }
}

static void write_register(struct virtio_mmio *mmio, uint64_t offset,
                           uint32_t value)
{
    struct virtio_device *virtio = mmio->virtio;

    switch (offset) {
    case VIRTIO_MMIO_QUEUE_NOTIFY:
        if (value < virtio->queue_count)
            virtio_kick(virtio, value);
        break;
    case VIRTIO_MMIO_INTERRUPT_ACK:
        atomic_fetch_and(&virtio->interrupt_status, ~value);
        break;
    case VIRTIO_MMIO_STATUS:
        virtio_set_status(virtio, (uint8_t)value);
        break;
    default:
        virtio_device_lock(virtio);
        write_locked(mmio, offset, value);
        virtio_device_unlock(virtio);
        break;
    }
}

static void mmio_write(struct device *device, uint64_t offset, unsigned bytes,
                       uint64_t value)
{
    struct virtio_mmio *mmio = mmio_of(device);
    uint8_t config[8];

    if (offset >= VIRTIO_MMIO_CONFIG) {
        store_le64(config, value);
        virtio_config_write(mmio->virtio,
                            (unsigned)(offset - VIRTIO_MMIO_CONFIG), config,
                            bytes);
    } else if (bytes == 4 && is_aligned(offset, 4)) {
        write_register(mmio, offset, (uint32_t)value);
    }
}

/* ---- life ---- */

static void mmio_reset(struct device *device)
{
    struct virtio_mmio *mmio = mmio_of(device);

    mmio->state = (struct virtio_mmio_state){0};
    virtio_reset(mmio->virtio);
}

static void mmio_save(struct device *device, struct buf *to)
{
    const struct virtio_mmio *mmio = mmio_of(device);

    wire_put_u32(to, mmio->state.device_features_sel);
    wire_put_u32(to, mmio->state.driver_features_sel);
    wire_put_u32(to, mmio->state.queue_sel);
    wire_put_u32(to, mmio->state.shm_sel);
    virtio_device_save(mmio->virtio, to);
}

static int mmio_load(struct device *device, struct wire_reader *from,
                     struct sm_error *err)
{
    struct virtio_mmio *mmio = mmio_of(device);
    struct virtio_mmio_state state;
    int rc;

    state.device_features_sel = wire_u32(from);
    state.driver_features_sel = wire_u32(from);
    state.queue_sel = wire_u32(from);
    state.shm_sel = wire_u32(from);
    rc = virtio_device_load(mmio->virtio, from, err);
    if (!rc)
        mmio->state = state;
    return rc;
}

static void mmio_free(struct device *device)
{
    struct virtio_mmio *mmio = mmio_of(device);

    virtio_device_free(mmio->virtio);
    free(mmio);
}

static const struct device_ops mmio_ops = {
    .name = "virtio-mmio",
    .version = 1,
    .read = mmio_read,
    .write = mmio_write,
    .reset = mmio_reset,
    .save = mmio_save,
    .load = mmio_load,
    .free = mmio_free,
};

int virtio_mmio_new(const struct virtio_mmio_config *config,
                    struct virtio_mmio **ret, struct sm_error *err)
{
    struct virtio_mmio *mmio = calloc(1, sizeof *mmio);

    if (!mmio)
        return fail(err, SM_ENOMEM, "virtio-mmio: out of memory");
    mmio->device.ops = &mmio_ops;
    mmio->virtio = config->device;
    memcpy(mmio->shm, config->shm, sizeof mmio->shm);
    virtio_device_connect(mmio->virtio, &config->irq, config->kick,
                          config->kick_context);
    *ret = mmio;
    return 0;
}

struct device *virtio_mmio_device(struct virtio_mmio *mmio)
{
    return &mmio->device;
}
