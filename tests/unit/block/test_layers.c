/* test_layers.c: overlays that are sealed, put over each other, merged and put
 * over others; whatever fails on the way, and whoever made the files.
 *
 * The linker puts the __wrap_ functions below between the overlays and their
 * files: they count syncs, and fail at a step of the test's choice.
 */
#include "unit.h"

#include "base/bytes.h"
#include "block/disk_file.h"
#include "block/overlay.h"
#include "block/raw.h"
#include "platform/file.h"
#include "platform/random.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum {
    CLUSTER = OVERLAY_CLUSTER_BYTES,
    CLUSTERS = 48,
    DISK = CLUSTERS * CLUSTER,
    BASE_ID = 7,
    /* A page of the bitmap stands for this much of a disk. */
    PAGE_OF_DISK = 8 * 4096 * CLUSTER,
    BITMAP_AT = 4096
};

/* ---- files that fail ---- */

static struct {
    int left; /* steps until one fails; -1: none does */
    unsigned syncs;
} files = {.left = -1};

/* The step that is to fail? */
static int step(struct sm_error *err)
{
    if (files.left < 0 || files.left--)
        return 0;
    return fail(err, SM_ENOSPC, "this step fails");
}

#define WRAP(function, parameters, arguments)                                  \
    int __real_##function parameters;                                          \
    int __wrap_##function parameters;                                          \
    int __wrap_##function parameters                                           \
    {                                                                          \
        int rc = step(err);                                                    \
                                                                               \
        return rc ? rc : __real_##function arguments;                          \
    }

WRAP(disk_file_size, (int fd, uint64_t *bytes, struct sm_error *err),
     (fd, bytes, err))
WRAP(disk_file_stretch, (int fd, uint64_t bytes, struct sm_error *err),
     (fd, bytes, err))
WRAP(disk_file_write,
     (int fd, uint64_t at, const struct iovec *from, unsigned count,
      struct sm_error *err),
     (fd, at, from, count, err))
WRAP(file_copy_range,
     (int from, uint64_t from_at, int to, uint64_t to_at, uint64_t bytes,
      struct sm_error *err),
     (from, from_at, to, to_at, bytes, err))
WRAP(file_find_data,
     (int fd, uint64_t from, uint64_t end, uint64_t *first, uint64_t *behind,
      struct sm_error *err),
     (fd, from, end, first, behind, err))
WRAP(file_read_at,
     (int fd, void *to, size_t count, uint64_t offset, struct sm_error *err),
     (fd, to, count, offset, err))
WRAP(file_write_at,
     (int fd, const void *from, size_t count, uint64_t offset,
      struct sm_error *err),
     (fd, from, count, offset, err))
WRAP(random_bytes, (void *to, size_t count, struct sm_error *err),
     (to, count, err))

int __real_disk_file_sync(int fd, struct sm_error *err);
int __wrap_disk_file_sync(int fd, struct sm_error *err);

int __wrap_disk_file_sync(int fd, struct sm_error *err)
{
    files.syncs++;
    return step(err) ? SM_ENOSPC : __real_disk_file_sync(fd, err);
}

/* ---- set-up ---- */

static int set_up(void **state)
{
    (void)state;
    files.left = -1;
    files.syncs = 0;
    return 0;
}

static int new_file(void)
{
    int fd = -1;

    assert_int_equal(file_in_memory("layer", &fd, NULL), 0);
    return fd;
}

static uint32_t next_random(uint32_t *seed)
{
    /* Numerical Recipes' generator: the same everywhere. */
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* A raw base of (bytes); the first byte of cluster c is c. */
static struct block *new_base(uint64_t bytes)
{
    struct block *block = NULL;
    struct block_id id;
    int fd = new_file();

    memset(&id, BASE_ID, sizeof id);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    for (uint64_t c = 0; c < CLUSTERS && c * CLUSTER < bytes; c++) {
        uint8_t mark = (uint8_t)c;

        assert_int_equal(pwrite(fd, &mark, 1, (off_t)(c * CLUSTER)), 1);
    }
    assert_int_equal(raw_open(fd, true, &id, &block, NULL), 0);
    return block;
}

/* An overlay in (fd), which stays the test's, over (base). */
static struct block *new_layer(int fd, struct block *base, uint64_t bytes)
{
    struct block *block = NULL;

    assert_int_equal(overlay_create(dup(fd), base, bytes, &block, NULL), 0);
    return block;
}

static void fill(struct block *block, uint64_t at, uint64_t bytes, int value)
{
    AUTO_FREE uint8_t *from = malloc(bytes);
    struct iovec span = {.iov_base = from, .iov_len = bytes};

    memset(from, value, bytes);
    assert_int_equal(block_write(block, at, &span, 1, NULL), 0);
}

static uint8_t byte_at(struct block *block, uint64_t at)
{
    uint8_t byte = 0xee;

    assert_int_equal(block_read_bytes(block, at, &byte, 1, NULL), 0);
    return byte;
}

static void expect_same(struct block *a, struct block *b)
{
    AUTO_FREE uint8_t *bytes = malloc(2 * DISK);

    assert_int_equal(a->bytes, b->bytes);
    for (uint64_t at = 0; at < a->bytes; at += DISK) {
        size_t count = min_u64(DISK, a->bytes - at);

        assert_int_equal(block_read_bytes(a, at, bytes, count, NULL), 0);
        assert_int_equal(block_read_bytes(b, at, bytes + DISK, count, NULL), 0);
        assert_memory_equal(bytes, bytes + DISK, count);
    }
}

/* Three sealed layers; (fd) gets their files, which stay the test's. */
static struct block *new_chain(int fd[3])
{
    struct block *top = new_base(DISK);

    for (int i = 0; i < 3; i++) {
        fd[i] = new_file();
        top = new_layer(fd[i], top, DISK);
        fill(top, (uint64_t)(1 + i) * CLUSTER, 3 * CLUSTER, 101 + i);
        fill(top, (uint64_t)(20 + i) * CLUSTER + 9, 1, 201 + i);
        assert_int_equal(block_discard(top, (uint64_t)(30 + 2 * i) * CLUSTER,
                                       2 * CLUSTER, NULL),
                         0);
        assert_int_equal(overlay_seal(top, NULL), 0);
    }
    return top;
}

static void close_all(const int *fd, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fd[i]);
}

/* (top), merged into (fd) and opened over a base of its own. */
static struct block *merged(struct block *top, int fd, uint64_t base_bytes)
{
    struct block *block = NULL;

    assert_int_equal(overlay_merge(top, fd, NULL), 0);
    assert_int_equal(
        overlay_open_chain(new_base(base_bytes), &fd, 1, &block, NULL), 0);
    return block;
}

/* ---- sealing ---- */

static void test_seal_waits_for_nothing_and_loses_nothing(void **state)
{
    int fd = new_file();
    struct block *block = new_layer(fd, new_base(DISK), DISK);
    struct block *again = NULL;

    (void)state;
    fill(block, 3 * CLUSTER, CLUSTER, 55);
    assert_int_equal(overlay_seal(block, NULL), 0);
    assert_int_equal(overlay_seal(block, NULL), 0);
    assert_int_equal(files.syncs, 0);
    assert_true(block->read_only);
    assert_int_equal(block_discard(block, 0, CLUSTER, NULL), SM_EACCES);
    /* What kill -9 leaves now. */
    assert_int_equal(overlay_open(fd, new_base(DISK), false, &again, NULL), 0);
    assert_true(again->read_only);
    expect_same(block, again);
    block_free(again);
    block_free(block);
}

static void test_seal_refuses_what_is_open_read_only(void **state)
{
    int fd = new_file();
    struct block *block = NULL;

    (void)state;
    block_free(new_layer(fd, new_base(DISK), DISK));
    assert_int_equal(overlay_open(fd, new_base(DISK), true, &block, NULL), 0);
    assert_int_equal(overlay_seal(block, NULL), SM_EACCES);
    assert_int_equal(overlay_freeze(block, NULL), SM_EACCES);
    block_free(block);
}

/* A host that lost data once may not say that a layer is whole. */
static void test_seal_remembers_a_sync_that_failed(void **state)
{
    struct block *block = NULL;

    (void)state;
    assert_int_equal(
        overlay_create(new_file(), new_base(DISK), DISK, &block, NULL), 0);
    files.left = 0;
    assert_int_equal(block_flush(block, NULL), SM_ENOSPC);
    assert_int_equal(overlay_seal(block, NULL), SM_EIO);
    assert_false(block->read_only);
    block_free(block);
}

static void test_split_goes_on_in_the_new_layer(void **state)
{
    int fd = new_file();
    struct block *block = new_layer(fd, new_base(DISK), DISK);
    struct block *top = NULL;
    struct block *below = NULL;

    (void)state;
    fill(block, 0, CLUSTER, 1);
    assert_int_equal(overlay_split(block, new_file(), &top, NULL), 0);
    assert_ptr_equal(overlay_base(top), block);
    assert_int_equal(top->depth, 3);
    assert_int_equal(top->bytes, DISK);
    fill(top, 1, 1, 2);
    assert_int_equal(byte_at(top, 0), 1);
    assert_int_equal(byte_at(top, 1), 2);
    block_free(top);
    assert_int_equal(overlay_open_chain(new_base(DISK), &fd, 1, &below, NULL),
                     0);
    assert_int_equal(byte_at(below, 1), 1);
    block_free(below);
}

/* fsync() in the guest is for what it wrote before the snapshot too. */
static void test_flush_syncs_layers_sealed_below_once(void **state)
{
    int fd[3];
    struct block *top = new_layer(fd[0] = new_file(), new_base(DISK), DISK);
    struct block *chain = NULL;

    (void)state;
    fill(top, 0, 1, 1);
    assert_int_equal(overlay_split(top, fd[1] = new_file(), &top, NULL), 0);
    fill(top, 0, 1, 2);
    assert_int_equal(overlay_split(top, fd[2] = new_file(), &top, NULL), 0);
    assert_int_equal(files.syncs, 0);
    assert_int_equal(block_flush(top, NULL), 0);
    assert_int_equal(files.syncs, 3);
    assert_int_equal(block_flush(top, NULL), 0);
    assert_int_equal(files.syncs, 4);
    /* Others that came below are as good as unknown. */
    fd[0] = dup(fd[0]);
    fd[1] = dup(fd[1]);
    assert_int_equal(overlay_open_chain(new_base(DISK), fd, 2, &chain, NULL),
                     0);
    assert_int_equal(overlay_rebase(top, chain, NULL), 0);
    assert_int_equal(block_flush(top, NULL), 0);
    assert_int_equal(files.syncs, 7);
    /* A sealed one whose data is lost fails every later flush. */
    assert_int_equal(overlay_split(top, new_file(), &top, NULL), 0);
    files.left = 0;
    assert_int_equal(block_flush(top, NULL), SM_ENOSPC);
    assert_int_equal(block_flush(top, NULL), SM_EIO);
    block_free(top);
}

static void test_split_that_fails_changes_nothing(void **state)
{
    struct block *block = new_layer(new_file(), new_base(DISK), DISK);
    struct block *top = NULL;
    int failures = 0;

    (void)state;
    fill(block, 5 * CLUSTER, CLUSTER, 3);
    for (;; failures++) {
        int fd = new_file();
        int rc;

        files.left = failures;
        rc = overlay_split(block, fd, &top, NULL);
        files.left = -1;
        if (!rc)
            break;
        assert_int_equal(rc, SM_ENOSPC);
        assert_true(is_open(fd));
        close(fd);
        assert_false(block->read_only);
        fill(block, 6 * CLUSTER + 7, 1, 10 + failures);
        assert_int_equal(byte_at(block, 6 * CLUSTER + 7), 10 + failures);
        assert_int_equal(byte_at(block, 5 * CLUSTER), 3);
    }
    /* Size, stretch, identity, header; bitmap and header of the sealed one. */
    assert_int_equal(failures, 6);
    assert_int_equal(byte_at(top, 6 * CLUSTER + 7), 10 + failures - 1);
    block_free(top);
}

/* ---- merging ---- */

static void test_merge_reads_as_what_it_was_made_of(void **state)
{
    int fd[3];
    struct block *top = new_chain(fd);
    struct block *one = merged(top, new_file(), DISK);

    (void)state;
    expect_same(top, one);
    assert_int_equal(one->depth, 2);
    assert_true(one->read_only);
    assert_memory_equal(&one->id, &top->id, sizeof one->id);
    /* Not all of it is zero: what each layer wrote is there. */
    assert_int_equal(byte_at(one, CLUSTER), 101);
    assert_int_equal(byte_at(one, 3 * CLUSTER), 103);
    assert_int_equal(byte_at(one, 22 * CLUSTER + 9), 203);
    assert_int_equal(byte_at(one, 34 * CLUSTER), 0);
    assert_int_equal(byte_at(one, 40 * CLUSTER), 40);
    block_free(one);
    block_free(top);
    close_all(fd, 3);
}

static void test_merge_leaves_holes_where_nothing_is(void **state)
{
    int fd[3];
    struct block *top = new_chain(fd);
    int file = new_file();
    struct block *one = merged(top, dup(file), DISK);
    struct stat st;
    uint64_t used;

    (void)state;
    /* Clusters 1 to 5, 20 to 22, and the discarded 30 to 35 without room. */
    assert_int_equal(overlay_used_bytes(one, &used, NULL), 0);
    assert_int_equal(used, 14 * CLUSTER);
    assert_int_equal(fstat(file, &st), 0);
    assert_true(st.st_blocks * 512 <= (2 + 8) * CLUSTER);
    block_free(one);
    block_free(top);
    close(file);
    close_all(fd, 3);
}

static void test_merge_takes_its_parts_place(void **state)
{
    int fd[3];
    struct block *top = new_chain(fd);
    struct block *work = new_layer(new_file(), top, DISK);
    int files_of[1];
    struct block *one = NULL;

    (void)state;
    fill(work, 2 * CLUSTER + 5, 10, 77);
    files_of[0] = new_file();
    assert_int_equal(overlay_merge(overlay_base(work), files_of[0], NULL), 0);
    assert_int_equal(
        overlay_open_chain(new_base(DISK), files_of, 1, &one, NULL), 0);
    assert_int_equal(overlay_rebase(work, one, NULL), 0);
    assert_int_equal(work->depth, 3);
    assert_ptr_equal(overlay_base(work), one);
    assert_int_equal(byte_at(work, 2 * CLUSTER + 5), 77);
    assert_int_equal(byte_at(work, 2 * CLUSTER), 102);
    assert_int_equal(byte_at(work, 4 * CLUSTER), 103);
    fill(work, 4 * CLUSTER, 1, 78);
    assert_int_equal(byte_at(work, 4 * CLUSTER + 1), 103);
    block_free(work);
    close_all(fd, 3);
}

/* Layers may be larger than what they are over, and a base may end within a
 * cluster. */
static void test_merge_of_layers_that_grow(void **state)
{
    enum { BASE_BYTES = 10 * CLUSTER + 100 };
    int fd[2] = {new_file(), new_file()};
    struct block *top = new_layer(fd[0], new_base(BASE_BYTES), 20 * CLUSTER);
    struct block *one;

    (void)state;
    fill(top, 19 * CLUSTER, 5, 1);
    assert_int_equal(overlay_seal(top, NULL), 0);
    top = new_layer(fd[1], top, 2 * (uint64_t)PAGE_OF_DISK);
    fill(top, PAGE_OF_DISK - CLUSTER - 3, 2 * CLUSTER, 2);
    assert_int_equal(overlay_seal(top, NULL), 0);
    one = merged(top, new_file(), BASE_BYTES);
    assert_int_equal(one->bytes, 2 * (uint64_t)PAGE_OF_DISK);
    for (uint64_t at = 0; at < 30 * CLUSTER; at += 50)
        assert_int_equal(byte_at(one, at), byte_at(top, at));
    assert_int_equal(byte_at(one, PAGE_OF_DISK - CLUSTER - 4), 0);
    assert_int_equal(byte_at(one, PAGE_OF_DISK - CLUSTER - 3), 2);
    assert_int_equal(byte_at(one, PAGE_OF_DISK), 2);
    assert_int_equal(byte_at(one, PAGE_OF_DISK + CLUSTER - 4), 2);
    assert_int_equal(byte_at(one, PAGE_OF_DISK + CLUSTER - 3), 0);
    block_free(one);
    block_free(top);
    close_all(fd, 2);
}

static void test_merge_refuses_what_may_change_or_is_there(void **state)
{
    int fd[3];
    struct block *top = new_chain(fd);
    int file = new_file();
    struct block *work;

    (void)state;
    assert_int_equal(write(file, "x", 1), 1);
    assert_int_equal(overlay_merge(top, file, NULL), SM_EEXIST);
    assert_int_equal(ftruncate(file, 0), 0);
    work = new_layer(new_file(), top, DISK);
    assert_int_equal(overlay_merge(work, file, NULL), SM_EINVAL);
    assert_int_equal(overlay_merge(top, file, NULL), 0);
    block_free(work);
    close(file);
    close_all(fd, 3);
}

/* Half a merge can be told from a whole one, and is of no harm to the parts. */
static void test_merge_that_fails_leaves_no_overlay(void **state)
{
    int fd[3];
    struct block *top = new_chain(fd);
    int failures = 0;

    (void)state;
    for (;; failures++) {
        struct block *base = new_base(DISK);
        struct block *block = NULL;
        int file = new_file();
        int rc;

        files.left = failures;
        rc = overlay_merge(top, file, NULL);
        files.left = -1;
        if (!rc) {
            assert_int_equal(overlay_open(file, base, true, &block, NULL), 0);
            expect_same(top, block);
            block_free(block);
            break;
        }
        assert_int_equal(rc, SM_ENOSPC);
        assert_int_equal(overlay_open(file, base, true, &block, NULL),
                         SM_EIMAGE);
        block_free(base);
        close(file);
    }
    /* A bitmap of each layer, its runs, size, stretch, bitmap and header. */
    assert_in_range(failures, 15, 60);
    block_free(top);
    close_all(fd, 3);
}

/* ---- putting over another base ---- */

static void test_rebase_refuses_another_block(void **state)
{
    struct block *work = new_layer(new_file(), new_base(DISK), DISK);
    struct block *other = new_base(DISK);

    (void)state;
    other->id.bytes[0]++;
    assert_int_equal(overlay_rebase(work, other, NULL), SM_EINVAL);
    other->id.bytes[0]--;
    other->bytes -= CLUSTER;
    assert_int_equal(overlay_rebase(work, other, NULL), SM_EINVAL);
    other->bytes += CLUSTER;
    other->read_only = false;
    assert_int_equal(overlay_rebase(work, other, NULL), SM_EINVAL);
    other->read_only = true;
    other->depth = BLOCK_DEPTH_MAX;
    assert_int_equal(overlay_rebase(work, other, NULL), SM_ELIMIT);
    other->depth = 1;
    fill(work, 0, 1, 5);
    assert_int_equal(overlay_rebase(work, other, NULL), 0);
    assert_ptr_equal(overlay_base(work), other);
    assert_int_equal(byte_at(work, 0), 5);
    assert_int_equal(byte_at(work, CLUSTER), 1);
    assert_null(overlay_base(other));
    block_free(work);
}

/* ---- chains from anybody ---- */

/* Opening the files over a fresh base gives (code), and nothing stays open. */
static void expect_refused(const int *from, unsigned count, int code,
                           const char *text)
{
    int fd[BLOCK_DEPTH_MAX + 1];
    struct sm_error err = {0};
    struct block *block = NULL;

    for (unsigned i = 0; i < count; i++)
        fd[i] = dup(from[i]);
    assert_int_equal(
        overlay_open_chain(new_base(DISK), fd, count, &block, &err), code);
    assert_null(block);
    assert_non_null(strstr(err.message, text));
    for (unsigned i = 0; i < count; i++)
        assert_false(is_open(fd[i]));
}

static void test_chain_opens_from_the_lowest_up(void **state)
{
    int fd[3];
    struct block *top = new_chain(fd);
    struct block *block = NULL;
    struct block *base = new_base(DISK);

    (void)state;
    assert_int_equal(overlay_open_chain(base, NULL, 0, &block, NULL), 0);
    assert_ptr_equal(block, base);
    block_free(block);
    assert_int_equal(overlay_open_chain(new_base(DISK), fd, 3, &block, NULL),
                     0);
    assert_int_equal(block->depth, 4);
    expect_same(top, block);
    block_free(block);
    assert_false(is_open(fd[0]));
    assert_false(is_open(fd[2]));
    block_free(top);
}

static void test_chain_refuses_layers_that_do_not_fit(void **state)
{
    int fd[3];
    struct block *top = new_chain(fd);
    int swapped[3] = {fd[0], fd[2], fd[1]};
    int twice[2] = {fd[0], fd[0]};
    int open_top[2] = {fd[0], new_file()};
    int work = new_file();
    struct block *below = NULL;
    int first = dup(fd[0]);

    (void)state;
    expect_refused(swapped, 3, SM_EIMAGE, "disk layer 2 of 3: ");
    expect_refused(twice, 2, SM_EIMAGE, "over another base");
    expect_refused(fd + 1, 2, SM_EIMAGE, "disk layer 1 of 2: ");
    expect_refused(open_top, 2, SM_EIMAGE, "not an overlay");
    assert_int_equal(
        overlay_open_chain(new_base(DISK), &first, 1, &below, NULL), 0);
    block_free(new_layer(work, below, DISK));
    open_top[0] = fd[0];
    close(open_top[1]);
    open_top[1] = work;
    expect_refused(open_top, 2, SM_EIMAGE, "disk layer 2 of 2: overlay: not ");
    close(work);
    block_free(top);
    close_all(fd, 3);
}

static void test_chain_refuses_files_cut_off(void **state)
{
    static const off_t left[] = {0, 100, BITMAP_AT, BITMAP_AT + 4096,
                                 BITMAP_AT + 4096 + DISK - 1};
    int fd[3];
    struct block *top = new_chain(fd);
    int whole = new_file();

    (void)state;
    assert_int_equal(overlay_merge(top, whole, NULL), 0);
    for (unsigned i = ARRAY_LEN(left); i--;) {
        assert_int_equal(ftruncate(fd[1], left[i]), 0);
        expect_refused(fd, 3, SM_EIMAGE, "disk layer 2 of 3: ");
        assert_int_equal(ftruncate(whole, left[i]), 0);
        expect_refused(&whole, 1, SM_EIMAGE, "disk layer 1 of 1: ");
    }
    close(whole);
    block_free(top);
    close_all(fd, 3);
}

/* A layer that ends while it is used fails, and the merge with it. */
static void test_chain_that_is_cut_off_later_fails(void **state)
{
    int fd[3];
    struct block *top = new_chain(fd);
    int file = new_file();
    uint8_t byte;

    (void)state;
    assert_int_equal(ftruncate(fd[1], 100), 0);
    assert_int_equal(block_read_bytes(top, 2 * CLUSTER, &byte, 1, NULL),
                     SM_EIO);
    assert_int_equal(overlay_merge(top, file, NULL), SM_EIO);
    close(file);
    block_free(top);
    close_all(fd, 3);
}

static void test_chain_refuses_more_layers_than_there_may_be(void **state)
{
    int fd[BLOCK_DEPTH_MAX];
    struct block *top = new_base(DISK);
    uint8_t header[4096];
    struct block *one;

    (void)state;
    for (int i = 0; i < BLOCK_DEPTH_MAX - 1; i++) {
        fd[i] = new_file();
        top = new_layer(fd[i], top, DISK);
        fill(top, (uint64_t)i * CLUSTER, 1, 100 + i);
        assert_int_equal(overlay_seal(top, NULL), 0);
    }
    assert_int_equal(top->depth, BLOCK_DEPTH_MAX);
    one = merged(top, new_file(), DISK);
    expect_same(one, top);
    /* One more, made by hand: over the identity of the topmost. */
    fd[BLOCK_DEPTH_MAX - 1] = new_file();
    assert_int_equal(pread(fd[0], header, sizeof header, 0), sizeof header);
    memcpy(header + 32, top->id.bytes, BLOCK_ID_BYTES);
    assert_int_equal(write(fd[BLOCK_DEPTH_MAX - 1], header, sizeof header),
                     sizeof header);
    assert_int_equal(
        ftruncate(fd[BLOCK_DEPTH_MAX - 1], BITMAP_AT + 4096 + DISK), 0);
    expect_refused(fd, BLOCK_DEPTH_MAX, SM_ELIMIT, "disk layer 16 of 16: ");
    block_free(one);
    block_free(top);
    close_all(fd, BLOCK_DEPTH_MAX);
}

/* Bits that stand for no cluster are nobody's. */
static void test_merge_ignores_bits_behind_the_end(void **state)
{
    int fd[3];
    struct block *top = new_chain(fd);
    uint8_t stray[4096 - CLUSTERS / 8];
    int file = new_file();
    struct block *one;
    uint64_t used;

    (void)state;
    memset(stray, 0xff, sizeof stray);
    assert_int_equal(
        pwrite(fd[1], stray, sizeof stray, BITMAP_AT + CLUSTERS / 8),
        sizeof stray);
    one = merged(top, file, DISK);
    assert_int_equal(overlay_used_bytes(one, &used, NULL), 0);
    assert_int_equal(used, 14 * CLUSTER);
    expect_same(one, top);
    block_free(one);
    block_free(top);
    close_all(fd, 3);
}

/* ---- any history ---- */

/* A machine's disk: its top, and the files of all sealed layers below. */
struct disk {
    struct block *top;
    int fd[BLOCK_DEPTH_MAX]; /* of the sealed ones, and of the top */
    unsigned sealed;
};

static void seal_disk(struct disk *disk)
{
    int fd = new_file();

    assert_int_equal(overlay_split(disk->top, dup(fd), &disk->top, NULL), 0);
    disk->fd[++disk->sealed] = fd;
}

/* All sealed layers become one, below the machine's feet. */
static void merge_disk(struct disk *disk)
{
    struct block *one = NULL;
    int fd = new_file();
    int given = dup(fd);

    assert_int_equal(overlay_merge(overlay_base(disk->top), fd, NULL), 0);
    close_all(disk->fd, disk->sealed);
    disk->fd[1] = disk->fd[disk->sealed];
    disk->fd[0] = fd;
    disk->sealed = 1;
    assert_int_equal(overlay_open_chain(new_base(DISK), &given, 1, &one, NULL),
                     0);
    assert_int_equal(overlay_rebase(disk->top, one, NULL), 0);
    assert_int_equal(disk->top->depth, 3);
}

/* Another machine comes out of the files, and it is the one that goes on. */
static void fork_disk(struct disk *disk)
{
    int fd[BLOCK_DEPTH_MAX];
    struct block *chain = NULL;

    seal_disk(disk);
    block_free(disk->top);
    for (unsigned i = 0; i < disk->sealed; i++)
        fd[i] = dup(disk->fd[i]);
    assert_int_equal(
        overlay_open_chain(new_base(DISK), fd, disk->sealed, &chain, NULL), 0);
    close(disk->fd[disk->sealed]);
    disk->fd[disk->sealed] = new_file();
    disk->top = new_layer(disk->fd[disk->sealed], chain, DISK);
}

static void change(struct disk *disk, uint8_t *model, uint32_t *seed)
{
    uint64_t at = next_random(seed) % DISK;
    uint64_t count = next_random(seed) % (4 * CLUSTER) + 1;
    int value = (int)(next_random(seed) % 256);

    count = min_u64(count, DISK - at);
    if (next_random(seed) % 4) {
        fill(disk->top, at, count, value);
        memset(model + at, value, count);
        return;
    }
    assert_int_equal(block_write_zeroes(disk->top, at, count, true, NULL), 0);
    memset(model + at, 0, count);
}

static void test_layers_are_like_plain_memory(void **state)
{
    enum { RUNS = 20, STEPS = 150 };
    static uint8_t model[DISK];
    static uint8_t found[DISK];

    (void)state;
    for (uint32_t run = 0; run < RUNS; run++) {
        struct disk disk = {.fd = {new_file()}};
        uint32_t seed = run;

        disk.top = new_layer(disk.fd[0], new_base(DISK), DISK);
        assert_int_equal(block_read_bytes(disk.top, 0, model, DISK, NULL), 0);
        for (int i = 0; i < STEPS; i++) {
            uint32_t what = next_random(&seed) % 16;

            if (what < 2 && disk.top->depth < BLOCK_DEPTH_MAX)
                seal_disk(&disk);
            else if (what == 2 && disk.sealed)
                merge_disk(&disk);
            else if (what == 3 && disk.top->depth < BLOCK_DEPTH_MAX)
                fork_disk(&disk);
            else if (what == 4)
                assert_int_equal(block_flush(disk.top, NULL), 0);
            else
                change(&disk, model, &seed);
            assert_int_equal(block_read_bytes(disk.top, 0, found, DISK, NULL),
                             0);
            assert_memory_equal(found, model, DISK);
        }
        block_free(disk.top);
        close_all(disk.fd, disk.sealed + 1);
    }
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup(test, set_up)
    const struct CMUnitTest tests[] = {
        CASE(test_seal_waits_for_nothing_and_loses_nothing),
        CASE(test_seal_refuses_what_is_open_read_only),
        CASE(test_seal_remembers_a_sync_that_failed),
        CASE(test_split_goes_on_in_the_new_layer),
        CASE(test_flush_syncs_layers_sealed_below_once),
        CASE(test_split_that_fails_changes_nothing),
        CASE(test_merge_reads_as_what_it_was_made_of),
        CASE(test_merge_leaves_holes_where_nothing_is),
        CASE(test_merge_takes_its_parts_place),
        CASE(test_merge_of_layers_that_grow),
        CASE(test_merge_refuses_what_may_change_or_is_there),
        CASE(test_merge_that_fails_leaves_no_overlay),
        CASE(test_rebase_refuses_another_block),
        CASE(test_chain_opens_from_the_lowest_up),
        CASE(test_chain_refuses_layers_that_do_not_fit),
        CASE(test_chain_refuses_files_cut_off),
        CASE(test_chain_that_is_cut_off_later_fails),
        CASE(test_chain_refuses_more_layers_than_there_may_be),
        CASE(test_merge_ignores_bits_behind_the_end),
        CASE(test_layers_are_like_plain_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
