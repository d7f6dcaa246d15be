/* spy_block.c: a disk in memory that notes what is done to it. */
#include "spy_block.h"

#include "base/bytes.h"
#include "block/spans.h"

static struct spy_block *spy_of(struct block *block)
{
    return (struct spy_block *)block;
}

static int note(struct block *block, char what, uint64_t at, uint64_t bytes,
                struct sm_error *err)
{
    struct spy_block *spy = spy_of(block);

    spy->call[spy->calls++ % SPY_CALLS_MAX] =
        (struct spy_call){what, at, bytes};
    if (spy->during)
        spy->during(spy->context);
    return spy->fail_with ? fail(err, spy->fail_with, "spy") : 0;
}

static int spy_read(struct block *block, uint64_t at, uint64_t bytes,
                    const struct iovec *to, unsigned count,
                    struct sm_error *err)
{
    struct spans spans = spans_of(to, count);
    int rc = note(block, 'r', at, bytes, err);

    if (!rc)
        spans_copy_in(&spans, spy_of(block)->data + at, bytes);
    return rc;
}

static int spy_write(struct block *block, uint64_t at, uint64_t bytes,
                     const struct iovec *from, unsigned count,
                     struct sm_error *err)
{
    struct spans spans = spans_of(from, count);
    int rc = note(block, 'w', at, bytes, err);

    if (!rc)
        spans_copy_out(&spans, spy_of(block)->data + at, bytes);
    return rc;
}

static int spy_flush(struct block *block, struct sm_error *err)
{
    return note(block, 'f', 0, 0, err);
}

static int spy_discard(struct block *block, uint64_t at, uint64_t bytes,
                       struct sm_error *err)
{
    return note(block, 'd', at, bytes, err);
}

static int spy_zero(struct block *block, uint64_t at, uint64_t bytes,
                    bool unmap, struct sm_error *err)
{
    int rc = note(block, 'z', at, bytes, err);

    (void)unmap;
    if (!rc)
        memset(spy_of(block)->data + at, 0, bytes);
    return rc;
}

static void spy_free(struct block *block)
{
    struct spy_block *spy = spy_of(block);

    if (spy->freed)
        *spy->freed = true;
    free(spy);
}

static const struct block_ops spy_ops = {
    .name = "spy",
    .read = spy_read,
    .write = spy_write,
    .flush = spy_flush,
    .discard = spy_discard,
    .write_zeroes = spy_zero,
    .free = spy_free,
};

struct spy_block *spy_block_new(bool read_only)
{
    struct spy_block *spy = calloc(1, sizeof *spy);

    if (!spy)
        return NULL;
    spy->block = (struct block){
        .ops = &spy_ops,
        .bytes = SPY_BYTES,
        .read_only = read_only,
        .depth = 1,
    };
    return spy;
}
