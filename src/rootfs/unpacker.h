/* unpacker.h: what comes out of a blob, made ahead of who reads it.
 *
 * How it works
 *   blob (digest checked) -> gzip, zstd or nothing -> pieces. A thread of its
 *   own does that and puts the pieces into a ring; when the ring is full it
 *   waits. So the next pieces are unpacked while the last ones are written,
 *   and memory does not grow with the blob. libarchive does the unpacking.
 *
 *   Which compression it is, the first bytes say: media types are often wrong,
 *   and what comes out has a digest of its own. One compression is undone, not
 *   more.
 *
 *   Threads: one reader.
 */
#ifndef SM_ROOTFS_UNPACKER_H
#define SM_ROOTFS_UNPACKER_H

#include "base/own.h"
#include "oci/blob.h"

struct unpacker;

/* Takes (blob) over, also on failure. SM_ENOMEM, or what the system says when
 * there can be no more threads. */
int unpacker_open(struct blob *blob, struct unpacker **ret,
                  struct sm_error *err);
/* NULL is fine. */
void unpacker_close(struct unpacker *unpacker);

/*
 * The next piece, valid until the next call; *count is 0 at the end, and then
 * the blob is verified. After a failure no other call but the two others.
 * Returns 0, SM_EIMAGE (damaged), SM_EDIGEST (which explains all other damage,
 * so it comes first), SM_EIO, SM_ENOMEM.
 */
int unpacker_read(struct unpacker *unpacker, const void **bytes, size_t *count,
                  struct sm_error *err);
/* What came out makes no sense: is the blob the right one? Nothing can be read
 * any more. Returns 0 or SM_EDIGEST. */
int unpacker_blame(struct unpacker *unpacker, struct sm_error *err);

/* Of the blob, that what was read so far came out of. */
uint64_t unpacker_done_bytes(const struct unpacker *unpacker);

OWN_DEFINE(struct unpacker, unpacker_close)

#endif
