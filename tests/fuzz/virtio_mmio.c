/* virtio_mmio.c: fuzzes the registers of the transport alone: any access of
 * any size in any order, to a device that does next to nothing. */
#include "virtio_input.h"

#include "base/bytes.h"
#include "devices/virtio/rng.h"

#include <stdlib.h>

/* What must hold whatever the guest wrote. */
static void check(const struct virtio_device *device)
{
    unsigned status = device->state.status;
    const struct vq *vq = &device->queue[0];

    if (status & VIRTIO_STATUS_FEATURES_OK &&
        (device->state.driver_features & ~device->features ||
         !(device->state.driver_features & VIRTIO_F_VERSION_1)))
        abort();
    if (status & VIRTIO_STATUS_DRIVER_OK &&
        !(status & VIRTIO_STATUS_FEATURES_OK))
        abort();
    if (vq->state.ready &&
        (!gmem_valid(device->mem, vq->state.desc, 16u * vq->state.size) ||
         vq->state.size > vq->size_max))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct fuzz_input input = {bytes, count};
    struct driver driver;
    struct virtio_env env;
    struct rng *rng;

    driver_init(&driver);
    env = driver_env(&driver);
    if (rng_new(&env, &rng, NULL) != 0)
        abort();
    driver_attach(&driver, rng_device(rng));
    while (input.left) {
        uint8_t how = fuzz_u8(&input);
        unsigned size = how & 0x10 ? 1u << (how & 3) : 4;
        uint64_t offset =
            how & 0x20 ? fuzz_u16(&input) % 0xff8 : fuzz_u8(&input) & 0xfcu;
        uint64_t value = how & 0x40 ? fuzz_u64(&input) : fuzz_u8(&input);

        /* Addresses that lie in memory. */
        if (how & 0x08)
            value = DRIVER_MEMORY_AT + (value & 0xfff0);
        if (how & 0x80)
            (void)driver.device->ops->read(driver.device, offset, size);
        else
            driver.device->ops->write(driver.device, offset, size, value);
        check(driver.virtio);
        driver_run(&driver);
    }
    driver_done(&driver);
    return 0;
}
