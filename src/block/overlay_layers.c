/* overlay_layers.c: several sealed overlays as one, and other ones below; see
 * overlay.h. */
#include "base/bytes.h"
#include "block/disk_file.h"
#include "block/overlay_impl.h"
#include "platform/file.h"

#include <assert.h>

enum { CLUSTER = OVERLAY_CLUSTER_BYTES };

/* ---- merging ---- */

/* What is made out of the layers, one page of the bitmap after the other. */
struct merge {
    int fd;
    uint64_t data_at;
    uint8_t taken[BITMAP_PAGE_BYTES]; /* clusters that are in (fd)         */
    uint8_t own[BITMAP_PAGE_BYTES];   /* of a layer, and of none above it  */
};

static bool has_bit(const uint8_t *bits, unsigned bit)
{
    return bits[bit / 8] >> bit % 8 & 1;
}

/* How many of the clusters from bit 0 of (page) on the layer has; a file of
 * somebody else's may have bits behind its last one. */
static unsigned clusters_in_page(const struct overlay *layer, uint64_t page)
{
    uint64_t clusters = layer->block.bytes / CLUSTER;
    uint64_t first = page * BITMAP_PAGE_BITS;

    return first < clusters
               ? (unsigned)min_u64(clusters - first, BITMAP_PAGE_BITS)
               : 0;
}

/* The bits in byte (number) of a page that stand for one of (clusters). */
static uint8_t bits_in_use(unsigned number, unsigned clusters)
{
    if (clusters <= 8 * number)
        return 0;
    return (uint8_t)((1u << min_u64(clusters - 8 * number, 8)) - 1);
}

/* The page comes from the file, where a sealed layer's is as it is in memory:
 * nothing of the layer changes, so others may read from it meanwhile. */
static int take_page(struct merge *merge, const struct overlay *layer,
                     uint64_t page, unsigned clusters, struct sm_error *err)
{
    uint64_t at = OVERLAY_HEADER_BYTES + page * BITMAP_PAGE_BYTES;
    int rc = file_read_at(layer->fd, merge->own, sizeof merge->own, at, err);

    if (rc)
        return wrap(err, rc, "bitmap");
    for (unsigned byte = 0; byte < sizeof merge->own; byte++) {
        merge->own[byte] &= bits_in_use(byte, clusters);
        merge->own[byte] &= (uint8_t)~merge->taken[byte];
        merge->taken[byte] |= merge->own[byte];
    }
    return 0;
}

/* Copy [at, end) of the disk, but for holes: they are there already. */
static int copy_run(const struct merge *merge, const struct overlay *layer,
                    uint64_t at, uint64_t end, struct sm_error *err)
{
    uint64_t from = layer->data_at + at;
    uint64_t from_end = layer->data_at + end;
    int rc = 0;

    while (!rc && from < from_end) {
        uint64_t data;
        uint64_t data_end;

        rc = file_find_data(layer->fd, from, from_end, &data, &data_end, err);
        if (!rc && data < data_end)
            rc = file_copy_range(layer->fd, data, merge->fd,
                                 merge->data_at + (data - layer->data_at),
                                 data_end - data, err);
        from = data_end;
    }
    return rc;
}

/* Copy the clusters of merge->own, run by run. */
static int copy_page(const struct merge *merge, const struct overlay *layer,
                     uint64_t page, unsigned clusters, struct sm_error *err)
{
    uint64_t first = page * BITMAP_PAGE_BITS;
    unsigned end;
    int rc = 0;

    for (unsigned bit = 0; !rc && bit < clusters; bit = end) {
        end = bit + 1;
        if (!merge->own[bit / 8])
            end = (bit / 8 + 1) * 8;
        if (!has_bit(merge->own, bit))
            continue;
        while (end < clusters && has_bit(merge->own, end))
            end++;
        rc = copy_run(merge, layer, (first + bit) * CLUSTER,
                      (first + end) * CLUSTER, err);
    }
    return rc;
}

/* Layers from the top down: who comes first has the cluster. */
static int merge_page(struct merge *merge, struct overlay *top, uint64_t page,
                      struct sm_error *err)
{
    static const uint8_t none[BITMAP_PAGE_BYTES];
    int rc = 0;

    memset(merge->taken, 0, sizeof merge->taken);
    for (struct overlay *layer = top; !rc && layer;
         layer = overlay_cast(layer->base)) {
        unsigned clusters = clusters_in_page(layer, page);

        /* Those below are no larger. */
        if (!clusters)
            break;
        rc = take_page(merge, layer, page, clusters, err);
        if (!rc)
            rc = copy_page(merge, layer, page, clusters, err);
    }
    if (rc || memcmp(merge->taken, none, sizeof none) == 0)
        return rc;
    return file_write_at(merge->fd, merge->taken, sizeof merge->taken,
                         OVERLAY_HEADER_BYTES + page * BITMAP_PAGE_BYTES, err);
}

/* The header comes last: half a merge is not an overlay. */
static int merge_into(int fd, struct overlay *top,
                      const struct overlay_header *header, struct sm_error *err)
{
    AUTO_FREE struct merge *merge = malloc(sizeof *merge);
    int rc;

    if (!merge)
        return fail(err, SM_ENOMEM, "out of memory");
    merge->fd = fd;
    merge->data_at = overlay_data_at(header->bytes);
    rc = overlay_file_stretch(fd, header->bytes, err);
    for (uint64_t page = 0; !rc && page < top->bitmap.pages; page++)
        rc = merge_page(merge, top, page, err);
    return rc ? rc : overlay_header_write(fd, header, err);
}

int overlay_merge(struct block *top, int fd, struct sm_error *err)
{
    struct overlay *first = overlay_cast(top);
    struct overlay_header header = {
        .bytes = top->bytes, .own = top->id, .frozen = true};
    int rc;

    assert(first);
    for (struct overlay *layer = first; layer;
         layer = overlay_cast(layer->base)) {
        if (!layer->frozen)
            return fail(err, SM_EINVAL, "merge overlays: not all are sealed");
        header.base_bytes = layer->base->bytes;
        header.base = layer->base->id;
    }
    rc = merge_into(fd, first, &header, err);
    return rc ? wrap(err, rc, "merge overlays") : 0;
}

/* ---- chains ---- */

struct block *overlay_base(struct block *block)
{
    struct overlay *overlay = overlay_cast(block);

    return overlay ? overlay->base : NULL;
}

int overlay_rebase(struct block *block, struct block *base,
                   struct sm_error *err)
{
    struct overlay *overlay = overlay_cast(block);
    struct block *former;

    assert(overlay && base != overlay->base);
    former = overlay->base;
    if (!base->read_only || base->bytes != former->bytes ||
        memcmp(&base->id, &former->id, sizeof base->id) != 0)
        return fail(err, SM_EINVAL,
                    "overlay: the new base is not what the old one was");
    if (base->depth >= BLOCK_DEPTH_MAX)
        return fail(err, SM_ELIMIT, "overlay: more than %d layers",
                    BLOCK_DEPTH_MAX);
    overlay->base = base;
    overlay->block.depth = base->depth + 1;
    /* What the guest wrote to the old ones is to be durable with its next
     * flush, and nobody knows whether it is in the new ones. */
    for (struct overlay *layer = overlay_cast(base); layer;
         layer = overlay_cast(layer->base))
        layer->unsynced = true;
    block_free(former);
    return 0;
}

/* Put the sealed layer in (fd) on (*top). Owns (fd) if (*top) has changed. */
static int add_layer(int fd, struct block **top, struct sm_error *err)
{
    struct block *layer;
    int rc = overlay_open(fd, *top, true, &layer, err);

    if (rc)
        return rc;
    *top = layer;
    return overlay_cast(layer)->frozen
               ? 0
               : fail(err, SM_EIMAGE, "overlay: not sealed");
}

int overlay_open_chain(struct block *base, const int *fds, unsigned count,
                       struct block **ret, struct sm_error *err)
{
    AUTO(block_freep) struct block *top = base;
    int rc = 0;

    for (unsigned i = 0; i < count; i++) {
        struct block *below = top;

        if (!rc) {
            rc = add_layer(fds[i], &top, err);
            if (rc)
                wrap(err, rc, "disk layer %u of %u", i + 1, count);
        }
        if (top == below)
            close(fds[i]);
    }
    if (!rc)
        *ret = own_take(top);
    return rc;
}
