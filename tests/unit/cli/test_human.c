/* test_human.c: numbers in Docker's words. */
#include "cli/human.h"
#include "unit.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof(a)[0])

static void test_human_bytes_have_three_digits(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } table[] = {
        {0, "0B"},
        {1, "1B"},
        {999, "999B"},
        {1000, "1kB"},
        {1234, "1.23kB"},
        {12345, "12.3kB"},
        {999499, "999kB"},
        {999500, "1MB"},
        {13300000, "13.3MB"},
        {UINT64_C(1210000000), "1.21GB"},
        {UINT64_C(5) * 1000 * 1000 * 1000 * 1000, "5TB"},
        {UINT64_MAX, "18.4EB"},
    };
    char room[HUMAN_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_string_equal(human_bytes(room, table[i].bytes), table[i].text);
}

static void test_human_durations_are_docker_s(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } table[] = {
        {INT64_MIN, "Less than a second"},
        {-5, "Less than a second"},
        {0, "Less than a second"},
        {1, "1 second"},
        {59, "59 seconds"},
        {60, "About a minute"},
        {119, "About a minute"},
        {120, "2 minutes"},
        {3599, "59 minutes"},
        {3600, "About an hour"},
        {7200, "2 hours"},
        {172799, "47 hours"},
        {172800, "2 days"},
        {1209599, "13 days"},
        {1209600, "2 weeks"},
        {5184000, "2 months"},
        {63072000, "2 years"},
        {INT64_MAX, "292471208677 years"},
    };
    char room[HUMAN_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_string_equal(human_duration(room, table[i].seconds),
                            table[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_human_bytes_have_three_digits),
        cmocka_unit_test(test_human_durations_are_docker_s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
