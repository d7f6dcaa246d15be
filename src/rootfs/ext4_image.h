/* ext4_image.h: what the files of the ext4 writer (ext4*.c) share. */
#ifndef SM_ROOTFS_EXT4_IMAGE_H
#define SM_ROOTFS_EXT4_IMAGE_H

#include "rootfs/ext4.h"

#include <ext2fs/ext2fs.h>

enum {
    EXT4_INLINE_EXTENTS = 4,      /* fit into the inode                  */
    EXT4_EXTENT_BLOCKS = 1 << 15, /* longest extent of initialized blocks */
    EXT4_WRITE_BYTES = 256 << 10  /* collected before blocks are taken   */
};

/* Blocks of a file that lie side by side. */
struct ext4_run {
    uint64_t logical;
    uint64_t physical;
    uint64_t blocks;
};

/*
 * The content of one inode while it is written, in order. Runs that no
 * longer grow are put down in the inode: four there, more in a tree that
 * libext2fs builds behind `tree`.
 */
struct ext4_stream {
    uint32_t number;
    struct ext2_inode_large inode;
    struct ext4_run runs[EXT4_INLINE_EXTENTS];
    unsigned run_count;
    ext2_extent_handle_t tree; /* NULL: four or fewer runs so far */
    struct ext4_run last;      /* may still grow; no blocks: none  */
    uint64_t at;               /* file offset of bytes[0], a multiple of
                                  a block                          */
    size_t used;               /* bytes that wait                  */
    uint8_t *bytes;            /* EXT4_WRITE_BYTES                 */
};

struct ext4 {
    ext2_filsys fs;
    uint64_t next_block; /* where the search for a free one begins */
    uint32_t next_inode;
    bool freed; /* blocks were given back                 */
    struct ext4_stream stream;
};

/* "(what): why", with the code that fits. Returns it. */
int ext4_failed(const struct ext4 *image, errcode_t code, const char *what,
                struct sm_error *err);

/* Up to (want) > 0 free blocks side by side, which are then in use. */
int ext4_take_blocks(struct ext4 *image, uint64_t want, struct ext4_run *ret,
                     struct sm_error *err);
int ext4_take_inode(struct ext4 *image, bool directory, uint32_t *ret,
                    struct sm_error *err);

/* An inode's fields out of (meta), with one link and no content. */
void ext4_fill_inode(const struct ext4_meta *meta,
                     struct ext2_inode_large *inode);
int ext4_read_inode(struct ext4 *image, uint32_t number,
                    struct ext2_inode_large *ret, struct sm_error *err);
int ext4_write_inode(struct ext4 *image, uint32_t number,
                     struct ext2_inode_large *inode, struct sm_error *err);

/* Content for inode (number), whose fields are (inode); it is written to disk
 * by its owner after the end. */
void ext4_stream_begin(struct ext4 *image, uint32_t number,
                       const struct ext2_inode_large *inode);
int ext4_stream_write(struct ext4 *image, uint64_t offset, const void *bytes,
                      size_t count, struct sm_error *err);
/* The inode has its extents and block count afterwards, not its size. */
int ext4_stream_end(struct ext4 *image, struct sm_error *err);

/* The extended attributes of a new inode that is on the disk. */
int ext4_set_xattrs(struct ext4 *image, uint32_t number,
                    const struct ext4_xattr *xattrs, size_t count,
                    struct sm_error *err);

#endif
