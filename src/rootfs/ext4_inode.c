/* ext4_inode.c: inodes: metadata, devices, symbolic links, link counts. */
#include "rootfs/ext4_image.h"

#include "base/bytes.h"

#include <stdio.h>
#include <string.h>

enum {
    SYMLINK_FAST_MAX = 59, /* bytes that fit where block numbers go, + NUL */
    OLD_DEVICE_MAX = 255   /* major and minor in 16 bits                   */
};

/* ext4 keeps 34 bits of seconds: the low 32 as signed, and two that count the
 * turns of 2^32 from there (Linux, Documentation/filesystems/ext4/inodes). */
static void put_time(struct ext4_time time, uint32_t *seconds, uint32_t *extra)
{
    const int64_t least = INT32_MIN;
    const int64_t most = INT32_MAX + (INT64_C(3) << 32);
    int64_t s = time.seconds;

    s = s < least ? least : s > most ? most : s;
    *seconds = (uint32_t)s;
    *extra = (uint32_t)((s - (int32_t)(uint32_t)s) >> 32 & 3) | time.ns << 2;
}

static void put_device(const struct ext4_meta *meta,
                       struct ext2_inode_large *inode)
{
    uint32_t major = meta->major;
    uint32_t minor = meta->minor;

    if (major <= OLD_DEVICE_MAX && minor <= OLD_DEVICE_MAX)
        inode->i_block[0] = major << 8 | minor;
    else
        inode->i_block[1] =
            (minor & 0xff) | major << 8 | (minor & ~0xffU) << 12;
}

void ext4_fill_inode(const struct ext4_meta *meta,
                     struct ext2_inode_large *inode)
{
    *inode = (struct ext2_inode_large){0};
    inode->i_mode = meta->mode;
    inode->i_uid = (uint16_t)meta->uid;
    inode->osd2.linux2.l_i_uid_high = (uint16_t)(meta->uid >> 16);
    inode->i_gid = (uint16_t)meta->gid;
    inode->osd2.linux2.l_i_gid_high = (uint16_t)(meta->gid >> 16);
    inode->i_links_count = 1;
    inode->i_extra_isize =
        sizeof(struct ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE;
    put_time(meta->atime, &inode->i_atime, &inode->i_atime_extra);
    put_time(meta->mtime, &inode->i_mtime, &inode->i_mtime_extra);
    put_time(meta->mtime, &inode->i_ctime, &inode->i_ctime_extra);
    put_time(meta->mtime, &inode->i_crtime, &inode->i_crtime_extra);
    if (LINUX_S_ISCHR(meta->mode) || LINUX_S_ISBLK(meta->mode))
        put_device(meta, inode);
}

int ext4_read_inode(struct ext4 *image, uint32_t number,
                    struct ext2_inode_large *ret, struct sm_error *err)
{
    errcode_t code = ext2fs_read_inode_full(image->fs, number,
                                            ext2fs_inode(ret), sizeof *ret);

    return code ? ext4_failed(image, code, "read an inode", err) : 0;
}

int ext4_write_inode(struct ext4 *image, uint32_t number,
                     struct ext2_inode_large *inode, struct sm_error *err)
{
    errcode_t code = ext2fs_write_inode_full(
        image->fs, number, ext2fs_inode(inode), sizeof *inode);

    return code ? ext4_failed(image, code, "write an inode", err) : 0;
}

/* Also what lies behind the fields, where extended attributes may be. */
static int clear_inode(struct ext4 *image, uint32_t number,
                       struct sm_error *err)
{
    union {
        struct ext2_inode inode;
        uint8_t bytes[256];
    } zero = {.bytes = {0}};
    errcode_t code =
        ext2fs_write_inode_full(image->fs, number, &zero.inode, sizeof zero);

    return code ? ext4_failed(image, code, "clear an inode", err) : 0;
}

int ext4_node(struct ext4 *image, const struct ext4_meta *meta,
              uint32_t *ret_inode, struct sm_error *err)
{
    struct ext2_inode_large inode;
    int rc = ext4_take_inode(image, LINUX_S_ISDIR(meta->mode), ret_inode, err);

    if (rc)
        return rc;
    ext4_fill_inode(meta, &inode);
    rc = ext4_write_inode(image, *ret_inode, &inode, err);
    if (rc)
        return rc;
    return ext4_set_xattrs(image, *ret_inode, meta->xattrs, meta->xattr_count,
                           err);
}

int ext4_set_meta(struct ext4 *image, uint32_t number,
                  const struct ext4_meta *meta, struct sm_error *err)
{
    struct ext2_inode_large inode;
    errcode_t code;
    int rc = ext4_read_inode(image, number, &inode, err);

    if (rc)
        return rc;
    code = ext2fs_free_ext_attr(image->fs, number, &inode);
    if (code)
        return ext4_failed(image, code, "free extended attributes", err);
    ext4_fill_inode(meta, &inode);
    rc = clear_inode(image, number, err);
    if (!rc)
        rc = ext4_write_inode(image, number, &inode, err);
    if (rc)
        return rc;
    return ext4_set_xattrs(image, number, meta->xattrs, meta->xattr_count, err);
}

int ext4_symlink(struct ext4 *image, const struct ext4_meta *meta,
                 const char *target, uint32_t *ret_inode, struct sm_error *err)
{
    struct ext2_inode_large *inode = &image->stream.inode;
    size_t length = strlen(target);
    int rc;

    if (length == 0 || length > EXT4_SYMLINK_MAX)
        return fail(err, SM_EIMAGE,
                    "symbolic link to %zu bytes: must be 1 to %d", length,
                    EXT4_SYMLINK_MAX);
    rc = ext4_take_inode(image, false, ret_inode, err);
    if (rc)
        return rc;
    ext4_fill_inode(meta, inode);
    if (length <= SYMLINK_FAST_MAX) {
        memcpy(inode->i_block, target, length);
    } else {
        struct ext2_inode_large begin = *inode;

        ext4_stream_begin(image, *ret_inode, &begin);
        rc = ext4_stream_write(image, 0, target, length + 1, err);
        if (!rc)
            rc = ext4_stream_end(image, err);
        if (rc)
            return rc;
    }
    inode->i_size = (uint32_t)length;
    rc = ext4_write_inode(image, *ret_inode, inode, err);
    if (rc)
        return rc;
    return ext4_set_xattrs(image, *ret_inode, meta->xattrs, meta->xattr_count,
                           err);
}

int ext4_readlink(struct ext4 *image, uint32_t number, char *to,
                  struct sm_error *err)
{
    struct ext2_inode_large inode;
    char block[EXT4_BLOCK_BYTES];
    blk64_t physical;
    errcode_t code;
    int rc = ext4_read_inode(image, number, &inode, err);

    if (rc)
        return rc;
    if (ext2fs_is_fast_symlink(ext2fs_inode(&inode))) {
        memcpy(to, inode.i_block, inode.i_size);
        to[inode.i_size] = '\0';
        return 0;
    }
    code = ext2fs_bmap2(image->fs, number, ext2fs_inode(&inode), NULL, 0, 0,
                        NULL, &physical);
    if (!code)
        code = io_channel_read_blk64(image->fs->io, physical, 1, block);
    if (code)
        return ext4_failed(image, code, "read a symbolic link", err);
    memcpy(to, block, inode.i_size);
    to[inode.i_size] = '\0';
    return 0;
}

int ext4_link(struct ext4 *image, uint32_t number, struct sm_error *err)
{
    struct ext2_inode_large inode;
    int rc = ext4_read_inode(image, number, &inode, err);

    if (rc)
        return rc;
    if (inode.i_links_count >= EXT4_LINKS_MAX)
        return fail(err, SM_EIMAGE, "more than %d hard links to one file",
                    EXT4_LINKS_MAX);
    inode.i_links_count++;
    return ext4_write_inode(image, number, &inode, err);
}

static int free_inode(struct ext4 *image, uint32_t number,
                      struct ext2_inode_large *inode, struct sm_error *err)
{
    ext2_filsys fs = image->fs;
    errcode_t code = 0;

    if (ext2fs_inode_has_valid_blocks2(fs, ext2fs_inode(inode)))
        code = ext2fs_punch(fs, number, ext2fs_inode(inode), NULL, 0,
                            ~UINT64_C(0));
    if (!code)
        code = ext2fs_free_ext_attr(fs, number, inode);
    if (code)
        return ext4_failed(image, code, "free an inode", err);
    image->freed = true;
    ext2fs_inode_alloc_stats2(fs, number, -1, LINUX_S_ISDIR(inode->i_mode));
    return clear_inode(image, number, err);
}

int ext4_unlink(struct ext4 *image, uint32_t number, struct sm_error *err)
{
    struct ext2_inode_large inode;
    int rc = ext4_read_inode(image, number, &inode, err);

    if (rc)
        return rc;
    if (inode.i_links_count <= 1)
        return free_inode(image, number, &inode, err);
    inode.i_links_count--;
    return ext4_write_inode(image, number, &inode, err);
}
