/* rng.h: the virtio entropy source (virtio 1.2, 5.4).
 *
 * One queue of buffers to fill with random bytes of the host's kernel; at most
 * RNG_REQUEST_MAX bytes per request, which the specification allows.
 */
#ifndef SM_DEVICES_VIRTIO_RNG_H
#define SM_DEVICES_VIRTIO_RNG_H

#include "devices/virtio/virtio.h"

enum { RNG_REQUEST_MAX = 4096 };

struct rng;

int rng_new(const struct virtio_env *env, struct rng **ret,
            struct sm_error *err);
struct virtio_device *rng_device(struct rng *rng);

#endif
