/* test_ext4.c: the ext4 writer by itself. */
#include "seen.h"

#include "base/bytes.h"
#include "base/own.h"
#include "rootfs/ext4.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct stand {
    char folder[STAND_PATH_MAX];
    char path[STAND_PATH_MAX];
    struct ext4 *image;
};

static const struct ext4_meta file_meta = {.mode = S_IFREG | 0644};
static const struct ext4_meta folder_meta = {.mode = S_IFDIR | 0755};

static int create(struct stand *stand, uint64_t disk_bytes,
                  struct sm_error *err)
{
    const struct ext4_params params = {
        .disk_bytes = disk_bytes,
        .uuid = {1, 2, 3},
        .hash_seed = {4, 5, 6},
        .label = "a label of 16 by",
    };

    close(open(stand->path, O_CREAT | O_TRUNC | O_WRONLY, 0600));
    return ext4_create(stand->path, &params, &stand->image, err);
}

static int set_up(void **state)
{
    struct stand *stand = calloc(1, sizeof *stand);

    stand_folder(stand->folder);
    stand_join(stand->path, stand->folder, "image");
    *state = stand;
    return 0;
}

static int tear_down(void **state)
{
    struct stand *stand = *state;

    ext4_free(stand->image);
    stand_remove(stand->folder);
    free(stand);
    return 0;
}

static uint32_t add_file(struct ext4 *image, const void *bytes, size_t count)
{
    uint32_t inode = 0;

    assert_int_equal(ext4_file_begin(image, NULL), 0);
    assert_int_equal(ext4_file_write(image, 0, bytes, count, NULL), 0);
    assert_int_equal(ext4_file_end(image, count, &file_meta, &inode, NULL), 0);
    return inode;
}

/* End with these names in the root, all of them files. */
static void finish(struct stand *stand, struct ext4_dirent *entries,
                   size_t count)
{
    assert_int_equal(ext4_directory_write(stand->image, EXT4_ROOT_INODE,
                                          EXT4_ROOT_INODE, entries, count, 0,
                                          NULL),
                     0);
    assert_int_equal(ext4_finish(own_take(stand->image), NULL), 0);
}

static struct ext4_dirent named(const char *name, uint32_t inode)
{
    return (struct ext4_dirent){
        .name = name,
        .inode = inode,
        .length = (uint8_t)strlen(name),
        .type = S_IFREG >> 12,
    };
}

static uint64_t host_bytes(const struct stand *stand)
{
    struct stat st;

    assert_int_equal(stat(stand->path, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void test_ext4_empty_disk_is_clean_and_sparse(void **state)
{
    struct stand *stand = *state;
    struct stat st;
    ext2_filsys fs;

    assert_int_equal(create(stand, 16 * GIB, NULL), 0);
    finish(stand, NULL, 0);
    assert_int_equal(stat(stand->path, &st), 0);
    assert_int_equal(st.st_size, 16 * GIB);
    assert_in_range(host_bytes(stand), 1, MIB);
    seen_clean(stand->path);
    fs = seen_open(stand->path);
    assert_memory_equal(fs->super->s_volume_name, "a label of 16 by", 16);
    assert_int_equal(fs->super->s_uuid[2], 3);
    for (dgrp_t i = 0; i < fs->group_desc_count; i++)
        assert_true(ext2fs_bg_flags_test(fs, i, EXT2_BG_INODE_ZEROED));
    seen_close(fs);
}

static void test_ext4_refuses_disks_it_cannot_make(void **state)
{
    static const uint64_t bad[] = {0,
                                   KIB,
                                   EXT4_DISK_MIN - 4096,
                                   EXT4_DISK_MIN + 512,
                                   EXT4_DISK_MAX + 4096,
                                   UINT64_MAX};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(create(*state, bad[i], NULL), SM_EINVAL);
}

static void test_ext4_same_calls_give_same_bytes(void **state)
{
    struct stand *stand = *state;
    char first[STAND_PATH_MAX];

    for (int i = 0; i < 2; i++) {
        struct ext4_dirent entry;

        assert_int_equal(create(stand, 64 * MIB, NULL), 0);
        entry = named("f", add_file(stand->image, "same", 4));
        finish(stand, &entry, 1);
        if (i == 0) {
            stand_join(first, stand->folder, "first");
            assert_int_equal(rename(stand->path, first), 0);
        }
    }
    assert_int_equal(
        stand_run((const char *const[]){"cmp", first, stand->path, NULL}), 0);
}

/* Sizes around a block, around what is collected, around an extent. */
static void test_ext4_files_of_every_size_read_back(void **state)
{
    static const size_t sizes[] = {0,      1,       4095,    4096,
                                   4097,   65536,   262143,  262144,
                                   262145, 1048577, 5000000, 33554432};
    struct stand *stand = *state;
    struct ext4_dirent entries[ARRAY_LEN(sizes)];
    char names[ARRAY_LEN(sizes)][16];
    uint8_t *bytes = malloc(33554432);
    uint8_t *got = malloc(33554432);
    ext2_filsys fs;

    for (size_t i = 0; i < 33554432; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 4096);
    assert_int_equal(create(stand, 256 * MIB, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        snprintf(names[i], sizeof names[i], "%zu", sizes[i]);
        entries[i] = named(names[i], add_file(stand->image, bytes, sizes[i]));
    }
    finish(stand, entries, ARRAY_LEN(sizes));
    seen_clean(stand->path);
    fs = seen_open(stand->path);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        ext2_file_t file;
        unsigned count;

        assert_int_equal(
            ext2fs_file_open(fs, seen_find(fs, names[i]), 0, &file), 0);
        assert_int_equal(ext2fs_file_read(file, got, 33554432, &count), 0);
        ext2fs_file_close(file);
        assert_int_equal(count, sizes[i]);
        assert_memory_equal(got, bytes, count);
    }
    seen_close(fs);
    free(bytes);
    free(got);
}

/* A piece of 100 bytes every 20 000: far more runs than the inode holds. */
static void test_ext4_sparse_file_keeps_its_holes(void **state)
{
    enum { PIECES = 3000, STEP = 20000 };
    struct stand *stand = *state;
    struct ext4_dirent entry;
    struct ext2_inode_large inode;
    uint8_t piece[100];
    ext2_file_t file;
    ext2_filsys fs;
    unsigned count;
    uint32_t number;

    assert_int_equal(create(stand, 128 * MIB, NULL), 0);
    assert_int_equal(ext4_file_begin(stand->image, NULL), 0);
    for (unsigned i = 0; i < PIECES; i++) {
        memset(piece, (int)(1 + i % 255), sizeof piece);
        assert_int_equal(ext4_file_write(stand->image, (uint64_t)i * STEP,
                                         piece, sizeof piece, NULL),
                         0);
    }
    assert_int_equal(ext4_file_write(stand->image, 5, piece, 1, NULL),
                     SM_EIMAGE);
    assert_int_equal(ext4_file_end(stand->image, UINT64_C(5) << 30, &file_meta,
                                   &number, NULL),
                     0);
    entry = named("sparse", number);
    finish(stand, &entry, 1);
    seen_clean(stand->path);
    fs = seen_open(stand->path);
    inode = seen_inode(fs, "sparse");
    assert_int_equal(EXT2_I_SIZE(&inode), UINT64_C(5) << 30);
    assert_in_range(inode.i_blocks, PIECES * 8, PIECES * 17);
    assert_int_equal(ext2fs_file_open(fs, number, 0, &file), 0);
    for (unsigned i = 0; i < PIECES; i++) {
        uint8_t got[102];

        assert_int_equal(
            ext2fs_file_llseek(file, (uint64_t)i * STEP, EXT2_SEEK_SET, NULL),
            0);
        assert_int_equal(ext2fs_file_read(file, got, sizeof got, &count), 0);
        assert_int_equal(got[0], 1 + i % 255);
        assert_int_equal(got[99], 1 + i % 255);
        assert_int_equal(got[100], 0);
    }
    ext2fs_file_close(file);
    seen_close(fs);
}

static void check_large_directory(struct stand *stand, size_t count)
{
    struct ext4_dirent *entries = calloc(count, sizeof *entries);
    char(*names)[64] = calloc(count, sizeof *names);
    uint32_t inode;
    ext2_filsys fs;

    assert_int_equal(create(stand, 4 * GIB, NULL), 0);
    inode = add_file(stand->image, "x", 1);
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i],
                 i % 3 ? "%zu" : "a-longer-name-for-the-sake-of-it-%zu", i);
        entries[i] = named(names[i], inode);
    }
    for (size_t i = 1; i < count; i++)
        entries[i].inode = add_file(stand->image, "", 0);
    finish(stand, entries, count);
    seen_clean(stand->path);
    fs = seen_open(stand->path);
    assert_int_equal(seen_count(fs, "/"), count);
    for (size_t i = 0; i < count; i += count / 7 + 1)
        assert_int_not_equal(seen_find(fs, names[i]), 0);
    seen_close(fs);
    free(entries);
    free(names);
}

/* One block; an index; an index of two levels. */
static void test_ext4_directories_of_every_depth_are_clean(void **state)
{
    check_large_directory(*state, 50);
    check_large_directory(*state, 1000);
    check_large_directory(*state, 120000);
}

static void test_ext4_full_disk_is_said(void **state)
{
    struct stand *stand = *state;
    uint8_t *bytes = calloc(1, MIB);
    struct sm_error err = {0};
    int rc = 0;

    assert_int_equal(create(stand, 32 * MIB, NULL), 0);
    assert_int_equal(ext4_file_begin(stand->image, NULL), 0);
    for (uint64_t i = 0; !rc && i < 64; i++)
        rc = ext4_file_write(stand->image, i * MIB, bytes, MIB, &err);
    assert_int_equal(rc, SM_ELIMIT);
    assert_non_null(strstr(err.message, "disk of 32 MiB is full"));
    free(bytes);
}

static void test_ext4_inodes_run_out_with_an_error(void **state)
{
    struct stand *stand = *state;
    struct sm_error err = {0};
    uint32_t inode;
    int rc = 0;

    assert_int_equal(create(stand, 32 * MIB, NULL), 0);
    for (uint32_t i = 0; !rc; i++) {
        assert_in_range(i, 0, ext4_inode_limit(stand->image));
        rc = ext4_node(stand->image, &folder_meta, &inode, &err);
    }
    assert_int_equal(rc, SM_ELIMIT);
    assert_non_null(strstr(err.message, "more than 2048 files"));
}

static void test_ext4_links_are_counted_and_freed(void **state)
{
    struct stand *stand = *state;
    uint8_t *bytes = malloc(20 * MIB);
    struct ext4_dirent entry;
    struct ext2_inode_large inode;
    uint32_t gone;
    ext2_filsys fs;

    memset(bytes, 7, 20 * MIB);
    assert_int_equal(create(stand, 128 * MIB, NULL), 0);
    gone = add_file(stand->image, bytes, 20 * MIB);
    entry = named("kept", add_file(stand->image, "kept", 4));
    assert_int_equal(ext4_link(stand->image, gone, NULL), 0);
    assert_int_equal(ext4_unlink(stand->image, gone, NULL), 0);
    assert_in_range(ext4_used_bytes(stand->image), 20 * MIB, 128 * MIB);
    assert_int_equal(ext4_unlink(stand->image, gone, NULL), 0);
    assert_in_range(ext4_used_bytes(stand->image), 1, 20 * MIB);
    assert_int_equal(ext4_link(stand->image, entry.inode, NULL), 0);
    assert_int_equal(ext4_unlink(stand->image, entry.inode, NULL), 0);
    finish(stand, &entry, 1);
    seen_clean(stand->path);
    assert_in_range(host_bytes(stand), 1, 2 * MIB);
    fs = seen_open(stand->path);
    inode = seen_inode(fs, "kept");
    assert_int_equal(inode.i_links_count, 1);
    seen_text(fs, "kept", "kept");
    seen_close(fs);
    free(bytes);
}

static void test_ext4_links_have_a_limit(void **state)
{
    struct stand *stand = *state;
    uint32_t inode;
    int rc = 0;

    assert_int_equal(create(stand, 32 * MIB, NULL), 0);
    inode = add_file(stand->image, "x", 1);
    for (int i = 1; i < EXT4_LINKS_MAX; i++)
        rc |= ext4_link(stand->image, inode, NULL);
    assert_int_equal(rc, 0);
    assert_int_equal(ext4_link(stand->image, inode, NULL), SM_EIMAGE);
}

/* An inode that is used again has nothing of its former life. */
static void test_ext4_used_again_inode_has_no_old_attributes(void **state)
{
    struct stand *stand = *state;
    const struct ext4_xattr xattr = {"user.old", "secret", 6};
    struct ext4_meta meta = file_meta;
    struct ext4_dirent entry;
    uint8_t value[64];
    uint32_t number;
    ext2_filsys fs;

    assert_int_equal(create(stand, 32 * MIB, NULL), 0);
    meta.xattrs = &xattr;
    meta.xattr_count = 1;
    assert_int_equal(ext4_file_begin(stand->image, NULL), 0);
    assert_int_equal(ext4_file_end(stand->image, 0, &meta, &number, NULL), 0);
    assert_int_equal(ext4_unlink(stand->image, number, NULL), 0);
    for (uint32_t again = 0; again != number;)
        assert_int_equal(ext4_node(stand->image,
                                   &(struct ext4_meta){.mode = S_IFIFO | 0600},
                                   &again, NULL),
                         0);
    entry = named("f", number);
    assert_int_equal(ext4_directory_write(stand->image, EXT4_ROOT_INODE,
                                          EXT4_ROOT_INODE, &entry, 1, 0, NULL),
                     0);
    assert_int_equal(ext4_finish(own_take(stand->image), NULL), 0);
    fs = seen_open(stand->path);
    assert_int_equal(seen_xattr(fs, "f", "user.old", value, sizeof value), -1);
    seen_close(fs);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ext4_empty_disk_is_clean_and_sparse),
        TEST(test_ext4_refuses_disks_it_cannot_make),
        TEST(test_ext4_same_calls_give_same_bytes),
        TEST(test_ext4_files_of_every_size_read_back),
        TEST(test_ext4_sparse_file_keeps_its_holes),
        TEST(test_ext4_directories_of_every_depth_are_clean),
        TEST(test_ext4_full_disk_is_said),
        TEST(test_ext4_inodes_run_out_with_an_error),
        TEST(test_ext4_links_are_counted_and_freed),
        TEST(test_ext4_links_have_a_limit),
        TEST(test_ext4_used_again_inode_has_no_old_attributes),
    };

    return cmocka_run_group_tests_name("rootfs_ext4", tests, NULL, NULL);
}
