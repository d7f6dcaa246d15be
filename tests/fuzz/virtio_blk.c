/* virtio_blk.c: fuzzes the disk, with a disk in memory behind it. */
#include "virtio_input.h"

#include "../unit/devices/spy_block.h"
#include "base/bytes.h"
#include "devices/virtio/blk.h"

#include <stdlib.h>

static struct blk *blk;

static struct virtio_device *make(struct driver *driver)
{
    struct blk_config config = {
        .env = driver_env(driver),
        .disk = &spy_block_new(false)->block,
        .serial = "fuzz",
    };

    if (blk_new(&config, &blk, NULL) != 0)
        abort();
    return blk_device(blk);
}

/* A header, and behind it what may be a range. */
static void compose(struct fuzz_input *input, uint8_t *to, size_t bytes)
{
    static const uint8_t types[] = {0, 1, 4, 8, 11, 13, 99};
    uint8_t wire[32] = {0};

    wire[0] = types[fuzz_u8(input) % sizeof types];
    store_le64(wire + 8, fuzz_u16(input));
    store_le64(wire + 16, fuzz_u16(input));
    store_le32(wire + 24, fuzz_u16(input));
    store_le32(wire + 28, fuzz_u8(input) & 1);
    memcpy(to, wire, min_u64(bytes, sizeof wire));
}

static void host(struct driver *driver, struct fuzz_input *input)
{
    uint8_t what = fuzz_u8(input);
    struct spy_block *spy = NULL;

    (void)driver;
    if (what & 1) {
        spy = spy_block_new(what & 2);
        spy->block.bytes = fuzz_u32(input) % (SPY_BYTES + 1);
        spy->fail_with = what & 4 ? SM_EIO : 0;
    }
    (void)blk_set_disk(blk, spy ? &spy->block : NULL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static const struct fuzz_kind kind = {
        .make = make, .compose = compose, .host = host};

    fuzz_virtio(&kind, bytes, count);
    return 0;
}
