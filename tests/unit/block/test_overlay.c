/* test_overlay.c: copy-on-write, and what a crash at any moment leaves.
 *
 * The linker puts the __wrap_ functions below between the overlay and its
 * file. They note what was written and what was synced; "power loss" then
 * makes a file of what was synced plus any part, in sectors, of the rest.
 */
#include "unit.h"

#include "../devices/spy_block.h"

#include "base/bytes.h"
#include "block/disk_file.h"
#include "block/overlay.h"
#include "block/raw.h"
#include "block/spans.h"
#include "platform/file.h"

#include <stdio.h>
#include <sys/stat.h>

enum {
    CLUSTER = 4096,
    CLUSTERS = 64,
    DISK = CLUSTERS * CLUSTER,
    DATA_AT = 2 * CLUSTER, /* header, one page of bitmap */
    SECTOR = 512,
    SECTORS = DISK / SECTOR,
    EVENTS_MAX = 4096
};

/* ---- the file that remembers ---- */

struct event {
    char what; /* 'w'rite, 's'ync, 'z'ero */
    uint64_t at;
    uint64_t bytes;
    uint8_t *data; /* of a write */
};

static struct {
    bool on;
    int budget; /* operations until the machine dies, -1: never */
    int fail_sync;
    bool no_holes; /* a file system that cannot punch */
    unsigned count;
    struct event event[EVENTS_MAX];
} tape;

int __real_disk_file_write(int fd, uint64_t at, const struct iovec *from,
                           unsigned count, struct sm_error *err);
int __real_disk_file_sync(int fd, struct sm_error *err);
int __real_disk_file_zero(int fd, uint64_t at, uint64_t bytes, bool punch,
                          struct sm_error *err);
int __wrap_disk_file_write(int fd, uint64_t at, const struct iovec *from,
                           unsigned count, struct sm_error *err);
int __wrap_disk_file_sync(int fd, struct sm_error *err);
int __wrap_disk_file_zero(int fd, uint64_t at, uint64_t bytes, bool punch,
                          struct sm_error *err);

/* A new event, or NULL when the machine is dead. */
static struct event *record(char what, uint64_t at, uint64_t bytes)
{
    struct event *event = &tape.event[tape.count];

    if (tape.budget == 0)
        return NULL;
    if (tape.budget > 0)
        tape.budget--;
    assert_in_range(tape.count, 0, EVENTS_MAX - 1);
    *event = (struct event){.what = what, .at = at, .bytes = bytes};
    tape.count++;
    return event;
}

int __wrap_disk_file_write(int fd, uint64_t at, const struct iovec *from,
                           unsigned count, struct sm_error *err)
{
    if (tape.on) {
        struct spans spans = spans_of(from, count);
        struct event *event;
        uint64_t bytes = 0;

        for (unsigned i = 0; i < count; i++)
            bytes += from[i].iov_len;
        event = record('w', at, bytes);
        if (!event)
            return fail(err, SM_EIO, "dead");
        event->data = malloc(bytes);
        spans_copy_out(&spans, event->data, bytes);
    }
    return __real_disk_file_write(fd, at, from, count, err);
}

int __wrap_disk_file_sync(int fd, struct sm_error *err)
{
    if (tape.fail_sync)
        return fail(err, tape.fail_sync, "sync fails");
    if (tape.on && !record('s', 0, 0))
        return fail(err, SM_EIO, "dead");
    return __real_disk_file_sync(fd, err);
}

int __wrap_disk_file_zero(int fd, uint64_t at, uint64_t bytes, bool punch,
                          struct sm_error *err)
{
    if (tape.no_holes)
        return fail(err, SM_ENOTSUP, "no holes");
    if (tape.on && !record('z', at, bytes))
        return fail(err, SM_EIO, "dead");
    return __real_disk_file_zero(fd, at, bytes, punch, err);
}

static void rewind_tape(void)
{
    for (unsigned i = 0; i < tape.count; i++)
        free(tape.event[i].data);
    tape.count = 0;
    tape.on = true;
    tape.budget = -1;
}

static uint32_t next_random(uint32_t *seed)
{
    /* Numerical Recipes' generator: the same everywhere. */
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* ---- set-up ---- */

static int new_file(void)
{
    int fd = -1;

    assert_int_equal(file_in_memory("overlay", &fd, NULL), 0);
    return fd;
}

/* A base of DISK bytes in which sector s begins with 1000 + s. */
static struct block *new_base(void)
{
    struct spy_block *spy = spy_block_new(true);

    spy->block.bytes = DISK;
    memset(spy->block.id.bytes, 7, BLOCK_ID_BYTES);
    for (uint32_t s = 0; s < SECTORS; s++)
        store_le32(spy->data + s * SECTOR, 1000 + s);
    return &spy->block;
}

static struct block *create_in(int fd, uint64_t bytes)
{
    struct block *block = NULL;

    assert_int_equal(overlay_create(fd, new_base(), bytes, &block, NULL), 0);
    return block;
}

static struct block *create(uint64_t bytes)
{
    return create_in(new_file(), bytes);
}

static int set_up(void **state)
{
    (void)state;
    rewind_tape();
    tape.on = false;
    tape.fail_sync = 0;
    tape.no_holes = false;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rewind_tape();
    tape.on = false;
    return 0;
}

static int write_bytes(struct block *block, uint64_t at, const void *bytes,
                       size_t count)
{
    struct iovec span = {.iov_base = (void *)(uintptr_t)bytes,
                         .iov_len = count};

    return block_write(block, at, &span, 1, NULL);
}

static uint32_t stamp_at(struct block *block, uint32_t sector)
{
    uint8_t bytes[4];

    assert_int_equal(block_read_bytes(block, (uint64_t)sector * SECTOR, bytes,
                                      sizeof bytes, NULL),
                     0);
    return load_le32(bytes);
}

static void write_stamp(struct block *block, uint32_t sector, uint32_t stamp)
{
    uint8_t bytes[SECTOR] = {0};

    store_le32(bytes, stamp);
    (void)write_bytes(block, (uint64_t)sector * SECTOR, bytes, sizeof bytes);
}

/* ---- content ---- */

static void test_overlay_shows_its_base_until_written(void **state)
{
    struct block *block = create(DISK + 8 * CLUSTER);
    uint8_t page[CLUSTER];
    uint64_t used;

    (void)state;
    for (uint32_t s = 0; s < SECTORS; s++)
        assert_int_equal(stamp_at(block, s), 1000 + s);
    /* Beyond the base there are zeroes. */
    memset(page, 1, sizeof page);
    assert_int_equal(block_read_bytes(block, DISK - 8, page, 16, NULL), 0);
    assert_int_equal(page[8], 0);
    assert_int_equal(overlay_used_bytes(block, &used, NULL), 0);
    assert_int_equal(used, 0);
    block_free(block);
}

static void test_overlay_part_of_a_cluster_copies_the_rest_up(void **state)
{
    struct block *block = create(DISK);
    uint64_t used;

    (void)state;
    assert_int_equal(write_bytes(block, 2 * CLUSTER + 700, "abc", 3), 0);
    for (uint32_t s = 0; s < SECTORS; s++)
        assert_int_equal(stamp_at(block, s), 1000 + s);
    assert_int_equal(overlay_used_bytes(block, &used, NULL), 0);
    assert_int_equal(used, CLUSTER);
    /* Over two clusters' border. */
    assert_int_equal(write_bytes(block, 4 * CLUSTER - 2, "abcd", 4), 0);
    assert_int_equal(stamp_at(block, 4 * 8 - 1), 1000 + 4 * 8 - 1);
    assert_int_equal(overlay_used_bytes(block, &used, NULL), 0);
    assert_int_equal(used, 3 * CLUSTER);
    block_free(block);
}

/* A long random history, compared with plain memory; reopened now and then. */
static void test_overlay_is_like_plain_memory(void **state)
{
    static uint8_t model[DISK];
    static uint8_t bytes[DISK];
    struct block *block = create(DISK);
    uint32_t seed = 1;

    (void)state;
    assert_int_equal(block_read_bytes(block, 0, model, DISK, NULL), 0);
    for (int i = 0; i < 3000; i++) {
        uint64_t at = next_random(&seed) % DISK;
        uint64_t count = next_random(&seed) % (3 * CLUSTER) + 1;

        count = min_u64(count, DISK - at);
        switch (next_random(&seed) % 4) {
        case 0:
            memset(bytes, (int)next_random(&seed), count);
            assert_int_equal(write_bytes(block, at, bytes, count), 0);
            memcpy(model + at, bytes, count);
            break;
        case 1:
            assert_int_equal(block_write_zeroes(block, at, count, true, NULL),
                             0);
            memset(model + at, 0, count);
            break;
        case 2:
            assert_int_equal(block_read_bytes(block, at, bytes, count, NULL),
                             0);
            assert_memory_equal(bytes, model + at, count);
            break;
        default:
            if (i % 20 == 0)
                assert_int_equal(block_flush(block, NULL), 0);
            break;
        }
    }
    assert_int_equal(block_read_bytes(block, 0, bytes, DISK, NULL), 0);
    assert_memory_equal(bytes, model, DISK);
    block_free(block);
}

static void test_overlay_discard_reads_zero_whatever_the_base_has(void **state)
{
    struct block *block = create(DISK);

    (void)state;
    assert_int_equal(block_discard(block, 100, 3 * CLUSTER, NULL), 0);
    /* Only whole clusters are given up. */
    assert_int_equal(stamp_at(block, 0), 1000);
    assert_int_equal(stamp_at(block, 8), 0);
    assert_int_equal(stamp_at(block, 16), 0);
    assert_int_equal(stamp_at(block, 24), 1024);
    block_free(block);
}

static void test_overlay_zeroes_without_holes(void **state)
{
    struct block *block = create(DISK);

    (void)state;
    tape.no_holes = true;
    assert_int_equal(
        block_write_zeroes(block, 100, 20 * CLUSTER + 7, true, NULL), 0);
    assert_int_equal(stamp_at(block, 0), 1000);
    for (uint32_t s = 1; s <= 160; s++)
        assert_int_equal(stamp_at(block, s), 0);
    assert_int_equal(stamp_at(block, 161), 1161);
    /* A discard may do nothing, and then nothing changes. */
    assert_int_equal(block_discard(block, 30 * CLUSTER, CLUSTER, NULL), 0);
    assert_int_equal(stamp_at(block, 240), 1240);
    block_free(block);
}

static void test_overlay_refuses_what_lies_outside(void **state)
{
    struct block *block = create(DISK);
    uint8_t byte = 0;

    (void)state;
    assert_int_equal(write_bytes(block, DISK, &byte, 1), SM_EINVAL);
    assert_int_equal(write_bytes(block, UINT64_MAX, &byte, 1), SM_EINVAL);
    assert_int_equal(block_discard(block, 1, UINT64_MAX, NULL), SM_EINVAL);
    assert_int_equal(block_read_bytes(block, DISK - 1, &byte, 1, NULL), 0);
    assert_int_equal(block_read_bytes(block, DISK, &byte, 0, NULL), 0);
    block_free(block);
}

/* ---- files ---- */

static void test_overlay_of_4_tib_costs_nothing(void **state)
{
    struct block *block = NULL;
    struct stat st;
    uint8_t byte = 9;
    struct block *base = new_base();
    int fd = new_file();
    int other = new_file();

    (void)state;
    tape.on = true;
    assert_int_equal(
        overlay_create(other, base, OVERLAY_BYTES_MAX + CLUSTER, &block, NULL),
        SM_ELIMIT);
    close(other);
    assert_int_equal(overlay_create(fd, base, OVERLAY_BYTES_MAX, &block, NULL),
                     0);
    assert_int_equal(tape.count, 1); /* the header */
    assert_int_equal(write_bytes(block, OVERLAY_BYTES_MAX - 1, &byte, 1), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(st.st_blocks * 512 <= 64 << 10);
    block_free(block);
}

static struct block *reopen(int fd, struct block *base, int *rc)
{
    struct block *block = NULL;

    *rc = overlay_open(fd, base, false, &block, NULL);
    return block;
}

static void test_overlay_comes_back_after_a_flush(void **state)
{
    int fd = new_file();
    struct block *block = create_in(dup(fd), DISK);
    int rc;

    (void)state;
    write_stamp(block, 5, 77);
    assert_int_equal(block_flush(block, NULL), 0);
    write_stamp(block, 50, 88); /* not flushed: in the cache only */
    block_free(block);
    block = reopen(fd, new_base(), &rc);
    assert_int_equal(rc, 0);
    assert_int_equal(stamp_at(block, 5), 77);
    assert_int_equal(stamp_at(block, 4), 1004);
    assert_int_equal(stamp_at(block, 50), 1050);
    block_free(block);
}

static void test_overlay_open_refuses_another_base(void **state)
{
    int fd = new_file();
    struct block *block = create_in(dup(fd), DISK);
    struct block *other = new_base();
    int rc;

    (void)state;
    block_free(block);
    other->id.bytes[31]++;
    reopen(fd, other, &rc);
    assert_int_equal(rc, SM_EIMAGE);
    other->id.bytes[31]--;
    other->bytes -= CLUSTER;
    reopen(fd, other, &rc);
    assert_int_equal(rc, SM_EIMAGE);
    other->bytes += CLUSTER;
    other->read_only = false;
    reopen(fd, other, &rc);
    assert_int_equal(rc, SM_EINVAL);
    block_free(other);
    close(fd);
}

/* Every bit of the header counts: a flipped one is refused, but for the
 * overlay's own identity, which nothing can check. */
static void test_overlay_open_refuses_a_damaged_header(void **state)
{
    struct block *base = new_base();
    int fd = new_file();
    struct block *block = create_in(dup(fd), DISK);
    uint8_t header[CLUSTER];

    (void)state;
    block_free(block);
    assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
    for (unsigned bit = 0; bit < 8 * sizeof header; bit++) {
        unsigned byte = bit / 8;
        int rc;

        if ((byte >= 64 && byte < 96) || bit == 8 * 96)
            continue; /* identity; "frozen" */
        header[byte] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(pwrite(fd, header, sizeof header, 0), sizeof header);
        reopen(fd, base, &rc);
        if (rc != SM_EIMAGE && rc != SM_ENOTSUP && rc != SM_ELIMIT)
            print_error("bit %u: %d\n", bit, rc);
        assert_true(rc == SM_EIMAGE || rc == SM_ENOTSUP || rc == SM_ELIMIT);
        header[byte] ^= (uint8_t)(1u << bit % 8);
    }
    block_free(base);
    close(fd);
}

static void test_overlay_open_refuses_a_file_cut_off(void **state)
{
    struct block *base = new_base();
    int fd = new_file();
    struct block *block = create_in(dup(fd), DISK);
    int rc;

    (void)state;
    block_free(block);
    assert_int_equal(ftruncate(fd, DATA_AT + DISK - 1), 0);
    reopen(fd, base, &rc);
    assert_int_equal(rc, SM_EIMAGE);
    assert_int_equal(ftruncate(fd, 10), 0);
    reopen(fd, base, &rc);
    assert_int_equal(rc, SM_EIMAGE);
    block_free(base);
    close(fd);
}

static void test_overlay_create_refuses_what_is_there_already(void **state)
{
    struct block *base = new_base();
    struct block *block = NULL;
    int fd = new_file();

    (void)state;
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(overlay_create(fd, base, DISK, &block, NULL), SM_EEXIST);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(overlay_create(fd, base, DISK - CLUSTER, &block, NULL),
                     SM_EINVAL);
    assert_int_equal(overlay_create(fd, base, DISK + 1, &block, NULL),
                     SM_EINVAL);
    block_free(base);
    close(fd);
}

/* ---- layers ---- */

static void test_overlay_frozen_never_changes_again(void **state)
{
    int fd = new_file();
    struct block *block = create_in(dup(fd), DISK);
    int rc;

    (void)state;
    write_stamp(block, 3, 42);
    assert_int_equal(overlay_freeze(block, NULL), 0);
    assert_int_equal(overlay_freeze(block, NULL), 0);
    assert_int_equal(write_bytes(block, 0, "x", 1), SM_EACCES);
    assert_int_equal(block_discard(block, 0, CLUSTER, NULL), SM_EACCES);
    block_free(block);
    block = reopen(fd, new_base(), &rc);
    assert_int_equal(rc, 0);
    assert_true(block->read_only);
    assert_int_equal(stamp_at(block, 3), 42);
    block_free(block);
}

static void test_overlay_layers_stack_up_to_the_limit(void **state)
{
    struct block *block = create(DISK);
    struct block *next = NULL;
    uint32_t layers = 1;
    int fd;

    (void)state;
    write_stamp(block, 0, 1);
    while (block->depth < BLOCK_DEPTH_MAX) {
        assert_int_equal(overlay_freeze(block, NULL), 0);
        assert_int_equal(overlay_create(new_file(), block, DISK, &next, NULL),
                         0);
        block = next;
        write_stamp(block, layers++, 1);
    }
    assert_int_equal(overlay_freeze(block, NULL), 0);
    fd = new_file();
    assert_int_equal(overlay_create(fd, block, DISK, &next, NULL), SM_ELIMIT);
    close(fd);
    /* Each layer's write is seen on top, copied up through all of them. */
    for (uint32_t s = 0; s < layers; s++)
        assert_int_equal(stamp_at(block, s), 1);
    assert_int_equal(stamp_at(block, layers), 1000 + layers);
    block_free(block);
}

/* Two children of a frozen parent go their own ways. */
static void test_overlay_children_do_not_see_each_other(void **state)
{
    int fd = new_file();
    struct block *parent = create_in(dup(fd), DISK);
    struct block *child[2] = {NULL, NULL};
    int rc;

    (void)state;
    write_stamp(parent, 1, 11);
    assert_int_equal(overlay_freeze(parent, NULL), 0);
    assert_int_equal(overlay_create(new_file(), parent, DISK, &child[0], NULL),
                     0);
    assert_int_equal(overlay_create(new_file(),
                                    reopen(dup(fd), new_base(), &rc), DISK,
                                    &child[1], NULL),
                     0);
    write_stamp(child[0], 2, 22);
    write_stamp(child[1], 2, 33);
    assert_int_equal(stamp_at(child[0], 1), 11);
    assert_int_equal(stamp_at(child[1], 1), 11);
    assert_int_equal(stamp_at(child[0], 2), 22);
    assert_int_equal(stamp_at(child[1], 2), 33);
    block_free(child[0]);
    block_free(child[1]);
    close(fd);
}

/* ---- flushes and crashes ---- */

static void test_overlay_flush_syncs_data_before_the_bitmap(void **state)
{
    struct block *block = create(DISK);

    (void)state;
    rewind_tape();
    write_stamp(block, 8, 1);
    assert_int_equal(tape.count, 1);
    assert_int_equal(tape.event[0].at, DATA_AT + CLUSTER);
    assert_int_equal(block_flush(block, NULL), 0);
    assert_int_equal(tape.count, 4);
    assert_int_equal(tape.event[1].what, 's');
    assert_int_equal(tape.event[2].what, 'w');
    assert_int_equal(tape.event[2].at, CLUSTER); /* the bitmap */
    assert_int_equal(tape.event[3].what, 's');
    /* No new bit, no bitmap; but a sync, always. */
    write_stamp(block, 9, 2);
    assert_int_equal(block_flush(block, NULL), 0);
    assert_int_equal(tape.count, 6);
    assert_int_equal(tape.event[5].what, 's');
    block_free(block);
}

/* Only then is the file said to be one that never changes. */
static void test_overlay_freeze_flushes_before_it_seals(void **state)
{
    struct block *block = create(DISK);

    (void)state;
    rewind_tape();
    write_stamp(block, 8, 1);
    assert_int_equal(overlay_freeze(block, NULL), 0);
    assert_int_equal(tape.count, 6);
    assert_int_equal(tape.event[1].what, 's');
    assert_int_equal(tape.event[2].at, CLUSTER); /* the bitmap */
    assert_int_equal(tape.event[3].what, 's');
    assert_int_equal(tape.event[4].what, 'w');
    assert_int_equal(tape.event[4].at, 0); /* the header */
    assert_int_equal(tape.event[5].what, 's');
    block_free(block);
}

/* The host's kernel reports a failed write-back once and forgets it: no later
 * flush may say that all is well. */
static void test_overlay_failed_sync_is_not_forgotten(void **state)
{
    struct block *block = create(DISK);

    (void)state;
    write_stamp(block, 8, 1);
    tape.fail_sync = SM_EIO;
    assert_int_equal(block_flush(block, NULL), SM_EIO);
    tape.fail_sync = 0;
    assert_int_equal(block_flush(block, NULL), SM_EIO);
    assert_int_equal(overlay_freeze(block, NULL), SM_EIO);
    block_free(block);
}

/* What a sector may read as after a crash: its content at the last flush that
 * succeeded, or anything that was written to it later. */
struct sector {
    uint32_t flushed;
    uint32_t newest;
    unsigned later;
    uint32_t stamp[64];
};

static bool may_be(const struct sector *sector, uint32_t stamp)
{
    bool found = stamp == sector->flushed;

    for (unsigned i = 0; i < sector->later; i++)
        found |= stamp == sector->stamp[i];
    return found;
}

static void note_stamp(struct sector *sector, uint32_t stamp)
{
    assert_in_range(sector->later, 0, ARRAY_LEN(sector->stamp) - 1);
    sector->stamp[sector->later++] = stamp;
    sector->newest = stamp;
}

/* All that was written is durable. */
static void note_flush(struct sector *sectors)
{
    for (uint32_t s = 0; s < SECTORS; s++) {
        sectors[s].flushed = sectors[s].newest;
        sectors[s].later = 0;
    }
}

/* Some history: writes of sectors and of runs, zeroes, flushes. */
static void live(struct block *block, struct sector *sectors, uint32_t *seed)
{
    static uint8_t bytes[2 * CLUSTER];
    static uint32_t stamp = 1000000;

    for (int i = 0; i < 40; i++) {
        uint32_t first = next_random(seed) % SECTORS;
        uint32_t count = next_random(seed) % 16 + 1;
        uint32_t kind = next_random(seed) % 8;

        count = (uint32_t)min_u64(count, SECTORS - first);
        stamp++;
        for (uint32_t s = 0; s < count; s++)
            store_le32(bytes + s * SECTOR, stamp);
        if (kind == 0) {
            if (block_flush(block, NULL) == 0)
                note_flush(sectors);
            continue;
        }
        for (uint32_t s = first; s < first + count; s++)
            note_stamp(&sectors[s], kind == 1 ? 0 : stamp);
        if (kind == 1)
            (void)block_write_zeroes(block, (uint64_t)first * SECTOR,
                                     (uint64_t)count * SECTOR, true, NULL);
        else
            (void)write_bytes(block, (uint64_t)first * SECTOR, bytes,
                              (size_t)count * SECTOR);
    }
}

/* Sector by sector, as a disk may do it. */
static void replay(uint8_t *file, const struct event *event, bool all,
                   uint32_t *seed)
{
    for (uint64_t at = 0; at < event->bytes; at += SECTOR) {
        uint64_t count = min_u64(SECTOR, event->bytes - at);

        if (!all && next_random(seed) % 2)
            continue;
        if (event->what == 'w')
            memcpy(file + event->at + at, event->data + at, count);
        else
            memset(file + event->at + at, 0, count);
    }
}

/* The file after the crash: everything before the last sync, and of the rest
 * all (kill -9: the host's cache lives on) or any part (power loss). */
static int file_after(bool power_loss, uint32_t *seed)
{
    static uint8_t file[DATA_AT + DISK];
    unsigned synced = 0;
    int fd = new_file();

    memset(file, 0, sizeof file);
    for (unsigned i = 0; i < tape.count; i++)
        if (tape.event[i].what == 's')
            synced = i;
    for (unsigned i = 0; i < tape.count; i++)
        replay(file, &tape.event[i], i < synced || !power_loss, seed);
    assert_int_equal(write(fd, file, sizeof file), sizeof file);
    return fd;
}

static void test_overlay_survives_a_crash_at_any_operation(void **state)
{
    static struct sector sectors[SECTORS];
    unsigned checked = 0;

    (void)state;
    for (uint32_t run = 0; run < 600; run++) {
        uint32_t seed = run;
        struct block *block;
        int rc;

        for (uint32_t s = 0; s < SECTORS; s++)
            sectors[s] =
                (struct sector){.flushed = 1000 + s, .newest = 1000 + s};
        rewind_tape();
        block = create(DISK);
        assert_int_equal(block_flush(block, NULL), 0);
        tape.budget = (int)(next_random(&seed) % 100);
        live(block, sectors, &seed);
        if (run % 3 == 0 && overlay_freeze(block, NULL) == 0)
            note_flush(sectors);
        block_free(block);
        tape.on = false;

        block = reopen(file_after(run % 2, &seed), new_base(), &rc);
        assert_int_equal(rc, 0);
        for (uint32_t s = 0; s < SECTORS; s++, checked++)
            assert_true(may_be(&sectors[s], stamp_at(block, s)));
        block_free(block);
    }
    assert_int_equal(checked, 600 * SECTORS);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_overlay_shows_its_base_until_written),
        CASE(test_overlay_part_of_a_cluster_copies_the_rest_up),
        CASE(test_overlay_is_like_plain_memory),
        CASE(test_overlay_discard_reads_zero_whatever_the_base_has),
        CASE(test_overlay_zeroes_without_holes),
        CASE(test_overlay_refuses_what_lies_outside),
        CASE(test_overlay_of_4_tib_costs_nothing),
        CASE(test_overlay_comes_back_after_a_flush),
        CASE(test_overlay_open_refuses_another_base),
        CASE(test_overlay_open_refuses_a_damaged_header),
        CASE(test_overlay_open_refuses_a_file_cut_off),
        CASE(test_overlay_create_refuses_what_is_there_already),
        CASE(test_overlay_frozen_never_changes_again),
        CASE(test_overlay_layers_stack_up_to_the_limit),
        CASE(test_overlay_children_do_not_see_each_other),
        CASE(test_overlay_flush_syncs_data_before_the_bitmap),
        CASE(test_overlay_freeze_flushes_before_it_seals),
        CASE(test_overlay_failed_sync_is_not_forgotten),
        CASE(test_overlay_survives_a_crash_at_any_operation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
