/* overlay.c: a sparse copy-on-write layer; how it works is in overlay.h. */
#include "block/overlay.h"

#include "base/bytes.h"
#include "block/disk_file.h"
#include "block/overlay_impl.h"
#include "block/spans.h"
#include "platform/random.h"

#include <assert.h>

enum { CLUSTER = OVERLAY_CLUSTER_BYTES };

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
    overlay->unsynced = rc != 0;
    return rc;
}

/* What was written before a layer below was sealed is in that one's file. */
static int sync_below(struct overlay *overlay, struct sm_error *err)
{
    int rc = 0;

    while (!rc && (overlay = overlay_cast(overlay->base)) != NULL)
        if (overlay->unsynced)
            rc = sync_file(overlay, err);
    return rc;
}

/* The order is the point: see "What a crash leaves" in overlay.h. */
static int overlay_flush(struct block *block, struct sm_error *err)
{
    struct overlay *overlay = overlay_of(block);
    bool wrote = false;
    int rc = sync_below(overlay, err);

    if (!rc)
        rc = sync_file(overlay, err);
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

struct overlay *overlay_cast(struct block *block)
{
    return block->ops == &overlay_ops ? overlay_of(block) : NULL;
}

/* An overlay of (bytes) that owns nothing yet. */
static int make(int fd, struct block *base, uint64_t bytes,
                struct overlay **ret, struct sm_error *err)
{
    AUTO(overlay_releasep) struct overlay *overlay = NULL;
    int rc;

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
    rc = bitmap_init(&overlay->bitmap, fd, OVERLAY_HEADER_BYTES,
                     bytes / CLUSTER, err);
    if (rc)
        return rc;
    overlay->block.ops = &overlay_ops;
    overlay->block.bytes = bytes;
    overlay->block.depth = base->depth + 1;
    overlay->data_at = overlay_data_at(bytes);
    overlay->base = base;
    overlay->fd = fd;
    *ret = own_take(overlay);
    return 0;
}

static int check_base(const struct block *base, struct sm_error *err)
{
    if (!base->read_only)
        return fail(err, SM_EINVAL, "overlay: its base can be written to");
    return 0;
}

static int write_header(const struct overlay *overlay, bool frozen,
                        struct sm_error *err)
{
    struct overlay_header header = {.bytes = overlay->block.bytes,
                                    .base_bytes = overlay->base->bytes,
                                    .base = overlay->base->id,
                                    .own = overlay->block.id,
                                    .frozen = frozen};

    return overlay_header_write(overlay->fd, &header, err);
}

/* A new one in the empty file (fd), over what will be read-only. */
static int create(int fd, struct block *base, uint64_t bytes,
                  struct overlay **ret, struct sm_error *err)
{
    AUTO(overlay_releasep) struct overlay *overlay = NULL;
    int rc = make(fd, base, bytes, &overlay, err);

    if (!rc)
        rc = overlay_file_stretch(fd, bytes, err);
    if (!rc)
        rc = random_bytes(overlay->block.id.bytes, BLOCK_ID_BYTES, err);
    if (!rc)
        rc = write_header(overlay, false, err);
    if (rc)
        return rc;
    *ret = own_take(overlay);
    return 0;
}

int overlay_create(int fd, struct block *base, uint64_t bytes,
                   struct block **ret, struct sm_error *err)
{
    struct overlay *overlay;
    int rc = check_base(base, err);

    if (rc)
        return rc;
    if (bytes < base->bytes || !is_aligned(bytes, CLUSTER))
        return fail(err, SM_EINVAL,
                    "overlay of %llu bytes: whole clusters of %d, at least "
                    "the %llu of its base",
                    (unsigned long long)bytes, CLUSTER,
                    (unsigned long long)base->bytes);
    rc = create(fd, base, bytes, &overlay, err);
    if (!rc)
        *ret = &overlay->block;
    return rc;
}

int overlay_open(int fd, struct block *base, bool read_only, struct block **ret,
                 struct sm_error *err)
{
    AUTO(overlay_releasep) struct overlay *overlay = NULL;
    struct overlay_header header;
    uint64_t found;
    int rc = overlay_header_read(fd, &header, err);

    if (rc)
        return rc;
    if (header.base_bytes != base->bytes ||
        memcmp(&header.base, &base->id, sizeof header.base) != 0)
        return fail(err, SM_EIMAGE, "overlay: made over another base");
    rc = check_base(base, err);
    if (!rc)
        rc = make(fd, base, header.bytes, &overlay, err);
    if (!rc)
        rc = disk_file_size(fd, &found, err);
    if (rc)
        return rc;
    if (found < overlay->data_at + header.bytes)
        return fail(err, SM_EIMAGE, "overlay: cut off at %llu bytes",
                    (unsigned long long)found);
    overlay->block.id = header.own;
    overlay->frozen = header.frozen;
    overlay->block.read_only = read_only || overlay->frozen;
    *ret = &own_take(overlay)->block;
    return 0;
}

/* The flag comes last: a file that has it has the bits. */
int overlay_seal(struct block *block, struct sm_error *err)
{
    struct overlay *overlay = overlay_cast(block);
    bool wrote;
    int rc;

    assert(overlay);
    if (overlay->lost)
        return fail(err, SM_EIO, "seal an overlay: an earlier sync failed");
    if (overlay->frozen)
        return 0;
    if (block->read_only)
        return fail(err, SM_EACCES, "seal an overlay: it is open read-only");
    rc = bitmap_write(&overlay->bitmap, &wrote, err);
    if (!rc)
        rc = write_header(overlay, true, err);
    if (rc)
        return wrap(err, rc, "seal an overlay");
    bitmap_written(&overlay->bitmap);
    overlay->frozen = true;
    overlay->unsynced = true;
    block->read_only = true;
    return 0;
}

/* The flush has data and bits on the disk before the seal's flag. */
int overlay_freeze(struct block *block, struct sm_error *err)
{
    struct overlay *overlay = overlay_cast(block);
    int rc;

    assert(overlay);
    rc = block_flush(block, err);
    if (!rc)
        rc = overlay_seal(block, err);
    if (!rc)
        rc = sync_file(overlay, err);
    return rc ? wrap(err, rc, "freeze an overlay") : 0;
}

/* All that may fail of the new layer is done before the old one is sealed. */
int overlay_split(struct block *block, int fd, struct block **ret,
                  struct sm_error *err)
{
    AUTO(overlay_releasep) struct overlay *upper = NULL;
    int rc = create(fd, block, block->bytes, &upper, err);

    if (!rc)
        rc = overlay_seal(block, err);
    if (rc)
        return rc;
    *ret = &own_take(upper)->block;
    return 0;
}

int overlay_used_bytes(struct block *block, uint64_t *bytes,
                       struct sm_error *err)
{
    struct overlay *overlay = overlay_cast(block);
    uint64_t clusters;
    int rc;

    assert(overlay);
    rc = bitmap_count(&overlay->bitmap, &clusters, err);
    *bytes = clusters * CLUSTER;
    return rc;
}
