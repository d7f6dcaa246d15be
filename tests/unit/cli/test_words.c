/* test_words.c: options that stand among words. */
#include "../../../src/cli/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct values {
    const char *output;
    bool force;
};

static const struct option options[] = {
    {"output", 'o', OPTION_STRING, offsetof(struct values, output), "FILE", ""},
    {"force", 'f', OPTION_FLAG, offsetof(struct values, force), NULL, ""},
};

static const struct verb verb = {.name = "verb",
                                 .usage = "",
                                 .summary = "",
                                 .options = options,
                                 .option_count = 2};

static void test_words_are_gathered_around_options(void **state)
{
    static const char *const lines[][6] = {
        {"a", "b", "-o", "x", "-f"},
        {"-f", "a", "--output=x", "b"},
        {"-o", "x", "-f", "--", "a", "b"},
        {"a", "-fo", "x", "b"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct option_list words = {0};
        struct values values = {0};
        char *arguments[7] = {0};

        for (int k = 0; k < 6; k++)
            arguments[k] = (char *)(uintptr_t)lines[i][k];
        assert_int_equal(words_parse(&verb, arguments, &values, &words),
                         OPTIONS_OK);
        assert_string_equal(values.output, "x");
        assert_true(values.force);
        assert_int_equal(words.count, 2);
        assert_string_equal(words.item[0], "a");
        assert_string_equal(words.item[1], "b");
        option_list_done(&words);
    }
}

static void test_words_behind_two_dashes_are_no_options(void **state)
{
    char *arguments[] = {(char *)"a", (char *)"--", (char *)"-f", (char *)"--",
                         NULL};
    struct option_list words = {0};
    struct values values = {0};

    (void)state;
    assert_int_equal(words_parse(&verb, arguments, &values, &words),
                     OPTIONS_OK);
    assert_false(values.force);
    assert_int_equal(words.count, 3);
    assert_string_equal(words.item[1], "-f");
    assert_string_equal(words.item[2], "--");
    option_list_done(&words);
}

static void test_words_refuse_unknown_options_anywhere(void **state)
{
    char *arguments[] = {(char *)"a", (char *)"--nonsense", NULL};
    struct option_list words = {0};
    struct values values = {0};

    (void)state;
    assert_int_equal(words_parse(&verb, arguments, &values, &words),
                     OPTIONS_WRONG);
    option_list_done(&words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_are_gathered_around_options),
        cmocka_unit_test(test_words_behind_two_dashes_are_no_options),
        cmocka_unit_test(test_words_refuse_unknown_options_anywhere),
    };

    return cmocka_run_group_tests_name("cli_words", tests, NULL, NULL);
}
