/* test_printable.c: what images and guests chose does nothing to a terminal. */
#include "cli/printable.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof(a)[0])

struct written {
    char *text;
    size_t bytes;
    size_t columns;
};

static struct written write_out(const char *text, size_t columns_max)
{
    struct written written;
    FILE *to = open_memstream(&written.text, &written.bytes);

    assert_non_null(to);
    written.columns = printable_write(to, text, columns_max);
    fclose(to);
    return written;
}

static void test_printable_hostile_text_is_escaped(void **state)
{
    static const struct {
        const char *text;
        const char *shown;
        size_t columns;
    } table[] = {
        {"", "", 0},
        {"plain name_1", "plain name_1", 12},
        {"back\\slash", "back\\slash", 10},
        {"a\nb\tc\rd", "a\\nb\\tc\\rd", 10},
        {"\x1b[31mred", "\\x1b[31mred", 11},
        {"\x7f\x01", "\\x7f\\x01", 8},
        {"\xc2\x9b"
         "31m",
         "\\x9b31m", 7}, /* CSI as one character */
        {"\x9b"
         "31m",
         "\\x9b31m", 7}, /* CSI as one byte */
        {"a\u202e"
         "b",
         "a\\u202eb", 8}, /* turns the text */
        {"a\u200b"
         "b\ufeff",
         "a\\u200bb\\ufeff", 14}, /* cannot be seen */
        {"\U000e0041", "\\U000e0041", 10},
        {"gr\u00fc\u00dfe", "gr\u00fc\u00dfe", 5},
        {"e\u0301", "e\u0301", 1},
        {"\u65e5\u672c", "\u65e5\u672c", 4},
        {"\U0001f600", "\U0001f600", 2},
        {"\xff\xfe", "\\xff\\xfe", 8},
        {"\xc0\xaf", "\\xc0\\xaf", 8},           /* longer than need be */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80", 12}, /* half a pair */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", 16},
        {"\xe2\x82", "\\xe2\\x82", 8}, /* cut off */
        {"\xe2", "\\xe2", 4},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct written written = write_out(table[i].text, 0);

        assert_string_equal(written.text, table[i].shown);
        assert_int_equal(written.columns, table[i].columns);
        assert_int_equal(printable_columns(table[i].text), table[i].columns);
        /* Printable text is its own printable form. */
        assert_int_equal(printable_columns(written.text), table[i].columns);
        free(written.text);
    }
}

static void test_printable_long_text_ends_with_an_ellipsis(void **state)
{
    static const struct {
        const char *text;
        size_t columns_max;
        const char *shown;
        size_t columns;
    } table[] = {
        {"abcdef", 6, "abcdef", 6},
        {"abcdef", 5, "abcd\u2026", 5},
        {"abcdef", 1, "\u2026", 1},
        {"ab\ncd", 4, "ab\u2026", 3}, /* no half escapes */
        {"\u65e5\u672c", 3, "\u65e5\u2026", 3},
        {"\u65e5\u672c", 2, "\u2026", 1}, /* no half characters */
        {"ae\u0301z", 2, "a\u2026", 2},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct written written = write_out(table[i].text, table[i].columns_max);

        assert_string_equal(written.text, table[i].shown);
        assert_int_equal(written.columns, table[i].columns);
        free(written.text);
    }
}

static void test_printable_copies_fit(void **state)
{
    static const char text[] = "a\nb\u00fc";
    static const char *const shown[] = {
        "", "a", "a", "a\\n", "a\\nb", "a\\nb", "a\\nb\u00fc", "a\\nb\u00fc",
    };

    (void)state;
    for (size_t capacity = 1; capacity <= ARRAY_LEN(shown); capacity++) {
        char room[16];

        memset(room, '!', sizeof room);
        printable_copy(room, capacity, text);
        assert_string_equal(room, shown[capacity - 1]);
        assert_int_equal(room[capacity], '!');
    }
}

static void test_printable_json_keeps_every_character(void **state)
{
    static const struct {
        const char *text;
        const char *json;
    } table[] = {
        {"", "\"\""},
        {"a\"b\\c/", "\"a\\\"b\\\\c/\""},
        {"a\nb\tc\rd", "\"a\\nb\\tc\\u000dd\""},
        {"\x1b[0m\x7f", "\"\\u001b[0m\\u007f\""},
        {"\xc2\x9b\u202e", "\"\\u009b\\u202e\""},
        {"\U000e0041", "\"\\udb40\\udc41\""},
        {"gr\u00fcn \U0001f600", "\"gr\u00fcn \U0001f600\""},
        {"a\xff"
         "b\xe2\x82",
         "\"a\\ufffdb\\ufffd\\ufffd\""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char *text;
        size_t bytes;
        FILE *to = open_memstream(&text, &bytes);

        assert_non_null(to);
        printable_write_json(to, table[i].text);
        fclose(to);
        assert_string_equal(text, table[i].json);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_printable_hostile_text_is_escaped),
        cmocka_unit_test(test_printable_long_text_ends_with_an_ellipsis),
        cmocka_unit_test(test_printable_copies_fit),
        cmocka_unit_test(test_printable_json_keeps_every_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
