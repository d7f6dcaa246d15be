/* device_record.c: fuzzes the records of devices: first byte, which one; the
 * rest is its record's content, or a change of a good one. */
#include "virtio_input.h"

#include "base/bytes.h"
#include "devices/ioapic.h"
#include "devices/serial.h"
#include "devices/virtio/balloon.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/vsock.h"

#include <stdlib.h>

enum { RECORD_MAX = 1 << 20 };

static void route_changed(void *context, unsigned pin,
                          const struct ioapic_route *route)
{
    (void)context;
    if (pin >= IOAPIC_PINS || route->address >> 20 != 0xfee)
        abort();
}

static void send_message(void *context, const struct ioapic_route *route)
{
    (void)context;
    (void)route;
}

static const struct ioapic_ops ioapic_callbacks = {
    .route_changed = route_changed, .send = send_message};

/* A record that was taken must be the one that is given. */
static void load(struct device *device, const uint8_t *bytes, size_t count)
{
    struct wire_reader from;
    struct buf first;
    struct buf second;

    wire_read(&from, bytes, count);
    if (device->ops->load(device, &from, NULL) != 0)
        return;
    buf_init(&first, RECORD_MAX);
    buf_init(&second, RECORD_MAX);
    device->ops->save(device, &first);
    wire_read(&from, first.data, first.size);
    if (device->ops->load(device, &from, NULL) != 0)
        abort();
    device->ops->save(device, &second);
    if (first.size != second.size ||
        memcmp(first.data, second.data, first.size) != 0)
        abort();
    buf_done(&first);
    buf_done(&second);
}

/* As it is, or as a change of what the device itself wrote. */
static void try(struct device *device, struct fuzz_input *input)
{
    struct buf good;

    if (fuzz_u8(input) & 1) {
        load(device, input->at, input->left);
        return;
    }
    buf_init(&good, RECORD_MAX);
    device->ops->save(device, &good);
    while (input->left >= 3 && good.size) {
        uint16_t at = fuzz_u16(input);

        good.data[at % good.size] = fuzz_u8(input);
        load(device, good.data, good.size);
    }
    buf_done(&good);
}

static void try_chip(struct fuzz_input *input, bool serial)
{
    struct serial_config config = {.irq = {.pulse = {.fd = -1}}};
    struct serial *uart;
    struct ioapic *ioapic;
    struct device *device;

    if (serial ? serial_new(&config, &uart, NULL)
               : ioapic_new(&ioapic_callbacks, NULL, &ioapic, NULL))
        abort();
    device = serial ? serial_device(uart) : ioapic_device(ioapic);
    try(device, input);
    device_free(device);
}

static struct virtio_device *make(struct driver *driver, struct loop *loop,
                                  unsigned which)
{
    struct virtio_env env = driver_env(driver);
    struct blk_config blk_config = {.env = env};
    struct balloon_config balloon_config = {.env = env};
    struct vsock_config vsock_config = {
        .env = env, .loop = loop, .guest_cid = 3};
    struct blk *blk = NULL;
    struct balloon *balloon = NULL;
    struct vsock *vsock = NULL;
    struct rng *rng = NULL;
    int rc;

    switch (which) {
    case 0:
        rc = blk_new(&blk_config, &blk, NULL);
        return rc ? NULL : blk_device(blk);
    case 1:
        rc = balloon_new(&balloon_config, &balloon, NULL);
        return rc ? NULL : balloon_device(balloon);
    case 2:
        rc = vsock_new(&vsock_config, &vsock, NULL);
        return rc ? NULL : vsock_device(vsock);
    default:
        rc = rng_new(&env, &rng, NULL);
        return rc ? NULL : rng_device(rng);
    }
}

static void try_virtio(struct fuzz_input *input, unsigned which)
{
    struct virtio_device *virtio;
    struct driver driver;
    struct loop *loop;

    if (loop_new(&loop, NULL) != 0)
        abort();
    driver_init(&driver);
    virtio = make(&driver, loop, which);
    if (!virtio)
        abort();
    driver_attach(&driver, virtio);
    driver_start(&driver, 0);
    try(driver.device, input);
    virtio_device_resume(virtio);
    driver_run(&driver);
    loop_turn(loop, 0);
    driver_done(&driver);
    loop_free(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct fuzz_input input = {bytes, count};
    unsigned which = fuzz_u8(&input) % 6;

    if (which < 4)
        try_virtio(&input, which);
    else
        try_chip(&input, which == 4);
    return 0;
}
