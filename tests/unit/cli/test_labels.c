/* test_labels.c: labels that are given, and those that are inherited. */
#include "cli/labels.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void expect(const char *const *given, const char *lines,
                   const char *const *expected)
{
    struct option_list labels = {0};
    char *copy = strdup(lines);
    size_t count = 0;

    assert_non_null(copy);
    for (; *given; given++)
        assert_true(option_list_add(&labels, *given));
    assert_true(labels_inherit(&labels, copy));
    for (; expected[count]; count++) {
        assert_in_range(count + 1, 1, labels.count);
        assert_string_equal(labels.item[count], expected[count]);
    }
    assert_int_equal(labels.count, count);
    option_list_done(&labels);
    free(copy);
}

static void test_labels_are_inherited(void **state)
{
    (void)state;
    expect((const char *const[]){NULL}, "", (const char *const[]){NULL});
    expect((const char *const[]){NULL}, "a=1\nb\nc=x=y",
           (const char *const[]){"a=1", "b", "c=x=y", NULL});
    expect((const char *const[]){"d=4", NULL}, "a=1",
           (const char *const[]){"d=4", "a=1", NULL});
}

/* Also one without a value, and one that begins as another. */
static void test_labels_given_count(void **state)
{
    (void)state;
    expect((const char *const[]){"a=2", "b", NULL}, "a=1\nb=1\nab=1\na\nc=3",
           (const char *const[]){"a=2", "b", "ab=1", "c=3", NULL});
    /* The parent may have been given two of one key: it keeps both. */
    expect((const char *const[]){NULL}, "a=1\na=2",
           (const char *const[]){"a=1", "a=2", NULL});
}

static void test_labels_are_one_line_each(void **state)
{
    const char *items[] = {"a=1", "b=1\n2", NULL};
    struct option_list labels = {.item = items, .count = 2};

    (void)state;
    assert_false(labels_check("run", &labels));
    labels.count = 1;
    assert_true(labels_check("run", &labels));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels_are_inherited),
        cmocka_unit_test(test_labels_given_count),
        cmocka_unit_test(test_labels_are_one_line_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
