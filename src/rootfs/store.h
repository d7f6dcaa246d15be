/* store.h: root file systems of images, kept by content.
 *
 * How it works
 *   HOME/rootfs/KEY.ext4 is the file system of an ordered list of layers on a
 *   disk of one size, KEY their hash. It is made as KEY.tmp, synced, made
 *   read-only and only then renamed: what has its final name is whole, for
 *   ever, and finding it is one look-up. KEY.json beside it says in words
 *   what KEY stands for.
 *
 *   Whoever makes one holds a lock on KEY.lock; another process that wants
 *   the same waits and finds it made. A KEY.tmp whose lock is free was left
 *   by a process that died, and the next one that makes anything removes it.
 */
#ifndef SM_ROOTFS_STORE_H
#define SM_ROOTFS_STORE_H

#include "oci/image.h"

/* Part of the key: to be raised whenever the same layers give other bytes. */
enum { ROOTFS_FORMAT = 1 };

struct rootfs_progress {
    size_t layer; /* from 0 */
    size_t layer_count;
    uint64_t done_bytes; /* of all layers as they are stored */
    uint64_t total_bytes;
};

typedef void rootfs_progress_fn(void *context,
                                const struct rootfs_progress *progress);

struct rootfs_options {
    const char *home;        /* an absolute folder; made if missing          */
    uint64_t disk_bytes;     /* see ext4.h                                   */
    uint64_t unpacked_limit; /* bytes that all layers may unpack to together;
                                0: four times the disk                       */
    rootfs_progress_fn *progress; /* may be NULL                             */
    void *context;
};

/*
 * The root file system of (image), whose blobs (source) has; made unless it
 * is there.
 *
 * *ret_path    absolute if home is; the caller frees it.
 * *ret_reused  it was there.
 * Returns      0, SM_EINVAL (disk size), SM_ENOSPC, SM_EACCES, SM_EIMAGE,
 *              SM_EDIGEST, SM_ELIMIT, SM_ENOMEM, SM_EIO. On failure nothing
 *              is left behind.
 */
int rootfs_prepare(struct oci_source *source, const struct oci_image *image,
                   const struct rootfs_options *options, char **ret_path,
                   bool *ret_reused, struct sm_error *err);

#endif
