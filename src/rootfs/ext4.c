/* ext4.c: making and finishing an ext4 image, and what is free in it. */
#include "rootfs/ext4_image.h"

#include "base/bytes.h"

#include <errno.h>
#include <et/com_err.h>
#include <stdio.h>
#include <string.h>

enum {
    JOURNAL_BLOCKS = 1024,   /* 4 MiB, the least that jbd2 takes         */
    BYTES_PER_INODE = 16384, /* as mke2fs has it                        */
    GROUPS_PER_FLEX_LOG = 4,
    FIXED_TIME = 1 /* where libext2fs would put the present; not 0, which
                      means "ask the clock" to it */
};

int ext4_failed(const struct ext4 *image, errcode_t code, const char *what,
                struct sm_error *err)
{
    struct ext2_super_block *super = image->fs->super;

    if (code == EXT2_ET_BLOCK_ALLOC_FAIL)
        return fail(err, SM_ELIMIT,
                    "%s: the disk of %llu MiB is full: a larger one is needed",
                    what,
                    (unsigned long long)(ext2fs_blocks_count(super) /
                                         (MIB / EXT4_BLOCK_BYTES)));
    if (code == EXT2_ET_INODE_ALLOC_FAIL)
        return fail(err, SM_ELIMIT,
                    "%s: more than %u files: a larger disk is needed", what,
                    super->s_inodes_count);
    if (code == EXT2_ET_NO_MEMORY)
        return fail(err, SM_ENOMEM, "%s: out of memory", what);
    /* A regular file takes less than it is given when the disk is full. */
    if (code == EXT2_ET_SHORT_WRITE)
        code = ENOSPC;
    if (code > 0 && code < 4096)
        return fail_errno(err, (int)code, "%s", what);
    return fail(err, SM_EIO, "%s: %s", what, error_message(code));
}

/* ---- making ---- */

static void set_features(struct ext2_super_block *super)
{
    ext2fs_set_feature_xattr(super);
    ext2fs_set_feature_dir_index(super);
    ext2fs_set_feature_filetype(super);
    ext2fs_set_feature_extents(super);
    ext2fs_set_feature_64bit(super);
    ext2fs_set_feature_flex_bg(super);
    ext2fs_set_feature_sparse_super(super);
    ext2fs_set_feature_large_file(super);
    ext2fs_set_feature_huge_file(super);
    ext2fs_set_feature_dir_nlink(super);
    ext2fs_set_feature_extra_isize(super);
    ext2fs_set_feature_metadata_csum(super);
}

static void set_geometry(struct ext2_super_block *super, uint64_t disk_bytes)
{
    const uint16_t extra =
        sizeof(struct ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE;

    set_features(super);
    ext2fs_blocks_count_set(super, disk_bytes / EXT4_BLOCK_BYTES);
    super->s_inodes_count =
        (uint32_t)min_u64(disk_bytes / BYTES_PER_INODE, UINT32_MAX - 8192);
    super->s_log_block_size = 2; /* 1 KiB << 2 */
    super->s_log_cluster_size = 2;
    super->s_rev_level = EXT2_DYNAMIC_REV;
    super->s_inode_size = 256;
    super->s_desc_size = EXT2_MIN_DESC_SIZE_64BIT;
    super->s_log_groups_per_flex = GROUPS_PER_FLEX_LOG;
    super->s_min_extra_isize = extra;
    super->s_want_extra_isize = extra;
}

static void set_identity(ext2_filsys fs, const struct ext4_params *params)
{
    struct ext2_super_block *super = fs->super;

    fs->now = FIXED_TIME;
    super->s_mkfs_time = FIXED_TIME;
    super->s_lastcheck = FIXED_TIME;
    super->s_checksum_type = EXT2_CRC32C_CHKSUM;
    super->s_def_hash_version = EXT2_HASH_HALF_MD4;
    super->s_flags |= EXT2_FLAGS_UNSIGNED_HASH;
    super->s_errors = EXT2_ERRORS_RO;
    super->s_max_mnt_count = -1;
    memcpy(super->s_uuid, params->uuid, sizeof super->s_uuid);
    memcpy(super->s_hash_seed, params->hash_seed, sizeof super->s_hash_seed);
    memcpy(super->s_volume_name, params->label,
           strnlen(params->label, sizeof super->s_volume_name));
    ext2fs_init_csum_seed(fs);
}

/* No inode is in use, all tables are zero already. libext2fs takes the marks
 * off the groups that it then uses. */
static void mark_groups(ext2_filsys fs)
{
    for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
        ext2fs_bg_flags_set(fs, group,
                            EXT2_BG_INODE_UNINIT | EXT2_BG_INODE_ZEROED);
        ext2fs_bg_itable_unused_set(fs, group, fs->super->s_inodes_per_group);
        ext2fs_group_desc_csum_set(fs, group);
    }
}

static errcode_t make_journal(ext2_filsys fs)
{
    struct ext2fs_journal_params journal = {
        .num_journal_blocks = JOURNAL_BLOCKS,
    };

    return ext2fs_add_journal_inode3(
        fs, &journal, fs->super->s_first_data_block + 1,
        EXT2_MKJOURNAL_LAZYINIT | EXT2_MKJOURNAL_NO_MNT_CHECK);
}

/* Inodes 1 to 10, of which only the root (and later the journal) is used. */
static int make_first_inodes(struct ext4 *image, struct sm_error *err)
{
    static const struct ext4_meta root_meta = {.mode = LINUX_S_IFDIR | 0755};
    ext2_filsys fs = image->fs;
    struct ext2_inode_large root;

    for (ext2_ino_t number = 1; number < EXT2_FIRST_INODE(fs->super); number++)
        ext2fs_inode_alloc_stats2(fs, number, +1, number == EXT2_ROOT_INO);
    image->next_inode = EXT2_FIRST_INODE(fs->super);
    ext4_fill_inode(&root_meta, &root);
    return ext4_write_inode(image, EXT2_ROOT_INO, &root, err);
}

static int make_file_system(struct ext4 *image, const char *path,
                            const struct ext4_params *params,
                            struct sm_error *err)
{
    struct ext2_super_block super = {0};
    errcode_t code;

    set_geometry(&super, params->disk_bytes);
    code = ext2fs_initialize(path, EXT2_FLAG_64BITS, &super, unix_io_manager,
                             &image->fs);
    if (code) {
        image->fs = NULL;
        return code < 4096
                   ? fail_errno(err, (int)code, "open %s", path)
                   : fail(err, SM_EIO, "%s: %s", path, error_message(code));
    }
    set_identity(image->fs, params);
    code = ext2fs_allocate_tables(image->fs);
    if (code)
        return ext4_failed(image, code, "inode tables", err);
    mark_groups(image->fs);
    code = make_journal(image->fs);
    if (code)
        return ext4_failed(image, code, "journal", err);
    return make_first_inodes(image, err);
}

int ext4_create(const char *path, const struct ext4_params *params,
                struct ext4 **ret, struct sm_error *err)
{
    AUTO(ext4_freep) struct ext4 *image = NULL;
    int rc;

    if (params->disk_bytes < EXT4_DISK_MIN ||
        params->disk_bytes > EXT4_DISK_MAX ||
        !is_aligned(params->disk_bytes, EXT4_BLOCK_BYTES))
        return fail(err, SM_EINVAL,
                    "root disk of %llu bytes: must be %llu MiB to %llu GiB "
                    "and a multiple of %d",
                    (unsigned long long)params->disk_bytes,
                    (unsigned long long)(EXT4_DISK_MIN / MIB),
                    (unsigned long long)(EXT4_DISK_MAX / GIB),
                    EXT4_BLOCK_BYTES);
    initialize_ext2_error_table();
    image = calloc(1, sizeof *image);
    if (!image)
        return fail(err, SM_ENOMEM, "out of memory");
    image->stream.bytes = malloc(EXT4_WRITE_BYTES);
    if (!image->stream.bytes)
        return fail(err, SM_ENOMEM, "out of memory");
    if (truncate(path, (off_t)params->disk_bytes) != 0)
        return fail_os(err, "size of %s", path);
    rc = make_file_system(image, path, params, err);
    if (rc)
        return rc;
    *ret = own_take(image);
    return 0;
}

void ext4_free(struct ext4 *image)
{
    if (!image)
        return;
    ext2fs_extent_free(image->stream.tree);
    free(image->stream.bytes);
    if (image->fs)
        ext2fs_free(image->fs);
    free(image);
}

/* ---- what is free ---- */

static errcode_t find_free(const struct ext4 *image, uint64_t from,
                           uint64_t *ret)
{
    ext2_filsys fs = image->fs;
    blk64_t found;
    errcode_t code = ext2fs_find_first_zero_block_bitmap2(
        fs->block_map, from, ext2fs_blocks_count(fs->super) - 1, &found);

    if (!code)
        *ret = found;
    return code;
}

int ext4_take_blocks(struct ext4 *image, uint64_t want, struct ext4_run *ret,
                     struct sm_error *err)
{
    ext2_filsys fs = image->fs;
    uint64_t end = ext2fs_blocks_count(fs->super);
    blk64_t used;
    errcode_t code = ENOENT;

    if (image->next_block < end)
        code = find_free(image, image->next_block, &ret->physical);
    if (code == ENOENT)
        code = find_free(image, fs->super->s_first_data_block, &ret->physical);
    if (code)
        return ext4_failed(image,
                           code == ENOENT ? EXT2_ET_BLOCK_ALLOC_FAIL : code,
                           "free blocks", err);
    ret->blocks = min_u64(want, end - ret->physical);
    if (ext2fs_find_first_set_block_bitmap2(fs->block_map, ret->physical,
                                            ret->physical + ret->blocks - 1,
                                            &used) == 0)
        ret->blocks = used - ret->physical;
    ext2fs_block_alloc_stats_range(fs, ret->physical, (blk_t)ret->blocks, +1);
    image->next_block = ret->physical + ret->blocks;
    return 0;
}

int ext4_take_inode(struct ext4 *image, bool directory, uint32_t *ret,
                    struct sm_error *err)
{
    ext2_filsys fs = image->fs;
    ext2_ino_t last = fs->super->s_inodes_count;
    ext2_ino_t found;
    errcode_t code = ENOENT;

    if (image->next_inode <= last)
        code = ext2fs_find_first_zero_inode_bitmap2(
            fs->inode_map, image->next_inode, last, &found);
    if (code == ENOENT)
        code = ext2fs_find_first_zero_inode_bitmap2(
            fs->inode_map, EXT2_FIRST_INODE(fs->super), last, &found);
    if (code)
        return ext4_failed(image,
                           code == ENOENT ? EXT2_ET_INODE_ALLOC_FAIL : code,
                           "free inodes", err);
    ext2fs_inode_alloc_stats2(fs, found, +1, directory);
    image->next_inode = found + 1;
    *ret = found;
    return 0;
}

uint64_t ext4_used_bytes(const struct ext4 *image)
{
    struct ext2_super_block *super = image->fs->super;

    return (ext2fs_blocks_count(super) - ext2fs_free_blocks_count(super)) *
           EXT4_BLOCK_BYTES;
}

uint32_t ext4_inode_limit(const struct ext4 *image)
{
    return image->fs->super->s_inodes_count;
}

/* ---- finishing ---- */

/* Blocks that were written and then freed become holes of the file again. A
 * host that cannot do that keeps them: a larger file, nothing else. */
static void punch_freed(struct ext4 *image)
{
    ext2_filsys fs = image->fs;
    uint64_t end = ext2fs_blocks_count(fs->super);
    uint64_t at = fs->super->s_first_data_block;

    while (at < end && find_free(image, at, &at) == 0) {
        blk64_t used = end;

        if (ext2fs_find_first_set_block_bitmap2(fs->block_map, at, end - 1,
                                                &used) != 0)
            used = end;
        (void)io_channel_discard(fs->io, at, used - at);
        at = used;
    }
}

int ext4_finish(struct ext4 *image, struct sm_error *err)
{
    AUTO(ext4_freep) struct ext4 *owned = image;
    errcode_t code;

    if (owned->freed)
        punch_freed(owned);
    ext2fs_mark_super_dirty(owned->fs);
    ext2fs_mark_valid(owned->fs);
    code = ext2fs_close2(owned->fs, EXT2_FLAG_FLUSH_NO_SYNC);
    if (code)
        return ext4_failed(owned, code, "finish the file system", err);
    owned->fs = NULL;
    return 0;
}
