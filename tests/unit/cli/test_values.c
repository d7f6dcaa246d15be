/* test_values.c: what people write for times and signals. Sizes and numbers
 * are in test_options.c. */
#include "cli/values.h"
#include "unit.h"

#include <signal.h>
#include <string.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof(a)[0])

static void test_values_durations_are_docker_s(void **state)
{
    static const struct {
        const char *text;
        bool taken;
        uint64_t ms;
    } table[] = {
        {"0", true, 0},
        {"10", true, 10000},
        {"1.5", true, 1500},
        {"0.0015", true, 1},
        {"500ms", true, 500},
        {"1s", true, 1000},
        {"1m30s", true, 90000},
        {"1.5h", true, 5400000},
        {"1h1m1s1ms", true, 3661001},
        {"2d", true, 172800000},
        {"1.00000000000000000000000000000000001s", true, 1000},
        {"18446744073709551615ms", true, UINT64_MAX},
        {"18446744073709551615", false, 0},
        {"18446744073709551615ms1ms", false, 0},
        {"18446744073709551616ms", false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {"+1s", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1m30", false, 0},
        {"1x", false, 0},
        {"1S", false, 0},
        {"s", false, 0},
        {".5s", false, 0},
        {"1.s", false, 0},
        {"1..5s", false, 0},
        {"1e3", false, 0},
        {"0x10", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        uint64_t ms = 4711;

        assert_int_equal(value_duration(table[i].text, &ms), table[i].taken);
        assert_true(ms == (table[i].taken ? table[i].ms : 4711));
    }
}

static void test_values_signals_are_names_or_numbers(void **state)
{
    static const struct {
        const char *text;
        uint32_t number; /* 0: not taken */
    } table[] = {
        {"SIGTERM", 15},   {"TERM", 15},       {"term", 15},    {"SigKill", 9},
        {"15", 15},        {"1", 1},           {"64", 64},      {"RTMIN", 34},
        {"RTMIN+3", 37},   {"SIGRTMIN+3", 37}, {"RTMAX", 64},   {"rtmax-1", 63},
        {"RTMIN+30", 64},  {"RTMIN+31", 0},    {"RTMAX-31", 0}, {"RTMIN-1", 0},
        {"RTMAX+1", 0},    {"RTMIN+", 0},      {"RTMINX", 0},   {"0", 0},
        {"65", 0},         {"-9", 0},          {"", 0},         {"SIG", 0},
        {"SIGSIGTERM", 0}, {"TERMINATE", 0},   {" TERM", 0},    {"SIG15", 0},
        {"4294967311", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        uint32_t number = 0;

        assert_int_equal(value_signal(table[i].text, &number),
                         table[i].number != 0);
        assert_int_equal(number, table[i].number);
    }
}

/* Those of this machine, where it is Linux on x86 or ARM as the guests are. */
static void test_values_signal_names_are_linux_s(void **state)
{
    (void)state;
    for (uint32_t i = 1; i < SIGNAL_NAMES; i++) {
        const char *name = value_signal_name(i);
        uint32_t number = 0;

        assert_non_null(name);
        assert_true(value_signal(name, &number));
        assert_int_equal(number, i);
#if defined(__linux__)
        assert_string_equal(name, i == SIGIO ? "IO" : sigabbrev_np((int)i));
#endif
    }
    assert_null(value_signal_name(0));
    assert_null(value_signal_name(SIGNAL_NAMES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_durations_are_docker_s),
        cmocka_unit_test(test_values_signals_are_names_or_numbers),
        cmocka_unit_test(test_values_signal_names_are_linux_s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
