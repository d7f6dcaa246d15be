/* test_wire.c: records come back as they were, and never more of them. */
#include "base/wire.h"
#include "failing_alloc.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void put_record(struct buf *to)
{
    wire_put_u8(to, 0xfe);
    wire_put_u16(to, 0xfedc);
    wire_put_u32(to, UINT32_C(0xfedcba98));
    wire_put_u64(to, UINT64_C(0xfedcba9876543210));
    wire_put_blob(to, "\0\xff", 2);
    wire_put_blob(to, NULL, 0);
    wire_put_string(to, "hello");
    wire_put_string(to, NULL);
    buf_append(to, "raw", 3);
}

/* All fields in order; true if they are those of put_record(). */
static bool get_record(struct wire_reader *from)
{
    char raw[3];
    size_t counts[2];
    bool same = wire_u8(from) == 0xfe;
    const uint8_t *blob;
    char *hello;
    char *empty;

    same &= wire_u16(from) == 0xfedc;
    same &= wire_u32(from) == UINT32_C(0xfedcba98);
    same &= wire_u64(from) == UINT64_C(0xfedcba9876543210);
    blob = wire_blob(from, &counts[0]);
    same &= blob && counts[0] == 2 && memcmp(blob, "\0\xff", 2) == 0;
    same &= wire_blob(from, &counts[1]) && counts[1] == 0;
    hello = wire_string(from);
    same &= hello && strcmp(hello, "hello") == 0;
    empty = wire_string(from);
    same &= empty && empty[0] == '\0';
    same &= wire_bytes(from, raw, 3) && memcmp(raw, "raw", 3) == 0;
    free(hello);
    free(empty);
    return same;
}

static void test_wire_record_comes_back(void **state)
{
    struct wire_reader reader;
    struct buf buf;

    (void)state;
    buf_init(&buf, 200);
    put_record(&buf);
    assert_false(buf.failed);
    wire_read(&reader, buf.data, buf.size);
    assert_true(get_record(&reader));
    assert_true(wire_ok(&reader));
    assert_true(wire_end(&reader));
    buf_done(&buf);
}

static void test_wire_is_little_endian(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 200);
    wire_put_u16(&buf, 0x0102);
    wire_put_u32(&buf, 0x03040506);
    wire_put_string(&buf, "x");
    assert_int_equal(buf.size, 11);
    assert_memory_equal(buf.data, "\x02\x01\x06\x05\x04\x03\x01\0\0\0x", 11);
    buf_done(&buf);
}

/* In a block of just that size, so that a sanitizer sees a byte too many. */
static void test_wire_record_cut_anywhere_fails(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 200);
    put_record(&buf);
    for (size_t count = 0; count < buf.size; count++) {
        uint8_t *cut = malloc(count ? count : 1);
        struct wire_reader reader;

        assert_non_null(cut);
        memcpy(cut, buf.data, count);
        wire_read(&reader, cut, count);
        assert_false(get_record(&reader));
        assert_false(wire_ok(&reader));
        assert_false(wire_end(&reader));
        free(cut);
    }
    buf_done(&buf);
}

static void test_wire_failure_sticks(void **state)
{
    static const uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t copy[2] = {9, 9};
    struct wire_reader reader;
    size_t count = 5;

    (void)state;
    wire_read(&reader, bytes, 3);
    assert_int_equal(wire_u32(&reader), 0);
    assert_int_equal(wire_u8(&reader), 0); /* there would be one */
    assert_int_equal(wire_u16(&reader), 0);
    assert_true(wire_u64(&reader) == 0);
    assert_null(wire_blob(&reader, &count));
    assert_int_equal(count, 0);
    assert_null(wire_string(&reader));
    assert_false(wire_bytes(&reader, copy, sizeof copy));
    assert_memory_equal(copy, "\0\0", 2);
    assert_false(wire_ok(&reader));
}

static void test_wire_length_is_never_believed(void **state)
{
    static const uint32_t lengths[] = {2, 0x7fffffff, 0x80000000, 0xfffffffb,
                                       0xffffffff};
    size_t before = alloc_live();

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct wire_reader reader;
        struct buf buf;
        size_t count;

        buf_init(&buf, 16);
        wire_put_u32(&buf, lengths[i]);
        wire_put_u8(&buf, 'x');
        wire_read(&reader, buf.data, buf.size);
        assert_null(wire_blob(&reader, &count));
        wire_read(&reader, buf.data, buf.size);
        assert_null(wire_string(&reader));
        assert_false(wire_ok(&reader));
        buf_done(&buf);
    }
    assert_int_equal(alloc_live(), before);
}

static void test_wire_string_with_a_nul_is_refused(void **state)
{
    static const char *const strings[] = {"\0", "a\0", "\0a", "a\0b"};
    static const size_t counts[] = {1, 2, 2, 3};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct wire_reader reader;
        struct buf buf;

        buf_init(&buf, 16);
        wire_put_blob(&buf, strings[i], counts[i]);
        wire_read(&reader, buf.data, buf.size);
        assert_null(wire_string(&reader));
        assert_false(wire_ok(&reader));
        buf_done(&buf);
    }
}

static void test_wire_left_over_bytes_are_not_the_end(void **state)
{
    struct wire_reader reader;

    (void)state;
    wire_read(&reader, "ab", 2);
    assert_int_equal(wire_u8(&reader), 'a');
    assert_true(wire_ok(&reader));
    assert_false(wire_end(&reader));
    assert_int_equal(wire_u8(&reader), 'b');
    assert_true(wire_end(&reader));
}

/* Each bit in turn: a value may change, memory may not be touched. */
static void test_wire_survives_any_bit_flip(void **state)
{
    size_t before = alloc_live();
    struct buf buf;

    (void)state;
    buf_init(&buf, 200);
    put_record(&buf);
    for (size_t bit = 0; bit < 8 * buf.size; bit++) {
        struct wire_reader reader;

        buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        wire_read(&reader, buf.data, buf.size);
        assert_false(get_record(&reader));
        buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buf_done(&buf);
    assert_int_equal(alloc_live(), before);
}

static void test_wire_writer_beyond_its_cap_says_so_once(void **state)
{
    struct buf whole;

    (void)state;
    buf_init(&whole, 200);
    put_record(&whole);
    for (size_t cap = 0; cap < whole.size; cap++) {
        struct buf buf;

        buf_init(&buf, cap);
        put_record(&buf);
        assert_true(buf.failed);
        assert_true(buf.size <= cap);
        assert_memory_equal(buf.size ? buf.data : (const uint8_t *)"",
                            whole.data, buf.size);
        buf_done(&buf);
    }
    buf_done(&whole);
}

static void test_wire_without_memory_fails_and_leaks_nothing(void **state)
{
    struct buf buf;
    size_t before;
    size_t nth = 0;
    bool came_through = false;

    (void)state;
    buf_init(&buf, 200);
    put_record(&buf);
    before = alloc_live();
    while (!came_through) {
        struct wire_reader reader;
        bool same;

        alloc_fail_at(++nth);
        wire_read(&reader, buf.data, buf.size);
        same = get_record(&reader);
        came_through = !alloc_has_failed();
        assert_int_equal(same, came_through);
        assert_int_equal(wire_ok(&reader), came_through);
        assert_int_equal(alloc_live(), before);
    }
    assert_int_equal(nth, 3); /* two strings, and then none fails */
    alloc_fail_at(0);
    buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire_record_comes_back),
        cmocka_unit_test(test_wire_is_little_endian),
        cmocka_unit_test(test_wire_record_cut_anywhere_fails),
        cmocka_unit_test(test_wire_failure_sticks),
        cmocka_unit_test(test_wire_length_is_never_believed),
        cmocka_unit_test(test_wire_string_with_a_nul_is_refused),
        cmocka_unit_test(test_wire_left_over_bytes_are_not_the_end),
        cmocka_unit_test(test_wire_survives_any_bit_flip),
        cmocka_unit_test(test_wire_writer_beyond_its_cap_says_so_once),
        cmocka_unit_test(test_wire_without_memory_fails_and_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
