/* test_journal.c: what a command wrote comes back, line by line. */
#include "cli/journal.h"
#include "cli/times.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/journal-test-XXXXXX";
static struct record record = {.folder = -1, .lock = -1};
static struct journal journal = {.fd = -1};

static int begin(void **state)
{
    struct sm_error err;

    (void)state;
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    record.folder = open(folder, O_RDONLY | O_DIRECTORY);
    return journal_open(&journal, &record, &err);
}

static int end(void **state)
{
    (void)state;
    journal_close(&journal);
    unlinkat(record.folder, "log", 0);
    close(record.folder);
    return rmdir(folder);
}

static FILE *open_log(void)
{
    return fdopen(openat(record.folder, "log", O_RDONLY), "r");
}

/* What journal_show() prints of (from) on standard output, or journal_follow()
 * if (goes_on); standard error is put to (errors). */
static char *shown_of(FILE *from, const struct journal_view *view,
                      struct journal_lines *lines, bool goes_on, char **errors)
{
    FILE *before_out = stdout;
    FILE *before_err = stderr;
    char *out = NULL;
    size_t size;
    size_t error_size;

    *errors = NULL;
    stdout = open_memstream(&out, &size);
    stderr = open_memstream(errors, &error_size);
    (goes_on ? journal_follow : journal_show)(from, view, lines);
    fclose(stdout);
    fclose(stderr);
    stdout = before_out;
    stderr = before_err;
    return out;
}

static char *shown(const struct journal_view *view, char **errors)
{
    struct journal_lines lines;
    FILE *from = open_log();
    char *out = shown_of(from, view, &lines, false, errors);

    fclose(from);
    return out;
}

static void expect(const struct journal_view *view, const char *out,
                   const char *errors)
{
    char *got_errors;
    char *got = shown(view, &got_errors);

    assert_string_equal(got, out);
    assert_string_equal(got_errors, errors);
    free(got);
    free(got_errors);
}

static void test_journal_keeps_lines_and_streams(void **state)
{
    struct journal_view view = {.tail = UINT32_MAX};

    (void)state;
    journal_add(&journal, 1, "one\ntwo\n\nthr", 12);
    journal_add(&journal, 2, "err\n", 4);
    journal_add(&journal, 1, "ee\nend", 6);
    expect(&view, "one\ntwo\n\nthree\nend", "err\n");
}

static void test_journal_long_lines_are_whole(void **state)
{
    struct journal_view view = {.tail = UINT32_MAX};
    enum { LONG = 100000 };
    char *line = malloc(LONG + 2);

    (void)state;
    memset(line, 'x', LONG);
    strcpy(line + LONG, "\n");
    journal_add(&journal, 1, line, LONG + 1);
    expect(&view, line, "");
    free(line);
}

static void test_journal_tail_and_since(void **state)
{
    struct journal_view view = {.tail = 2};

    (void)state;
    journal_add(&journal, 1, "a\nb\nc\nd\n", 8);
    expect(&view, "c\nd\n", "");
    view.tail = 0;
    expect(&view, "", "");
    view.tail = 99;
    expect(&view, "a\nb\nc\nd\n", "");
    view.since_ns = record_now_ns() + INT64_C(3600000000000);
    expect(&view, "", "");
    view.since_ns = 0;
    view.until_ns = 1;
    expect(&view, "", "");
}

/* Pieces of a line are one line, also with the other stream's in between; of
 * one that began before the last ones, nothing is shown. */
static void test_journal_tail_counts_lines(void **state)
{
    struct journal_view view = {.tail = 1};
    enum { LONG = 100000 };
    char *line = malloc(LONG + 2);

    (void)state;
    assert_non_null(line);
    memset(line, 'x', LONG);
    strcpy(line + LONG, "\n");
    journal_add(&journal, 1, "zero\nfi", 7);
    journal_add(&journal, 1, "rst\n", 4);
    journal_add(&journal, 1, line, LONG + 1);
    expect(&view, line, "");
    journal_add(&journal, 2, "er", 2);
    journal_add(&journal, 1, "la", 2);
    journal_add(&journal, 2, "ror\nmore\n", 9);
    journal_add(&journal, 1, "st", 2);
    expect(&view, "", "more\n");
    view.tail = 2;
    expect(&view, "last", "more\n");
    view.tail = 3;
    expect(&view, "last", "error\nmore\n");
    journal_add(&journal, 1, " of all\n", 8);
    expect(&view, "last of all\n", "error\nmore\n");
    free(line);
}

/* An entry of 10:00 and (second), as AT() has it. */
static void add_entry(int second, const char *stream_and_text)
{
    char entry[128];
    int count =
        snprintf(entry, sizeof entry, "2026-11-22T10:00:%02d.000000000Z %s\n",
                 second, stream_and_text);

    assert_int_equal(write(journal.fd, entry, (size_t)count), count);
}

/* A line of standard output and one of standard error, in pieces that come in
 * turn, and lines around them. */
static void add_mixed_entries(void)
{
    add_entry(1, "stdout F one");
    add_entry(2, "stdout P be");
    add_entry(3, "stderr P er");
    add_entry(4, "stdout P gun");
    add_entry(5, "stderr F ror");
    add_entry(6, "stdout F ");
    add_entry(7, "stderr F more");
    add_entry(8, "stdout F two");
}

#define AT(second) "2026-11-22T10:00:0" #second ".000000000Z "

static void test_journal_stamps_lines_where_they_begin(void **state)
{
    struct journal_view view = {.tail = UINT32_MAX, .times = true};

    (void)state;
    add_mixed_entries();
    expect(&view, AT(1) "one\n" AT(2) "begun\n" AT(8) "two\n",
           AT(3) "error\n" AT(7) "more\n");
    view.tail = 3;
    expect(&view, AT(8) "two\n", AT(3) "error\n" AT(7) "more\n");
    view.tail = 4;
    expect(&view, AT(2) "begun\n" AT(8) "two\n",
           AT(3) "error\n" AT(7) "more\n");
}

/* Whole lines, also where a time is between their pieces. */
static void test_journal_times_are_those_of_lines(void **state)
{
    struct journal_view view = {.tail = UINT32_MAX};
    int64_t third;

    (void)state;
    add_mixed_entries();
    assert_true(times_parse("2026-11-22T10:00:03Z", 20, &third));
    view.since_ns = third;
    expect(&view, "two\n", "error\nmore\n");
    view.since_ns = third + 1;
    expect(&view, "two\n", "more\n");
    view.since_ns = 0;
    view.until_ns = third;
    expect(&view, "one\nbegun\n", "error\n");
    view.until_ns = third - 1;
    expect(&view, "one\nbegun\n", "");
    view.tail = 4;
    expect(&view, "begun\n", "");
}

/* What is shown after a wait goes on where it was. */
static void test_journal_follows_within_lines(void **state)
{
    struct journal_view view = {.tail = 2, .times = true};
    struct journal_lines lines;
    FILE *from;
    char *got;
    char *errors;

    (void)state;
    add_entry(1, "stdout P be");
    add_entry(2, "stderr P er");
    add_entry(3, "stderr F ror");
    add_entry(4, "stderr P mo");
    from = open_log();
    got = shown_of(from, &view, &lines, false, &errors);
    assert_string_equal(got, "");
    assert_string_equal(errors, AT(2) "error\n" AT(4) "mo");
    free(got);
    free(errors);
    add_entry(5, "stdout P gun");
    add_entry(6, "stderr F re");
    add_entry(7, "stdout F ");
    add_entry(8, "stdout F two");
    got = shown_of(from, &view, &lines, true, &errors);
    assert_string_equal(got, AT(8) "two\n");
    assert_string_equal(errors, "re\n");
    free(got);
    free(errors);
    fclose(from);
}

static void test_journal_garbage_is_passed_over(void **state)
{
    struct journal_view view = {.tail = UINT32_MAX};
    static const char garbage[] =
        "\nx\n2026-11-22T10:00:00Z stdin F x\n2026-11-22T10:00:00Z stdout F\n"
        "2026-11-22T10:00:00Z stdout X\n99 stdout F x\n";

    (void)state;
    assert_int_equal(write(journal.fd, garbage, sizeof garbage - 1),
                     sizeof garbage - 1);
    journal_add(&journal, 1, "good\n", 5);
    expect(&view, "good\n", "");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_journal_keeps_lines_and_streams,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_journal_long_lines_are_whole,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_journal_tail_and_since, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_journal_tail_counts_lines, begin,
                                        end),
        cmocka_unit_test_setup_teardown(
            test_journal_stamps_lines_where_they_begin, begin, end),
        cmocka_unit_test_setup_teardown(test_journal_times_are_those_of_lines,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_journal_follows_within_lines,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_journal_garbage_is_passed_over,
                                        begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
