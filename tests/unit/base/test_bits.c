/* test_bits.c: sets of small numbers. */
#include "base/bits.h"
#include "base/bytes.h"
#include "unit.h"

enum { COUNT = 200, GUARD = 0x5a };

/* bits_find() beside a look at each number. */
static uint64_t find_slowly(const uint64_t *bits, uint64_t first, uint64_t end,
                            bool in)
{
    while (first < end && bits_has(bits, first) != in)
        first++;
    return first;
}

static void test_bits_words_hold_all(void **state)
{
    (void)state;
    assert_int_equal(bits_words(0), 0);
    assert_int_equal(bits_words(1), 1);
    assert_int_equal(bits_words(64), 1);
    assert_int_equal(bits_words(65), 2);
}

static void test_bits_come_and_go_alone(void **state)
{
    uint64_t bits[4] = {0};

    (void)state;
    bits_add(bits, 0);
    bits_add(bits, 63);
    bits_add(bits, 64);
    bits_add(bits, 64);
    bits_remove(bits, 63);
    bits_remove(bits, 62);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(bits_has(bits, i), i == 0 || i == 64);
}

/* Every run there is, put in and taken out, and found again from everywhere. */
static void test_bits_runs(void **state)
{
    uint64_t bits[5];

    (void)state;
    for (uint64_t first = 0; first <= COUNT; first += 7)
        for (uint64_t end = first; end <= COUNT; end += 3)
            for (unsigned in = 0; in < 2; in++) {
                for (size_t i = 0; i < ARRAY_LEN(bits); i++)
                    bits[i] = in ? 0 : UINT64_MAX;
                bits[4] = GUARD;
                bits_fill(bits, first, end, in);
                assert_int_equal(bits[4], GUARD);
                for (uint64_t i = 0; i < COUNT; i++)
                    assert_int_equal(bits_has(bits, i),
                                     (i >= first && i < end) == in);
                for (uint64_t i = 0; i <= COUNT; i += 9) {
                    assert_int_equal(bits_find(bits, i, COUNT, true),
                                     find_slowly(bits, i, COUNT, true));
                    assert_int_equal(bits_find(bits, i, COUNT, false),
                                     find_slowly(bits, i, COUNT, false));
                }
            }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_words_hold_all),
        cmocka_unit_test(test_bits_come_and_go_alone),
        cmocka_unit_test(test_bits_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
