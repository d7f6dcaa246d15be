/* test_gmem_image.c: guest-physical memory that begins as files: what it begins
 * as, what was given back since, and copies of the process without it. */
#include "base/bits.h"
#include "base/bytes.h"
#include "memory/gmem.h"
#include "platform/pages.h"
#include "unit.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, LOW_BYTES = 4 * PAGE };
#define LOW_AT  UINT64_C(0x10000)
#define HIGH_AT (UINT64_MAX - 16 * PAGE + 1)

/* A file of (count) pages, each full of the next letter from (first) on. */
static int make_file(char first, unsigned count)
{
    int fd = memfd_create("memory", MFD_CLOEXEC);
    uint8_t page[PAGE];

    assert_true(fd >= 0);
    for (unsigned i = 0; i < count; i++) {
        memset(page, first + (int)i, sizeof page);
        assert_int_equal(write(fd, page, sizeof page), PAGE);
    }
    return fd;
}

/* What the pages of (region) begin with; a zero shows as '.'. */
static void expect_pages(const struct gmem_region *region, const char *expected)
{
    for (size_t i = 0; expected[i]; i++) {
        char found = (char)region->host[i * PAGE];

        assert_int_equal(found ? found : '.', expected[i]);
        assert_int_equal(region->host[i * PAGE + PAGE - 1],
                         region->host[i * PAGE]);
    }
}

static bool is_dropped(const struct gmem_region *region, uint64_t page)
{
    return bits_has(region->dropped, page);
}

/* Memory that begins as a file: the file never changes, and what is given back
 * is zero, not the file's again. */
static void test_gmem_copy_of_a_file(void **state)
{
    int fd = make_file('a', 4);
    const struct gmem_image image = {.fd = fd, .bytes = 4 * PAGE};
    struct gmem_image more = {.fd = fd, .bytes = 5 * PAGE};
    uint8_t byte;
    struct sm_error err;
    struct gmem mem;
    uint8_t *low;

    (void)state;
    gmem_init(&mem);
    assert_int_equal(gmem_set_image(&mem, &more, &err), SM_EIMAGE);
    assert_non_null(strstr(err.message, "16384 bytes, 20480 are needed"));
    assert_int_equal(gmem_add_copy(&mem, GPA(0), PAGE, NULL), SM_EINVAL);
    assert_int_equal(gmem_set_image(&mem, &image, NULL), 0);
    assert_int_equal(gmem_add_copy(&mem, GPA(0), 5 * PAGE, NULL), SM_EINVAL);
    assert_int_equal(gmem_add_copy(&mem, GPA(0), 3 * PAGE, NULL), 0);
    assert_int_equal(gmem_add_copy(&mem, GPA(HIGH_AT), 2 * PAGE, NULL),
                     SM_EINVAL);
    assert_int_equal(gmem_add_copy(&mem, GPA(HIGH_AT), PAGE, NULL), 0);
    expect_pages(&mem.region[0], "abc");
    expect_pages(&mem.region[1], "d");
    low = gmem_span(&mem, GPA(0), 3 * PAGE);
    assert_true(gmem_prepare(&mem, GPA(0), 2 * PAGE));
    assert_false(gmem_prepare(&mem, GPA(0), 4 * PAGE));
    low[0] = 'x';
    assert_int_equal(pread(fd, &byte, 1, 0), 1);
    assert_int_equal(byte, 'a');
    assert_true(gmem_discard(&mem, GPA(0), PAGE));
    assert_true(gmem_discard(&mem, GPA(2 * PAGE), PAGE));
    expect_pages(&mem.region[0], ".b.");
    gmem_done(&mem);
    assert_int_equal(close(fd), 0);
}

/* What was given back is remembered, whole pages only, also over the border of
 * a word of the set. */
static void test_gmem_remembers_what_was_given_back(void **state)
{
    enum { PAGES = 130 };
    int fd = make_file('a', 1);
    const struct gmem_image image = {.fd = fd, .bytes = PAGES * PAGE};
    struct gmem mem;
    const struct gmem_region *region = &mem.region[0];

    (void)state;
    assert_int_equal(ftruncate(fd, PAGES * PAGE), 0);
    gmem_init(&mem);
    assert_int_equal(gmem_set_image(&mem, &image, NULL), 0);
    assert_int_equal(gmem_add_copy(&mem, GPA(LOW_AT), PAGES * PAGE, NULL), 0);
    assert_true(gmem_discard(&mem, GPA(LOW_AT + 1), 2 * PAGE - 1));
    assert_true(gmem_discard(&mem, GPA(LOW_AT + 1), PAGE - 1));
    assert_true(gmem_discard(&mem, GPA(LOW_AT + 1), 1));
    assert_true(gmem_discard(&mem, GPA(LOW_AT + 62 * PAGE), 4 * PAGE + 5));
    assert_true(gmem_discard(&mem, GPA(LOW_AT + (PAGES - 1) * PAGE), PAGE));
    assert_false(
        gmem_discard(&mem, GPA(LOW_AT + (PAGES - 1) * PAGE), 2 * PAGE));
    for (unsigned i = 0; i < PAGES; i++)
        assert_int_equal(is_dropped(region, i),
                         i == 1 || (i >= 62 && i < 66) || i == PAGES - 1);
    gmem_done(&mem);
    close(fd);
}

/* Ranges of a second file lie over the first one, and over the border of two
 * regions. */
static void test_gmem_copy_of_two_files(void **state)
{
    /* The last one is too long to be read. */
    static const struct gmem_range range[] = {{PAGE, PAGE},
                                              {2 * PAGE, PAGE},
                                              {4 * PAGE, 3 * PAGE},
                                              {8 * PAGE, 6 * PAGE}};
    int fd = make_file('a', 16);
    int differential = make_file('A', 16);
    const struct gmem_image image = {.fd = fd,
                                     .differential_fd = differential,
                                     .bytes = 16 * PAGE,
                                     .range = range,
                                     .count = ARRAY_LEN(range)};
    struct gmem mem;
    uint8_t byte;

    (void)state;
    gmem_init(&mem);
    assert_int_equal(gmem_set_image(&mem, &image, NULL), 0);
    assert_int_equal(gmem_add_copy(&mem, GPA(0), 5 * PAGE, NULL), 0);
    assert_int_equal(gmem_add_copy(&mem, GPA(LOW_AT), 3 * PAGE, NULL), 0);
    expect_pages(&mem.region[0], "aBCdE");
    assert_int_equal(gmem_add_copy(&mem, GPA(2 * LOW_AT), 8 * PAGE, NULL), 0);
    expect_pages(&mem.region[1], "FGh");
    expect_pages(&mem.region[2], "IJKLMNop");
    /* Both are copies. */
    memset(mem.region[0].host, 'x', 5 * PAGE);
    memset(mem.region[2].host, 'x', 8 * PAGE);
    assert_int_equal(pread(differential, &byte, 1, PAGE), 1);
    assert_int_equal(byte, 'B');
    assert_int_equal(pread(differential, &byte, 1, 9 * PAGE), 1);
    assert_int_equal(byte, 'J');
    /* The second file's bytes do not come back either. */
    assert_true(gmem_discard(&mem, GPA(LOW_AT), PAGE));
    expect_pages(&mem.region[1], ".Gh");
    /* The files are kept, whoever else has closed them. */
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(differential), 0);
    assert_int_equal(pread(mem.image.fd, &byte, 1, 7 * PAGE), 1);
    assert_int_equal(byte, 'h');
    assert_int_equal(mem.image.count, ARRAY_LEN(range));
    gmem_done(&mem);
}

/* A list may come from anybody. */
static void test_gmem_refuses_ranges_of_nonsense(void **state)
{
    static const uint64_t top = UINT64_MAX - PAGE + 1;
    static const struct {
        struct gmem_range range[3];
        size_t count;
        int result;
    } table[] = {
        {{{0, PAGE}}, 1, 0},
        {{{0, PAGE}, {PAGE, PAGE}}, 2, 0},
        {{{0, 4 * PAGE}}, 1, 0},
        {{{0, 5 * PAGE}}, 1, SM_EIMAGE},
        {{{4 * PAGE, PAGE}}, 1, SM_EIMAGE},
        {{{0, 0}}, 1, SM_EIMAGE},
        {{{0, PAGE - 1}}, 1, SM_EIMAGE},
        {{{1, PAGE}}, 1, SM_EIMAGE},
        {{{PAGE, PAGE}, {0, PAGE}}, 2, SM_EIMAGE},
        {{{PAGE, PAGE}, {PAGE, PAGE}}, 2, SM_EIMAGE},
        {{{0, 2 * PAGE}, {PAGE, PAGE}}, 2, SM_EIMAGE},
        {{{0, PAGE}, {2 * PAGE, PAGE}, {PAGE, PAGE}}, 3, SM_EIMAGE},
        {{{top, PAGE}}, 1, SM_EIMAGE},
        {{{PAGE, top}}, 1, SM_EIMAGE},
        {{{0, top}, {top, 2 * PAGE}}, 2, SM_EIMAGE},
        {{{top, PAGE}, {0, PAGE}}, 2, SM_EIMAGE},
        {{{0, UINT64_MAX}}, 1, SM_EIMAGE},
    };
    int fd = make_file('a', 4);
    int differential = make_file('A', 4);
    struct gmem_image image = {
        .fd = fd, .differential_fd = differential, .bytes = 4 * PAGE};
    struct gmem mem;

    (void)state;
    gmem_init(&mem);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        image.range = table[i].range;
        image.count = table[i].count;
        assert_int_equal(gmem_set_image(&mem, &image, NULL), table[i].result);
        assert_int_equal(mem.image.fd >= 0, table[i].result == 0);
        gmem_done(&mem);
    }
    image.range = table[0].range;
    image.count = 1;
    image.differential_fd = -1;
    assert_int_equal(gmem_set_image(&mem, &image, NULL), SM_EIMAGE);
    image.differential_fd = differential;
    assert_int_equal(ftruncate(differential, 4 * PAGE - 1), 0);
    assert_int_equal(gmem_set_image(&mem, &image, NULL), SM_EIMAGE);
    close(differential);
    close(fd);
}

static void test_gmem_has_a_limit_of_ranges(void **state)
{
    enum { MOST = GMEM_RANGES_MAX, BYTES = 2 * (MOST + 1) * PAGE };
    static struct gmem_range range[MOST + 1];
    int fd = make_file('a', 1);
    int differential = make_file('A', 1);
    struct gmem_image image = {.fd = fd,
                               .differential_fd = differential,
                               .bytes = BYTES,
                               .range = range,
                               .count = MOST + 1};
    struct gmem mem;

    (void)state;
    assert_int_equal(ftruncate(fd, BYTES), 0);
    assert_int_equal(ftruncate(differential, BYTES), 0);
    for (unsigned i = 0; i <= MOST; i++)
        range[i] = (struct gmem_range){(uint64_t)2 * i * PAGE, PAGE};
    gmem_init(&mem);
    assert_int_equal(gmem_set_image(&mem, &image, NULL), SM_ELIMIT);
    image.count = MOST;
    assert_int_equal(gmem_set_image(&mem, &image, NULL), 0);
    assert_int_equal(gmem_add_copy(&mem, GPA(0), BYTES, NULL), 0);
    expect_pages(&mem.region[0], "A...");
    gmem_done(&mem);
    close(differential);
    close(fd);
}

/* How many pages of (region) are its own, no file's. */
static unsigned count_own(const struct gmem_region *region)
{
    uint64_t count = region->bytes / PAGE;
    uint64_t used[1] = {0};
    unsigned own = 0;

    assert_true(count <= 64);
    assert_int_equal(pages_used(region->host, count, used, 0, NULL), 0);
    for (uint64_t i = 0; i < count; i++)
        own += bits_has(used, i);
    return own;
}

/* 16 KiB of a differential are read; with a page more they are mapped. What a
 * region has of a range counts, not the whole of it. */
static void test_gmem_reads_ranges_up_to_a_size(void **state)
{
    static const struct gmem_range range[] = {
        {PAGE, 4 * PAGE}, {6 * PAGE, 5 * PAGE}, {12 * PAGE, 8 * PAGE}};
    int fd = make_file('a', 20);
    int differential = make_file('A', 20);
    const struct gmem_image image = {.fd = fd,
                                     .differential_fd = differential,
                                     .bytes = 20 * PAGE,
                                     .range = range,
                                     .count = ARRAY_LEN(range)};
    struct gmem mem;
    uint8_t byte;

    (void)state;
    gmem_init(&mem);
    assert_int_equal(gmem_set_image(&mem, &image, NULL), 0);
    assert_int_equal(gmem_add_copy(&mem, GPA(0), 6 * PAGE, NULL), 0);
    assert_int_equal(gmem_add_copy(&mem, GPA(LOW_AT), 10 * PAGE, NULL), 0);
    assert_int_equal(gmem_add_copy(&mem, GPA(2 * LOW_AT), 4 * PAGE, NULL), 0);
    expect_pages(&mem.region[0], "aBCDEf");
    assert_int_equal(count_own(&mem.region[0]), 4);
    expect_pages(&mem.region[1], "GHIJKlMNOP");
    assert_int_equal(count_own(&mem.region[1]), 4);
    expect_pages(&mem.region[2], "QRST");
    assert_int_equal(count_own(&mem.region[2]), 4);
    /* What was read is a copy as well. */
    memset(mem.region[0].host, 'x', 6 * PAGE);
    assert_int_equal(pread(differential, &byte, 1, PAGE), 1);
    assert_int_equal(byte, 'B');
    assert_true(gmem_discard(&mem, GPA(0), 2 * PAGE));
    expect_pages(&mem.region[0], "..xxxx");
    gmem_done(&mem);
    close(differential);
    close(fd);
}

/* It is the file that is bad, and there is memory enough. */
static void test_gmem_range_that_cannot_be_read_is_an_error(void **state)
{
    static const struct gmem_range range[] = {{2 * PAGE, 2 * PAGE}};
    int fd = make_file('a', 4);
    int differential = make_file('A', 4);
    const struct gmem_image image = {.fd = fd,
                                     .differential_fd = differential,
                                     .bytes = 4 * PAGE,
                                     .range = range,
                                     .count = ARRAY_LEN(range)};
    struct sm_error err;
    struct gmem mem;

    (void)state;
    gmem_init(&mem);
    assert_int_equal(gmem_set_image(&mem, &image, NULL), 0);
    assert_int_equal(ftruncate(differential, 4 * PAGE - 1), 0);
    assert_int_equal(gmem_add_copy(&mem, GPA(0), 2 * PAGE, &err), 0);
    assert_int_equal(gmem_add_copy(&mem, GPA(LOW_AT), 2 * PAGE, &err), SM_EIO);
    assert_int_equal(err.code, SM_EIO);
    assert_string_equal(err.message,
                        "guest memory: read: the file ends too early");
    assert_int_equal(mem.count, 1);
    gmem_done(&mem);
    close(differential);
    close(fd);
}

/* Whether a process that is forked now has all of (region). */
static bool is_forked(const struct gmem_region *region)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        unsigned char pages[64];

        _exit(mincore(region->host, region->bytes, pages) != 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

static bool is_left_out(const struct gmem *mem)
{
    for (unsigned i = 0; i < mem->count; i++) {
        const struct gmem_region *region = &mem->region[i];

        for (uint64_t at = 0; at < region->bytes; at += PAGE) {
            struct gmem_region page = {.host = region->host + at,
                                       .bytes = PAGE};

            if (is_forked(&page))
                return false;
        }
    }
    return true;
}

/* All of it, however many mappings it has become; and it comes back. */
static void test_gmem_is_left_out_of_copies_of_the_process(void **state)
{
    static const struct gmem_range range[] = {{2 * PAGE, PAGE},
                                              {4 * PAGE, 5 * PAGE}};
    int fd = make_file('a', 10);
    int differential = make_file('A', 10);
    const struct gmem_image image = {.fd = fd,
                                     .differential_fd = differential,
                                     .bytes = 10 * PAGE,
                                     .range = range,
                                     .count = ARRAY_LEN(range)};
    struct gmem mem;

    (void)state;
    gmem_init(&mem);
    gmem_leave_out(&mem, true);
    assert_int_equal(gmem_set_image(&mem, &image, NULL), 0);
    assert_int_equal(gmem_add_copy(&mem, GPA(0), 10 * PAGE, NULL), 0);
    assert_int_equal(gmem_add(&mem, GPA(LOW_AT), LOW_BYTES, NULL), 0);
    assert_true(gmem_discard(&mem, GPA(6 * PAGE), PAGE));
    assert_true(gmem_write(&mem, GPA(PAGE), "x", 1));
    gmem_leave_out(&mem, true);
    assert_true(is_left_out(&mem));
    /* Here it stays. */
    assert_int_equal(mem.region[0].host[0], 'a');
    assert_int_equal(mem.region[0].host[PAGE], 'x');
    expect_pages(&mem.region[0], "a");
    gmem_leave_out(&mem, false);
    for (unsigned i = 0; i < mem.count; i++)
        assert_true(is_forked(&mem.region[i]));
    mem.region[0].host[PAGE] = 'b';
    expect_pages(&mem.region[0], "abCdEF.HIj");
    gmem_done(&mem);
    close(differential);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gmem_copy_of_a_file),
        cmocka_unit_test(test_gmem_remembers_what_was_given_back),
        cmocka_unit_test(test_gmem_copy_of_two_files),
        cmocka_unit_test(test_gmem_refuses_ranges_of_nonsense),
        cmocka_unit_test(test_gmem_has_a_limit_of_ranges),
        cmocka_unit_test(test_gmem_reads_ranges_up_to_a_size),
        cmocka_unit_test(test_gmem_range_that_cannot_be_read_is_an_error),
        cmocka_unit_test(test_gmem_is_left_out_of_copies_of_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
