/* test_measure.c: sizes and ages in words. */
#include "../../../src/cli/measure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_measure_bytes_has_three_digits(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } table[] = {
        {0, "0B"},           {999, "999B"},           {1000, "1.00kB"},
        {12345, "12.3kB"},   {999499, "999kB"},       {999500, "1.00MB"},
        {9994999, "9.99MB"}, {123456789, "123MB"},    {1500000000, "1.50GB"},
        {9996, "10.0kB"},    {UINT64_MAX, "18447PB"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[MEASURE_MAX];

        measure_bytes(text, table[i].bytes);
        assert_string_equal(text, table[i].text);
    }
}

static void test_measure_age_names_one_unit(void **state)
{
    static const struct {
        uint64_t age;
        const char *text;
    } table[] = {
        {0, "just now"},
        {59, "just now"},
        {60, "1 minute ago"},
        {7200, "2 hours ago"},
        {86400 * 6, "6 days ago"},
        {86400 * 15, "2 weeks ago"},
        {86400 * 400, "1 year ago"},
    };
    char text[MEASURE_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        measure_age(text, 2000000000 - table[i].age, 2000000000);
        assert_string_equal(text, table[i].text);
    }
    measure_age(text, 0, 2000000000);
    assert_string_equal(text, "-");
    measure_age(text, 2000000001, 2000000000);
    assert_string_equal(text, "just now");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measure_bytes_has_three_digits),
        cmocka_unit_test(test_measure_age_names_one_unit),
    };

    return cmocka_run_group_tests_name("cli_measure", tests, NULL, NULL);
}
