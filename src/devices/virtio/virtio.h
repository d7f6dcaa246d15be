/* virtio.h: what a virtio device is, below its transport.
 *
 * How virtio works
 *   A virtio device is a number that says its kind, two sets of feature bits,
 *   a small configuration space, a status byte, and a few virtqueues
 *   (queue.h). A transport (mmio.h) shows these to the guest as registers.
 *   The driver brings the device up in fixed steps (virtio 1.2, 3.1.1):
 *
 *     status 0            reset
 *     ACKNOWLEDGE         somebody has seen the device
 *     DRIVER              somebody knows how to drive it
 *       reads the device's features, writes those that it wants
 *     FEATURES_OK         refused by us if it asked for what was not offered
 *       tells where each queue is and makes it ready: from then on frozen
 *     DRIVER_OK           the device is live: activate()
 *       kicks -> notify();  used buffers and config changes -> interrupts
 *     NEEDS_RESET         set by us after a violation of the rules: the device
 *                         does nothing any more until it is reset
 *
 *   The interrupt is one line for two causes, told apart in the interrupt
 *   status: 1 used buffers, 2 the configuration has changed. A change of the
 *   configuration counts the generation up, so that a driver which reads a
 *   64-bit value in two halves knows when to read again.
 *
 * Who does what
 *   The vm makes a device (blk_new() and so on), puts a transport in front of
 *   it (virtio_mmio_new()), and runs a device loop thread. A kick, on a vcpu's
 *   thread or in the hypervisor (ioeventfd), only wakes that thread, which
 *   then calls virtio_device_notify(). So a vcpu never waits for a disk.
 *
 * Threads
 *   `lock` protects everything but the interrupt status, which is atomic so
 *   that acknowledging an interrupt never waits for I/O under way. All ops run
 *   with the lock held. reset and activate run on a vcpu's thread, notify on
 *   the loop's thread.
 */
#ifndef SM_DEVICES_VIRTIO_VIRTIO_H
#define SM_DEVICES_VIRTIO_VIRTIO_H

#include "base/log.h"
#include "devices/device.h"
#include "devices/irq.h"
#include "devices/virtio/queue.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    VIRTIO_QUEUES_MAX = 8,
    VIRTIO_CONFIG_MAX = 256, /* bytes of configuration space */
    VIRTIO_SHM_MAX = 2,      /* shared memory regions */
    /* Requests that one notify may serve before others get their turn. */
    VIRTIO_BATCH = 256
};

/* Device types (virtio 1.2, 5). */
enum {
    VIRTIO_ID_NET = 1,
    VIRTIO_ID_BLOCK = 2,
    VIRTIO_ID_ENTROPY = 4,
    VIRTIO_ID_BALLOON = 5,
    VIRTIO_ID_VSOCK = 19,
    VIRTIO_ID_FS = 26
};

/* Device status (2.1). */
enum {
    VIRTIO_STATUS_ACKNOWLEDGE = 1,
    VIRTIO_STATUS_DRIVER = 2,
    VIRTIO_STATUS_DRIVER_OK = 4,
    VIRTIO_STATUS_FEATURES_OK = 8,
    VIRTIO_STATUS_NEEDS_RESET = 64,
    VIRTIO_STATUS_FAILED = 128
};

/* Causes in the interrupt status. */
enum { VIRTIO_INTERRUPT_USED = 1, VIRTIO_INTERRUPT_CONFIG = 2 };

/* Features of the transport and the queues (6). */
#define VIRTIO_F_INDIRECT_DESC (UINT64_C(1) << 28)
#define VIRTIO_F_EVENT_IDX     (UINT64_C(1) << 29)
#define VIRTIO_F_VERSION_1     (UINT64_C(1) << 32)
/* What every device here offers. */
#define VIRTIO_FEATURES_COMMON                                                 \
    (VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1)

struct virtio_device;

/* One kind of device. Entries are mandatory unless marked optional. */
struct virtio_ops {
    const char *name; /* "blk"; in log lines and records */
    uint32_t id;      /* VIRTIO_ID_* */
    uint32_t version; /* of the device's own record */
    /* Fill the configuration space, little endian; returns its size. */
    unsigned (*config)(struct virtio_device *device,
                       uint8_t config[VIRTIO_CONFIG_MAX]);
    /* Optional: the driver wrote (count) bytes at (offset), all of them inside
     * of the space. */
    void (*config_write)(struct virtio_device *device, unsigned offset,
                         const uint8_t *bytes, unsigned count);
    /* Optional: the driver is ready (DRIVER_OK, or a record of a live device
     * was loaded); features and queues are final. */
    void (*activate)(struct virtio_device *device);
    /* Serve (queue), which is ready; called only while the device is live. */
    void (*notify)(struct virtio_device *device, unsigned queue);
    /* Optional: forget what the driver did; queues are reset already. */
    void (*reset)(struct virtio_device *device);
    /* The device's own state; load as in device.h. Common state and queues
     * are there already. */
    void (*save)(struct virtio_device *device, struct buf *to);
    int (*load)(struct virtio_device *device, struct wire_reader *from,
                struct sm_error *err);
    void (*free)(struct virtio_device *device);
};

/* What the guest knows of any device; goes into records. */
struct virtio_state {
    uint8_t status;
    uint32_t generation;
    uint64_t driver_features;
};

/* Tells the device loop that (queue) wants virtio_device_notify(). Any thread,
 * never blocks, may be called with the device's lock held. */
typedef void virtio_kick_fn(void *context, unsigned queue);

/* Devices embed it as their first member. */
struct virtio_device {
    const struct virtio_ops *ops;
    const struct gmem *mem;
    struct log_sink log;
    struct log_limit log_limit;
    pthread_mutex_t lock;
    uint64_t features; /* offered */
    unsigned queue_count;
    struct vq queue[VIRTIO_QUEUES_MAX];
    struct virtio_state state;
    atomic_uint interrupt_status;
    /* The transport's, set by virtio_device_connect(). */
    struct irq_line irq;
    virtio_kick_fn *kick;
    void *kick_context;
};

/* For the machine ------------------------------------------------------- */

/* Serve (queue). Loop thread. Senseless calls (a queue that is not ready, a
 * device that is not live) do nothing. */
void virtio_device_notify(struct virtio_device *device, unsigned queue);
/* Kick every queue, because kicks are not part of a record: after a load, when
 * the loop runs again. Any thread. */
void virtio_device_resume(struct virtio_device *device);
/* NULL is fine. A transport owns its device and frees it itself. */
void virtio_device_free(struct virtio_device *device);

/* For devices ----------------------------------------------------------- */

/* What a device needs from the machine, beside its own configuration. */
struct virtio_env {
    const struct gmem *mem; /* outlives the device */
    struct log_sink log;
};

/* (features) in addition to VIRTIO_FEATURES_COMMON; (queue_size) descriptors
 * at most in each of (queue_count) queues. */
int virtio_device_init(struct virtio_device *device,
                       const struct virtio_ops *ops,
                       const struct virtio_env *env, uint64_t features,
                       unsigned queue_count, uint16_t queue_size,
                       struct sm_error *err);
void virtio_device_done(struct virtio_device *device);

void virtio_device_lock(struct virtio_device *device);
void virtio_device_unlock(struct virtio_device *device);

/* The following want the lock held. */

/* DRIVER_OK and neither NEEDS_RESET nor FAILED. */
bool virtio_is_live(const struct virtio_device *device);
bool virtio_has(const struct virtio_device *device, uint64_t feature);

/*
 * The next request of (queue), as vq_pop(): true, or false when there is none.
 * A violation is dealt with here: the device needs a reset, one line goes to
 * the log.
 */
bool virtio_pop(struct virtio_device *device, unsigned queue,
                struct vq_chain *chain);
/* Interrupt for what was pushed to (queue), if the driver wants that. */
void virtio_interrupt(struct virtio_device *device, unsigned queue);
/* Have notify() called again for (queue), after others had their turn. */
void virtio_kick(struct virtio_device *device, unsigned queue);
/* The configuration space has changed. */
void virtio_config_changed(struct virtio_device *device);
/* The driver broke the rules: stop and ask for a reset. */
void virtio_needs_reset(struct virtio_device *device, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Serves one request and pushes it. */
typedef void virtio_serve_fn(struct virtio_device *device, unsigned queue,
                             struct vq_chain *chain);
/* The usual notify(): serve requests with kicks off until the queue is empty
 * or a batch is done, then interrupt once. */
void virtio_serve(struct virtio_device *device, unsigned queue,
                  virtio_serve_fn *serve);

/* For transports -------------------------------------------------------- */

void virtio_device_connect(struct virtio_device *device,
                           const struct irq_line *irq, virtio_kick_fn *kick,
                           void *context);
/* The driver's choice of features 32 * half .. 32 * half + 31. Wants the lock
 * held. */
void virtio_set_features(struct virtio_device *device, unsigned half,
                         uint32_t features);
/* These take the lock. */
void virtio_set_status(struct virtio_device *device, uint8_t status);
void virtio_reset(struct virtio_device *device);
/* Configuration space; outside of it reads give zero and writes nothing. */
void virtio_config_read(struct virtio_device *device, unsigned offset,
                        uint8_t *to, unsigned count);
void virtio_config_write(struct virtio_device *device, unsigned offset,
                         const uint8_t *from, unsigned count);
/* The whole device: common state, queues, the device's own. */
void virtio_device_save(struct virtio_device *device, struct buf *to);
int virtio_device_load(struct virtio_device *device, struct wire_reader *from,
                       struct sm_error *err);

#endif
