/* test_command.c: what is run: an image's defaults under the user's wishes.
 *
 * The expected rows are what docker-run(1) and the image-spec say: Entrypoint
 * and Cmd of the image, --entrypoint, arguments, --env, --workdir, --user. */
#include "base/bytes.h"
#include "failing_alloc.h"
#include "machine/command.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static const char *const nothing[] = {NULL};

static void assert_list(char *const *list, const char *const *expected)
{
    size_t i = 0;

    for (; expected[i]; i++) {
        assert_non_null(list[i]);
        assert_string_equal(list[i], expected[i]);
    }
    assert_null(list[i]);
}

/* Nothing but what is named. */
static struct command_defaults image(const char *const *entrypoint,
                                     const char *const *arguments)
{
    return (struct command_defaults){.entrypoint = entrypoint,
                                     .arguments = arguments,
                                     .env = nothing,
                                     .workdir = "",
                                     .user = ""};
}

static void test_command_follows_the_table_of_docker(void **state)
{
    static const char *const entry[] = {"/entry", "-e", NULL};
    static const char *const cmd[] = {"cmd", "-c", NULL};
    static const char *const words[] = {"word", NULL};
    static const struct {
        const char *const *entrypoint; /* of the image */
        const char *const *cmd;
        const char *wanted; /* --entrypoint */
        const char *const *argv;
        const char *expected[6]; /* empty: refused */
    } table[] = {
        {nothing, cmd, NULL, NULL, {"cmd", "-c"}},
        {nothing, cmd, NULL, nothing, {"cmd", "-c"}},
        {NULL, cmd, NULL, NULL, {"cmd", "-c"}},
        {nothing, cmd, NULL, words, {"word"}},
        {entry, nothing, NULL, NULL, {"/entry", "-e"}},
        {entry, NULL, NULL, NULL, {"/entry", "-e"}},
        {entry, nothing, NULL, words, {"/entry", "-e", "word"}},
        {entry, cmd, NULL, NULL, {"/entry", "-e", "cmd", "-c"}},
        {entry, cmd, NULL, words, {"/entry", "-e", "word"}},
        {entry, cmd, "/mine", NULL, {"/mine"}},
        {entry, cmd, "/mine", nothing, {"/mine"}},
        {entry, cmd, "/mine", words, {"/mine", "word"}},
        {nothing, cmd, "/mine", NULL, {"/mine"}},
        {entry, cmd, "", words, {"word"}},
        {entry, cmd, "", NULL, {NULL}},
        {nothing, nothing, "", NULL, {NULL}},
        {nothing, nothing, NULL, NULL, {NULL}},
        {NULL, NULL, NULL, NULL, {NULL}},
        {nothing, nothing, NULL, words, {"word"}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct command_defaults defaults =
            image(table[i].entrypoint, table[i].cmd);
        struct sm_exec_config wanted = {.entrypoint = table[i].wanted,
                                        .argv = table[i].argv};
        struct command command;
        struct sm_error err;
        int rc = command_make(&command, &defaults, &wanted, &err);

        if (!table[i].expected[0]) {
            assert_int_equal(rc, SM_EINVAL);
            continue;
        }
        assert_int_equal(rc, 0);
        assert_list(command.argv, table[i].expected);
        assert_list(command.env, nothing);
        command_done(&command);
    }
}

static void test_command_empty_words_are_words(void **state)
{
    struct command_defaults defaults = image(LIST("e"), LIST("c"));
    struct sm_exec_config wanted = {.argv = LIST("", "")};
    struct command command;

    (void)state;
    assert_int_equal(command_make(&command, &defaults, &wanted, NULL), 0);
    assert_list(command.argv, LIST("e", "", ""));
    command_done(&command);
}

static void test_command_variables_replace_those_of_their_name(void **state)
{
    struct command_defaults defaults = image(LIST("e"), nothing);
    struct sm_exec_config wanted = {
        .env = LIST("B=9", "NEW=1", "AA=5", "EMPTY=", "NEW=2", "EQ=a=b")};
    struct command command;

    (void)state;
    defaults.env = LIST("A=1", "B=2", "AB=3", "A=4", "EMPTY=x");
    assert_int_equal(command_make(&command, &defaults, &wanted, NULL), 0);
    assert_list(command.env, LIST("A=4", "B=9", "AB=3", "EMPTY=", "NEW=2",
                                  "AA=5", "EQ=a=b"));
    command_done(&command);
}

static void test_command_refuses_what_is_no_variable(void **state)
{
    static const char *const bad[] = {"", "=", "=x", "NAME", " "};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct command_defaults defaults = image(LIST("e"), nothing);
        struct sm_exec_config wanted = {.env = LIST("A=1", bad[i])};
        struct command command;
        struct sm_error err;

        assert_int_equal(command_make(&command, &defaults, &wanted, &err),
                         SM_EINVAL);
        wanted.env = NULL;
        defaults.env = LIST("A=1", bad[i]);
        assert_int_equal(command_make(&command, &defaults, &wanted, &err),
                         SM_EINVAL);
    }
}

static void test_command_folder_and_user_replace_those_of_the_image(
    void **state)
{
    static const struct {
        const char *image;
        const char *wanted;
        const char *expected; /* NULL: refused */
    } table[] = {
        {"", NULL, ""},           {"/srv", NULL, "/srv"},
        {"/srv", "/tmp", "/tmp"}, {"/srv", "", ""},
        {"srv", NULL, NULL},      {"/srv", "tmp", NULL},
        {"/srv", "./tmp", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct command_defaults defaults = image(LIST("e"), nothing);
        struct sm_exec_config wanted = {.workdir = table[i].wanted,
                                        .user = table[i].wanted};
        struct command command;
        int rc;

        defaults.workdir = table[i].image;
        defaults.user = table[i].image;
        rc = command_make(&command, &defaults, &wanted, NULL);
        assert_int_equal(rc, table[i].expected ? 0 : SM_EINVAL);
        if (rc)
            continue;
        assert_string_equal(command.workdir, table[i].expected);
        assert_string_equal(command.user, table[i].expected);
        command_done(&command);
    }
}

/* What is passed in is copied. */
static void test_command_owns_its_strings(void **state)
{
    char word[] = "word";
    char pair[] = "A=1";
    struct command_defaults defaults = image(NULL, NULL);
    struct sm_exec_config wanted = {.argv = LIST(word), .env = LIST(pair)};
    struct command command;

    (void)state;
    assert_int_equal(command_make(&command, &defaults, &wanted, NULL), 0);
    word[0] = pair[0] = 'x';
    assert_string_equal(command.argv[0], "word");
    assert_string_equal(command.env[0], "A=1");
    command_done(&command);
    command_done(&command);
    assert_null(command.argv);
}

static char *long_word(size_t bytes, const char *begin)
{
    char *word = malloc(bytes);

    assert_non_null(word);
    memset(word, 'x', bytes - 1);
    word[bytes - 1] = '\0';
    memcpy(word, begin, strlen(begin));
    return word;
}

/* supermachine.h: 1 MiB of arguments and environment together. */
static void test_command_has_a_limit_of_bytes(void **state)
{
    static const struct {
        size_t argument;
        size_t variable;
        size_t variable_again; /* the same one: counts once */
        int result;
    } table[] = {
        {1 << 20, 0, 0, 0},
        {(1 << 20) + 1, 0, 0, SM_ELIMIT},
        {1 << 19, 1 << 19, 0, 0},
        {(1 << 19) + 1, 1 << 19, 0, SM_ELIMIT},
        {1 << 19, (1 << 19) + 1, 0, SM_ELIMIT},
        {1 << 19, 1 << 18, 1 << 19, 0},
        {1 << 19, 1 << 18, (1 << 19) + 1, SM_ELIMIT},
        {1 << 19, 1 << 19, 1 << 19, 0},
    };

    (void)state;
    assert_int_equal(COMMAND_BYTES_MAX, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct command_defaults defaults = image(NULL, NULL);
        char *word = long_word(table[i].argument, "");
        char *pair =
            table[i].variable ? long_word(table[i].variable, "A=") : NULL;
        char *again = table[i].variable_again
                          ? long_word(table[i].variable_again, "A=")
                          : NULL;
        struct sm_exec_config wanted = {.argv = LIST(word),
                                        .env = LIST(pair, again)};
        struct command command;

        assert_int_equal(command_make(&command, &defaults, &wanted, NULL),
                         table[i].result);
        if (!table[i].result)
            command_done(&command);
        free(word);
        free(pair);
        free(again);
    }
}

static void test_command_has_a_limit_of_words(void **state)
{
    static const char *words[COMMAND_WORDS_MAX + 2];
    struct command_defaults defaults = image(NULL, NULL);
    struct sm_exec_config wanted = {.argv = words};
    struct command command;
    size_t count = 0;

    (void)state;
    while (count < COMMAND_WORDS_MAX)
        words[count++] = "w";
    assert_int_equal(command_make(&command, &defaults, &wanted, NULL), 0);
    assert_null(command.argv[COMMAND_WORDS_MAX]);
    assert_string_equal(command.argv[COMMAND_WORDS_MAX - 1], "w");
    command_done(&command);
    words[count] = "w";
    assert_int_equal(command_make(&command, &defaults, &wanted, NULL),
                     SM_ELIMIT);
}

/* Each name is looked for among those before it. */
static void test_command_has_a_limit_of_variables(void **state)
{
    static char pairs[COMMAND_VARIABLES_MAX + 1][8];
    static const char *env[COMMAND_VARIABLES_MAX + 2];
    struct command_defaults defaults = image(LIST("e"), nothing);
    struct sm_exec_config wanted = {.env = env};
    struct command command;
    size_t count = 0;

    (void)state;
    for (; count <= COMMAND_VARIABLES_MAX; count++) {
        snprintf(pairs[count], sizeof pairs[count], "V%zx=", count);
        env[count] = pairs[count];
    }
    assert_int_equal(command_make(&command, &defaults, &wanted, NULL),
                     SM_ELIMIT);
    env[count - 1] = NULL;
    assert_int_equal(command_make(&command, &defaults, &wanted, NULL), 0);
    assert_string_equal(command.env[COMMAND_VARIABLES_MAX - 1],
                        pairs[COMMAND_VARIABLES_MAX - 1]);
    command_done(&command);
}

static void test_command_without_memory_fails_and_leaks_nothing(void **state)
{
    struct command_defaults defaults = image(LIST("a", "b", "c"), LIST("d"));
    struct sm_exec_config wanted = {
        .env = LIST("A=9", "C=1", "D=2"), .workdir = "/w", .user = "u"};
    size_t before = alloc_live();
    struct command command;
    size_t nth = 0;
    int rc;

    (void)state;
    defaults.env = LIST("A=1", "B=2");
    do {
        struct sm_error err = {0};

        alloc_fail_at(++nth);
        memset(&command, 0x55, sizeof command);
        rc = command_make(&command, &defaults, &wanted, &err);
        if (alloc_has_failed()) {
            assert_int_equal(rc, SM_ENOMEM);
            assert_int_equal(err.code, SM_ENOMEM);
            assert_int_equal(alloc_live(), before);
        }
    } while (alloc_has_failed());
    assert_int_equal(rc, 0);
    assert_in_range(nth, 10, 40);
    assert_list(command.argv, LIST("a", "b", "c", "d"));
    assert_list(command.env, LIST("A=9", "B=2", "C=1", "D=2"));
    alloc_fail_at(0);
    command_done(&command);
    assert_int_equal(alloc_live(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_follows_the_table_of_docker),
        cmocka_unit_test(test_command_empty_words_are_words),
        cmocka_unit_test(test_command_variables_replace_those_of_their_name),
        cmocka_unit_test(test_command_refuses_what_is_no_variable),
        cmocka_unit_test(
            test_command_folder_and_user_replace_those_of_the_image),
        cmocka_unit_test(test_command_owns_its_strings),
        cmocka_unit_test(test_command_has_a_limit_of_bytes),
        cmocka_unit_test(test_command_has_a_limit_of_words),
        cmocka_unit_test(test_command_has_a_limit_of_variables),
        cmocka_unit_test(test_command_without_memory_fails_and_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
