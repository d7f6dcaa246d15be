/* random_layers.h: layers out of arbitrary bytes, for the fuzzer and for tests
 * with a fixed seed: few names, so that entries meet each other often. */
#ifndef SM_TESTS_ROOTFS_RANDOM_LAYERS_H
#define SM_TESTS_ROOTFS_RANDOM_LAYERS_H

#include "base/buf.h"

/* Append a layer, taking bytes from the front of *bytes until they are used
 * up or say that the layer ends. Some entries must be refused. */
void random_layer(struct buf *tar, const uint8_t **bytes, size_t *count);

#endif
