/* driver.h: the guest's side of a virtio device, for tests and fuzzers.
 *
 * How it works
 *   A `struct driver` has a small guest memory, a device behind virtio-mmio,
 *   and does what a driver does: writes registers, builds descriptors and
 *   rings in guest memory, kicks, takes used buffers. Nothing is checked on
 *   the way, so a test can break any rule. Kicks are noted; driver_run() is
 *   the device loop that serves them, on the caller's thread.
 */
#ifndef SM_TESTS_DRIVER_H
#define SM_TESTS_DRIVER_H

#include "devices/virtio/mmio.h"

enum {
    DRIVER_MEMORY_BYTES = 4 << 20,
    DRIVER_MEMORY_AT = 0x100000, /* so that address 0 is outside of memory */
    DRIVER_QUEUE_SIZE = 64
};

/* The driver's side of one queue. */
struct driver_queue {
    uint16_t size;
    struct gpa desc;
    struct gpa avail;
    struct gpa used;
    uint16_t next_desc; /* descriptors are handed out in a circle */
    uint16_t avail_index;
    uint16_t used_index; /* used buffers taken so far */
};

struct driver {
    struct gmem mem;
    uint64_t heap; /* next free address of guest memory */
    struct virtio_device *virtio;
    struct virtio_mmio *mmio;
    struct device *device;
    struct driver_queue queue[VIRTIO_QUEUES_MAX];
    unsigned interrupts; /* edges so far */
    unsigned kicked;     /* bit per queue that waits for driver_run() */
    unsigned log_lines;
    char log_line[256]; /* the last one */
};

/* A piece of a request. */
struct driver_buffer {
    struct gpa at;
    uint32_t bytes;
    bool write; /* the device writes it */
};

/* Guest memory, and what a device needs to be made. */
void driver_init(struct driver *driver);
struct virtio_env driver_env(struct driver *driver);
/* Put a transport in front of (virtio), which becomes the driver's. */
void driver_attach(struct driver *driver, struct virtio_device *virtio);
/* Frees the device too. */
void driver_done(struct driver *driver);

uint32_t driver_read(struct driver *driver, unsigned offset);
void driver_write(struct driver *driver, unsigned offset, uint32_t value);
uint64_t driver_config(struct driver *driver, unsigned offset, unsigned bytes);

/* (bytes) of zeroed guest memory, 16-byte aligned. */
struct gpa driver_alloc(struct driver *driver, uint64_t bytes);
void *driver_host(struct driver *driver, struct gpa at, uint64_t bytes);

/* Reset, then the steps up to FEATURES_OK with (features) of those offered.
 * Returns whether the device accepted. */
bool driver_negotiate(struct driver *driver, uint64_t features);
/* Make rings of (size) in memory and tell the device where they are; ready. */
void driver_set_up_queue(struct driver *driver, unsigned queue, uint16_t size);
/* All of it, with all features offered but those in (without), up to
 * DRIVER_OK. */
void driver_start(struct driver *driver, uint64_t without);
uint8_t driver_status(struct driver *driver);
bool driver_needs_reset(struct driver *driver);

/* Write descriptor (index) of a table. */
void driver_describe(struct driver *driver, struct gpa table, uint16_t index,
                     const struct driver_buffer *buffer, uint16_t flags,
                     uint16_t next);
/* A chain over (count) buffers in the queue's own table; its head. */
uint16_t driver_chain(struct driver *driver, unsigned queue,
                      const struct driver_buffer *buffer, unsigned count);
/* The same through an indirect table. */
uint16_t driver_indirect(struct driver *driver, unsigned queue,
                         const struct driver_buffer *buffer, unsigned count);
/* Make (head) available. */
void driver_offer(struct driver *driver, unsigned queue, uint16_t head);
void driver_kick(struct driver *driver, unsigned queue);
/* Serve all kicks, also those that come meanwhile, up to a limit. */
void driver_run(struct driver *driver);
/* A chain, offered, kicked and served. Returns the head. */
uint16_t driver_request(struct driver *driver, unsigned queue,
                        const struct driver_buffer *buffer, unsigned count);
/* Take the next used buffer; false if there is none. */
bool driver_take_used(struct driver *driver, unsigned queue, uint32_t *id,
                      uint32_t *written);

/* driver.used_event of the queue: interrupt when the device passes (index). */
void driver_set_used_event(struct driver *driver, unsigned queue,
                           uint16_t index);
uint16_t driver_avail_event(struct driver *driver, unsigned queue);

#endif
