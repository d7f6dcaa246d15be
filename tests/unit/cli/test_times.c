/* test_times.c: points in time as users write them. */
#include "cli/times.h"
#include "unit.h"

#include <string.h>

#define S INT64_C(1000000000)

static void test_times_are_written_and_read_back(void **state)
{
    static const int64_t table[] = {0, 1, 999999999, S,
                                    INT64_C(1795375982340812050)};
    char text[TIMES_MAX];
    int64_t back;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        times_text(table[i], text);
        assert_true(times_parse(text, strlen(text), &back));
        assert_int_equal(back, table[i]);
    }
    times_text(INT64_C(1795375982340812050), text);
    assert_string_equal(text, "2026-11-22T19:33:02.340812050Z");
}

static void test_points_in_time(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } table[] = {
        {"1970-01-02", 86400 * S},
        {"1970-01-01T00:00:10", 10 * S},
        {"1970-01-01T00:00:10.5Z", 10 * S + S / 2},
        {"1970-01-01T02:00:00+02:00", 0},
        {"1970-01-01T00:00:00-00:30", 1800 * S},
        {"90s", (1000000 - 90) * S},
        {"1h30m", (1000000 - 5400) * S},
        {"2d", (1000000 - 172800) * S},
        {"12.25", 12 * S + S / 4},
    };
    static const char *const wrong[] = {
        "",    "x",   "10x",  "1970-13-01", "1970-01-01T00:00:10Zz",
        "-5s", "5s-", "99d9", "1e99s",      "1970-01-01T00:00:10.5+2"};
    int64_t got;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_true(times_parse_point(table[i].text, 1000000 * S, &got));
        assert_int_equal(got, table[i].ns);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(times_parse_point(wrong[i], 0, &got));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times_are_written_and_read_back),
        cmocka_unit_test(test_points_in_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
