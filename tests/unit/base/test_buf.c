/* test_buf.c: buffers that grow up to their cap, and fail for good. */
#include "base/buf.h"
#include "failing_alloc.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void test_buf_takes_no_memory_before_it_is_filled(void **state)
{
    size_t before = alloc_live();
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    assert_int_equal(alloc_live(), before);
    buf_done(&buf);
    buf_done(&buf);
}

static void test_buf_grows_to_its_cap_and_no_further(void **state)
{
    static const size_t caps[] = {0, 1, 7, 255, 256, 257, 1000, 4096, 70000};

    (void)state;
    for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++) {
        struct buf buf;

        buf_init(&buf, caps[i]);
        for (size_t k = 0; k < caps[i]; k++) {
            uint8_t byte = (uint8_t)(k * 7);

            assert_true(buf_append(&buf, &byte, 1));
        }
        assert_int_equal(buf.size, caps[i]);
        assert_true(buf.capacity <= caps[i]);
        assert_false(buf.failed);
        assert_false(buf_append(&buf, "x", 1));
        assert_true(buf.failed);
        assert_int_equal(buf.size, caps[i]);
        for (size_t k = 0; k < caps[i]; k++)
            assert_int_equal(buf.data[k], (uint8_t)(k * 7));
        buf_done(&buf);
    }
}

static void test_buf_failure_sticks_until_it_is_cleared(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 4);
    assert_true(buf_append(&buf, "abc", 3));
    assert_false(buf_append(&buf, "de", 2));
    assert_false(buf_append(&buf, "d", 1)); /* there would be room */
    assert_null(buf_room(&buf, 0));
    assert_false(buf_print(&buf, "%s", ""));
    assert_int_equal(buf.size, 3);
    assert_memory_equal(buf.data, "abc", 3);
    buf_clear(&buf);
    assert_true(buf_append(&buf, "wxyz", 4));
    buf_done(&buf);
}

static void test_buf_sizes_that_overflow_are_refused(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 100);
    assert_true(buf_append(&buf, "ab", 2));
    assert_null(buf_room(&buf, SIZE_MAX));
    buf_clear(&buf);
    assert_true(buf_append(&buf, "ab", 2));
    assert_null(buf_room(&buf, SIZE_MAX - 1));
    buf_done(&buf);
}

static void test_buf_room_is_filled_by_the_caller(void **state)
{
    struct buf buf;
    uint8_t *room;

    (void)state;
    buf_init(&buf, 1000);
    room = buf_room(&buf, 300);
    assert_non_null(room);
    memset(room, 7, 300);
    buf_added(&buf, 200);
    assert_int_equal(buf.size, 200);
    assert_ptr_equal(buf_room(&buf, 1), buf.data + 200);
    buf_done(&buf);
}

static void test_buf_consume_moves_the_rest_down(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 100);
    buf_consume(&buf, 0); /* nothing was ever there */
    assert_true(buf_append(&buf, "abcdef", 6));
    buf_consume(&buf, 2);
    assert_int_equal(buf.size, 4);
    assert_memory_equal(buf.data, "cdef", 4);
    buf_consume(&buf, 4);
    assert_int_equal(buf.size, 0);
    assert_true(buf_append(&buf, "x", 1));
    buf_done(&buf);
}

static void test_buf_prints_behind_what_is_there(void **state)
{
    struct buf buf;
    char *string;

    (void)state;
    buf_init(&buf, 1000);
    assert_true(buf_append(&buf, "a", 1));
    assert_true(buf_print(&buf, "%s-%d", "b", 42));
    assert_int_equal(buf.size, 5);
    string = buf_take_string(&buf);
    assert_string_equal(string, "ab-42");
    assert_int_equal(buf.size, 0);
    assert_null(buf.data);
    free(string);
    assert_true(buf_append(&buf, "again", 5));
    buf_done(&buf);
}

static void test_buf_that_failed_gives_no_string(void **state)
{
    size_t before = alloc_live();
    struct buf buf;

    (void)state;
    buf_init(&buf, 8);
    assert_false(buf_print(&buf, "%s", "123456789"));
    assert_null(buf_take_string(&buf));
    assert_int_equal(alloc_live(), before);
    buf_init(&buf, 3);
    assert_true(buf_append(&buf, "abc", 3));
    assert_null(buf_take_string(&buf)); /* no room for the NUL */
    assert_int_equal(alloc_live(), before);
}

static void test_buf_without_memory_keeps_what_it_has(void **state)
{
    size_t before = alloc_live();
    struct buf buf;
    char bytes[300] = {0};

    (void)state;
    buf_init(&buf, 1000);
    alloc_fail_at(2);
    assert_true(buf_append(&buf, "abc", 3));
    assert_false(buf_append(&buf, bytes, sizeof bytes));
    assert_true(alloc_has_failed());
    assert_true(buf.failed);
    assert_int_equal(buf.size, 3);
    assert_memory_equal(buf.data, "abc", 3);
    alloc_fail_at(0);
    buf_done(&buf);
    assert_int_equal(alloc_live(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_takes_no_memory_before_it_is_filled),
        cmocka_unit_test(test_buf_grows_to_its_cap_and_no_further),
        cmocka_unit_test(test_buf_failure_sticks_until_it_is_cleared),
        cmocka_unit_test(test_buf_sizes_that_overflow_are_refused),
        cmocka_unit_test(test_buf_room_is_filled_by_the_caller),
        cmocka_unit_test(test_buf_consume_moves_the_rest_down),
        cmocka_unit_test(test_buf_prints_behind_what_is_there),
        cmocka_unit_test(test_buf_that_failed_gives_no_string),
        cmocka_unit_test(test_buf_without_memory_keeps_what_it_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
