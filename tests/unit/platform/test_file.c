/* test_file.c: whole reads and writes, folders, files without a name. */
#include "base/bytes.h"
#include "platform/file.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder of its own for each test. */
struct place {
    char path[64];
};

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof *place);

    if (!place)
        return -1;
    snprintf(place->path, sizeof place->path, "/tmp/test_file.XXXXXX");
    *state = place;
    return mkdtemp(place->path) ? 0 : -1;
}

static int remove_place(void **state)
{
    struct place *place = *state;
    char path[128];
    int status;

    /* Deepest first; only what the tests below make. */
    static const char *const made[] = {"a/b/c", "a/b", "a", "file", ""};

    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        snprintf(path, sizeof path, "%s/%s", place->path, made[i]);
        if (remove(path) != 0 && errno != ENOENT && errno != ENOTDIR)
            return -1;
    }
    status = access(place->path, F_OK) == 0;
    free(place);
    return status;
}

static const char *below(const struct place *place, const char *name)
{
    static char path[160];

    snprintf(path, sizeof path, "%s/%s", place->path, name);
    return path;
}

static mode_t mode_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_mode : 0;
}

static void test_file_reads_and_writes_whole_ranges(void **state)
{
    char out[6] = "";
    uint64_t bytes = 99;
    int fd;

    (void)state;
    assert_int_equal(file_in_memory("test", &fd, NULL), 0);
    assert_int_equal(file_size(fd, &bytes, NULL), 0);
    assert_true(bytes == 0);
    assert_int_equal(file_write_at(fd, "hello", 5, 5 * GIB, NULL), 0);
    assert_int_equal(file_size(fd, &bytes, NULL), 0);
    assert_true(bytes == 5 * GIB + 5);
    assert_int_equal(file_read_at(fd, out, 5, 5 * GIB, NULL), 0);
    assert_string_equal(out, "hello");
    assert_int_equal(file_read_at(fd, out, 5, GIB, NULL), 0);
    assert_memory_equal(out, "\0\0\0\0\0", 5);
    close(fd);
}

static void test_file_that_ends_too_early_is_an_error(void **state)
{
    struct sm_error err = {0};
    char out[8];
    int fd;

    (void)state;
    assert_int_equal(file_in_memory("test", &fd, NULL), 0);
    assert_int_equal(file_write_at(fd, "hello", 5, 0, NULL), 0);
    assert_int_equal(file_read_at(fd, out, 6, 0, &err), SM_EIO);
    assert_int_equal(err.code, SM_EIO);
    assert_int_equal(file_read_at(fd, out, 1, 5, NULL), SM_EIO);
    assert_int_equal(file_read_at(fd, out, 1, UINT64_MAX, NULL), SM_EINVAL);
    assert_int_equal(file_read_at(fd, NULL, 0, 99, NULL), 0);
    close(fd);
}

static void test_file_descriptor_that_is_no_file_is_an_error(void **state)
{
    uint64_t bytes;

    (void)state;
    assert_int_equal(file_read_at(-1, &bytes, 1, 0, NULL), SM_EIO);
    assert_int_equal(file_write_at(-1, &bytes, 1, 0, NULL), SM_EIO);
    assert_int_equal(file_size(-1, &bytes, NULL), SM_EIO);
}

static void test_folder_is_made_with_those_above_it(void **state)
{
    static const char *const ways[] = {"a/b/c", "a/b/c", "a/b/c/", "a//b/./c",
                                       "a/b"};

    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        assert_int_equal(folder_make(below(*state, ways[i]), NULL), 0);
        assert_int_equal(mode_of(below(*state, "a/b/c")), S_IFDIR | 0700);
        assert_int_equal(mode_of(below(*state, "a")), S_IFDIR | 0700);
    }
    assert_int_equal(folder_make("/", NULL), 0);
    assert_int_equal(folder_make(".", NULL), 0);
}

static void test_folder_where_a_file_stands_is_an_error(void **state)
{
    int fd = open(below(*state, "file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    struct sm_error err;

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(folder_make(below(*state, "file"), &err), SM_ENOENT);
    assert_int_equal(err.os_error, ENOTDIR);
    assert_int_equal(folder_make(below(*state, "file/a/b"), &err), SM_ENOENT);
    assert_int_equal(err.os_error, ENOTDIR);
    assert_int_equal(mode_of(below(*state, "file")), S_IFREG | 0600);
}

static void test_folder_without_a_name_is_an_error(void **state)
{
    struct sm_error err;

    (void)state;
    assert_int_equal(folder_make("", &err), SM_ENOENT);
}

/* In /sys nobody makes folders. That the last one's parent is missing then is
 * true, but does not help. */
static void test_folder_error_names_the_cause_not_the_consequence(void **state)
{
    struct sm_error err;

    (void)state;
    if (access("/sys/kernel", F_OK) != 0)
        skip();
    assert_int_equal(folder_make("/sys/kernel/a/b/c", &err), SM_EACCES);
    assert_non_null(strstr(err.message, "/sys/kernel/a/b/c"));
}

static unsigned count_entries(const char *path)
{
    DIR *folder = opendir(path);
    unsigned count = 0;

    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void test_unnamed_file_can_be_written_and_not_be_found(void **state)
{
    const struct place *place = *state;
    char out[2] = "";
    struct stat st;
    int fd = -1;

    assert_int_equal(file_unnamed(place->path, &fd, NULL), 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(file_write_at(fd, "x", 1, 0, NULL), 0);
    assert_int_equal(file_read_at(fd, out, 1, 0, NULL), 0);
    assert_string_equal(out, "x");
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_nlink, 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(count_entries(place->path), 2);
    close(fd);
}

static void test_unnamed_file_needs_a_folder(void **state)
{
    struct sm_error err;
    int fd = 77;

    assert_int_equal(file_unnamed(below(*state, "none"), &fd, &err), SM_ENOENT);
    assert_int_equal(file_unnamed("/dev/null", &fd, &err), SM_ENOENT);
    assert_int_equal(fd, 77);
}

static void test_file_in_memory_closes_on_exec(void **state)
{
    int fd = -1;

    (void)state;
    assert_int_equal(file_in_memory("test", &fd, NULL), 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
}

#define IN_PLACE(test)                                                         \
    cmocka_unit_test_setup_teardown(test, make_place, remove_place)

/* ---- copies ---- */

static void test_file_copy_range_copies_within_and_between(void **state)
{
    struct place *place = *state;
    char found[11] = {0};
    char proc[64];
    int memory = -1;
    int disk;

    assert_int_equal(file_in_memory("copy", &memory, NULL), 0);
    disk = open(below(place, "file"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_true(disk >= 0);
    assert_int_equal(write(disk, "0123456789", 10), 10);
    /* Between file systems, then within one file. */
    assert_int_equal(file_copy_range(disk, 2, memory, 3, 5, NULL), 0);
    assert_int_equal(file_copy_range(memory, 4, memory, 0, 3, NULL), 0);
    assert_int_equal(file_read_at(memory, found, 8, 0, NULL), 0);
    assert_memory_equal(found, "34523456", 8);
    /* Beyond the end, and from what the kernel cannot copy. */
    assert_int_equal(file_copy_range(disk, 5, memory, 0, 6, NULL), SM_EIO);
    assert_int_equal(file_copy_range(disk, 0, memory, 0, 0, NULL), 0);
    close(disk);
    snprintf(proc, sizeof proc, "/proc/%d/comm", (int)getpid());
    disk = open(proc, O_RDONLY | O_CLOEXEC);
    assert_int_equal(file_copy_range(disk, 0, memory, 0, 4, NULL), 0);
    assert_int_equal(file_read_at(memory, found, 4, 0, NULL), 0);
    assert_memory_equal(found, "test", 4);
    close(disk);
    close(memory);
}

/* Holes may be filled by the file system, to whole blocks, but what was written
 * is found, and the end is the end. */
static void test_file_data_between_holes(void **state)
{
    enum { HOLE = 1 << 20 };
    int fd = memfd_create("holes", MFD_CLOEXEC);
    uint64_t first;
    uint64_t behind;

    (void)state;
    assert_int_equal(file_set_size(fd, 4 * HOLE, NULL), 0);
    assert_int_equal(file_find_data(fd, 0, HOLE, &first, &behind, NULL), 0);
    assert_true(first == HOLE && behind == HOLE);
    assert_int_equal(file_write_at(fd, "x", 1, 2 * HOLE, NULL), 0);
    assert_int_equal(file_find_data(fd, 5, 4 * HOLE, &first, &behind, NULL), 0);
    assert_int_equal(first, 2 * HOLE);
    assert_int_equal(behind, 2 * HOLE + 4096);
    /* Cut to what was asked for. */
    assert_int_equal(file_find_data(fd, 0, 2 * HOLE, &first, &behind, NULL), 0);
    assert_true(first == 2 * HOLE && behind == 2 * HOLE);
    assert_int_equal(
        file_find_data(fd, 2 * HOLE + 1, 2 * HOLE + 9, &first, &behind, NULL),
        0);
    assert_int_equal(first, 2 * HOLE + 1);
    assert_int_equal(behind, 2 * HOLE + 9);
    assert_int_equal(
        file_find_data(fd, behind + HOLE, 4 * HOLE, &first, &behind, NULL), 0);
    assert_true(first == 4 * HOLE && behind == 4 * HOLE);
    assert_int_equal(file_find_data(-1, 0, HOLE, &first, &behind, NULL),
                     SM_EIO);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_reads_and_writes_whole_ranges),
        cmocka_unit_test(test_file_that_ends_too_early_is_an_error),
        cmocka_unit_test(test_file_descriptor_that_is_no_file_is_an_error),
        IN_PLACE(test_folder_is_made_with_those_above_it),
        IN_PLACE(test_folder_where_a_file_stands_is_an_error),
        cmocka_unit_test(test_folder_without_a_name_is_an_error),
        cmocka_unit_test(test_folder_error_names_the_cause_not_the_consequence),
        IN_PLACE(test_unnamed_file_can_be_written_and_not_be_found),
        IN_PLACE(test_unnamed_file_needs_a_folder),
        cmocka_unit_test(test_file_in_memory_closes_on_exec),
        IN_PLACE(test_file_copy_range_copies_within_and_between),
        cmocka_unit_test(test_file_data_between_holes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
