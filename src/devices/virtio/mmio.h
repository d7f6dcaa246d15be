/* mmio.h: virtio devices as memory-mapped registers (virtio 1.2, 4.2).
 *
 * How it works
 *   A window of 4 KiB: control registers of 32 bits up to 0xff, the device's
 *   configuration space from 0x100. Queues are set up through selected
 *   registers: the driver writes the queue's number to QueueSel, then its size
 *   and addresses, then QueueReady. From QueueReady on these registers are
 *   frozen until the queue is stopped or the device reset: a write to them is
 *   ignored, and the device asks for a reset.
 *
 *   QueueNotify does not touch the device: it calls kick(), or never arrives
 *   here because the machine gave the register to the hypervisor (ioeventfd at
 *   VIRTIO_MMIO_QUEUE_NOTIFY, 4 bytes, one per queue number).
 *   InterruptStatus and InterruptACK take no lock.
 */
#ifndef SM_DEVICES_VIRTIO_MMIO_H
#define SM_DEVICES_VIRTIO_MMIO_H

#include "devices/virtio/virtio.h"

enum {
    VIRTIO_MMIO_BYTES = 0x1000,
    VIRTIO_MMIO_MAGIC = 0x000,
    VIRTIO_MMIO_VERSION = 0x004,
    VIRTIO_MMIO_DEVICE_ID = 0x008,
    VIRTIO_MMIO_VENDOR_ID = 0x00c,
    VIRTIO_MMIO_DEVICE_FEATURES = 0x010,
    VIRTIO_MMIO_DEVICE_FEATURES_SEL = 0x014,
    VIRTIO_MMIO_DRIVER_FEATURES = 0x020,
    VIRTIO_MMIO_DRIVER_FEATURES_SEL = 0x024,
    VIRTIO_MMIO_QUEUE_SEL = 0x030,
    VIRTIO_MMIO_QUEUE_NUM_MAX = 0x034,
    VIRTIO_MMIO_QUEUE_NUM = 0x038,
    VIRTIO_MMIO_QUEUE_READY = 0x044,
    VIRTIO_MMIO_QUEUE_NOTIFY = 0x050,
    VIRTIO_MMIO_INTERRUPT_STATUS = 0x060,
    VIRTIO_MMIO_INTERRUPT_ACK = 0x064,
    VIRTIO_MMIO_STATUS = 0x070,
    VIRTIO_MMIO_QUEUE_DESC_LOW = 0x080,
    VIRTIO_MMIO_QUEUE_DESC_HIGH = 0x084,
    VIRTIO_MMIO_QUEUE_DRIVER_LOW = 0x090,
    VIRTIO_MMIO_QUEUE_DRIVER_HIGH = 0x094,
    VIRTIO_MMIO_QUEUE_DEVICE_LOW = 0x0a0,
    VIRTIO_MMIO_QUEUE_DEVICE_HIGH = 0x0a4,
    VIRTIO_MMIO_SHM_SEL = 0x0ac,
    VIRTIO_MMIO_SHM_LEN_LOW = 0x0b0,
    VIRTIO_MMIO_SHM_LEN_HIGH = 0x0b4,
    VIRTIO_MMIO_SHM_BASE_LOW = 0x0b8,
    VIRTIO_MMIO_SHM_BASE_HIGH = 0x0bc,
    VIRTIO_MMIO_CONFIG_GENERATION = 0x0fc,
    VIRTIO_MMIO_CONFIG = 0x100
};

struct virtio_mmio;

/* A window of host memory that device and driver share (virtio-fs DAX). */
struct virtio_mmio_shm {
    uint8_t id; /* as the device's type defines it */
    struct gpa at;
    uint64_t bytes; /* 0: no such region */
};

struct virtio_mmio_config {
    struct virtio_device *device;
    struct irq_line irq; /* pulsed: an edge-triggered pin */
    virtio_kick_fn *kick;
    void *kick_context;
    struct virtio_mmio_shm shm[VIRTIO_SHM_MAX];
};

/* What the guest knows of the transport; goes into records. */
struct virtio_mmio_state {
    uint32_t device_features_sel;
    uint32_t driver_features_sel;
    uint32_t queue_sel;
    uint32_t shm_sel;
};

/* Ownership: the transport owns the virtio device once this returned 0, and
 * device_free() frees both. */
int virtio_mmio_new(const struct virtio_mmio_config *config,
                    struct virtio_mmio **ret, struct sm_error *err);
struct device *virtio_mmio_device(struct virtio_mmio *mmio);

#endif
