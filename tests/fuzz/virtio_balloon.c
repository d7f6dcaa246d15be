/* virtio_balloon.c: fuzzes the balloon. */
#include "virtio_input.h"

#include "base/bytes.h"
#include "devices/virtio/balloon.h"

#include <stdlib.h>

static struct balloon *balloon;

static void take_stats(void *context, const struct balloon_stats *stats)
{
    (void)context;
    if (stats->known >> BALLOON_STATS)
        abort();
}

static struct virtio_device *make(struct driver *driver)
{
    struct balloon_config config = {.env = driver_env(driver),
                                    .stats = take_stats};

    if (balloon_new(&config, &balloon, NULL) != 0)
        abort();
    return balloon_device(balloon);
}

/* Numbers of pages in and around memory. */
static void compose(struct fuzz_input *input, uint8_t *to, size_t bytes)
{
    uint32_t pfn = FUZZ_DATA_AT / BALLOON_PAGE_BYTES;

    for (size_t at = 0; at + 4 <= bytes; at += 4) {
        uint8_t move = fuzz_u8(input);

        pfn = move == 0xff ? fuzz_u32(input) : pfn + move % 8;
        store_le32(to + at, pfn);
    }
}

static void host(struct driver *driver, struct fuzz_input *input)
{
    (void)driver;
    if (fuzz_u8(input) & 1)
        (void)balloon_set_target(balloon, fuzz_u32(input), NULL);
    else
        (void)balloon_request_stats(balloon, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static const struct fuzz_kind kind = {
        .make = make, .compose = compose, .host = host};

    fuzz_virtio(&kind, bytes, count);
    return 0;
}
