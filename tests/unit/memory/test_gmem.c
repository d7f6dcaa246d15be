/* test_gmem.c: guest-physical memory: nothing outside of a region is reached.
 */
#include "base/bytes.h"
#include "memory/gmem.h"
#include "unit.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    PAGE = 4096,
    /* Two regions with a hole between them, the second one at the top. */
    LOW_BYTES = 4 * PAGE,
    HIGH_BYTES = 2 * PAGE
};
#define LOW_AT  UINT64_C(0x10000)
#define HIGH_AT (UINT64_MAX - 16 * PAGE + 1)

static void make_memory(struct gmem *mem)
{
    gmem_init(mem);
    assert_int_equal(gmem_add(mem, GPA(HIGH_AT), HIGH_BYTES, NULL), 0);
    assert_int_equal(gmem_add(mem, GPA(LOW_AT), LOW_BYTES, NULL), 0);
}

static void test_gmem_range_is_valid_only_inside_of_one_region(void **state)
{
    static const struct {
        uint64_t at;
        uint64_t bytes;
        bool valid;
    } table[] = {
        {LOW_AT, 0, true},
        {LOW_AT, 1, true},
        {LOW_AT, LOW_BYTES, true},
        {LOW_AT, LOW_BYTES + 1, false},
        {LOW_AT - 1, 0, false},
        {LOW_AT - 1, 1, false},
        {LOW_AT - 1, 2, false},
        {LOW_AT + LOW_BYTES - 1, 0, true},
        {LOW_AT + LOW_BYTES - 1, 1, true},
        {LOW_AT + LOW_BYTES - 1, 2, false},
        {LOW_AT + LOW_BYTES, 0, false},
        {LOW_AT + LOW_BYTES, 1, false},
        {LOW_AT + 1, UINT64_MAX, false},
        {LOW_AT, UINT64_MAX, false},
        {LOW_AT, UINT64_MAX - LOW_AT + 1, false},
        {LOW_AT + 1, UINT64_MAX - LOW_AT, false},
        {LOW_AT, HIGH_AT - LOW_AT + 1, false},
        {0, 0, false},
        {0, 1, false},
        {0, UINT64_MAX, false},
        {UINT64_MAX, 0, false},
        {UINT64_MAX, 1, false},
        {UINT64_MAX, UINT64_MAX, false},
        {HIGH_AT, HIGH_BYTES, true},
        {HIGH_AT, HIGH_BYTES + 1, false},
        {HIGH_AT - 1, 1, false},
        {HIGH_AT + 1, UINT64_MAX - HIGH_AT, false},
        {HIGH_AT + HIGH_BYTES - 1, 1, true},
        {HIGH_AT + HIGH_BYTES, 0, false},
    };
    uint8_t byte = 0;
    struct gmem mem;

    (void)state;
    make_memory(&mem);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct gpa at = GPA(table[i].at);

        assert_int_equal(gmem_valid(&mem, at, table[i].bytes), table[i].valid);
        assert_int_equal(gmem_span(&mem, at, table[i].bytes) != NULL,
                         table[i].valid);
        if (table[i].bytes <= 1) {
            assert_int_equal(gmem_read(&mem, at, &byte, table[i].bytes),
                             table[i].valid);
            assert_int_equal(gmem_write(&mem, at, &byte, table[i].bytes),
                             table[i].valid);
        }
        if (!table[i].valid) {
            assert_false(gmem_read(&mem, at, NULL, table[i].bytes));
            assert_false(gmem_write(&mem, at, NULL, table[i].bytes));
        }
        assert_int_equal(gmem_zero(&mem, at, table[i].bytes), table[i].valid);
        assert_int_equal(gmem_discard(&mem, at, table[i].bytes),
                         table[i].valid);
    }
    gmem_done(&mem);
}

static void test_gmem_bytes_come_back_from_where_they_went(void **state)
{
    struct gmem mem;
    char out[6] = "";
    uint8_t *low;

    (void)state;
    make_memory(&mem);
    low = gmem_span(&mem, GPA(LOW_AT), LOW_BYTES);
    assert_true(gmem_write(&mem, GPA(LOW_AT + 7), "hello", 5));
    assert_memory_equal(low + 7, "hello", 5);
    assert_true(gmem_read(&mem, gpa_add(GPA(LOW_AT), 7), out, 5));
    assert_string_equal(out, "hello");
    assert_true(gmem_zero(&mem, GPA(LOW_AT + 8), 3));
    assert_memory_equal(low + 7, "h\0\0\0o", 5);
    assert_true(gmem_write(&mem, GPA(HIGH_AT + HIGH_BYTES - 1), "!", 1));
    assert_int_equal(
        *(uint8_t *)gmem_span(&mem, GPA(HIGH_AT + HIGH_BYTES - 1), 1), '!');
    assert_true(gmem_read(&mem, GPA(LOW_AT), NULL, 0));
    assert_true(gmem_write(&mem, GPA(LOW_AT), NULL, 0));
    gmem_done(&mem);
}

static void test_gmem_refuses_regions_that_are_no_pages(void **state)
{
    static const struct {
        uint64_t at;
        uint64_t bytes;
    } table[] = {
        {0, 0},
        {0, 1},
        {0, PAGE - 1},
        {1, PAGE},
        {PAGE / 2, PAGE},
        {0, PAGE + PAGE / 2},
        {UINT64_MAX, 1},
        {0, UINT64_MAX},
        {UINT64_MAX - PAGE + 1, PAGE},
        {UINT64_MAX - PAGE + 1, 2 * PAGE},
    };
    struct gmem mem;

    (void)state;
    gmem_init(&mem);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct sm_error err;

        assert_int_equal(gmem_add(&mem, GPA(table[i].at), table[i].bytes, &err),
                         SM_EINVAL);
        assert_int_equal(err.code, SM_EINVAL);
        assert_int_equal(
            gmem_add_host(&mem, GPA(table[i].at), table[i].bytes, &mem, &err),
            SM_EINVAL);
        assert_int_equal(mem.count, 0);
    }
    gmem_done(&mem);
}

static void test_gmem_refuses_regions_that_overlap(void **state)
{
    static const struct {
        uint64_t at;
        uint64_t bytes;
        int result;
    } table[] = {
        {LOW_AT, LOW_BYTES, SM_EEXIST},
        {LOW_AT, PAGE, SM_EEXIST},
        {LOW_AT + PAGE, PAGE, SM_EEXIST},
        {LOW_AT - PAGE, 2 * PAGE, SM_EEXIST},
        {LOW_AT + LOW_BYTES - PAGE, 2 * PAGE, SM_EEXIST},
        {LOW_AT - PAGE, LOW_BYTES + 2 * PAGE, SM_EEXIST},
        {0, HIGH_AT, SM_EEXIST},
        {HIGH_AT - PAGE, 2 * PAGE, SM_EEXIST},
        {LOW_AT - PAGE, PAGE, 0},
        {LOW_AT + LOW_BYTES, PAGE, 0},
        {HIGH_AT - PAGE, PAGE, 0},
    };
    struct gmem mem;

    (void)state;
    make_memory(&mem);
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_int_equal(gmem_add(&mem, GPA(table[i].at), table[i].bytes, NULL),
                         table[i].result);
    assert_int_equal(mem.count, 5);
    for (unsigned i = 1; i < mem.count; i++)
        assert_true(mem.region[i - 1].at.v < mem.region[i].at.v);
    /* Neighbours, but not one: their mappings are different ones. */
    assert_false(gmem_valid(&mem, GPA(LOW_AT - 1), 2));
    assert_true(gmem_total_bytes(&mem) == LOW_BYTES + HIGH_BYTES + 3 * PAGE);
    gmem_done(&mem);
    assert_int_equal(mem.count, 0);
    assert_true(gmem_total_bytes(&mem) == 0);
}

static void test_gmem_has_a_limit_of_regions(void **state)
{
    struct gmem mem;
    struct sm_error err;

    (void)state;
    gmem_init(&mem);
    for (uint64_t i = GMEM_REGIONS_MAX; i > 0; i--)
        assert_int_equal(gmem_add(&mem, GPA(i * 2 * PAGE), PAGE, NULL), 0);
    assert_int_equal(gmem_add(&mem, GPA(0), PAGE, &err), SM_ELIMIT);
    assert_int_equal(err.code, SM_ELIMIT);
    for (unsigned i = 0; i < GMEM_REGIONS_MAX; i++)
        assert_true(mem.region[i].at.v == (i + 1) * 2 * PAGE);
    gmem_done(&mem);
}

static void test_gmem_without_memory_is_an_error(void **state)
{
    struct gmem mem;
    struct sm_error err;

    (void)state;
    gmem_init(&mem);
    assert_int_equal(gmem_add(&mem, GPA(0), UINT64_C(1) << 60, &err),
                     SM_ENOMEM);
    assert_int_equal(err.code, SM_ENOMEM);
    assert_int_equal(mem.count, 0);
    gmem_done(&mem);
}

static void test_gmem_leaves_borrowed_memory_mapped(void **state)
{
    uint8_t *host = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct gmem mem;

    (void)state;
    assert_true(host != MAP_FAILED);
    gmem_init(&mem);
    assert_int_equal(gmem_add_host(&mem, GPA(PAGE), PAGE, host, NULL), 0);
    assert_ptr_equal(gmem_span(&mem, GPA(PAGE + 5), 1), host + 5);
    assert_true(gmem_write(&mem, GPA(PAGE), "x", 1));
    gmem_done(&mem);
    assert_int_equal(host[0], 'x');
    munmap(host, PAGE);
}

static void test_gmem_discarded_pages_read_as_zero(void **state)
{
    struct gmem mem;
    uint8_t *low;

    (void)state;
    make_memory(&mem);
    low = gmem_span(&mem, GPA(LOW_AT), LOW_BYTES);
    memset(low, 7, LOW_BYTES);
    assert_true(gmem_discard(&mem, GPA(LOW_AT + 1), 2 * PAGE));
    for (unsigned i = 0; i < LOW_BYTES; i++)
        assert_int_equal(low[i], i < PAGE || i >= 2 * PAGE ? 7 : 0);
    assert_false(gmem_discard(&mem, GPA(LOW_AT), LOW_BYTES + 1));
    assert_int_equal(low[LOW_BYTES - 1], 7);
    gmem_done(&mem);
}

static void test_gmem_ring_indices_are_little_endian_and_aligned(void **state)
{
    struct gmem mem;
    uint16_t value = 0x5555;
    uint8_t *low;

    (void)state;
    make_memory(&mem);
    low = gmem_span(&mem, GPA(LOW_AT), LOW_BYTES);
    assert_true(gmem_store16(&mem, GPA(LOW_AT + 2), 0x1234));
    assert_memory_equal(low, "\0\0\x34\x12\0", 5);
    assert_true(gmem_load16(&mem, GPA(LOW_AT + 2), &value));
    assert_int_equal(value, 0x1234);
    assert_true(gmem_load16(&mem, GPA(LOW_AT + LOW_BYTES - 2), &value));
    gmem_done(&mem);
}

static void test_gmem_ring_index_in_a_bad_place_is_not_touched(void **state)
{
    static const uint64_t places[] = {
        LOW_AT + 1,
        LOW_AT + 3,
        LOW_AT + LOW_BYTES - 1,
        LOW_AT + LOW_BYTES,
        LOW_AT - 1,
        LOW_AT - 2,
        0,
        UINT64_MAX,
        UINT64_MAX - 1,
        HIGH_AT - 1,
        HIGH_AT + 1,
        HIGH_AT + HIGH_BYTES,
    };
    struct gmem mem;
    uint8_t *low;

    (void)state;
    make_memory(&mem);
    low = gmem_span(&mem, GPA(LOW_AT), LOW_BYTES);
    memset(low, 7, LOW_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        uint16_t value = 0x5555;

        assert_false(gmem_load16(&mem, GPA(places[i]), &value));
        assert_int_equal(value, 0x5555);
        assert_false(gmem_store16(&mem, GPA(places[i]), 0));
    }
    for (unsigned i = 0; i < LOW_BYTES; i++)
        assert_int_equal(low[i], 7);
    gmem_done(&mem);
}

enum { ROUNDS = 20000 };

struct ring {
    struct gmem mem;
    uint32_t data;
};

static void *produce(void *context)
{
    struct ring *ring = context;

    for (uint16_t i = 1; i <= ROUNDS; i++) {
        __atomic_store_n(&ring->data, i, __ATOMIC_RELAXED);
        gmem_store16(&ring->mem, GPA(LOW_AT), i);
    }
    return NULL;
}

/* Store and load are each other's barriers: who sees an index sees what was
 * written before it. */
static void test_gmem_index_publishes_what_was_written_before(void **state)
{
    struct ring ring = {.data = 0};
    pthread_t thread;
    uint16_t index = 0;

    (void)state;
    make_memory(&ring.mem);
    assert_int_equal(pthread_create(&thread, NULL, produce, &ring), 0);
    while (index != ROUNDS) {
        assert_true(gmem_load16(&ring.mem, GPA(LOW_AT), &index));
        assert_true(__atomic_load_n(&ring.data, __ATOMIC_RELAXED) >= index);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    gmem_done(&ring.mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gmem_range_is_valid_only_inside_of_one_region),
        cmocka_unit_test(test_gmem_bytes_come_back_from_where_they_went),
        cmocka_unit_test(test_gmem_refuses_regions_that_are_no_pages),
        cmocka_unit_test(test_gmem_refuses_regions_that_overlap),
        cmocka_unit_test(test_gmem_has_a_limit_of_regions),
        cmocka_unit_test(test_gmem_without_memory_is_an_error),
        cmocka_unit_test(test_gmem_leaves_borrowed_memory_mapped),
        cmocka_unit_test(test_gmem_discarded_pages_read_as_zero),
        cmocka_unit_test(test_gmem_ring_indices_are_little_endian_and_aligned),
        cmocka_unit_test(test_gmem_ring_index_in_a_bad_place_is_not_touched),
        cmocka_unit_test(test_gmem_index_publishes_what_was_written_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
