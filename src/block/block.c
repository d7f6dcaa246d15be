/* block.c: ranges and rights are checked here, once for all; see block.h. */
#include "block/block.h"

#include "base/bytes.h"

#include <limits.h>

static int check_range(const struct block *block, uint64_t at, uint64_t bytes,
                       struct sm_error *err)
{
    uint64_t end;

    if (!add_u64(at, bytes, &end) || end > block->bytes)
        return fail(err, SM_EINVAL,
                    "disk: %llu bytes at %llu: it has %llu bytes",
                    (unsigned long long)bytes, (unsigned long long)at,
                    (unsigned long long)block->bytes);
    return 0;
}

static int check_change(const struct block *block, struct sm_error *err)
{
    return block->read_only ? fail(err, SM_EACCES, "disk is read-only") : 0;
}

/* Sum up and check the range that the spans make. */
static int check_spans(const struct block *block, uint64_t at,
                       const struct iovec *spans, unsigned count,
                       uint64_t *bytes, struct sm_error *err)
{
    *bytes = 0;
    if (count > BLOCK_SPANS_MAX)
        return fail(err, SM_EINVAL, "disk: %u buffers at once, at most %d",
                    count, BLOCK_SPANS_MAX);
    for (unsigned i = 0; i < count; i++)
        if (!add_u64(*bytes, spans[i].iov_len, bytes) || *bytes > SSIZE_MAX)
            return fail(err, SM_EINVAL, "disk: buffers are too large");
    return check_range(block, at, *bytes, err);
}

int block_read(struct block *block, uint64_t at, const struct iovec *to,
               unsigned count, struct sm_error *err)
{
    uint64_t bytes;
    int rc = check_spans(block, at, to, count, &bytes, err);

    if (rc || !bytes)
        return rc;
    return block->ops->read(block, at, bytes, to, count, err);
}

int block_write(struct block *block, uint64_t at, const struct iovec *from,
                unsigned count, struct sm_error *err)
{
    uint64_t bytes;
    int rc = check_change(block, err);

    if (!rc)
        rc = check_spans(block, at, from, count, &bytes, err);
    if (rc || !bytes)
        return rc;
    return block->ops->write(block, at, bytes, from, count, err);
}

int block_flush(struct block *block, struct sm_error *err)
{
    return block->read_only ? 0 : block->ops->flush(block, err);
}

int block_discard(struct block *block, uint64_t at, uint64_t bytes,
                  struct sm_error *err)
{
    int rc = check_change(block, err);

    if (!rc)
        rc = check_range(block, at, bytes, err);
    if (rc || !bytes)
        return rc;
    return block->ops->discard(block, at, bytes, err);
}

int block_write_zeroes(struct block *block, uint64_t at, uint64_t bytes,
                       bool unmap, struct sm_error *err)
{
    int rc = check_change(block, err);

    if (!rc)
        rc = check_range(block, at, bytes, err);
    if (rc || !bytes)
        return rc;
    return block->ops->write_zeroes(block, at, bytes, unmap, err);
}

void block_free(struct block *block)
{
    if (block)
        block->ops->free(block);
}
