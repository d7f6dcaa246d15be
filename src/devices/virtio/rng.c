/* rng.c: the virtio entropy source; see rng.h. */
#include "devices/virtio/rng.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/random.h"

enum { QUEUES = 1, QUEUE_SIZE = 8 };

struct rng {
    struct virtio_device device;
};

static void serve(struct virtio_device *device, unsigned queue,
                  struct vq_chain *chain)
{
    uint8_t bytes[RNG_REQUEST_MAX];
    size_t count = min_u64(chain->write_left, sizeof bytes);

    /* Nothing written tells the driver that there is nothing. */
    if (random_bytes(bytes, count, NULL) == 0)
        vq_chain_write(chain, bytes, count);
    vq_push(&device->queue[queue], chain);
}

static void rng_notify(struct virtio_device *device, unsigned queue)
{
    virtio_serve(device, queue, serve);
}

static unsigned rng_config(struct virtio_device *device,
                           uint8_t config[VIRTIO_CONFIG_MAX])
{
    (void)device;
    (void)config;
    return 0;
}

static void rng_save(struct virtio_device *device, struct buf *to)
{
    (void)device;
    (void)to;
}

static int rng_load(struct virtio_device *device, struct wire_reader *from,
                    struct sm_error *err)
{
    (void)device;
    return wire_end(from) ? 0 : fail(err, SM_EIMAGE, "record is not empty");
}

static void rng_free(struct virtio_device *device)
{
    virtio_device_done(device);
    free(CONTAINER_OF(device, struct rng, device));
}

static const struct virtio_ops rng_ops = {
    .name = "rng",
    .id = VIRTIO_ID_ENTROPY,
    .version = 1,
    .config = rng_config,
    .notify = rng_notify,
    .save = rng_save,
    .load = rng_load,
    .free = rng_free,
};

int rng_new(const struct virtio_env *env, struct rng **ret,
            struct sm_error *err)
{
    AUTO_FREE struct rng *rng = calloc(1, sizeof *rng);
    int rc;

    if (!rng)
        return fail(err, SM_ENOMEM, "rng: out of memory");
    rc = virtio_device_init(&rng->device, &rng_ops, env, 0, QUEUES, QUEUE_SIZE,
                            err);
    if (rc)
        return rc;
    *ret = own_take(rng);
    return 0;
}

struct virtio_device *rng_device(struct rng *rng)
{
    return &rng->device;
}
