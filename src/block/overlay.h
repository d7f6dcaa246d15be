/* overlay.h: a sparse copy-on-write layer over an immutable block.
 *
 * How it works
 *   The disk is cut into clusters of 4 KiB. One bit per cluster says where it
 *   is read: from the base below (0) or from this file (1). A write to a
 *   cluster whose bit is 0 puts the whole cluster into the file, the part that
 *   the guest did not write copied up from the base, and sets the bit. A
 *   cluster has its place in the file from the beginning, so nothing is ever
 *   moved and an unwritten cluster is a hole:
 *
 *       0           header page                (little endian, see overlay.c)
 *       4096        bitmap, whole pages        cluster c: bit c % 8 of byte c/8
 *       data        cluster c at data + c * 4096
 *
 *   Making an overlay writes one page, whatever the size of the disk; the
 *   bitmap is read page by page when it is first needed.
 *
 * What a crash leaves
 *   New bits stay in memory until a flush, which makes the data durable, then
 *   writes the bitmap, then makes that durable. So a bit on the disk implies
 *   that its data is there, after kill -9 and after power loss alike; and what
 *   is lost is what any disk with a volatile write cache may lose. kill -9
 *   alone loses the writes since the last flush to clusters that were new.
 *
 * Layers
 *   overlay_freeze() makes the file immutable for ever; then it can be the
 *   base of further overlays (snapshots, forks), up to BLOCK_DEPTH_MAX deep.
 */
#ifndef SM_BLOCK_OVERLAY_H
#define SM_BLOCK_OVERLAY_H

#include "block/block.h"

enum { OVERLAY_CLUSTER_BYTES = 4096 };
/* The largest disk: a bitmap of 128 MiB, held only where it is used. */
#define OVERLAY_BYTES_MAX (UINT64_C(4) << 40)

/*
 * Make an empty overlay in the empty file (fd), open for reading and writing;
 * a file without a name (O_TMPFILE) will do.
 *
 * bytes       the disk's size: at least the base's, whole clusters, at most
 *             OVERLAY_BYTES_MAX; what lies beyond the base reads as zero
 * Ownership   the block owns (fd) and (base) once this returned 0. (base) must
 *             be read-only.
 * Errors      SM_EINVAL, SM_ELIMIT (chain too deep, disk too large),
 *             SM_EEXIST (file not empty), SM_ENOSPC, SM_EIO, SM_ENOMEM
 *
 * The header is not durable before the first flush.
 */
int overlay_create(int fd, struct block *base, uint64_t bytes,
                   struct block **ret, struct sm_error *err);

/*
 * Open an overlay that was made before. A frozen one, or (read_only), gives a
 * read-only block, for which (fd) needs no right to write.
 *
 * Errors      SM_EIMAGE (not an overlay, damaged, made over another base),
 *             SM_ENOTSUP (of a newer version), and as above
 * Ownership   as above
 */
int overlay_open(int fd, struct block *base, bool read_only, struct block **ret,
                 struct sm_error *err);

/* Flush, and make the block and its file immutable. Errors: SM_EIO, SM_ENOSPC.
 * (block) must be an overlay. Freezing a frozen one does nothing. */
int overlay_freeze(struct block *block, struct sm_error *err);

/* Bytes of clusters that this layer holds itself; reads the whole bitmap. */
int overlay_used_bytes(struct block *block, uint64_t *bytes,
                       struct sm_error *err);

#endif
