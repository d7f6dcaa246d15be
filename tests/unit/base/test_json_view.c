/* test_json_view.c: JSON of anybody is looked into. */
#include "base/bytes.h"
#include "base/json_view.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void test_json_view_refuses_what_is_none(void **state)
{
    static const char *const texts[] = {"",
                                        " ",
                                        "{",
                                        "}",
                                        "[1,]",
                                        "[,1]",
                                        "{\"a\"}",
                                        "{\"a\":}",
                                        "{a:1}",
                                        "{\"a\":1,}",
                                        "nul",
                                        "True",
                                        "01",
                                        "-",
                                        "1.",
                                        ".5",
                                        "1e",
                                        "+1",
                                        "\"",
                                        "\"\\x\"",
                                        "\"\\u12\"",
                                        "\"\\u0000\"",
                                        "\"\\ud800\"",
                                        "\"\\udc00\"",
                                        "\"\\ud800\\u0041\"",
                                        "\"\n\"",
                                        "\"\x80\"",
                                        "\"\xc0\x80\"",
                                        "\"\xed\xa0\x80\"",
                                        "1 2",
                                        "[] []",
                                        "{\"a\":1,\"a\":2}",
                                        "{\"a\":1,\"\\u0061\":2}",
                                        "[[[[[[[[[]]]]]]]]]",
                                        "'a'",
                                        "/**/1"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct json_view view;
        struct sm_error err;

        assert_int_equal(json_check(texts[i], strlen(texts[i]), &view, &err),
                         SM_EIMAGE);
        assert_non_null(strstr(err.message, "byte"));
    }
    /* Not even one that C would end there. */
    assert_int_equal(json_check("1\0", 2, &(struct json_view){0}, NULL),
                     SM_EIMAGE);
}

static struct json_view view_of(const char *text)
{
    struct json_view view;

    assert_int_equal(json_check(text, strlen(text), &view, NULL), 0);
    return view;
}

static void test_json_view_finds_fields(void **state)
{
    struct json_view object = view_of(
        " { \"a\" : { \"b\" : [ 1 , { } , \"x]\" ] } , \"c\" : null } ");
    struct json_view list = json_field(json_field(object, "a"), "b");
    struct json_view item = {0};

    (void)state;
    assert_int_equal(json_count(object), 2);
    assert_int_equal(json_kind_of(json_field(object, "c")), JSON_IS_NULL);
    assert_int_equal(json_kind_of(json_field(object, "b")), JSON_IS_NONE);
    assert_int_equal(json_kind_of(json_field(list, "b")), JSON_IS_NONE);
    assert_int_equal(json_count(list), 3);
    item = json_item_after(list, item);
    assert_int_equal(json_kind_of(item), JSON_IS_NUMBER);
    item = json_item_after(list, item);
    assert_int_equal(json_kind_of(item), JSON_IS_OBJECT);
    item = json_item_after(list, item);
    assert_int_equal(item.count, strlen("\"x]\""));
    item = json_item_after(list, item);
    assert_null(item.at);
    assert_null(json_item_after(view_of("[]"), item).at);
    assert_int_equal(json_count(view_of("{}")), 0);
    assert_int_equal(json_count(view_of("7")), 0);
}

static void test_json_view_unescapes_strings(void **state)
{
    static const char *const pairs[][2] = {
        {"\"\"", ""},
        {"\"plain\"", "plain"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u20AC\\ud83d\\uDE00\"",
         "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\"\xc3\xa9\"", "\xc3\xa9"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        char *text = json_copy_string(view_of(pairs[i][0]));

        assert_string_equal(text, pairs[i][1]);
        free(text);
    }
}

static void test_json_view_takes_whole_numbers(void **state)
{
    static const char *const others[] = {
        "1.0",   "1e3",  "9223372036854775808",    "-9223372036854775809",
        "\"1\"", "true", "99999999999999999999999"};
    int64_t number = 0;

    (void)state;
    assert_true(json_get_whole(view_of("9223372036854775807"), &number));
    assert_int_equal(number, INT64_MAX);
    assert_true(json_get_whole(view_of(" -5 "), &number));
    assert_int_equal(number, -5);
    assert_true(json_get_whole(view_of("0"), &number));
    assert_int_equal(number, 0);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(json_get_whole(view_of(others[i]), &number));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_view_refuses_what_is_none),
        cmocka_unit_test(test_json_view_finds_fields),
        cmocka_unit_test(test_json_view_unescapes_strings),
        cmocka_unit_test(test_json_view_takes_whole_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
