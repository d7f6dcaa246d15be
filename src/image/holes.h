/* holes.h: files with holes as blobs, and back (docs/FORMAT.md).
 *
 * How it works
 *   A blob is a stream that is compressed with zstd. It begins with "SMHOLES"
 *   and a zero, and the file's size, u64; runs follow, { u64 at, u64 count, the
 *   bytes }, in ascending order and apart from each other; the last has a count
 *   of 0 and the file's size. Numbers are little-endian. What no run covers is
 * a hole, on both sides: it costs nothing.
 */
#ifndef SM_IMAGE_HOLES_H
#define SM_IMAGE_HOLES_H

#include "oci/blob.h"

/*
 * The first (bytes) of (fd) into a nameless file in the folder (home).
 * *ret_fd is the caller's; *ret_digest and *ret_bytes are the blob's.
 * SM_ENOSPC, SM_ENOMEM, SM_EIO.
 */
int holes_pack(int fd, uint64_t bytes, const char *home, int *ret_fd,
               struct digest *ret_digest, uint64_t *ret_bytes,
               struct sm_error *err);

/*
 * (blob) into the empty file (fd), which will have (bytes); the blob is read to
 * its end, and so verified. SM_EIMAGE (no such stream; another size),
 * SM_EDIGEST, SM_ENOSPC, SM_ENOMEM, SM_EIO.
 */
int holes_unpack(struct blob *blob, int fd, uint64_t bytes,
                 struct sm_error *err);

#endif
