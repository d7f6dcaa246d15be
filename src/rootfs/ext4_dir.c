/* ext4_dir.c: directories, written in one piece.
 *
 * How it works
 *   A directory that fits one block is a list of entries. A larger one gets
 *   the index that the kernel would have built (Linux,
 *   Documentation/filesystems/ext4/directory, "hash tree directories"):
 *   entries sorted by the hash of their name and packed into leaves, and above
 *   them one or two levels of (hash, block), the root in block 0:
 *
 *       block 0        "." and "..", then the index's root
 *       blocks 1..n    index nodes, if the root cannot name all leaves
 *       the rest       leaves
 *
 *   So a directory of 100 000 names is written in the time of sorting them,
 *   and the guest looks names up without reading all of it.
 */
#include "rootfs/ext4_image.h"

#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

enum {
    TAIL_BYTES = sizeof(struct ext2_dir_entry_tail), /* holds the checksum */
    LEAF_BYTES = EXT4_BLOCK_BYTES - TAIL_BYTES,
    ENTRY_HEAD_BYTES = 8, /* of an entry, before its name          */
    DOT_BYTES = 12,       /* "." or ".." with their padding        */
    INDEX_ENTRY_BYTES = 8,
    ROOT_INDEX_AT = 2 * DOT_BYTES + 8, /* behind struct ext2_dx_root_info */
    NODE_INDEX_AT = 8,                 /* behind an entry that spans all  */
    INDEX_TAIL_BYTES = sizeof(struct ext2_dx_tail),
    ROOT_INDEX_MAX = (EXT4_BLOCK_BYTES - ROOT_INDEX_AT - INDEX_TAIL_BYTES) /
                     INDEX_ENTRY_BYTES,
    NODE_INDEX_MAX = (EXT4_BLOCK_BYTES - NODE_INDEX_AT - INDEX_TAIL_BYTES) /
                     INDEX_ENTRY_BYTES,
    LEAF_ENTRIES_MIN = 14, /* of the longest names; the last may have less */
    LINKS_UNCOUNTED = 1    /* i_links_count of a directory that has too many */
};

_Static_assert(TAIL_BYTES == 12, "struct ext4_dir_entry_tail");
_Static_assert(INDEX_TAIL_BYTES == 8, "struct dx_tail");

/* One directory being written. */
struct writer {
    struct ext4 *image;
    uint32_t number;
    uint64_t at; /* bytes written */
    uint8_t block[EXT4_BLOCK_BYTES];
    size_t used; /* of (block), in a block of entries         */
    size_t last; /* where its last entry begins               */
};

/* Where a leaf begins, in the sorted entries, and the least hash in it. */
struct leaf {
    size_t first;
    uint32_t hash;
};

static size_t entry_bytes(size_t name_length)
{
    return (size_t)align_up(ENTRY_HEAD_BYTES + name_length, 4);
}

/* struct ext4_dir_entry_2; little endian. */
static void put_entry(uint8_t *at, uint32_t inode, size_t bytes,
                      const char *name, uint8_t length)
{
    store_le32(at, inode);
    store_le16(at + 4, (uint16_t)bytes);
    at[6] = length;
    memcpy(at + ENTRY_HEAD_BYTES, name, length);
}

/* The file type of a directory entry for S_IFMT >> 12. */
static uint8_t entry_type(uint8_t type)
{
    switch (type << 12) {
    case LINUX_S_IFREG:
        return EXT2_FT_REG_FILE;
    case LINUX_S_IFDIR:
        return EXT2_FT_DIR;
    case LINUX_S_IFLNK:
        return EXT2_FT_SYMLINK;
    case LINUX_S_IFCHR:
        return EXT2_FT_CHRDEV;
    case LINUX_S_IFBLK:
        return EXT2_FT_BLKDEV;
    case LINUX_S_IFIFO:
        return EXT2_FT_FIFO;
    default:
        return EXT2_FT_UNKNOWN;
    }
}

static void add_entry(struct writer *writer, const char *name, uint8_t length,
                      uint32_t inode, uint8_t type)
{
    size_t bytes = entry_bytes(length);
    uint8_t *at = writer->block + writer->used;

    put_entry(at, inode, bytes, name, length);
    at[7] = entry_type(type);
    writer->last = writer->used;
    writer->used += bytes;
}

/* The block with its checksum goes to the disk; the next one is empty. */
static int put_block(struct writer *writer, struct sm_error *err)
{
    struct ext4 *image = writer->image;
    errcode_t code = ext2fs_dir_block_csum_set(
        image->fs, writer->number, (struct ext2_dir_entry *)writer->block);
    int rc;

    if (code)
        return ext4_failed(image, code, "directory checksum", err);
    rc = ext4_stream_write(image, writer->at, writer->block, EXT4_BLOCK_BYTES,
                           err);
    writer->at += EXT4_BLOCK_BYTES;
    writer->used = 0;
    memset(writer->block, 0, sizeof writer->block);
    return rc;
}

/* A block of entries: the last one takes what is left, then the tail. */
static int put_leaf(struct writer *writer, struct sm_error *err)
{
    store_le16(writer->block + writer->last + 4,
               (uint16_t)(LEAF_BYTES - writer->last));
    ext2fs_initialize_dirent_tail(
        writer->image->fs, EXT2_DIRENT_TAIL(writer->block, EXT4_BLOCK_BYTES));
    return put_block(writer, err);
}

static void add_dots(struct writer *writer, uint32_t parent)
{
    add_entry(writer, ".", 1, writer->number, LINUX_S_IFDIR >> 12);
    add_entry(writer, "..", 2, parent, LINUX_S_IFDIR >> 12);
}

/* ---- the index ---- */

static int hash_names(struct ext4 *image, struct ext4_dirent *entries,
                      size_t count, struct sm_error *err)
{
    for (size_t i = 0; i < count; i++) {
        ext2_dirhash_t hash;
        errcode_t code = ext2fs_dirhash2(
            EXT2_HASH_HALF_MD4_UNSIGNED, entries[i].name, entries[i].length,
            NULL, 0, image->fs->super->s_hash_seed, &hash, NULL);

        if (code)
            return ext4_failed(image, code, "hash of a name", err);
        entries[i].hash = hash;
    }
    return 0;
}

static int compare(const void *left, const void *right)
{
    const struct ext4_dirent *a = left;
    const struct ext4_dirent *b = right;
    int by_name;

    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    by_name =
        memcmp(a->name, b->name, a->length < b->length ? a->length : b->length);
    return by_name ? by_name : a->length - b->length;
}

/* Cut the sorted entries into leaves. A leaf that begins with the hash that
 * the one before ends with says so in the lowest bit, which no hash uses. */
static size_t cut_leaves(const struct ext4_dirent *entries, size_t count,
                         struct leaf *leaves)
{
    size_t leaf_count = 0;
    size_t used = LEAF_BYTES;

    for (size_t i = 0; i < count; i++) {
        size_t bytes = entry_bytes(entries[i].length);

        if (used + bytes > LEAF_BYTES) {
            bool goes_on = i && entries[i].hash == entries[i - 1].hash;

            leaves[leaf_count++] = (struct leaf){
                .first = i,
                .hash = entries[i].hash | goes_on,
            };
            used = 0;
        }
        used += bytes;
    }
    return leaf_count;
}

/* (count) pairs of hash and block; the first one's hash is left out, its place
 * holds how many there are and may be. */
static void put_index(uint8_t *at, size_t limit, const struct leaf *leaves,
                      size_t step, size_t count, uint64_t first_block)
{
    for (size_t i = 0; i < count; i++) {
        store_le32(at + i * INDEX_ENTRY_BYTES, leaves[i * step].hash);
        store_le32(at + i * INDEX_ENTRY_BYTES + 4, (uint32_t)(first_block + i));
    }
    store_le16(at, (uint16_t)limit);
    store_le16(at + 2, (uint16_t)count);
}

static int put_root(struct writer *writer, uint32_t parent,
                    const struct leaf *leaves, size_t leaf_count,
                    size_t node_count, struct sm_error *err)
{
    struct ext2_dx_root_info info = {
        .hash_version = EXT2_HASH_HALF_MD4,
        .info_length = sizeof info,
        .indirect_levels = node_count > 0,
    };

    add_dots(writer, parent);
    store_le16(writer->block + DOT_BYTES + 4, EXT4_BLOCK_BYTES - DOT_BYTES);
    memcpy(writer->block + 2 * DOT_BYTES, &info, sizeof info);
    put_index(writer->block + ROOT_INDEX_AT, ROOT_INDEX_MAX, leaves,
              node_count ? NODE_INDEX_MAX : 1,
              node_count ? node_count : leaf_count, 1);
    return put_block(writer, err);
}

static int put_nodes(struct writer *writer, const struct leaf *leaves,
                     size_t leaf_count, size_t node_count, struct sm_error *err)
{
    int rc = 0;

    for (size_t i = 0; !rc && i < node_count; i++) {
        size_t first = i * NODE_INDEX_MAX;

        store_le16(writer->block + 4, EXT4_BLOCK_BYTES);
        put_index(writer->block + NODE_INDEX_AT, NODE_INDEX_MAX, leaves + first,
                  1, (size_t)min_u64(leaf_count - first, NODE_INDEX_MAX),
                  1 + node_count + first);
        rc = put_block(writer, err);
    }
    return rc;
}

static int put_leaves(struct writer *writer, const struct ext4_dirent *entries,
                      size_t count, const struct leaf *leaves,
                      size_t leaf_count, struct sm_error *err)
{
    int rc = 0;

    for (size_t i = 0; !rc && i < leaf_count; i++) {
        size_t end = i + 1 < leaf_count ? leaves[i + 1].first : count;

        for (size_t j = leaves[i].first; j < end; j++)
            add_entry(writer, entries[j].name, entries[j].length,
                      entries[j].inode, entries[j].type);
        rc = put_leaf(writer, err);
    }
    return rc;
}

static int write_indexed(struct writer *writer, uint32_t parent,
                         struct ext4_dirent *entries, size_t count,
                         struct sm_error *err)
{
    AUTO_FREE struct leaf *leaves = NULL;
    size_t leaf_count;
    size_t node_count = 0;
    int rc = hash_names(writer->image, entries, count, err);

    if (rc)
        return rc;
    qsort(entries, count, sizeof *entries, compare);
    leaves = calloc(count / LEAF_ENTRIES_MIN + 2, sizeof *leaves);
    if (!leaves)
        return fail(err, SM_ENOMEM, "out of memory");
    leaf_count = cut_leaves(entries, count, leaves);
    if (leaf_count > ROOT_INDEX_MAX)
        node_count = (leaf_count + NODE_INDEX_MAX - 1) / NODE_INDEX_MAX;
    if (node_count > ROOT_INDEX_MAX)
        return fail(err, SM_ELIMIT, "%zu files in one directory", count);
    rc = put_root(writer, parent, leaves, leaf_count, node_count, err);
    if (!rc)
        rc = put_nodes(writer, leaves, leaf_count, node_count, err);
    if (!rc)
        rc = put_leaves(writer, entries, count, leaves, leaf_count, err);
    return rc;
}

/* ---- the directory ---- */

static bool fits_one_block(const struct ext4_dirent *entries, size_t count)
{
    size_t bytes = 2 * DOT_BYTES;

    for (size_t i = 0; i < count && bytes <= LEAF_BYTES; i++)
        bytes += entry_bytes(entries[i].length);
    return bytes <= LEAF_BYTES;
}

static int write_entries(struct writer *writer, uint32_t parent,
                         struct ext4_dirent *entries, size_t count,
                         struct sm_error *err)
{
    if (!fits_one_block(entries, count))
        return write_indexed(writer, parent, entries, count, err);
    add_dots(writer, parent);
    for (size_t i = 0; i < count; i++)
        add_entry(writer, entries[i].name, entries[i].length, entries[i].inode,
                  entries[i].type);
    return put_leaf(writer, err);
}

int ext4_directory_write(struct ext4 *image, uint32_t number, uint32_t parent,
                         struct ext4_dirent *entries, size_t count,
                         size_t directories, struct sm_error *err)
{
    struct writer writer = {.image = image, .number = number};
    struct ext2_inode_large inode;
    int rc = ext4_read_inode(image, number, &inode, err);

    if (rc)
        return rc;
    ext4_stream_begin(image, number, &inode);
    rc = write_entries(&writer, parent, entries, count, err);
    if (!rc)
        rc = ext4_stream_end(image, err);
    if (rc)
        return rc;
    inode = image->stream.inode;
    inode.i_size = (uint32_t)writer.at;
    inode.i_size_high = (uint32_t)(writer.at >> 32);
    if (writer.at > EXT4_BLOCK_BYTES)
        inode.i_flags |= EXT2_INDEX_FL;
    inode.i_links_count = (uint16_t)(directories + 2);
    if (directories + 2 >= EXT4_LINKS_MAX)
        inode.i_links_count = LINKS_UNCOUNTED;
    return ext4_write_inode(image, number, &inode, err);
}
