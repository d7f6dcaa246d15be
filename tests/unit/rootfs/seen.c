/* seen.c: see seen.h. */
#include "seen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ext2_filsys seen_open(const char *path)
{
    ext2_filsys fs = NULL;

    assert_int_equal(
        ext2fs_open(path, EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs), 0);
    assert_int_equal(ext2fs_read_bitmaps(fs), 0);
    return fs;
}

void seen_close(ext2_filsys fs)
{
    assert_int_equal(ext2fs_close_free(&fs), 0);
}

ext2_ino_t seen_find(ext2_filsys fs, const char *path)
{
    ext2_ino_t number = 0;

    if (ext2fs_namei(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &number))
        return 0;
    return number;
}

struct ext2_inode_large seen_inode(ext2_filsys fs, const char *path)
{
    struct ext2_inode_large inode;
    ext2_ino_t number = seen_find(fs, path);

    if (!number)
        fail_msg("%s is not there", path);
    assert_int_equal(
        ext2fs_read_inode_full(fs, number, ext2fs_inode(&inode), sizeof inode),
        0);
    return inode;
}

void seen_text(ext2_filsys fs, const char *path, const char *text)
{
    ext2_ino_t number = seen_find(fs, path);
    size_t length = strlen(text);
    char *got = calloc(1, length + 2);
    ext2_file_t file;
    unsigned count;

    if (!number)
        fail_msg("%s is not there", path);
    assert_non_null(got);
    assert_int_equal(ext2fs_file_open(fs, number, 0, &file), 0);
    assert_int_equal(ext2fs_file_read(file, got, (unsigned)length + 1, &count),
                     0);
    ext2fs_file_close(file);
    if (count != length || memcmp(got, text, length) != 0)
        fail_msg("%s has \"%.100s\", not \"%.100s\"", path, got, text);
    free(got);
}

void seen_link(ext2_filsys fs, const char *path, const char *target)
{
    struct ext2_inode_large inode = seen_inode(fs, path);

    assert_true(LINUX_S_ISLNK(inode.i_mode));
    assert_int_equal(inode.i_size, strlen(target));
    if (ext2fs_is_fast_symlink(ext2fs_inode(&inode)))
        assert_memory_equal(inode.i_block, target, inode.i_size);
    else
        seen_text(fs, path, target);
}

ssize_t seen_xattr(ext2_filsys fs, const char *path, const char *name, void *to,
                   size_t size)
{
    unsigned raw = XATTR_HANDLE_FLAG_RAW;
    struct ext2_xattr_handle *handle;
    ext2_ino_t number = seen_find(fs, path);
    void *value = NULL;
    size_t count = 0;
    errcode_t code;

    assert_int_not_equal(number, 0);
    assert_int_equal(ext2fs_xattrs_open(fs, number, &handle), 0);
    assert_int_equal(ext2fs_xattrs_flags(handle, &raw, NULL), 0);
    assert_int_equal(ext2fs_xattrs_read(handle), 0);
    code = ext2fs_xattr_get(handle, name, &value, &count);
    ext2fs_xattrs_close(&handle);
    if (code)
        return -1;
    assert_in_range(count, 0, size);
    memcpy(to, value, count);
    ext2fs_free_mem(&value);
    return (ssize_t)count;
}

static int count_one(struct ext2_dir_entry *entry, int offset, int blocksize,
                     char *buf, void *context)
{
    (void)entry;
    (void)offset;
    (void)blocksize;
    (void)buf;
    ++*(size_t *)context;
    return 0;
}

size_t seen_count(ext2_filsys fs, const char *path)
{
    ext2_ino_t number = seen_find(fs, path);
    size_t count = 0;

    assert_int_not_equal(number, 0);
    assert_int_equal(ext2fs_dir_iterate(fs, number, 0, NULL, count_one, &count),
                     0);
    return count - 2;
}

void seen_clean(const char *path)
{
    int status = stand_run((const char *const[]){"e2fsck", "-fn", path, NULL});

    if (status == -1)
        fail_msg("e2fsck is not installed: package e2fsprogs");
    assert_int_equal(status, 0);
}
