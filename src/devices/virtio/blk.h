/* blk.h: the virtio disk (virtio 1.2, 5.2) over a block/.
 *
 * How it works
 *   One queue. A request is a header of 16 bytes (type, sector), data, and one
 *   status byte at the end. Requests are served in order on the loop's thread,
 *   each to its end, straight between guest memory and the host's file.
 *   The disk has a volatile write cache: FLUSH is block_flush(). A driver that
 *   did not negotiate FLUSH gets each write flushed before its completion
 *   (5.2.6.2).
 *
 *   A disk may be put in, changed or taken out while the machine runs: the
 *   capacity changes and the driver is told. A template is booted with disks
 *   of size 0 that get their files on restore. A request on a device without
 *   a disk, or beyond its end, fails with IOERR.
 */
#ifndef SM_DEVICES_VIRTIO_BLK_H
#define SM_DEVICES_VIRTIO_BLK_H

#include "block/block.h"
#include "devices/virtio/virtio.h"

enum {
    BLK_SERIAL_BYTES = 20, /* of GET_ID, padded with NUL */
    BLK_SECTOR_BYTES = 512,
    BLK_BLOCK_BYTES = 4096 /* logical block size told to the guest is 512;
                              this is the optimal I/O granule */
};

struct blk;

struct blk_config {
    struct virtio_env env;
    struct block *disk; /* NULL: none yet. The device owns it once blk_new()
                           returned 0. */
    bool read_only; /* offer the RO feature; a read-only disk behind a device
                       without it refuses writes all the same */
    const char *serial; /* at most BLK_SERIAL_BYTES bytes; NULL: "" */
};

struct blk_state {
    uint64_t capacity; /* sectors, as last told to the guest */
    uint8_t writeback; /* 1 with a write cache: only the driver can change it */
};

/* Of requests that were served, since the device was made. */
struct blk_counters {
    uint64_t read_bytes;
    uint64_t written_bytes;
    uint64_t reads;
    uint64_t writes;
};

int blk_new(const struct blk_config *config, struct blk **ret,
            struct sm_error *err);
struct virtio_device *blk_device(struct blk *blk);
/* Any thread. */
struct blk_counters blk_counters(const struct blk *blk);

/*
 * Put (disk) in instead of the former one, which is flushed and freed; NULL:
 * take out. The guest is told of the new capacity. Any thread; waits for a
 * request under way. Whole sectors count.
 *
 * After device_load() the capacity is that of the record, and requests fail
 * until a disk is put in.
 *
 * Ownership   the device owns (disk), also when this fails
 * Errors      SM_EIO, SM_ENOSPC: the former disk could not be flushed; the new
 *             one is in all the same
 */
int blk_set_disk(struct blk *blk, struct block *disk, struct sm_error *err);

/*
 * Put (disk), which reads the same and is as large, in the place of the former
 * one, which is returned, neither flushed nor freed: a layer was put over it.
 * The guest is not told, and cannot notice. Any thread; waits for a request
 * under way.
 *
 * Ownership   the device owns (disk), the caller what is returned
 */
struct block *blk_swap_disk(struct blk *blk, struct block *disk);
/* The device's own; NULL: none. Changes by the two calls above only. */
struct block *blk_disk(const struct blk *blk);

#endif
