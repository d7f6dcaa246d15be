/* test_filters.c: which of many things --filter leaves. */
#include "cli/filters.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

/* What a thing has, "KEY=VALUE" each, NULL at the end. */
static bool has(const void *thing, const char *key, size_t length,
                const char *wanted)
{
    for (const char *const *at = thing; *at; at++)
        if (strncmp(*at, key, length + 1) == 0 &&
            strcmp(*at + length + 1, wanted) == 0)
            return true;
    return false;
}

static const char *const thing[] = {"name=web", "status=running", "label=a=1",
                                    "label=b", NULL};

/* (filters) are words with spaces between. */
static bool hold(const char *filters)
{
    struct option_list list = {0};
    char *copy = strdup(filters);
    char *rest = copy;
    char *word;
    bool result;

    assert_non_null(copy);
    while ((word = strsep(&rest, " ")) != NULL)
        assert_true(!*word || option_list_add(&list, word));
    result = filters_hold(&list, thing, has);
    option_list_done(&list);
    free(copy);
    return result;
}

static void test_filters_of_one_key_are_a_choice(void **state)
{
    (void)state;
    assert_true(hold(""));
    assert_true(hold("name=web"));
    assert_false(hold("name=db"));
    assert_true(hold("name=db name=web"));
    assert_true(hold("name=web name=db"));
    assert_false(hold("name=db name=mail"));
}

static void test_filters_of_several_keys_all_hold(void **state)
{
    (void)state;
    assert_true(hold("name=web status=running"));
    assert_false(hold("name=web status=exited"));
    assert_true(hold("status=exited name=web status=running name=db"));
    /* One key begins as another does. */
    assert_false(hold("name=web names=web"));
}

static void test_filters_of_labels_all_hold(void **state)
{
    (void)state;
    assert_true(hold("label=a=1"));
    assert_true(hold("label=a=1 label=b"));
    assert_true(hold("label=a=1 label=a=1"));
    assert_false(hold("label=a=1 label=c"));
    assert_false(hold("label=c label=a=1"));
    assert_false(hold("label=a=1 label=a=2"));
    assert_true(hold("label=b name=db name=web label=a=1"));
    assert_false(hold("label=b name=db label=a=1"));
}

static void test_filters_have_known_keys(void **state)
{
    static const char *const keys[] = {"label", "name", NULL};
    const char *items[] = {"label=a", "name=", "names=x", NULL};
    struct option_list list = {.item = items, .count = 2};

    (void)state;
    assert_true(filters_check("ps", &list, keys));
    list.count = 3;
    assert_false(filters_check("ps", &list, keys));
    items[2] = "label";
    assert_false(filters_check("ps", &list, keys));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters_of_one_key_are_a_choice),
        cmocka_unit_test(test_filters_of_several_keys_all_hold),
        cmocka_unit_test(test_filters_of_labels_all_hold),
        cmocka_unit_test(test_filters_have_known_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
