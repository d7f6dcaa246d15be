/* ext4_file.c: contents of files, put on the disk while they arrive.
 *
 * How it works
 *   Bytes are collected until EXT4_WRITE_BYTES are there, then blocks for all
 *   of them are taken at once and written; the next ones follow side by side,
 *   so most files are one run of blocks. Four runs fit into the inode; a file
 *   that needs more (holes, a fragmented disk) gets an extent tree.
 */
#include "rootfs/ext4_image.h"

#include "base/bytes.h"

#include <ext2fs/ext3_extents.h>
#include <string.h>

/* ---- runs of blocks ---- */

static errcode_t tree_insert(struct ext4_stream *stream,
                             const struct ext4_run *run)
{
    struct ext2fs_extent extent = {
        .e_lblk = run->logical,
        .e_pblk = run->physical,
        .e_len = (uint32_t)run->blocks,
    };

    return ext2fs_extent_insert(stream->tree, EXT2_EXTENT_INSERT_AFTER,
                                &extent);
}

/* More than four runs: let libext2fs have those that are there. */
static errcode_t tree_begin(struct ext4 *image)
{
    struct ext4_stream *stream = &image->stream;
    errcode_t code = ext2fs_extent_open2(
        image->fs, stream->number, ext2fs_inode(&stream->inode), &stream->tree);

    for (unsigned i = 0; !code && i < stream->run_count; i++)
        code = tree_insert(stream, &stream->runs[i]);
    return code;
}

/* Put down the last run, which does not grow any more. */
static int settle_last(struct ext4 *image, struct sm_error *err)
{
    struct ext4_stream *stream = &image->stream;
    errcode_t code = 0;

    if (!stream->last.blocks)
        return 0;
    if (!stream->tree && stream->run_count < EXT4_INLINE_EXTENTS) {
        stream->runs[stream->run_count++] = stream->last;
    } else {
        if (!stream->tree)
            code = tree_begin(image);
        if (!code)
            code = tree_insert(stream, &stream->last);
    }
    stream->last.blocks = 0;
    return code ? ext4_failed(image, code, "extents of a file", err) : 0;
}

/* The new run follows the last one on the disk and in the file. */
static bool can_join(const struct ext4_run *last, const struct ext4_run *run)
{
    return last->blocks && last->logical + last->blocks == run->logical &&
           last->physical + last->blocks == run->physical &&
           last->blocks + run->blocks <= EXT4_EXTENT_BLOCKS;
}

static int add_run(struct ext4 *image, const struct ext4_run *run,
                   struct sm_error *err)
{
    struct ext4_stream *stream = &image->stream;
    errcode_t code = ext2fs_iblk_add_blocks(
        image->fs, ext2fs_inode(&stream->inode), run->blocks);

    if (code)
        return ext4_failed(image, code, "blocks of a file", err);
    if (can_join(&stream->last, run)) {
        stream->last.blocks += run->blocks;
        return 0;
    }
    if (settle_last(image, err))
        return err ? err->code : SM_EIO;
    stream->last = *run;
    return 0;
}

/* ---- bytes ---- */

/* (count) whole blocks at block (logical) of the file. */
static int write_blocks(struct ext4 *image, uint64_t logical,
                        const uint8_t *bytes, uint64_t count,
                        struct sm_error *err)
{
    while (count) {
        struct ext4_run run = {.logical = logical};
        errcode_t code;
        int rc = ext4_take_blocks(image, count, &run, err);

        if (rc)
            return rc;
        code = io_channel_write_blk64(image->fs->io, run.physical,
                                      (int)run.blocks, bytes);
        if (code)
            return ext4_failed(image, code, "write", err);
        rc = add_run(image, &run, err);
        if (rc)
            return rc;
        logical += run.blocks;
        bytes += run.blocks * EXT4_BLOCK_BYTES;
        count -= run.blocks;
    }
    return 0;
}

/* Write what waits, its last block filled up with zeros; the stream goes on
 * behind that block. */
static int flush(struct ext4 *image, struct sm_error *err)
{
    struct ext4_stream *stream = &image->stream;
    size_t whole = (size_t)align_up(stream->used, EXT4_BLOCK_BYTES);
    int rc;

    if (!whole)
        return 0;
    memset(stream->bytes + stream->used, 0, whole - stream->used);
    rc = write_blocks(image, stream->at / EXT4_BLOCK_BYTES, stream->bytes,
                      whole / EXT4_BLOCK_BYTES, err);
    stream->at += whole;
    stream->used = 0;
    return rc;
}

/* Zeros up to (offset) if that lies in a block that has been begun, else a
 * hole up to its block. */
static int skip_to(struct ext4 *image, uint64_t offset, struct sm_error *err)
{
    struct ext4_stream *stream = &image->stream;
    uint64_t begun = align_up(stream->at + stream->used, EXT4_BLOCK_BYTES);

    if (offset >= begun) {
        int rc = flush(image, err);

        if (rc)
            return rc;
        stream->at = align_down(offset, EXT4_BLOCK_BYTES);
    }
    memset(stream->bytes + stream->used, 0,
           (size_t)(offset - stream->at) - stream->used);
    stream->used = (size_t)(offset - stream->at);
    return 0;
}

void ext4_stream_begin(struct ext4 *image, uint32_t number,
                       const struct ext2_inode_large *inode)
{
    struct ext4_stream *stream = &image->stream;

    ext2fs_extent_free(stream->tree);
    *stream = (struct ext4_stream){
        .number = number,
        .inode = *inode,
        .bytes = stream->bytes,
    };
    stream->inode.i_flags |= EXT4_EXTENTS_FL;
}

/* Whole blocks that come when nothing waits need not be copied first. */
static int write_through(struct ext4 *image, const uint8_t **bytes,
                         size_t *count, struct sm_error *err)
{
    struct ext4_stream *stream = &image->stream;
    size_t whole = (size_t)align_down(*count, EXT4_BLOCK_BYTES);
    int rc;

    if (stream->used || whole < EXT4_WRITE_BYTES / 4)
        return 0;
    rc = write_blocks(image, stream->at / EXT4_BLOCK_BYTES, *bytes,
                      whole / EXT4_BLOCK_BYTES, err);
    stream->at += whole;
    *bytes += whole;
    *count -= whole;
    return rc;
}

int ext4_stream_write(struct ext4 *image, uint64_t offset, const void *bytes,
                      size_t count, struct sm_error *err)
{
    struct ext4_stream *stream = &image->stream;
    const uint8_t *from = bytes;
    int rc = 0;

    if (offset < stream->at + stream->used)
        return fail(err, SM_EIMAGE, "its pieces overlap");
    if (offset > stream->at + stream->used)
        rc = skip_to(image, offset, err);
    while (!rc && count) {
        size_t part;

        rc = write_through(image, &from, &count, err);
        if (rc)
            return rc;
        part = (size_t)min_u64(count, EXT4_WRITE_BYTES - stream->used);
        memcpy(stream->bytes + stream->used, from, part);
        stream->used += part;
        from += part;
        count -= part;
        if (stream->used == EXT4_WRITE_BYTES)
            rc = flush(image, err);
    }
    return rc;
}

/* The root of an extent tree that is its own only leaf. */
static void put_inline_runs(struct ext4_stream *stream)
{
    struct {
        struct ext3_extent_header head;
        struct ext3_extent extents[EXT4_INLINE_EXTENTS];
    } root = {
        .head =
            {
                .eh_magic = ext2fs_cpu_to_le16(EXT3_EXT_MAGIC),
                .eh_entries = ext2fs_cpu_to_le16((uint16_t)stream->run_count),
                .eh_max = ext2fs_cpu_to_le16(EXT4_INLINE_EXTENTS),
            },
    };

    _Static_assert(sizeof root == sizeof stream->inode.i_block,
                   "four extents fill the inode");
    for (unsigned i = 0; i < stream->run_count; i++) {
        const struct ext4_run *run = &stream->runs[i];

        root.extents[i] = (struct ext3_extent){
            .ee_block = ext2fs_cpu_to_le32((uint32_t)run->logical),
            .ee_len = ext2fs_cpu_to_le16((uint16_t)run->blocks),
            .ee_start_hi = ext2fs_cpu_to_le16((uint16_t)(run->physical >> 32)),
            .ee_start = ext2fs_cpu_to_le32((uint32_t)run->physical),
        };
    }
    memcpy(stream->inode.i_block, &root, sizeof root);
}

int ext4_stream_end(struct ext4 *image, struct sm_error *err)
{
    struct ext4_stream *stream = &image->stream;
    int rc = flush(image, err);

    if (!rc)
        rc = settle_last(image, err);
    if (rc)
        return rc;
    if (!stream->tree)
        put_inline_runs(stream);
    ext2fs_extent_free(stream->tree);
    stream->tree = NULL;
    return 0;
}

/* ---- regular files ---- */

int ext4_file_begin(struct ext4 *image, struct sm_error *err)
{
    static const struct ext4_meta none = {.mode = LINUX_S_IFREG};
    struct ext2_inode_large inode;
    uint32_t number;
    int rc = ext4_take_inode(image, false, &number, err);

    if (rc)
        return rc;
    ext4_fill_inode(&none, &inode);
    ext4_stream_begin(image, number, &inode);
    return 0;
}

int ext4_file_write(struct ext4 *image, uint64_t offset, const void *bytes,
                    size_t count, struct sm_error *err)
{
    uint64_t end;

    if (!add_u64(offset, count, &end) || end > EXT4_DISK_MAX)
        return fail(err, SM_EIMAGE, "larger than ext4 can hold");
    return ext4_stream_write(image, offset, bytes, count, err);
}

int ext4_file_end(struct ext4 *image, uint64_t bytes,
                  const struct ext4_meta *meta, uint32_t *ret_inode,
                  struct sm_error *err)
{
    struct ext4_stream *stream = &image->stream;
    struct ext2_inode_large inode;
    int rc;

    if (bytes > EXT4_DISK_MAX)
        return fail(err, SM_EIMAGE, "%llu bytes are more than ext4 can hold",
                    (unsigned long long)bytes);
    rc = ext4_stream_end(image, err);
    if (rc)
        return rc;
    ext4_fill_inode(meta, &inode);
    inode.i_flags = stream->inode.i_flags;
    inode.i_blocks = stream->inode.i_blocks;
    inode.osd2.linux2.l_i_blocks_hi = stream->inode.osd2.linux2.l_i_blocks_hi;
    memcpy(inode.i_block, stream->inode.i_block, sizeof inode.i_block);
    inode.i_size = (uint32_t)bytes;
    inode.i_size_high = (uint32_t)(bytes >> 32);
    *ret_inode = stream->number;
    rc = ext4_write_inode(image, stream->number, &inode, err);
    if (rc)
        return rc;
    return ext4_set_xattrs(image, stream->number, meta->xattrs,
                           meta->xattr_count, err);
}
