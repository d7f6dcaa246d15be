/* rootfs_layer.c: fuzzes layers: arbitrary bytes as the blob of one, or
 * entries made of them as several, into a small image in memory. */
#include "../unit/rootfs/random_layers.h"

#include "base/bytes.h"
#include "platform/file.h"
#include "rootfs/unpack.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

enum { LAYERS_MAX = 4, UNPACKED_MAX = 24 << 20 };

/* A blob of these bytes, with the right digest. */
static struct blob *make_blob(const void *bytes, size_t count,
                              struct digest *digest)
{
    struct hasher hasher = {0};
    struct blob *blob = NULL;
    int fd;

    if (file_in_memory("layer", &fd, NULL) ||
        file_write_at(fd, bytes, count, 0, NULL) ||
        hasher_init(&hasher, DIGEST_SHA256, NULL))
        abort();
    hasher_add(&hasher, bytes, count);
    hasher_end(&hasher, digest);
    hasher_done(&hasher);
    if (blob_open(fd, 0, count, digest, &blob, NULL))
        abort();
    return blob;
}

/* A wrong diff_id is what most inputs have, and no reason to end here. */
static int apply(struct unpack *unpack, const void *bytes, size_t count)
{
    struct layer *layer = NULL;
    struct digest digest;
    struct blob *blob = make_blob(bytes, count, &digest);
    struct sm_error err = {0};
    int rc = layer_open(blob, &digest, UNPACKED_MAX, &layer, &err);

    if (!rc)
        rc = unpack_layer(unpack, layer, NULL, NULL, &err);
    layer_close(layer);
    if (rc && !err.message[0])
        abort();
    return rc == SM_EDIGEST ? 0 : rc;
}

static int apply_all(struct unpack *unpack, const uint8_t *bytes, size_t count)
{
    bool raw = bytes[0] & 1;
    int rc = 0;

    bytes++;
    count--;
    if (raw)
        return apply(unpack, bytes, count);
    for (int i = 0; !rc && count && i < LAYERS_MAX; i++) {
        struct buf tar;

        buf_init(&tar, 16 * MIB);
        random_layer(&tar, &bytes, &count);
        rc = apply(unpack, tar.data, tar.size);
        buf_done(&tar);
    }
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const struct ext4_params params = {
        .disk_bytes = EXT4_DISK_MIN,
        .label = "fuzz",
    };
    static struct unpack unpack;
    struct ext4 *image;
    char path[64];
    int fd;
    int rc;

    if (!count)
        return 0;
    if (file_in_memory("image", &fd, NULL))
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (ext4_create(path, &params, &image, NULL) ||
        unpack_init(&unpack, image, NULL))
        abort();
    rc = apply_all(&unpack, bytes, count);
    if (!rc)
        rc = unpack_finish(&unpack, NULL);
    unpack_done(&unpack);
    if (rc)
        ext4_free(image);
    else
        (void)ext4_finish(image, NULL);
    close(fd);
    return 0;
}
