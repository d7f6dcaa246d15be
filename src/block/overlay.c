/* overlay.c: a sparse copy-on-write layer; how it works is in overlay.h.
 *
 * Header page, little endian:
 *
 *     0  char[8]  "SMOVRLY\0"
 *     8  u32      version 1
 *    12  u32      cluster size, 4096
 *    16  u64      size of the disk in bytes
 *    24  u64      size of the base in bytes
 *    32  u8[32]   identity of the base
 *    64  u8[32]   identity of this overlay, random
 *    96  u32      flags: bit 0 frozen
 *   100  zeroes to the end of the page
 *
 * The place of the bitmap and of the data follow from the size of the disk.
 */
#include "block/overlay.h"

#include "base/bytes.h"
#include "block/bitmap.h"
#include "block/disk_file.h"
#include "block/spans.h"
#include "platform/random.h"

#include <assert.h>

enum {
    PAGE_BYTES = 4096,
    CLUSTER = OVERLAY_CLUSTER_BYTES,
    HEADER_VERSION = 1,
    HEADER_USED_BYTES = 100,
    FLAG_FROZEN = 1
};

static const char header_magic[8] = "SMOVRLY";

struct overlay {
    struct block block;
    struct block *base;
    int fd;
    bool frozen;
    bool lost; /* a sync failed, see raw.c */
    uint64_t data_at;
    struct bitmap bitmap; /* a set bit: the cluster is in this file */
};

/* A run of bytes of the disk that come from one place. */
struct run {
    uint64_t at;
    uint64_t bytes;
    bool own; /* in this file, not in the base */
};

static struct overlay *overlay_of(struct block *block)
{
    return (struct overlay *)block;
}

/* ---- reading ---- */

/* The longest run from (at) that ends before (end) and has one source. */
static int find_run(struct overlay *overlay, uint64_t at, uint64_t end,
                    struct run *run, struct sm_error *err)
{
    uint64_t cluster = at / CLUSTER;
    bool own;
    int rc = bitmap_get(&overlay->bitmap, cluster, &run->own, err);

    if (rc)
        return rc;
    run->at = at;
    for (own = run->own; own == run->own && ++cluster * CLUSTER < end;) {
        rc = bitmap_get(&overlay->bitmap, cluster, &own, err);
        if (rc)
            return rc;
    }
    run->bytes = min_u64(cluster * CLUSTER, end) - at;
    return 0;
}

/* What the disk has below this layer: the base, then zeroes. */
static int read_below(struct overlay *overlay, uint64_t at, uint64_t bytes,
                      struct spans *to, struct sm_error *err)
{
    struct iovec part[BLOCK_SPANS_MAX];
    uint64_t in_base = 0;
    int rc = 0;

    if (at < overlay->base->bytes)
        in_base = min_u64(bytes, overlay->base->bytes - at);
    if (in_base) {
        unsigned count = spans_take(to, in_base, part);

        rc = block_read(overlay->base, at, part, count, err);
    }
    if (!rc)
        spans_zero(to, bytes - in_base);
    return rc;
}

static int overlay_read(struct block *block, uint64_t at, uint64_t bytes,
                        const struct iovec *to, unsigned count,
                        struct sm_error *err)
{
    struct overlay *overlay = overlay_of(block);
    struct spans cursor = spans_of(to, count);
    struct iovec part[BLOCK_SPANS_MAX];
    uint64_t end = at + bytes;
    struct run run;
    int rc = 0;

    for (; !rc && at < end; at += run.bytes) {
        rc = find_run(overlay, at, end, &run, err);
        if (rc)
            return rc;
        if (run.own) {
            count = spans_take(&cursor, run.bytes, part);
            rc = disk_file_read(overlay->fd, overlay->data_at + at, part, count,
                                err);
        } else {
            rc = read_below(overlay, at, run.bytes, &cursor, err);
        }
    }
    return rc;
}

/* ---- writing ---- */

/* Write (bytes) inside of one cluster, which becomes ours as a whole. */
static int write_part(struct overlay *overlay, uint64_t at, uint64_t bytes,
                      struct spans *from, struct sm_error *err)
{
    uint8_t whole[CLUSTER];
    struct iovec span = {.iov_base = whole, .iov_len = sizeof whole};
    struct iovec part[BLOCK_SPANS_MAX];
    uint64_t start = align_down(at, CLUSTER);
    struct spans below = spans_of(&span, 1);
    bool own;
    int rc = bitmap_get(&overlay->bitmap, at / CLUSTER, &own, err);

    if (rc)
        return rc;
    if (own) {
        unsigned count = spans_take(from, bytes, part);

        return disk_file_write(overlay->fd, overlay->data_at + at, part, count,
                               err);
    }
    rc = read_below(overlay, start, CLUSTER, &below, err);
    if (rc)
        return wrap(err, rc, "overlay: copy up");
    spans_copy_out(from, whole + (at - start), bytes);
    rc = disk_file_write(overlay->fd, overlay->data_at + start, &span, 1, err);
    if (!rc)
        bitmap_set(&overlay->bitmap, at / CLUSTER, at / CLUSTER + 1);
    return rc;
}

/* Write whole clusters. */
static int write_whole(struct overlay *overlay, uint64_t at, uint64_t bytes,
                       struct spans *from, struct sm_error *err)
{
    struct iovec part[BLOCK_SPANS_MAX];
    unsigned count = spans_take(from, bytes, part);
    int rc = bitmap_prepare(&overlay->bitmap, at / CLUSTER,
                            (at + bytes) / CLUSTER, err);

    if (!rc)
        rc = disk_file_write(overlay->fd, overlay->data_at + at, part, count,
                             err);
    if (!rc)
        bitmap_set(&overlay->bitmap, at / CLUSTER, (at + bytes) / CLUSTER);
    return rc;
}

/* Bytes of [at, at + bytes) up to the next cluster's start, 0 if (at) is one
 * and a whole cluster follows. */
static uint64_t head_bytes(uint64_t at, uint64_t bytes)
{
    if (is_aligned(at, CLUSTER) && bytes >= CLUSTER)
        return 0;
    return min_u64(bytes, CLUSTER - at % CLUSTER);
}

static int overlay_write(struct block *block, uint64_t at, uint64_t bytes,
                         const struct iovec *from, unsigned count,
                         struct sm_error *err)
{
    struct overlay *overlay = overlay_of(block);
    struct spans cursor = spans_of(from, count);
    uint64_t head = head_bytes(at, bytes);
    uint64_t whole = align_down(bytes - head, CLUSTER);
    uint64_t tail = bytes - head - whole;
    int rc = 0;

    if (head)
        rc = write_part(overlay, at, head, &cursor, err);
    if (!rc && whole)
        rc = write_whole(overlay, at + head, whole, &cursor, err);
    if (!rc && tail)
        rc = write_part(overlay, at + head + whole, tail, &cursor, err);
    return rc;
}

/* Whole clusters become holes of ours: they read as zero whatever the base
 * has. Their place in the file may hold data that lost its bit in a crash, so
 * it is emptied in any case. */
static int zero_whole(struct overlay *overlay, uint64_t at, uint64_t bytes,
                      bool must, struct sm_error *err)
{
    uint64_t place = overlay->data_at + at;
    int rc = bitmap_prepare(&overlay->bitmap, at / CLUSTER,
                            (at + bytes) / CLUSTER, err);

    if (rc)
        return rc;
    rc = disk_file_zero(overlay->fd, place, bytes, true, err);
    if (rc == SM_ENOTSUP && !must)
        return 0;
    if (rc == SM_ENOTSUP)
        rc = disk_file_write_zeroes(overlay->fd, place, bytes, err);
    if (!rc)
        bitmap_set(&overlay->bitmap, at / CLUSTER, (at + bytes) / CLUSTER);
    return rc;
}

static int zero_part(struct overlay *overlay, uint64_t at, uint64_t bytes,
                     struct sm_error *err)
{
    uint8_t zeroes[CLUSTER] = {0};
    struct iovec span = {.iov_base = zeroes, .iov_len = bytes};
    struct spans cursor = spans_of(&span, 1);

    return write_part(overlay, at, bytes, &cursor, err);
}

static int overlay_discard(struct block *block, uint64_t at, uint64_t bytes,
                           struct sm_error *err)
{
    uint64_t first = align_up(at, CLUSTER);
    uint64_t end = align_down(at + bytes, CLUSTER);

    if (first >= end)
        return 0;
    return zero_whole(overlay_of(block), first, end - first, false, err);
}

static int overlay_write_zeroes(struct block *block, uint64_t at,
                                uint64_t bytes, bool unmap,
                                struct sm_error *err)
{
    struct overlay *overlay = overlay_of(block);
    uint64_t head = head_bytes(at, bytes);
    uint64_t whole = align_down(bytes - head, CLUSTER);
    uint64_t tail = bytes - head - whole;
    int rc = 0;

    (void)unmap;
    if (head)
        rc = zero_part(overlay, at, head, err);
    if (!rc && whole)
        rc = zero_whole(overlay, at + head, whole, true, err);
    if (!rc && tail)
        rc = zero_part(overlay, at + head + whole, tail, err);
    return rc;
}

/* ---- flushing ---- */

static int sync_file(struct overlay *overlay, struct sm_error *err)
{
    int rc;

    if (overlay->lost)
        return fail(err, SM_EIO, "overlay: an earlier sync failed");
    rc = disk_file_sync(overlay->fd, err);
    overlay->lost = rc != 0;
    return rc;
}

/* The order is the point: see "What a crash leaves" in overlay.h. */
static int overlay_flush(struct block *block, struct sm_error *err)
{
    struct overlay *overlay = overlay_of(block);
    bool wrote = false;
    int rc = sync_file(overlay, err);

    if (!rc)
        rc = bitmap_write(&overlay->bitmap, &wrote, err);
    if (!rc && wrote)
        rc = sync_file(overlay, err);
    if (rc)
        return rc;
    bitmap_written(&overlay->bitmap);
    return 0;
}

/* ---- life ---- */

static void overlay_release(struct overlay *overlay)
{
    if (!overlay)
        return;
    bitmap_done(&overlay->bitmap);
    free(overlay);
}

OWN_DEFINE(struct overlay, overlay_release)

static void overlay_free(struct block *block)
{
    struct overlay *overlay = overlay_of(block);

    block_free(overlay->base);
    close(overlay->fd);
    overlay_release(overlay);
}

static const struct block_ops overlay_ops = {
    .name = "overlay",
    .read = overlay_read,
    .write = overlay_write,
    .flush = overlay_flush,
    .discard = overlay_discard,
    .write_zeroes = overlay_write_zeroes,
    .free = overlay_free,
};

/* An overlay of (bytes) that owns nothing yet. */
static int make(int fd, struct block *base, uint64_t bytes,
                struct overlay **ret, struct sm_error *err)
{
    AUTO(overlay_releasep) struct overlay *overlay = NULL;
    int rc;

    if (!base->read_only)
        return fail(err, SM_EINVAL, "overlay: its base can be written to");
    if (base->depth >= BLOCK_DEPTH_MAX)
        return fail(err, SM_ELIMIT, "overlay: more than %d layers",
                    BLOCK_DEPTH_MAX);
    if (bytes > OVERLAY_BYTES_MAX)
        return fail(err, SM_ELIMIT, "overlay of %llu GiB: at most %llu",
                    (unsigned long long)(bytes / GIB),
                    (unsigned long long)(OVERLAY_BYTES_MAX / GIB));
    overlay = calloc(1, sizeof *overlay);
    if (!overlay)
        return fail(err, SM_ENOMEM, "overlay: out of memory");
    rc = bitmap_init(&overlay->bitmap, fd, PAGE_BYTES, bytes / CLUSTER, err);
    if (rc)
        return rc;
    overlay->block.ops = &overlay_ops;
    overlay->block.bytes = bytes;
    overlay->block.depth = base->depth + 1;
    overlay->data_at = PAGE_BYTES + bitmap_bytes(&overlay->bitmap);
    overlay->base = base;
    overlay->fd = fd;
    *ret = own_take(overlay);
    return 0;
}

static int write_header(struct overlay *overlay, bool frozen,
                        struct sm_error *err)
{
    uint8_t page[PAGE_BYTES] = {0};
    struct iovec span = {.iov_base = page, .iov_len = sizeof page};

    memcpy(page, header_magic, sizeof header_magic);
    store_le32(page + 8, HEADER_VERSION);
    store_le32(page + 12, CLUSTER);
    store_le64(page + 16, overlay->block.bytes);
    store_le64(page + 24, overlay->base->bytes);
    memcpy(page + 32, overlay->base->id.bytes, BLOCK_ID_BYTES);
    memcpy(page + 64, overlay->block.id.bytes, BLOCK_ID_BYTES);
    store_le32(page + 96, frozen ? FLAG_FROZEN : 0);
    return disk_file_write(overlay->fd, 0, &span, 1, err);
}

int overlay_create(int fd, struct block *base, uint64_t bytes,
                   struct block **ret, struct sm_error *err)
{
    AUTO(overlay_releasep) struct overlay *overlay = NULL;
    uint64_t found;
    int rc;

    if (bytes < base->bytes || !is_aligned(bytes, CLUSTER))
        return fail(err, SM_EINVAL,
                    "overlay of %llu bytes: whole clusters of %d, at least "
                    "the %llu of its base",
                    (unsigned long long)bytes, CLUSTER,
                    (unsigned long long)base->bytes);
    rc = make(fd, base, bytes, &overlay, err);
    if (!rc)
        rc = disk_file_size(fd, &found, err);
    if (!rc && found)
        rc = fail(err, SM_EEXIST, "overlay: the file is not empty");
    if (!rc)
        rc = random_bytes(overlay->block.id.bytes, BLOCK_ID_BYTES, err);
    if (!rc)
        rc = disk_file_stretch(fd, overlay->data_at + bytes, err);
    if (!rc)
        rc = write_header(overlay, false, err);
    if (rc)
        return rc;
    *ret = &own_take(overlay)->block;
    return 0;
}

/* The fields of a header page that cannot be worked out. */
struct header {
    uint64_t bytes;
    uint64_t base_bytes;
    uint32_t flags;
    struct block_id base;
    struct block_id own;
};

static int read_header(int fd, struct header *header, struct sm_error *err)
{
    uint8_t page[PAGE_BYTES];
    struct iovec span = {.iov_base = page, .iov_len = sizeof page};
    uint64_t found;
    int rc = disk_file_size(fd, &found, err);

    if (!rc && found < sizeof page)
        return fail(err, SM_EIMAGE, "not an overlay: %llu bytes",
                    (unsigned long long)found);
    if (!rc)
        rc = disk_file_read(fd, 0, &span, 1, err);
    if (rc)
        return rc;
    if (memcmp(page, header_magic, sizeof header_magic) != 0)
        return fail(err, SM_EIMAGE, "not an overlay");
    if (load_le32(page + 8) != HEADER_VERSION)
        return fail(err, SM_ENOTSUP, "overlay of version %u: only %d is known",
                    load_le32(page + 8), HEADER_VERSION);
    header->bytes = load_le64(page + 16);
    header->base_bytes = load_le64(page + 24);
    header->flags = load_le32(page + 96);
    memcpy(header->base.bytes, page + 32, BLOCK_ID_BYTES);
    memcpy(header->own.bytes, page + 64, BLOCK_ID_BYTES);
    if (load_le32(page + 12) != CLUSTER || header->flags > FLAG_FROZEN ||
        !is_aligned(header->bytes, CLUSTER) ||
        header->bytes < header->base_bytes)
        return fail(err, SM_EIMAGE, "overlay: its header is damaged");
    for (size_t i = HEADER_USED_BYTES; i < sizeof page; i++)
        if (page[i])
            return fail(err, SM_EIMAGE, "overlay: its header is damaged");
    return 0;
}

int overlay_open(int fd, struct block *base, bool read_only, struct block **ret,
                 struct sm_error *err)
{
    AUTO(overlay_releasep) struct overlay *overlay = NULL;
    struct header header;
    uint64_t found;
    int rc = read_header(fd, &header, err);

    if (rc)
        return rc;
    if (header.base_bytes != base->bytes ||
        memcmp(&header.base, &base->id, sizeof header.base) != 0)
        return fail(err, SM_EIMAGE, "overlay: made over another base");
    rc = make(fd, base, header.bytes, &overlay, err);
    if (!rc)
        rc = disk_file_size(fd, &found, err);
    if (rc)
        return rc;
    if (found < overlay->data_at + header.bytes)
        return fail(err, SM_EIMAGE, "overlay: cut off at %llu bytes",
                    (unsigned long long)found);
    overlay->block.id = header.own;
    overlay->frozen = header.flags & FLAG_FROZEN;
    overlay->block.read_only = read_only || overlay->frozen;
    *ret = &own_take(overlay)->block;
    return 0;
}

int overlay_freeze(struct block *block, struct sm_error *err)
{
    struct overlay *overlay = overlay_of(block);
    int rc;

    assert(block->ops == &overlay_ops);
    if (overlay->frozen)
        return 0;
    rc = block_flush(block, err);
    if (!rc)
        rc = write_header(overlay, true, err);
    if (!rc)
        rc = disk_file_sync(overlay->fd, err);
    if (rc)
        return wrap(err, rc, "freeze an overlay");
    overlay->frozen = true;
    block->read_only = true;
    return 0;
}

int overlay_used_bytes(struct block *block, uint64_t *bytes,
                       struct sm_error *err)
{
    uint64_t clusters;
    int rc;

    assert(block->ops == &overlay_ops);
    rc = bitmap_count(&overlay_of(block)->bitmap, &clusters, err);
    *bytes = clusters * CLUSTER;
    return rc;
}
