/* test_raw.c: a plain file as a disk. */
#include "unit.h"

#include "base/bytes.h"
#include "block/disk_file.h"
#include "block/raw.h"
#include "platform/file.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { DISK = 1 << 20 };

static unsigned syncs;
static int sync_result;

int __wrap_disk_file_sync(int fd, struct sm_error *err);
int __real_disk_file_sync(int fd, struct sm_error *err);

int __wrap_disk_file_sync(int fd, struct sm_error *err)
{
    syncs++;
    return sync_result ? fail(err, sync_result, "sync fails")
                       : __real_disk_file_sync(fd, err);
}

static struct block *open_disk(bool read_only, int *fd)
{
    struct block *block = NULL;

    syncs = 0;
    sync_result = 0;
    assert_int_equal(file_in_memory("disk", fd, NULL), 0);
    assert_int_equal(ftruncate(*fd, DISK), 0);
    assert_int_equal(raw_open(*fd, read_only, NULL, &block, NULL), 0);
    assert_int_equal(block->bytes, DISK);
    return block;
}

static void test_raw_reads_what_was_written(void **state)
{
    static uint8_t in[3][300];
    uint8_t out[900];
    struct iovec from[3];
    int fd;
    struct block *block = open_disk(false, &fd);

    (void)state;
    for (int i = 0; i < 3; i++) {
        memset(in[i], 'a' + i, sizeof in[i]);
        from[i] = (struct iovec){in[i], sizeof in[i]};
    }
    assert_int_equal(block_write(block, 1000, from, 3, NULL), 0);
    assert_int_equal(block_read_bytes(block, 1000, out, 900, NULL), 0);
    assert_memory_equal(out, in, 900);
    block_free(block);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void test_raw_flush_syncs_every_time(void **state)
{
    int fd;
    struct block *block = open_disk(false, &fd);

    (void)state;
    assert_int_equal(block_flush(block, NULL), 0);
    assert_int_equal(block_flush(block, NULL), 0);
    assert_int_equal(syncs, 2);
    sync_result = SM_EIO;
    assert_int_equal(block_flush(block, NULL), SM_EIO);
    sync_result = 0;
    assert_int_equal(block_flush(block, NULL), SM_EIO);
    block_free(block);
}

static void test_raw_zeroes_and_gives_room_back(void **state)
{
    static uint8_t bytes[DISK];
    int fd;
    struct block *block = open_disk(false, &fd);
    struct stat before;
    struct stat after;

    (void)state;
    memset(bytes, 1, sizeof bytes);
    assert_int_equal(
        block_write(block, 0, &(struct iovec){bytes, DISK}, 1, NULL), 0);
    assert_int_equal(fstat(fd, &before), 0);
    assert_int_equal(block_write_zeroes(block, 4096, 65536, true, NULL), 0);
    assert_int_equal(block_write_zeroes(block, 131072, 5000, false, NULL), 0);
    assert_int_equal(block_discard(block, 262144, 65536, NULL), 0);
    assert_int_equal(fstat(fd, &after), 0);
    assert_true(after.st_blocks < before.st_blocks);
    assert_int_equal(after.st_size, DISK);
    assert_int_equal(block_read_bytes(block, 0, bytes, DISK, NULL), 0);
    assert_int_equal(bytes[4095], 1);
    assert_int_equal(bytes[4096], 0);
    assert_int_equal(bytes[4096 + 65535], 0);
    assert_int_equal(bytes[4096 + 65536], 1);
    assert_int_equal(bytes[131072 + 4999], 0);
    assert_int_equal(bytes[131072 + 5000], 1);
    block_free(block);
}

static void test_raw_read_only_refuses_changes(void **state)
{
    int fd;
    struct block *block = open_disk(true, &fd);
    uint8_t byte = 1;

    (void)state;
    assert_int_equal(block_write(block, 0, &(struct iovec){&byte, 1}, 1, NULL),
                     SM_EACCES);
    assert_int_equal(block_write_zeroes(block, 0, 1, false, NULL), SM_EACCES);
    assert_int_equal(block_discard(block, 0, 1, NULL), SM_EACCES);
    assert_int_equal(block_flush(block, NULL), 0);
    assert_int_equal(syncs, 0);
    assert_int_equal(block_read_bytes(block, 0, &byte, 1, NULL), 0);
    block_free(block);
}

/* Somebody cut the file off behind our back: an error, not old bytes. */
static void test_raw_reports_a_file_that_shrank(void **state)
{
    int fd;
    struct block *block = open_disk(false, &fd);
    uint8_t bytes[512];

    (void)state;
    assert_int_equal(ftruncate(fd, DISK - 256), 0);
    assert_int_equal(block_read_bytes(block, DISK - 512, bytes, 512, NULL),
                     SM_EIO);
    block_free(block);
}

static void test_raw_refuses_what_is_no_file(void **state)
{
    struct block *block = NULL;
    int fd[2];

    (void)state;
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(raw_open(fd[0], true, NULL, &block, NULL), SM_EINVAL);
    close(fd[0]);
    close(fd[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw_reads_what_was_written),
        cmocka_unit_test(test_raw_flush_syncs_every_time),
        cmocka_unit_test(test_raw_zeroes_and_gives_room_back),
        cmocka_unit_test(test_raw_read_only_refuses_changes),
        cmocka_unit_test(test_raw_reports_a_file_that_shrank),
        cmocka_unit_test(test_raw_refuses_what_is_no_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
