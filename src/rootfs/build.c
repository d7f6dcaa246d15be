/* build.c: the layers of one image into one ext4 file; see build.h. */
#include "rootfs/build.h"

#include "base/own.h"
#include "rootfs/unpack.h"

#include <string.h>

OWN_DEFINE(struct layer, layer_close)

/* What all layers together have used up. */
struct build {
    struct oci_source *source;
    const struct oci_image *image;
    const struct rootfs_options *options;
    struct rootfs_progress progress;
    uint64_t before;   /* bytes of the layers that are done   */
    uint64_t unpacked; /* that came out of them               */
    struct unpack unpack;
};

static void on_progress(void *context, uint64_t done_bytes)
{
    struct build *build = context;

    build->progress.done_bytes = build->before + done_bytes;
    if (build->options->progress)
        build->options->progress(build->options->context, &build->progress);
}

static uint64_t unpacked_limit(const struct rootfs_options *options)
{
    return options->unpacked_limit ? options->unpacked_limit
                                   : 4 * options->disk_bytes;
}

static int apply_layer(struct build *build, const struct oci_layer *from,
                       struct sm_error *err)
{
    AUTO(layer_closep) struct layer *layer = NULL;
    uint64_t limit = unpacked_limit(build->options) - build->unpacked;
    struct blob *blob;
    int rc =
        build->source->ops->blob_open(build->source, &from->blob, &blob, err);

    if (!rc)
        rc = layer_open(blob, &from->diff_id, limit, &layer, err);
    if (!rc)
        rc = unpack_layer(&build->unpack, layer, on_progress, build, err);
    if (rc)
        return rc;
    build->unpacked += layer_unpacked_bytes(layer);
    build->before += from->blob.bytes;
    on_progress(build, 0);
    return 0;
}

static int apply_layers(struct build *build, struct sm_error *err)
{
    const struct oci_image *image = build->image;

    for (size_t i = 0; i < image->layer_count; i++) {
        int rc;

        build->progress.layer = i;
        rc = apply_layer(build, &image->layers[i], err);
        if (rc)
            return wrap(err, rc, "layer %zu of %zu", i + 1, image->layer_count);
    }
    return unpack_finish(&build->unpack, err);
}

/* A name-based identifier (RFC 9562, version 8) out of 16 bytes of a hash. */
static void make_uuid(uint8_t uuid[16], const uint8_t *from)
{
    memcpy(uuid, from, 16);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x80);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

static uint64_t total_bytes(const struct oci_image *image)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < image->layer_count; i++)
        sum += image->layers[i].blob.bytes;
    return sum;
}

int rootfs_build(struct oci_source *source, const struct oci_image *image,
                 const struct rootfs_options *options, const struct digest *key,
                 const char *path, struct sm_error *err)
{
    struct ext4_params params = {
        .disk_bytes = options->disk_bytes,
        .label = "supermachine",
    };
    AUTO(ext4_freep) struct ext4 *ext4 = NULL;
    AUTO_FREE struct build *build = calloc(1, sizeof *build);
    int rc;

    if (!build)
        return fail(err, SM_ENOMEM, "out of memory");
    make_uuid(params.uuid, key->bytes);
    make_uuid(params.hash_seed, key->bytes + 16);
    build->source = source;
    build->image = image;
    build->options = options;
    build->progress.layer_count = image->layer_count;
    build->progress.total_bytes = total_bytes(image);
    rc = ext4_create(path, &params, &ext4, err);
    if (rc)
        return rc;
    rc = unpack_init(&build->unpack, ext4, err);
    if (!rc)
        rc = apply_layers(build, err);
    unpack_done(&build->unpack);
    return rc ? rc : ext4_finish(own_take(ext4), err);
}
