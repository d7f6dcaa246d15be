/* driver.c: the guest's side of a virtio device; see driver.h. */
#include "driver.h"

#include "base/bytes.h"

#include <assert.h>
#include <stdio.h>

/* ---- what the device gets from its machine ---- */

static void take_log_line(void *context, enum log_level level, const char *text)
{
    struct driver *driver = context;

    (void)level;
    driver->log_lines++;
    snprintf(driver->log_line, sizeof driver->log_line, "%s", text);
}

static void take_interrupt(void *context, bool level)
{
    struct driver *driver = context;

    driver->interrupts += level;
}

static void take_kick(void *context, unsigned queue)
{
    struct driver *driver = context;

    driver->kicked |= 1u << queue;
}

void driver_init(struct driver *driver)
{
    int rc;

    *driver = (struct driver){.heap = DRIVER_MEMORY_AT};
    gmem_init(&driver->mem);
    rc = gmem_add(&driver->mem, GPA(DRIVER_MEMORY_AT), DRIVER_MEMORY_BYTES,
                  NULL);
    assert(rc == 0);
    (void)rc;
}

struct virtio_env driver_env(struct driver *driver)
{
    return (struct virtio_env){
        .mem = &driver->mem,
        .log = {.line = take_log_line, .context = driver},
    };
}

void driver_attach(struct driver *driver, struct virtio_device *virtio)
{
    struct virtio_mmio_config config = {
        .device = virtio,
        .irq = {.set = take_interrupt, .context = driver, .pulse = {.fd = -1}},
        .kick = take_kick,
        .kick_context = driver,
        .shm = {{.id = 1, .at = GPA(0x700000000), .bytes = 0x120000000}},
    };
    int rc = virtio_mmio_new(&config, &driver->mmio, NULL);

    assert(rc == 0);
    (void)rc;
    driver->virtio = virtio;
    driver->device = virtio_mmio_device(driver->mmio);
}

void driver_done(struct driver *driver)
{
    device_free(driver->device);
    gmem_done(&driver->mem);
}

/* ---- registers and memory ---- */

uint32_t driver_read(struct driver *driver, unsigned offset)
{
    return (uint32_t)driver->device->ops->read(driver->device, offset, 4);
}

void driver_write(struct driver *driver, unsigned offset, uint32_t value)
{
    driver->device->ops->write(driver->device, offset, 4, value);
}

uint64_t driver_config(struct driver *driver, unsigned offset, unsigned bytes)
{
    return driver->device->ops->read(driver->device,
                                     VIRTIO_MMIO_CONFIG + offset, bytes);
}

struct gpa driver_alloc(struct driver *driver, uint64_t bytes)
{
    struct gpa at = GPA(driver->heap);
    bool ok = gmem_zero(&driver->mem, at, bytes);

    assert(ok);
    (void)ok;
    driver->heap = align_up(driver->heap + bytes, 16);
    return at;
}

void *driver_host(struct driver *driver, struct gpa at, uint64_t bytes)
{
    return gmem_span(&driver->mem, at, bytes);
}

static void put(struct driver *driver, struct gpa at, const void *bytes,
                uint64_t count)
{
    /* A test may have moved a ring to nowhere. */
    (void)gmem_write(&driver->mem, at, bytes, count);
}

static void put16(struct driver *driver, struct gpa at, uint16_t value)
{
    uint8_t wire[2];

    store_le16(wire, value);
    put(driver, at, wire, sizeof wire);
}

static uint16_t get16(struct driver *driver, struct gpa at)
{
    uint8_t wire[2] = {0};

    (void)gmem_read(&driver->mem, at, wire, sizeof wire);
    return load_le16(wire);
}

/* ---- bringing it up ---- */

static uint64_t offered(struct driver *driver)
{
    uint64_t features;

    driver_write(driver, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    features = driver_read(driver, VIRTIO_MMIO_DEVICE_FEATURES);
    driver_write(driver, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    return features | (uint64_t)driver_read(driver, VIRTIO_MMIO_DEVICE_FEATURES)
                          << 32;
}

uint8_t driver_status(struct driver *driver)
{
    return (uint8_t)driver_read(driver, VIRTIO_MMIO_STATUS);
}

bool driver_needs_reset(struct driver *driver)
{
    return driver_status(driver) & VIRTIO_STATUS_NEEDS_RESET;
}

static void add_status(struct driver *driver, uint8_t bit)
{
    driver_write(driver, VIRTIO_MMIO_STATUS, driver_status(driver) | bit);
}

bool driver_negotiate(struct driver *driver, uint64_t features)
{
    driver_write(driver, VIRTIO_MMIO_STATUS, 0);
    memset(driver->queue, 0, sizeof driver->queue);
    add_status(driver, VIRTIO_STATUS_ACKNOWLEDGE);
    add_status(driver, VIRTIO_STATUS_DRIVER);
    driver_write(driver, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    driver_write(driver, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
    driver_write(driver, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    driver_write(driver, VIRTIO_MMIO_DRIVER_FEATURES,
                 (uint32_t)(features >> 32));
    add_status(driver, VIRTIO_STATUS_FEATURES_OK);
    return driver_status(driver) & VIRTIO_STATUS_FEATURES_OK;
}

static void write_address(struct driver *driver, unsigned low, struct gpa at)
{
    driver_write(driver, low, (uint32_t)at.v);
    driver_write(driver, low + 4, (uint32_t)(at.v >> 32));
}

void driver_set_up_queue(struct driver *driver, unsigned number, uint16_t size)
{
    struct driver_queue *queue = &driver->queue[number];

    *queue = (struct driver_queue){
        .size = size,
        .desc = driver_alloc(driver, 16u * size),
        .avail = driver_alloc(driver, 6u + 2u * size),
        .used = driver_alloc(driver, 6u + 8u * size),
    };
    driver_write(driver, VIRTIO_MMIO_QUEUE_SEL, number);
    driver_write(driver, VIRTIO_MMIO_QUEUE_NUM, size);
    write_address(driver, VIRTIO_MMIO_QUEUE_DESC_LOW, queue->desc);
    write_address(driver, VIRTIO_MMIO_QUEUE_DRIVER_LOW, queue->avail);
    write_address(driver, VIRTIO_MMIO_QUEUE_DEVICE_LOW, queue->used);
    driver_write(driver, VIRTIO_MMIO_QUEUE_READY, 1);
}

void driver_start(struct driver *driver, uint64_t without)
{
    bool ok = driver_negotiate(driver, offered(driver) & ~without);

    assert(ok);
    (void)ok;
    for (unsigned i = 0; i < driver->virtio->queue_count; i++) {
        uint32_t max;

        driver_write(driver, VIRTIO_MMIO_QUEUE_SEL, i);
        max = driver_read(driver, VIRTIO_MMIO_QUEUE_NUM_MAX);
        driver_set_up_queue(driver, i,
                            (uint16_t)min_u64(max, DRIVER_QUEUE_SIZE));
    }
    add_status(driver, VIRTIO_STATUS_DRIVER_OK);
}

/* ---- requests ---- */

void driver_describe(struct driver *driver, struct gpa table, uint16_t index,
                     const struct driver_buffer *buffer, uint16_t flags,
                     uint16_t next)
{
    uint8_t wire[VQ_DESCRIPTOR_BYTES];

    store_le64(wire, buffer->at.v);
    store_le32(wire + 8, buffer->bytes);
    store_le16(wire + 12,
               (uint16_t)(flags | (buffer->write ? VQ_DESC_WRITE : 0)));
    store_le16(wire + 14, next);
    put(driver, gpa_add(table, (uint64_t)VQ_DESCRIPTOR_BYTES * index), wire,
        sizeof wire);
}

static uint16_t take_desc(struct driver_queue *queue)
{
    uint16_t index = queue->next_desc;

    queue->next_desc = (uint16_t)((index + 1) % queue->size);
    return index;
}

uint16_t driver_chain(struct driver *driver, unsigned number,
                      const struct driver_buffer *buffer, unsigned count)
{
    struct driver_queue *queue = &driver->queue[number];
    uint16_t head = queue->next_desc;

    for (unsigned i = 0; i < count; i++) {
        uint16_t index = take_desc(queue);

        driver_describe(driver, queue->desc, index, &buffer[i],
                        i + 1 < count ? VQ_DESC_NEXT : 0, queue->next_desc);
    }
    return head;
}

uint16_t driver_indirect(struct driver *driver, unsigned number,
                         const struct driver_buffer *buffer, unsigned count)
{
    struct driver_queue *queue = &driver->queue[number];
    struct driver_buffer table = {
        .at = driver_alloc(driver, (uint64_t)VQ_DESCRIPTOR_BYTES * count),
        .bytes = VQ_DESCRIPTOR_BYTES * count,
    };
    uint16_t head = take_desc(queue);

    for (unsigned i = 0; i < count; i++)
        driver_describe(driver, table.at, (uint16_t)i, &buffer[i],
                        i + 1 < count ? VQ_DESC_NEXT : 0, (uint16_t)(i + 1));
    driver_describe(driver, queue->desc, head, &table, VQ_DESC_INDIRECT, 0);
    return head;
}

void driver_offer(struct driver *driver, unsigned number, uint16_t head)
{
    struct driver_queue *queue = &driver->queue[number];
    uint64_t slot = queue->avail_index % queue->size;

    put16(driver, gpa_add(queue->avail, 4 + 2 * slot), head);
    queue->avail_index++;
    put16(driver, gpa_add(queue->avail, 2), queue->avail_index);
}

void driver_kick(struct driver *driver, unsigned queue)
{
    driver_write(driver, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

void driver_run(struct driver *driver)
{
    for (unsigned turns = 0; driver->kicked && turns < 1000; turns++) {
        unsigned kicked = driver->kicked;

        driver->kicked = 0;
        for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
            if (kicked >> i & 1)
                virtio_device_notify(driver->virtio, i);
    }
}

uint16_t driver_request(struct driver *driver, unsigned queue,
                        const struct driver_buffer *buffer, unsigned count)
{
    uint16_t head = driver_chain(driver, queue, buffer, count);

    driver_offer(driver, queue, head);
    driver_kick(driver, queue);
    driver_run(driver);
    return head;
}

bool driver_take_used(struct driver *driver, unsigned number, uint32_t *id,
                      uint32_t *written)
{
    struct driver_queue *queue = &driver->queue[number];
    uint64_t slot = queue->used_index % queue->size;
    uint8_t wire[8] = {0};

    if (get16(driver, gpa_add(queue->used, 2)) == queue->used_index)
        return false;
    (void)gmem_read(&driver->mem, gpa_add(queue->used, 4 + 8 * slot), wire,
                    sizeof wire);
    *id = load_le32(wire);
    *written = load_le32(wire + 4);
    queue->used_index++;
    return true;
}

void driver_set_used_event(struct driver *driver, unsigned number,
                           uint16_t index)
{
    struct driver_queue *queue = &driver->queue[number];

    put16(driver, gpa_add(queue->avail, 4 + 2 * (uint64_t)queue->size), index);
}

uint16_t driver_avail_event(struct driver *driver, unsigned number)
{
    struct driver_queue *queue = &driver->queue[number];

    return get16(driver, gpa_add(queue->used, 4 + 8 * (uint64_t)queue->size));
}
