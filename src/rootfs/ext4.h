/* ext4.h: an ext4 image in the making, over libext2fs.
 *
 * How it works
 *   The image is a sparse file that is written once, front to back as far as
 *   that goes: inodes and blocks are handed out in order, the contents of a
 *   file go to the disk while they arrive, and directories, which others keep
 *   in memory until then (tree.h), are written last. Nothing can be read
 *   through the kernel, or with another tool, before ext4_finish().
 *
 *   An inode has as many links as ext4_link() and ext4_unlink() say; the last
 *   one gone, its blocks are free again. The space of freed blocks is given
 *   back to the host at the end.
 *
 *   The file system has 4 KiB blocks, 256-byte inodes, extents, checksums,
 *   indexed directories, a journal of 4 MiB, no lost+found and no reserved
 *   blocks. Inode tables count as zeroed, because a sparse file is zero: the
 *   kernel has nothing left to initialize. The same calls give the same bytes.
 *
 *   Errors: SM_ELIMIT when the image does not fit its disk, SM_ENOSPC when the
 *   host's disk is full, SM_EIO, SM_ENOMEM; SM_EIMAGE for what ext4 cannot
 *   hold. After an error the image is only good for ext4_free().
 *
 *   Threads: one at a time per image.
 */
#ifndef SM_ROOTFS_EXT4_H
#define SM_ROOTFS_EXT4_H

#include "base/error.h"
#include "base/own.h"

#include <stdbool.h>

enum {
    EXT4_BLOCK_BYTES = 4096,
    EXT4_ROOT_INODE = 2,
    EXT4_LINKS_MAX = 65000,
    EXT4_SYMLINK_MAX = 4095 /* bytes of its target */
};

#define EXT4_DISK_MIN (UINT64_C(32) << 20)
#define EXT4_DISK_MAX (UINT64_C(8) << 40)

struct ext4;

struct ext4_params {
    uint64_t disk_bytes;   /* EXT4_DISK_MIN to _MAX, a multiple of a block */
    uint8_t uuid[16];      /* of the file system                           */
    uint8_t hash_seed[16]; /* of its directories                           */
    const char *label;     /* at most 16 bytes                             */
};

/* What ext4 cannot hold is moved to the nearest that it can: 1901 to 2446. */
struct ext4_time {
    int64_t seconds; /* since 1970      */
    uint32_t ns;     /* below 1 000 000 000 */
};

/* (value) as getxattr(2) gives it. */
struct ext4_xattr {
    const char *name;
    const void *value;
    size_t bytes;
};

struct ext4_meta {
    uint16_t mode; /* type and permissions, as st_mode */
    uint32_t uid;
    uint32_t gid;
    struct ext4_time atime;
    struct ext4_time mtime;
    uint32_t major; /* of a device */
    uint32_t minor;
    const struct ext4_xattr *xattrs;
    size_t xattr_count;
};

/* Make the file (path), which exists and is empty, a file system of size
 * disk_bytes. Its root directory is made with ext4_directory_write(). */
int ext4_create(const char *path, const struct ext4_params *params,
                struct ext4 **ret, struct sm_error *err);
/* Write out all that is left. (image) is freed in any case. The file is not
 * synced. */
int ext4_finish(struct ext4 *image, struct sm_error *err);
/* Give up. NULL is fine. */
void ext4_free(struct ext4 *image);

OWN_DEFINE(struct ext4, ext4_free)

/* Bytes of the file that are in use so far. */
uint64_t ext4_used_bytes(const struct ext4 *image);
/* How many inodes there are in all. */
uint32_t ext4_inode_limit(const struct ext4 *image);

/* A device, a fifo, or a directory whose entries come later. One link. */
int ext4_node(struct ext4 *image, const struct ext4_meta *meta,
              uint32_t *ret_inode, struct sm_error *err);
int ext4_symlink(struct ext4 *image, const struct ext4_meta *meta,
                 const char *target, uint32_t *ret_inode, struct sm_error *err);
/* Give a directory that has no entries yet other metadata. */
int ext4_set_meta(struct ext4 *image, uint32_t inode,
                  const struct ext4_meta *meta, struct sm_error *err);

/*
 * A regular file: one at a time between _begin and _end. (offset) never goes
 * back; what is left out becomes a hole. (bytes) of _end is the size of the
 * file, at least the end of what was written.
 */
int ext4_file_begin(struct ext4 *image, struct sm_error *err);
int ext4_file_write(struct ext4 *image, uint64_t offset, const void *bytes,
                    size_t count, struct sm_error *err);
int ext4_file_end(struct ext4 *image, uint64_t bytes,
                  const struct ext4_meta *meta, uint32_t *ret_inode,
                  struct sm_error *err);

/* One link more, one link less; the last frees the inode. */
int ext4_link(struct ext4 *image, uint32_t inode, struct sm_error *err);
int ext4_unlink(struct ext4 *image, uint32_t inode, struct sm_error *err);

/* The target with a NUL; (to) has EXT4_SYMLINK_MAX + 1 bytes. */
int ext4_readlink(struct ext4 *image, uint32_t inode, char *to,
                  struct sm_error *err);

struct ext4_dirent {
    const char *name; /* (length) bytes, no NUL */
    uint32_t inode;
    uint32_t hash; /* of ext4_directory_write() */
    uint8_t length;
    uint8_t type; /* S_IFMT of st_mode >> 12   */
};

/*
 * Give directory (inode) its (entries), of which (directories) are
 * directories; its parent is (parent). Entries may be put in another order.
 * To be called once for each directory, when nothing else comes any more.
 */
int ext4_directory_write(struct ext4 *image, uint32_t inode, uint32_t parent,
                         struct ext4_dirent *entries, size_t count,
                         size_t directories, struct sm_error *err);

#endif
