/* block.h: what stands behind a disk device: bytes at offsets.
 *
 * How it works
 *   A `struct block` is a fixed run of bytes with a volatile write cache: what
 *   was written is seen by later reads at once, and survives a crash only once
 *   a later block_flush() has returned 0. Implementations embed it as their
 *   first member and fill in its fields; raw.h is a file, overlay.h a
 *   copy-on-write layer over another block.
 *
 *   The wrappers below check ranges and rights, so an implementation never
 *   sees a range outside of the disk, an empty range, or a change of a
 *   read-only disk.
 *
 * Threads
 *   One thread at a time per block and per block below it. Calls block until
 *   the host's I/O is done.
 */
#ifndef SM_BLOCK_BLOCK_H
#define SM_BLOCK_BLOCK_H

#include "base/error.h"
#include "base/own.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
    BLOCK_ID_BYTES = 32,   /* room for a SHA-256 */
    BLOCK_SPANS_MAX = 256, /* iovecs in one call */
    BLOCK_DEPTH_MAX = 16   /* layers in a chain, the raw file counts as one */
};

/* What a block's content is called, so that a layer finds out when it is put
 * over the wrong base: a digest, or random bytes. All zero: no identity. */
struct block_id {
    uint8_t bytes[BLOCK_ID_BYTES];
};

struct block {
    const struct block_ops *ops;
    uint64_t bytes; /* size; never changes */
    struct block_id id;
    bool read_only;
    unsigned depth; /* layers from here down, this one included: 1 .. */
};

/*
 * One kind of block. All entries are mandatory. (at) and (bytes) are bytes,
 * 0 < bytes, at + bytes <= block->bytes; the sum of the iovecs' lengths is
 * (bytes), (count) is 1 .. BLOCK_SPANS_MAX. On failure of a change the range's
 * content is undefined, nothing else is.
 */
struct block_ops {
    const char *name;
    int (*read)(struct block *block, uint64_t at, uint64_t bytes,
                const struct iovec *to, unsigned count, struct sm_error *err);
    int (*write)(struct block *block, uint64_t at, uint64_t bytes,
                 const struct iovec *from, unsigned count,
                 struct sm_error *err);
    /* Everything written before is durable when this returns 0. */
    int (*flush)(struct block *block, struct sm_error *err);
    /* The content of the range is of no interest any more: afterwards it reads
     * as zero or as before. A hint that may do nothing and still succeed. */
    int (*discard)(struct block *block, uint64_t at, uint64_t bytes,
                   struct sm_error *err);
    /* The range reads as zero. (unmap): room on the host may be given back. */
    int (*write_zeroes)(struct block *block, uint64_t at, uint64_t bytes,
                        bool unmap, struct sm_error *err);
    /* Does not flush. Frees what lies below too. */
    void (*free)(struct block *block);
};

/*
 * All return 0, or SM_EINVAL (range outside of the disk, too many iovecs),
 * SM_EACCES (a change of a read-only disk), SM_ENOSPC or SM_EIO. An empty
 * range succeeds and does nothing.
 */
int block_read(struct block *block, uint64_t at, const struct iovec *to,
               unsigned count, struct sm_error *err);
int block_write(struct block *block, uint64_t at, const struct iovec *from,
                unsigned count, struct sm_error *err);
int block_flush(struct block *block, struct sm_error *err);
int block_discard(struct block *block, uint64_t at, uint64_t bytes,
                  struct sm_error *err);
int block_write_zeroes(struct block *block, uint64_t at, uint64_t bytes,
                       bool unmap, struct sm_error *err);
/* NULL is fine. */
void block_free(struct block *block);

OWN_DEFINE(struct block, block_free)

/* One buffer instead of iovecs. */
static inline int block_read_bytes(struct block *block, uint64_t at, void *to,
                                   size_t bytes, struct sm_error *err)
{
    struct iovec span = {.iov_base = to, .iov_len = bytes};

    return block_read(block, at, &span, 1, err);
}

#endif
