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
 *   overlay_seal() and overlay_freeze() make a file immutable for ever; then
 *   it can be the base of further overlays (snapshots, forks), up to
 *   BLOCK_DEPTH_MAX deep. overlay_split() does that under a disk in use, and
 *   overlay_merge() makes one layer out of several, which may then take their
 *   place: a layer is known by its identity, and both have the same.
 *
 * What a crash leaves of a seal
 *   A seal writes the bits, then the header's flag, and waits for nothing: the
 *   host's file system holds all of it, some of it in memory. kill -9 in
 *   between leaves an overlay that is not sealed, with all its writes; later,
 *   a sealed one with all its writes. A loss of power before the file was
 *   synced may leave any part: the flag without the bits, bits without their
 *   data, and that also where a cluster was copied up for the first time since
 *   the last flush. It is the only case in which a bit may lie, so nothing
 *   that outlives a loss of power (a manifest, a name) may refer to the file
 *   before file_sync() on it has returned 0. Overlays above are safe: their
 *   flush syncs the sealed ones below that were not synced, before it writes
 *   anything that could need them. overlay_freeze() flushes first, so there is
 *   no such moment in it.
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

/*
 * Make the block and its file immutable without waiting for the disk: some
 * pages are written, none is synced. Who needs the file durable calls
 * file_sync() on it, before anything refers to it. On failure the block can be
 * used as before (bits may be written whose data a loss of power takes, until
 * the next flush). Sealing a sealed one does nothing.
 *
 * (block) must be an overlay.
 * Errors      SM_EIO, SM_ENOSPC; SM_EACCES (open read-only, not sealed)
 */
int overlay_seal(struct block *block, struct sm_error *err);

/* Flush, seal and sync: all of it is durable. Errors as overlay_seal(). When
 * the last sync failed, it is sealed and stays of unknown durability. */
int overlay_freeze(struct block *block, struct sm_error *err);

/*
 * Seal (block), an overlay, and make a new one over it in the empty file (fd),
 * of the same size: writes go there from now on. On failure neither is
 * changed, and (block) can be written to as before.
 *
 * Ownership   the new block owns (fd) and (block) once this returned 0
 * Errors      as overlay_create() and overlay_seal()
 */
int overlay_split(struct block *block, int fd, struct block **ret,
                  struct sm_error *err);

/*
 * Write into the empty file (fd) one sealed overlay with everything that (top)
 * and the overlays below it hold: it reads as (top), has its identity, and
 * its base is the first block below that is no overlay. Holes stay holes.
 *
 * top         an overlay; it and all overlays below are sealed
 * Memory      two pages of bitmap, whatever the size
 * Durability  nothing is synced. The header is written last, so what a kill
 *             leaves is no overlay; after a loss of power only file_sync() says
 *             that it is one
 * Threads     any, also while another one reads from (top): nothing of it
 *             changes. It must not be freed meanwhile
 * Ownership   the caller's, both
 * Errors      SM_EINVAL (not sealed), SM_EEXIST (file not empty), SM_ENOSPC,
 *             SM_EIO, SM_ENOMEM; the file's content is then of no use
 */
int overlay_merge(struct block *top, int fd, struct sm_error *err);

/*
 * Put (base) in the place of the block that (block), an overlay, is over. Both
 * must be of the same identity and size, and hold the same. Nothing may lie
 * over (block). Its next flush syncs the layers that came.
 *
 * Ownership   the former base is freed, and (base) owned, once this returned 0
 * Errors      SM_EINVAL (another identity or size, or not read-only),
 *             SM_ELIMIT (too deep); nothing has changed then
 */
int overlay_rebase(struct block *block, struct block *base,
                   struct sm_error *err);

/* What (block) is over, owned by it; NULL: it is no overlay. */
struct block *overlay_base(struct block *block);

/*
 * Open sealed layers, fds[0] the lowest, over (base), a read-only block that
 * is no overlay: *ret is the topmost, or (base) if there are none. The files
 * may be anybody's, and need no right to write.
 *
 * Ownership   (base) and all of (fds) belong to *ret; when this fails they are
 *             freed and closed, every one
 * Errors      SM_EIMAGE (also: a layer that is not sealed), SM_ENOTSUP,
 *             SM_ELIMIT, SM_EINVAL, SM_EIO, SM_ENOMEM, saying which layer
 */
int overlay_open_chain(struct block *base, const int *fds, unsigned count,
                       struct block **ret, struct sm_error *err);

/* Bytes of clusters that this layer holds itself; reads the whole bitmap. */
int overlay_used_bytes(struct block *block, uint64_t *bytes,
                       struct sm_error *err);

#endif
