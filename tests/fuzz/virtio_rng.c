/* virtio_rng.c: fuzzes the entropy source. */
#include "virtio_input.h"

#include "devices/virtio/rng.h"

#include <stdlib.h>

static struct virtio_device *make(struct driver *driver)
{
    struct virtio_env env = driver_env(driver);
    struct rng *rng;

    if (rng_new(&env, &rng, NULL) != 0)
        abort();
    return rng_device(rng);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static const struct fuzz_kind kind = {.make = make};

    fuzz_virtio(&kind, bytes, count);
    return 0;
}
