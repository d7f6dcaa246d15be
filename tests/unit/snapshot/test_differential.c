/* test_differential.c: memory in two files: what a machine changed, gave back
 * and got from elsewhere is there again, and nothing else is written. */
#include "arch/arch.h"
#include "base/bits.h"
#include "base/bytes.h"
#include "base/own.h"
#include "platform/process.h"
#include "played.h"
#include "snapshot/snapshot.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PAGE = 4096,
    MEMORY = 64 << 20, /* of each machine here; one region */
    PAGES = MEMORY / PAGE,
    FREE_PAGES = 256 /* from here on nothing is the machine's own */
};

static const char label[] = "differential";

/* A snapshot: one file, or one over another's. */
struct saved {
    int base_fd;
    int memory_fd; /* what was written: the base itself, or a differential */
    struct snapshot_place state;
    uint64_t bytes;
};

static void saved_done(struct saved *saved)
{
    close(saved->memory_fd);
    close(saved->state.fd);
}

static uint8_t *page_of(const struct played *played, uint64_t number)
{
    return gmem_span(vm_memory(played->vm), GPA(number * PAGE), PAGE);
}

/* What is another in every machine is the same in those of these tests. */
static void forget_generation(const struct played *played)
{
    struct arch_place place = arch_place(ARCH_GENERATION);

    assert_true(gmem_zero(vm_memory(played->vm), GPA(place.at), place.bytes));
}

static void give_back(const struct played *played, uint64_t first,
                      uint64_t count)
{
    assert_true(
        gmem_discard(vm_memory(played->vm), GPA(first * PAGE), count * PAGE));
}

/* All of the memory, for later. */
static uint8_t *remember(const struct played *played)
{
    uint8_t *copy = malloc(MEMORY);

    assert_non_null(copy);
    return memcpy(copy, page_of(played, 0), MEMORY);
}

static struct snapshot_capture *capture(struct played *played, bool full)
{
    const struct snapshot_wanted wanted = {.label = label, .full = full};
    struct snapshot_capture *ret = NULL;

    vm_pause(played->vm);
    assert_int_equal(vm_freeze(played->vm, NULL), 0);
    assert_int_equal(snapshot_capture(played->vm, &wanted, &ret, NULL), 0);
    return ret;
}

static void thaw(struct played *played)
{
    vm_thaw(played->vm);
    vm_resume(played->vm);
}

static struct snapshot_files make_files(struct saved *to)
{
    to->memory_fd = memfd_create("memory", MFD_CLOEXEC);
    to->state =
        (struct snapshot_place){.fd = memfd_create("state", MFD_CLOEXEC)};
    return (struct snapshot_files){
        .state = to->state, .memory_fd = to->memory_fd, .durable = true};
}

/* Save (played), which came out of (from) or was booted (NULL). */
static void save(struct played *played, const struct saved *from, bool full,
                 struct saved *to)
{
    struct snapshot_files files = make_files(to);
    struct snapshot_capture *taken;
    struct stat st;

    forget_generation(played);
    taken = capture(played, full);
    assert_int_equal(snapshot_is_full(taken), full || !from);
    to->base_fd = full || !from ? to->memory_fd : from->base_fd;
    assert_int_equal(snapshot_store(taken, &files, &to->bytes, NULL), 0);
    snapshot_capture_free(taken);
    thaw(played);
    assert_int_equal(fstat(to->memory_fd, &st), 0);
    assert_int_equal(st.st_size, MEMORY);
    assert_in_range(st.st_blocks * 512, to->bytes, to->bytes);
}

static int try_go_on(struct played *played, const struct saved *from,
                     struct sm_error *err)
{
    struct snapshot snapshot = {0};
    struct vm_saved saved = {.memory_fd = from->base_fd,
                             .differential_fd = from->memory_fd};
    int rc = snapshot_read(&from->state, label, &snapshot, err);

    if (rc)
        return rc;
    saved.state = snapshot.state;
    saved.count = snapshot.state_count;
    saved.range = snapshot.range;
    saved.range_count = snapshot.range_count;
    played_init(played, 1, NULL);
    played->saved = &saved;
    rc = played_make(played, err);
    played->saved = NULL;
    snapshot_done(&snapshot);
    if (rc)
        played_done(played);
    return rc;
}

static void go_on(struct played *played, const struct saved *from)
{
    assert_int_equal(try_go_on(played, from, NULL), 0);
    forget_generation(played);
    vm_run(played->vm);
}

/* The ranges that a snapshot has. */
static size_t count_ranges(const struct saved *saved)
{
    struct snapshot snapshot;
    size_t count;

    assert_int_equal(snapshot_read(&saved->state, label, &snapshot, NULL), 0);
    count = snapshot.range_count;
    snapshot_done(&snapshot);
    return count;
}

/* A machine that comes out of (saved) has this memory. */
static void expect_restored(const struct saved *saved, const uint8_t *expected)
{
    struct played played;

    go_on(&played, saved);
    assert_int_equal(memcmp(page_of(&played, 0), expected, MEMORY), 0);
    played_done(&played);
}

/* ---- at random ---- */

/* xorshift64 (Marsaglia, 2003). */
static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* What a machine may do with its memory. */
static void change(struct played *played, uint64_t *seed, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t number =
            FREE_PAGES + next_random(seed) % (PAGES - 16 - FREE_PAGES);
        uint64_t run = 1 + next_random(seed) % 16;
        volatile uint8_t *page = page_of(played, number);

        switch (next_random(seed) % 6) {
        case 0:
        case 1:
            page[next_random(seed) % PAGE] = (uint8_t)next_random(seed);
            break;
        case 2:
            memset(page_of(played, number), (int)i, run * PAGE);
            break;
        case 3: /* a page of its own, with what was there */
            page[0] = page[0];
            break;
        case 4:
            memset(page_of(played, number), 0, run * PAGE);
            break;
        default:
            give_back(played, number, run);
        }
    }
}

/* A machine that was booted and has done something, in one file. */
static void save_first(struct saved *to, uint64_t *seed)
{
    struct played played;

    played_init(&played, 1, NULL);
    played_start(&played);
    change(&played, seed, 300);
    save(&played, NULL, false, to);
    played_done(&played);
}

/* Each machine comes out of the snapshot of the one before. */
static void test_differential_of_a_differential_and_so_on(void **state)
{
    enum { GENERATIONS = 5, CHANGES = 150 };
    struct saved first;
    struct saved last;
    uint64_t seed = 5;
    uint8_t *untouched;
    struct played played;

    (void)state;
    save_first(&first, &seed);
    last = first;
    go_on(&played, &first);
    untouched = remember(&played);
    played_done(&played);
    for (unsigned i = 0; i < GENERATIONS; i++) {
        struct saved differential;
        AUTO_FREE uint8_t *expected = NULL;
        struct saved full;

        go_on(&played, &last);
        change(&played, &seed, CHANGES);
        expected = remember(&played);
        save(&played, &last, false, &differential);
        save(&played, &last, true, &full);
        /* It goes on after that, and what it does is its own. */
        change(&played, &seed, CHANGES);
        played_done(&played);
        assert_true(count_ranges(&differential) > 0);
        assert_int_equal(count_ranges(&full), 0);
        expect_restored(&differential, expected);
        expect_restored(&full, expected);
        saved_done(&full);
        if (i)
            saved_done(&last);
        last = differential;
    }
    expect_restored(&first, untouched);
    saved_done(&last);
    saved_done(&first);
    free(untouched);
}

/* ---- one thing each ---- */

static void test_differential_is_what_differs(void **state)
{
    struct played played;
    struct saved nothing;
    struct saved first;
    struct saved some;
    uint64_t seed = 7;

    (void)state;
    save_first(&first, &seed);
    go_on(&played, &first);
    /* Pages of its own that are as they were are no difference. */
    for (unsigned i = 0; i < PAGES; i += 3) {
        volatile uint8_t *page = page_of(&played, i);

        page[7] = page[7];
    }
    save(&played, &first, false, &nothing);
    assert_int_equal(nothing.bytes, 0);
    assert_int_equal(count_ranges(&nothing), 0);
    memset(page_of(&played, 100), 'a', 3 * PAGE);
    memset(page_of(&played, 200), 'b', PAGE);
    give_back(&played, 101, 1);
    save(&played, &first, false, &some);
    /* The page between them is zero, as it was. */
    assert_int_equal(some.bytes, 3 * PAGE);
    assert_int_equal(count_ranges(&some), 3);
    played_done(&played);
    saved_done(&some);
    saved_done(&nothing);
    saved_done(&first);
}

/* A page that was zero, became something, was saved so and is zero again: the
 * next snapshot says nothing of it. */
static void test_differential_shrinks_again(void **state)
{
    struct played played;
    struct saved first;
    struct saved second;
    struct saved third;

    (void)state;
    played_init(&played, 1, NULL);
    played_start(&played);
    save(&played, NULL, false, &first);
    played_done(&played);
    go_on(&played, &first);
    memset(page_of(&played, 5000), 'x', 2 * PAGE);
    save(&played, &first, false, &second);
    played_done(&played);
    go_on(&played, &second);
    assert_int_equal(page_of(&played, 5001)[0], 'x');
    give_back(&played, 5000, 1);
    memset(page_of(&played, 5001), 0, PAGE);
    save(&played, &second, false, &third);
    assert_int_equal(count_ranges(&third), 0);
    assert_int_equal(third.bytes, 0);
    played_done(&played);
    go_on(&played, &third);
    assert_int_equal(page_of(&played, 5001)[0], 0);
    played_done(&played);
    saved_done(&third);
    saved_done(&second);
    saved_done(&first);
}

/* What the base has, and the machine has given back, is zero. */
static void test_differential_has_zeros_in_place_of_what_was_there(void **state)
{
    struct played played;
    struct saved first;
    struct saved second;
    struct saved full;
    uint8_t *expected;

    (void)state;
    played_init(&played, 1, NULL);
    played_start(&played);
    memset(page_of(&played, 300), 'x', 4 * PAGE);
    save(&played, NULL, false, &first);
    played_done(&played);
    go_on(&played, &first);
    give_back(&played, 300, 2);
    memset(page_of(&played, 301), 'y', 1);
    memset(page_of(&played, 302), 0, PAGE);
    expected = remember(&played);
    save(&played, &first, false, &second);
    save(&played, &first, true, &full);
    assert_int_equal(second.bytes, PAGE);
    assert_int_equal(count_ranges(&second), 1);
    played_done(&played);
    expect_restored(&second, expected);
    expect_restored(&full, expected);
    free(expected);
    saved_done(&full);
    saved_done(&second);
    saved_done(&first);
}

/* A full snapshot of a machine that touched little does not look at what was a
 * hole: in a file in memory a look would fill it. */
static void test_full_snapshot_leaves_holes_alone(void **state)
{
    struct played played;
    struct saved first;
    struct saved second;
    struct saved full;
    struct stat before[2];
    struct stat after[2];
    uint64_t seed = 11;

    (void)state;
    save_first(&first, &seed);
    go_on(&played, &first);
    change(&played, &seed, 50);
    save(&played, &first, false, &second);
    played_done(&played);
    go_on(&played, &second);
    assert_int_equal(fstat(first.memory_fd, &before[0]), 0);
    assert_int_equal(fstat(second.memory_fd, &before[1]), 0);
    save(&played, &second, true, &full);
    assert_int_equal(fstat(first.memory_fd, &after[0]), 0);
    assert_int_equal(fstat(second.memory_fd, &after[1]), 0);
    assert_int_equal(before[0].st_blocks, after[0].st_blocks);
    assert_int_equal(before[1].st_blocks, after[1].st_blocks);
    played_done(&played);
    saved_done(&full);
    saved_done(&second);
    saved_done(&first);
}

/* ---- many ranges ---- */

/* A machine that differs in (count) single pages, (gap) pages between each but
 * for the one behind page (odd), which has (odd_gap). */
static void save_comb(const struct saved *first, unsigned count, unsigned gap,
                      unsigned odd_gap, struct saved *to, uint8_t **expected)
{
    struct played played;
    uint64_t number = 4100; /* behind what the kernel is */

    go_on(&played, first);
    for (unsigned i = 0; i < count; i++) {
        memset(page_of(&played, number), 'x', PAGE);
        number += 1 + (i == count / 2 ? odd_gap : gap);
    }
    assert_true(number < PAGES);
    *expected = remember(&played);
    save(&played, first, false, to);
    played_done(&played);
}

static void test_differential_closes_the_smallest_gaps(void **state)
{
    static const struct {
        unsigned count;
        unsigned gap;
        unsigned odd_gap;
        size_t ranges;
    } table[] = {
        {1024, 5, 5, 1024}, /* just enough                     */
        {1025, 5, 2, 1024}, /* one too many: the smallest goes */
        {1025, 5, 9, 2},    /* all but the largest             */
        {3000, 1, 1, 1},    {3000, 2, 700, 2},
    };
    uint64_t seed = 13;
    struct saved first;

    (void)state;
    save_first(&first, &seed);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct saved comb;
        uint8_t *expected;

        save_comb(&first, table[i].count, table[i].gap, table[i].odd_gap, &comb,
                  &expected);
        assert_int_equal(count_ranges(&comb), table[i].ranges);
        expect_restored(&comb, expected);
        free(expected);
        saved_done(&comb);
    }
    saved_done(&first);
}

/* ---- in a copy of the process ---- */

struct store {
    struct snapshot_capture *capture;
    struct snapshot_files files;
};

static int store(void *context, uint64_t *value, struct sm_error *err)
{
    struct store *store = context;

    return snapshot_store(store->capture, &store->files, value, err);
}

/* Store in a copy while the machine goes on here. */
static int save_live(struct played *played, uint64_t *seed,
                     struct snapshot_files files, uint64_t *bytes,
                     struct sm_error *err)
{
    const struct gmem_image *image = &vm_memory(played->vm)->image;
    struct store context = {.files = files};
    const int fds[] = {files.memory_fd, files.state.fd, image->fd,
                       image->differential_fd};
    const struct process_work work = {
        .work = store, .context = &context, .fds = fds, .fd_count = 4};
    struct process_copy copy;

    context.capture = capture(played, false);
    assert_int_equal(process_copy(&work, &copy, NULL), 0);
    thaw(played);
    snapshot_capture_free(context.capture);
    change(played, seed, 2000);
    return process_copy_end(&copy, bytes, err);
}

static void test_differential_is_of_the_moment_of_the_capture(void **state)
{
    struct saved first;
    struct saved last;
    uint64_t seed = 17;

    (void)state;
    save_first(&first, &seed);
    last = first;
    for (unsigned i = 0; i < 3; i++) {
        struct saved live = {.base_fd = first.memory_fd};
        struct snapshot_files files = make_files(&live);
        AUTO_FREE uint8_t *expected = NULL;
        struct played played;

        go_on(&played, &last);
        change(&played, &seed, 200);
        expected = remember(&played);
        assert_int_equal(save_live(&played, &seed, files, &live.bytes, NULL),
                         0);
        assert_true(live.bytes > 0);
        played_done(&played);
        expect_restored(&live, expected);
        if (i)
            saved_done(&last);
        last = live;
    }
    saved_done(&last);
    saved_done(&first);
}

/* The copy says what went wrong; the machine goes on. */
static void test_differential_that_cannot_be_written_says_so(void **state)
{
    struct snapshot_files files;
    struct sm_error err = {0};
    struct played played;
    struct saved first;
    struct saved live;
    uint64_t seed = 19;
    uint64_t bytes;

    (void)state;
    save_first(&first, &seed);
    go_on(&played, &first);
    files = make_files(&live);
    files.memory_fd = STDIN_FILENO; /* no file to write to */
    assert_true(save_live(&played, &seed, files, &bytes, &err) < 0);
    assert_non_null(strstr(err.message, "snapshot: memory: "));
    files = make_files(&live);
    assert_int_equal(save_live(&played, &seed, files, &bytes, NULL), 0);
    played_done(&played);
    saved_done(&live);
    saved_done(&first);
}

/* ---- files that are not whole ---- */

static void test_differential_needs_both_files_whole(void **state)
{
    struct played played;
    struct sm_error err;
    struct saved first;
    struct saved second;
    struct saved broken;
    uint64_t seed = 23;

    (void)state;
    save_first(&first, &seed);
    go_on(&played, &first);
    memset(page_of(&played, PAGES - 1), 'z', PAGE);
    save(&played, &first, false, &second);
    played_done(&played);
    broken = second;
    broken.memory_fd = -1;
    assert_int_equal(try_go_on(&played, &broken, &err), SM_EIMAGE);
    broken = second;
    broken.base_fd = memfd_create("short", MFD_CLOEXEC);
    assert_int_equal(ftruncate(broken.base_fd, MEMORY - 1), 0);
    assert_int_equal(try_go_on(&played, &broken, &err), SM_EIMAGE);
    assert_int_equal(close(broken.base_fd), 0);
    assert_int_equal(ftruncate(second.memory_fd, MEMORY - PAGE), 0);
    assert_int_equal(try_go_on(&played, &second, &err), SM_EIMAGE);
    assert_non_null(strstr(err.message, "are needed"));
    saved_done(&second);
    saved_done(&first);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_differential_of_a_differential_and_so_on),
        cmocka_unit_test(test_differential_is_what_differs),
        cmocka_unit_test(test_differential_shrinks_again),
        cmocka_unit_test(
            test_differential_has_zeros_in_place_of_what_was_there),
        cmocka_unit_test(test_full_snapshot_leaves_holes_alone),
        cmocka_unit_test(test_differential_closes_the_smallest_gaps),
        cmocka_unit_test(test_differential_is_of_the_moment_of_the_capture),
        cmocka_unit_test(test_differential_that_cannot_be_written_says_so),
        cmocka_unit_test(test_differential_needs_both_files_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
