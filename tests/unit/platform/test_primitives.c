/* test_primitives.c: clocks, random bytes, pages, notifiers. */
#include "base/bits.h"
#include "base/bytes.h"
#include "platform/clock.h"
#include "platform/notifier.h"
#include "platform/pages.h"
#include "platform/random.h"
#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void test_clock_monotonic_never_goes_back(void **state)
{
    uint64_t last = clock_monotonic_ns();

    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint64_t now = clock_monotonic_ns();

        assert_true(now >= last);
        last = now;
    }
}

static void test_clock_wall_is_unix_time_in_nanoseconds(void **state)
{
    uint64_t before = (uint64_t)time(NULL);
    uint64_t now = clock_wall_ns() / NS_PER_S;
    uint64_t after = (uint64_t)time(NULL);

    (void)state;
    /* time() may be behind by a tick. */
    assert_in_range(now, before, after + 1);
}

static void test_random_bytes_fill_all_and_differ(void **state)
{
    static uint8_t bytes[2][100000];
    unsigned zeros = 0;

    (void)state;
    assert_int_equal(random_bytes(bytes[0], sizeof bytes[0], NULL), 0);
    assert_int_equal(random_bytes(bytes[1], sizeof bytes[1], NULL), 0);
    assert_memory_not_equal(bytes[0], bytes[1], sizeof bytes[0]);
    for (size_t i = 0; i < sizeof bytes[0]; i++)
        zeros += bytes[0][i] == 0;
    /* 390 are expected; half of the array left out would be 50 000. */
    assert_in_range(zeros, 200, 800);
    assert_int_equal(random_bytes(NULL, 0, NULL), 0);
}

static void test_pages_are_zero_and_zero_again_after_a_discard(void **state)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint8_t *at = pages_map(4 * page, NULL);

    (void)state;
    assert_non_null(at);
    for (uint64_t i = 0; i < 4 * page; i++)
        assert_int_equal(at[i], 0);
    memset(at, 7, 4 * page);
    pages_discard(at + 1, 3 * page - 1);
    for (uint64_t i = 0; i < 4 * page; i++)
        assert_int_equal(at[i], i < page || i >= 3 * page ? 7 : 0);
    pages_unmap(at, 4 * page);
}

/* In a process that is forked now. */
static bool pages_are_there(void *at, uint64_t bytes)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        unsigned char pages[4];

        _exit(mincore(at, bytes, pages) != 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

static void test_pages_are_left_out_of_forked_processes(void **state)
{
    uint64_t page = pages_size();
    uint8_t *at = pages_map(2 * page, NULL);

    (void)state;
    assert_non_null(at);
    at[page] = 7;
    assert_true(pages_are_there(at, 2 * page));
    pages_leave_out(at, 2 * page, true);
    assert_false(pages_are_there(at, 2 * page));
    assert_false(pages_are_there(at + page, page));
    assert_int_equal(at[page], 7);
    pages_leave_out(at, 2 * page, false);
    assert_true(pages_are_there(at, 2 * page));
    assert_int_equal(at[page], 7);
    pages_unmap(at, 2 * page);
}

static void test_pages_discard_spares_pages_that_are_not_whole(void **state)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint8_t *at = pages_map(2 * page, NULL);

    (void)state;
    assert_non_null(at);
    memset(at, 7, 2 * page);
    pages_discard(at, 0);
    pages_discard(at, page - 1);
    pages_discard(at + 1, page - 1);
    pages_discard(at + 1, 2 * page - 2);
    for (uint64_t i = 0; i < 2 * page; i++)
        assert_int_equal(at[i], 7);
    pages_unmap(at, 2 * page);
}

/* More than one look at the kernel's table takes, behind other numbers. */
static void test_pages_used_are_those_that_were_written_to(void **state)
{
    enum { PAGES = 9000, FIRST = 37 };
    static const uint64_t written[] = {0, 1, 63, 64, 4095, 4096, PAGES - 1};
    uint64_t page = pages_size();
    uint64_t used[(FIRST + PAGES) / 64 + 1] = {0};
    int fd = memfd_create("pages", MFD_CLOEXEC);
    volatile uint8_t *at;
    unsigned found = 0;

    (void)state;
    assert_int_equal(ftruncate(fd, (off_t)(PAGES * page)), 0);
    at = pages_map_copy(PAGES * page, fd, 0, NULL);
    assert_non_null((const void *)(uintptr_t)at);
    assert_int_equal(at[100 * page], 0); /* read: still the file's */
    for (size_t i = 0; i < ARRAY_LEN(written); i++)
        at[written[i] * page] = 1;
    bits_add(used, 5); /* what is in the set already stays */
    assert_int_equal(
        pages_used((const void *)(uintptr_t)at, PAGES, used, FIRST, NULL), 0);
    for (uint64_t i = 0; i < FIRST + PAGES; i++)
        found += bits_has(used, i);
    assert_int_equal(found, 1 + ARRAY_LEN(written));
    for (size_t i = 0; i < ARRAY_LEN(written); i++)
        assert_true(bits_has(used, FIRST + written[i]));
    pages_unmap((void *)(uintptr_t)at, PAGES * page);
    close(fd);
}

static void test_pages_map_over_replaces_what_was_there(void **state)
{
    uint64_t page = pages_size();
    int fd = memfd_create("pages", MFD_CLOEXEC);
    uint8_t *at = pages_map(3 * page, NULL);

    (void)state;
    assert_non_null(at);
    assert_int_equal(ftruncate(fd, (off_t)(2 * page)), 0);
    assert_int_equal(pwrite(fd, "f", 1, (off_t)page), 1);
    memset(at, 'a', 3 * page);
    assert_int_equal(pages_map_over(at + page, page, fd, page, NULL), 0);
    assert_int_equal(at[page - 1], 'a');
    assert_int_equal(at[page], 'f');
    assert_int_equal(at[2 * page - 1], 0);
    assert_int_equal(at[2 * page], 'a');
    at[page] = 'x';
    assert_int_equal(pages_map_over(at, page, -1, 0, NULL), SM_EIO);
    assert_int_equal(at[0], 'a');
    assert_int_equal(pread(fd, at, 1, (off_t)page), 1);
    assert_int_equal(at[0], 'f');
    pages_unmap(at, 3 * page);
    close(fd);
}

static void test_pages_are_given_at_first_touch(void **state)
{
    /* More than any machine has: but for the touched byte it costs nothing. */
    uint64_t bytes = 256 * GIB;
    uint8_t *at = pages_map(bytes, NULL);

    (void)state;
    assert_non_null(at);
    at[bytes - 1] = 1;
    pages_unmap(at, bytes);
}

static void test_pages_that_cannot_be_had_are_an_error(void **state)
{
    struct sm_error err;

    (void)state;
    assert_null(pages_map(UINT64_C(1) << 60, &err));
    assert_int_equal(err.code, SM_ENOMEM);
    assert_null(pages_map(0, &err));
    assert_int_equal(err.code, SM_EINVAL);
}

static bool is_readable(const struct notifier *notifier)
{
    struct pollfd poll_fd = {.fd = notifier->fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}

static void test_notifier_adds_signals_up_to_one(void **state)
{
    struct notifier notifier = NOTIFIER_NONE;

    (void)state;
    assert_int_equal(notifier_init(&notifier, NULL), 0);
    assert_false(is_readable(&notifier));
    assert_false(notifier_clear(&notifier));
    notifier_signal(&notifier);
    notifier_signal(&notifier);
    assert_true(is_readable(&notifier));
    assert_true(notifier_clear(&notifier));
    assert_false(notifier_clear(&notifier));
    assert_false(is_readable(&notifier));
    notifier_done(&notifier);
    assert_int_equal(notifier.fd, -1);
    notifier_done(&notifier);
}

/* As KVM may do when nobody looks. */
static void test_notifier_that_is_full_is_still_signalled(void **state)
{
    uint64_t most = UINT64_MAX - 1;
    struct notifier notifier;

    (void)state;
    assert_int_equal(notifier_init(&notifier, NULL), 0);
    assert_int_equal(write(notifier.fd, &most, sizeof most), sizeof most);
    notifier_signal(&notifier);
    assert_true(notifier_clear(&notifier));
    notifier_done(&notifier);
}

static void *signal_it(void *context)
{
    notifier_signal(context);
    return NULL;
}

static void test_notifier_is_signalled_by_any_thread(void **state)
{
    struct notifier notifier;
    struct pollfd poll_fd = {.events = POLLIN};
    pthread_t thread;

    (void)state;
    assert_int_equal(notifier_init(&notifier, NULL), 0);
    poll_fd.fd = notifier.fd;
    assert_int_equal(pthread_create(&thread, NULL, signal_it, &notifier), 0);
    assert_int_equal(poll(&poll_fd, 1, 30000), 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(notifier_clear(&notifier));
    notifier_done(&notifier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_monotonic_never_goes_back),
        cmocka_unit_test(test_clock_wall_is_unix_time_in_nanoseconds),
        cmocka_unit_test(test_random_bytes_fill_all_and_differ),
        cmocka_unit_test(test_pages_are_zero_and_zero_again_after_a_discard),
        cmocka_unit_test(test_pages_are_left_out_of_forked_processes),
        cmocka_unit_test(test_pages_discard_spares_pages_that_are_not_whole),
        cmocka_unit_test(test_pages_used_are_those_that_were_written_to),
        cmocka_unit_test(test_pages_map_over_replaces_what_was_there),
        cmocka_unit_test(test_pages_are_given_at_first_touch),
        cmocka_unit_test(test_pages_that_cannot_be_had_are_an_error),
        cmocka_unit_test(test_notifier_adds_signals_up_to_one),
        cmocka_unit_test(test_notifier_that_is_full_is_still_signalled),
        cmocka_unit_test(test_notifier_is_signalled_by_any_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
