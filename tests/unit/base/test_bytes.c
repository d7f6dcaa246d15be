/* test_bytes.c: loads, stores, checked sums, alignment, ownership. */
#include "base/bytes.h"
#include "base/own.h"
#include "unit.h"

#include <fcntl.h>

static void test_bytes_are_little_endian_at_any_alignment(void **state)
{
    static const uint8_t in[9] = {0, 0x81, 2, 3, 4, 5, 6, 7, 0x88};
    uint8_t out[9] = {0};

    (void)state;
    assert_int_equal(load_le16(in + 1), 0x0281);
    assert_int_equal(load_le32(in + 5), UINT32_C(0x88070605));
    assert_true(load_le64(in + 1) == UINT64_C(0x8807060504030281));
    store_le64(out + 1, UINT64_C(0x8807060504030281));
    assert_memory_equal(in, out, sizeof in);
    store_le32(out + 1, 0);
    store_le16(out + 5, 0);
    assert_memory_equal(out, "\0\0\0\0\0\0\0\x07\x88", 9);
}

static void test_sums_and_products_that_do_not_fit_are_refused(void **state)
{
    uint64_t out = 5;

    (void)state;
    assert_true(add_u64(UINT64_MAX - 1, 1, &out));
    assert_true(out == UINT64_MAX);
    assert_false(add_u64(UINT64_MAX, 1, &out));
    assert_false(add_u64(1, UINT64_MAX, &out));
    assert_true(mul_u64(UINT64_C(1) << 32, (UINT64_C(1) << 32) - 1, &out));
    assert_true(out == UINT64_C(0xffffffff00000000));
    assert_false(mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &out));
}

static void test_alignment_at_the_edges(void **state)
{
    (void)state;
    assert_true(is_aligned(0, 4096));
    assert_false(is_aligned(4095, 4096));
    assert_true(align_down(8191, 4096) == 4096);
    assert_true(align_up(1, 4096) == 4096);
    assert_true(align_up(4096, 4096) == 4096);
    assert_true(align_up(0, 4096) == 0);
    assert_true(align_up(UINT64_MAX - 4095, 4096) == UINT64_MAX - 4095);
    assert_true(min_u64(3, UINT64_MAX) == 3);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int taken_from_a_block(int *closed)
{
    AUTO_CLOSE int left = open("/dev/null", O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int taken = open("/dev/null", O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int none = -1;
    AUTO_FREE char *text = malloc(1);
    char *kept = own_take(text);

    (void)none;
    assert_null(text);
    assert_non_null(kept);
    free(kept);
    *closed = left;
    return own_take_fd(&taken);
}

static void test_owned_locals_go_unless_they_are_taken(void **state)
{
    int closed;
    int kept = taken_from_a_block(&closed);

    (void)state;
    assert_false(is_open(closed));
    assert_true(is_open(kept));
    close(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_little_endian_at_any_alignment),
        cmocka_unit_test(test_sums_and_products_that_do_not_fit_are_refused),
        cmocka_unit_test(test_alignment_at_the_edges),
        cmocka_unit_test(test_owned_locals_go_unless_they_are_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
