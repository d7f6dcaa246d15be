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
 *
 *   A machine holds a shared lock on the KEY.ext4 that its disk is on, for as
 *   long as its worker lives. Who removes one locks it exclusively: what is in
 *   use stays.
 */
#ifndef SM_ROOTFS_STORE_H
#define SM_ROOTFS_STORE_H

#include "oci/image.h"

/* Part of the key: to be raised whenever the same layers give other bytes. */
enum { ROOTFS_FORMAT = 2 };

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

/* KEY, for layers of these diff_ids on a disk of (disk_bytes). */
int rootfs_key(const struct digest *diff_ids, size_t count, uint64_t disk_bytes,
               struct digest *ret, struct sm_error *err);

/* One that is there. */
struct rootfs_kept {
    const char *path; /* of KEY.ext4                         */
    struct digest key;
    uint64_t disk_bytes; /* as the guest sees it                */
    uint64_t used_bytes; /* that it takes up on the host's disk */
    /* That become free there when it goes: none, if a snapshot has it too. */
    uint64_t freed_bytes;
};

/* A result other than 0 ends the walk. */
typedef int rootfs_kept_fn(void *context, const struct rootfs_kept *kept,
                           struct sm_error *err);

/* Call (fn) for each root file system of (home); it may remove it. */
int rootfs_walk(const char *home, rootfs_kept_fn *fn, void *context,
                struct sm_error *err);

/* A machine runs on the file (path). */
bool rootfs_in_use(const char *path);

/* Returns 0 (also if it is not there), SM_EBUSY (a machine runs on it, or it
 * is being made), SM_EACCES, SM_ENOMEM, SM_EIO. */
int rootfs_remove(const char *home, const struct digest *key,
                  struct sm_error *err);

/* Is it what its name says: its note, its size and its superblock?
 * Returns 0, SM_EIMAGE (it is not), SM_ENOENT (it has no note), SM_ENOMEM,
 * SM_EIO. */
int rootfs_check(const struct rootfs_kept *kept, struct sm_error *err);

/* What dead processes left half-made. */
void rootfs_sweep(const char *home);

#endif
