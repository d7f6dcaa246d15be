/* test_log.c: lines for the operator, and no flood of them. */
#include "unit.h"

#include "base/log.h"

#include <string.h>

struct lines {
    unsigned count;
    enum log_level level;
    char last[600];
};

static void take(void *context, enum log_level level, const char *text)
{
    struct lines *lines = context;

    lines->count++;
    lines->level = level;
    strncpy(lines->last, text, sizeof lines->last - 1);
}

static void test_log_hands_out_formatted_lines(void **state)
{
    struct lines lines = {0};
    struct log_sink sink = {.line = take, .context = &lines};
    struct log_sink none = LOG_NONE;
    char text[1000];

    (void)state;
    log_line(&sink, LOG_LEVEL_WARNING, "queue %d: %s", 3, "loop");
    assert_string_equal(lines.last, "queue 3: loop");
    assert_int_equal(lines.level, LOG_LEVEL_WARNING);
    log_line(&none, LOG_LEVEL_ERROR, "nobody hears %d", 1);
    /* A line that is too long is cut, not dropped. */
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_line(&sink, LOG_LEVEL_DEBUG, "%s", text);
    assert_int_equal(lines.count, 2);
    assert_in_range(strlen(lines.last), 100, 511);
}

static void test_log_limit_lets_few_pass_and_counts_the_rest(void **state)
{
    struct lines lines = {0};
    struct log_sink sink = {.line = take, .context = &lines};
    struct log_limit limit = {0};
    uint64_t now = 7 * LOG_LIMIT_NS;

    (void)state;
    for (int i = 0; i < 1000; i++)
        log_limited(&sink, &limit, now + (uint64_t)i, LOG_LEVEL_INFO, "%d", i);
    assert_int_equal(lines.count, LOG_LIMIT_LINES);
    assert_string_equal(lines.last, "4");
    now += LOG_LIMIT_NS;
    log_limited(&sink, &limit, now, LOG_LEVEL_INFO, "again");
    /* The line itself, and before it how many were left out. */
    assert_int_equal(lines.count, LOG_LIMIT_LINES + 2);
    assert_string_equal(lines.last, "again");
    assert_int_equal(limit.dropped, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_hands_out_formatted_lines),
        cmocka_unit_test(test_log_limit_lets_few_pass_and_counts_the_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
