/* test_json.c: looking into JSON; keys that are typed; limits as words. */
#include "cli/json.h"
#include "cli/keys.h"
#include "cli/rlimits.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static const char text[] =
    " {\"a\": 1, \"b\" : {\"c\": \"x}\\\"]\", \"d\": null},\n"
    "  \"list\": [ {\"n\": 7}, [], \"two\", 3 ], \"e\": \"\\u00e9\\n\\ud83d\","
    " \"t\": true, \"nul\": \"a\\u0000b\" }";

static const char *at(const char *path)
{
    static char *last;

    free(last);
    last = json_text(json_at(json_read(text), path, strlen(path)));
    return last;
}

static void test_json_paths_lead_to_values(void **state)
{
    (void)state;
    assert_string_equal(at("a"), "1");
    assert_string_equal(at("b.c"), "x}\"]");
    assert_string_equal(at("b.d"), "");
    assert_string_equal(at("list.0.n"), "7");
    assert_string_equal(at("list.1"), "[]");
    assert_string_equal(at("list.2"), "two");
    assert_string_equal(at("list.3"), "3");
    assert_string_equal(at("e"), "\xc3\xa9\n\xef\xbf\xbd");
    assert_string_equal(at("t"), "true");
    assert_string_equal(at("nul"), "a\xef\xbf\xbd"
                                   "b");
    assert_int_equal(json_number(json_at(json_read(text), "a", 1)), 1);
    assert_int_equal(json_number(json_at(json_read(text), "t", 1)), 0);
}

static void test_json_paths_that_lead_nowhere(void **state)
{
    static const char *const paths[] = {"x",      "a.b",      "b.c.d", "list.4",
                                        "list.x", "list.1.0", "."};

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        assert_string_equal(at(paths[i]), "");
}

static void test_json_is_written_on_one_line(void **state)
{
    char *line = NULL;
    size_t size;
    FILE *to = open_memstream(&line, &size);

    (void)state;
    json_write(to, json_read("{ \"a b\" : [ 1,\n 2 ] }"));
    fclose(to);
    assert_string_equal(line, "{\"a b\":[1,2]}");
    free(line);
}

/* Cut anywhere, and with any byte changed: nothing but an answer comes of it.
 */
static void test_json_nonsense_does_no_harm(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof text; i++) {
        char *copy = strdup(text);

        copy[i] = '\0';
        free(json_text(json_at(json_read(copy), "list.3", 6)));
        free(json_text(json_at(json_read(copy), "e", 1)));
        memcpy(copy, text, sizeof text);
        for (const char *byte = "{}[]\",\\:x"; *byte; byte++) {
            copy[i] = i + 1 < sizeof text ? *byte : '\0';
            free(json_text(json_at(json_read(copy), "list.3", 6)));
            free(json_text(json_at(json_read(copy), "b.c", 3)));
        }
        free(copy);
    }
}

static void test_keys_are_letters_and_ctrl(void **state)
{
    static const char *const wrong[] = {
        "",   "ctrl-", "ctrl-1",  "ab",
        "a,", ",a",    "ctrl-pp", "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a"};
    struct keys keys;

    (void)state;
    assert_true(keys_parse("ctrl-p,ctrl-q", &keys));
    assert_memory_equal(keys.key, "\x10\x11", 2);
    assert_true(keys_parse("x,ctrl-]", &keys));
    assert_memory_equal(keys.key, "x\x1d", 2);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(keys_parse(wrong[i], &keys));
}

static void test_keys_are_found_across_pieces(void **state)
{
    static const struct {
        const char *pieces[4];
        const char *kept;
        bool found;
    } table[] = {
        {{"ab"}, "ab", false},
        {{"a\x10\x11z"}, "a", true},
        {{"a\x10", "\x11z"}, "a", true},
        {{"a\x10", "b"},
         "a\x10"
         "b",
         false},
        {{"\x10", "\x10", "\x11"}, "\x10", true},
        {{"\x11\x10"}, "\x11", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char kept[64 + KEYS_MAX];
        struct keys keys;
        size_t total = 0;
        bool found = false;

        assert_true(keys_parse("ctrl-p,ctrl-q", &keys));
        for (int p = 0; p < 4 && table[i].pieces[p]; p++) {
            size_t count;

            found = keys_sift(&keys, table[i].pieces[p],
                              strlen(table[i].pieces[p]), kept + total, &count);
            total += count;
        }
        kept[total] = '\0';
        assert_string_equal(kept, table[i].kept);
        assert_int_equal(found, table[i].found);
    }
}

static void test_limits_are_docker_s(void **state)
{
    static const char *const words[] = {"nofile=1024:2048", "core=-1",
                                        "nofile=7", "cpu=5:-1"};
    static const char *const wrong[] = {
        "nofile",    "=1",        "nofile=",
        "nofile=x",  "nofile=1:", "nofile=1:2:3",
        "nofile=-2", "nofile= 1", "nofile=99999999999999999999"};
    struct option_list list = {.item = (const char **)(uintptr_t)words,
                               .count = 4};
    struct limits limits;

    (void)state;
    assert_true(limits_parse(&list, &limits));
    assert_int_equal(limits.count, 3);
    assert_string_equal(limits.item[0].name, "nofile");
    assert_int_equal(limits.item[0].soft, 7);
    assert_int_equal(limits.item[0].hard, 7);
    assert_int_equal(limits.item[1].soft, UINT64_MAX);
    assert_int_equal(limits.item[2].soft, 5);
    assert_int_equal(limits.item[2].hard, UINT64_MAX);
    list.count = 1;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        list.item = (const char **)(uintptr_t)&wrong[i];
        assert_false(limits_parse(&list, &limits));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_paths_lead_to_values),
        cmocka_unit_test(test_json_paths_that_lead_nowhere),
        cmocka_unit_test(test_json_is_written_on_one_line),
        cmocka_unit_test(test_json_nonsense_does_no_harm),
        cmocka_unit_test(test_keys_are_letters_and_ctrl),
        cmocka_unit_test(test_keys_are_found_across_pieces),
        cmocka_unit_test(test_limits_are_docker_s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
