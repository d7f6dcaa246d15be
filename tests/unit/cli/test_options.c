/* test_options.c: command lines: what is taken, what is refused, and what is
 * said about it. */
#include "cli/options.h"
#include "failing_alloc.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof(a)[0])

struct values {
    uint64_t memory;
    uint32_t cpus;
    const char *name;
    struct option_list env;
    bool interactive;
    bool tty;
    bool secret;
    uint64_t grace_ms;
    uint32_t signal;
    uint64_t guard; /* nothing writes here */
};

#define FIELD(name) offsetof(struct values, name)

static const struct option option_table[] = {
    {"memory", 'm', OPTION_BYTES, FIELD(memory), "SIZE", "memory"},
    {"cpus", 0, OPTION_COUNT, FIELD(cpus), "N", "processors"},
    {"name", 'n', OPTION_STRING, FIELD(name), "NAME", "a name"},
    {"env", 'e', OPTION_LIST, FIELD(env), "NAME=VALUE", "a variable"},
    {"interactive", 'i', OPTION_FLAG, FIELD(interactive), NULL, "keep stdin"},
    {"tty", 't', OPTION_FLAG, FIELD(tty), NULL, "a terminal"},
    {"grace", 0, OPTION_TIME, FIELD(grace_ms), "TIME", "how long to wait"},
    {"signal", 's', OPTION_SIGNAL, FIELD(signal), "SIGNAL", "what to send"},
    {"a-rather-long-name", 0, OPTION_STRING, FIELD(name), "VALUE", "is long"},
    {"secret", 0, OPTION_FLAG, FIELD(secret), NULL, NULL},
};

static const struct verb_example examples[] = {
    {"Win", "supermachine play chess"},
    {"Lose", "supermachine play --tty go"},
};

static const struct verb verb = {
    .name = "play",
    .usage = "[OPTIONS] WHAT",
    .summary = "Play a game",
    .options = option_table,
    .option_count = ARRAY_LEN(option_table),
    .exit_status = "The score.",
    .examples = examples,
    .example_count = ARRAY_LEN(examples),
};

/* A command line that was parsed. */
struct parsed {
    enum options_result result;
    struct values values;
    char **rest;
    char said[4096]; /* on standard output and standard error */
};

/* What is printed until listen_done() is heard. */
struct listening {
    int saved[2];
    int said;
};

static void listen_begin(struct listening *listening)
{
    fflush(stdout);
    listening->said = memfd_create("said", MFD_CLOEXEC);
    for (int i = 0; i < 2; i++) {
        listening->saved[i] = fcntl(1 + i, F_DUPFD_CLOEXEC, 10);
        dup2(listening->said, 1 + i);
    }
}

static void listen_done(struct listening *listening, char said[4096])
{
    ssize_t count;

    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        dup2(listening->saved[i], 1 + i);
        close(listening->saved[i]);
    }
    count = pread(listening->said, said, 4095, 0);
    said[count < 0 ? 0 : count] = '\0';
    close(listening->said);
}

/* Words of a command line of (of); what is printed meanwhile goes to
 * parsed->said. */
static void parse_of(const struct verb *of, struct parsed *parsed,
                     const char *const *words)
{
    struct listening listening;

    *parsed = (struct parsed){.values.guard = 0x5ca1ab1e};
    listen_begin(&listening);
    parsed->result = options_parse(of, (char **)(uintptr_t)words,
                                   &parsed->values, &parsed->rest);
    listen_done(&listening, parsed->said);
    assert_true(parsed->values.guard == 0x5ca1ab1e);
}

static void parse(struct parsed *parsed, const char *const *words)
{
    parse_of(&verb, parsed, words);
}

#define PARSE(parsed, ...)                                                     \
    parse(parsed, (const char *const[]){__VA_ARGS__, NULL})

static void done(struct parsed *parsed)
{
    option_list_done(&parsed->values.env);
}

static void test_options_sizes(void **state)
{
    static const struct {
        const char *text;
        bool taken;
        uint64_t bytes;
    } table[] = {
        {"0", true, 0},
        {"1", true, 1},
        {"33554432", true, 33554432},
        {"512m", true, UINT64_C(512) << 20},
        {"512M", true, UINT64_C(512) << 20},
        {"512mb", true, UINT64_C(512) << 20},
        {"512MB", true, UINT64_C(512) << 20},
        {"512MiB", true, UINT64_C(512) << 20},
        {"1g", true, UINT64_C(1) << 30},
        {"1GiB", true, UINT64_C(1) << 30},
        {"1gib", true, UINT64_C(1) << 30},
        {"2t", true, UINT64_C(2) << 40},
        {"1p", true, UINT64_C(1) << 50},
        {"3k", true, 3072},
        {"7b", true, 7},
        {"007", true, 7},
        {"16383p", true, UINT64_C(16383) << 50},
        {"18446744073709551615", true, UINT64_MAX},
        {"16384p", false, 0},
        {"18446744073709551616", false, 0},
        {"99999999999999999999999g", false, 0},
        {"0x10", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1 g", false, 0},
        {"", false, 0},
        {"g", false, 0},
        {"1x", false, 0},
        {"1gg", false, 0},
        {"1gi", false, 0},
        {"1gibb", false, 0},
        {"1bb", false, 0},
        {"1bib", false, 0},
        {"1.5g", false, 0},
        {"1e3", false, 0},
        {"1,000", false, 0},
        {"inf", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct parsed parsed;

        PARSE(&parsed, "--memory", table[i].text);
        assert_int_equal(parsed.result,
                         table[i].taken ? OPTIONS_OK : OPTIONS_WRONG);
        assert_true(parsed.values.memory == table[i].bytes);
        if (table[i].taken)
            assert_string_equal(parsed.said, "");
        else
            assert_non_null(strstr(parsed.said, "--memory"));
        done(&parsed);
    }
}

static void test_options_counts(void **state)
{
    static const struct {
        const char *text;
        bool taken;
        uint32_t count;
    } table[] = {
        {"0", true, 0},           {"64", true, 64},
        {"4096", true, 4096},     {"4294967295", true, UINT32_MAX},
        {"4294967296", false, 0}, {"18446744073709551617", false, 0},
        {"0x10", false, 0},       {"-1", false, 0},
        {"+1", false, 0},         {"1k", false, 0},
        {"", false, 0},           {" 1", false, 0},
        {"1 ", false, 0},         {"one", false, 0},
        {"1.0", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct parsed parsed;

        PARSE(&parsed, "--cpus", table[i].text);
        assert_int_equal(parsed.result,
                         table[i].taken ? OPTIONS_OK : OPTIONS_WRONG);
        assert_int_equal(parsed.values.cpus, table[i].count);
        if (!table[i].taken)
            assert_non_null(strstr(parsed.said, "not a whole number"));
        done(&parsed);
    }
}

static void test_options_value_stands_in_either_place(void **state)
{
    struct parsed parsed;

    (void)state;
    PARSE(&parsed, "--name", "a", "x");
    assert_string_equal(parsed.values.name, "a");
    PARSE(&parsed, "--name=a=b", "x");
    assert_string_equal(parsed.values.name, "a=b");
    PARSE(&parsed, "--name=", "x");
    assert_string_equal(parsed.values.name, "");
    PARSE(&parsed, "-n", "a", "x");
    assert_string_equal(parsed.values.name, "a");
    PARSE(&parsed, "-na", "x");
    assert_string_equal(parsed.values.name, "a");
    PARSE(&parsed, "--name", "--tty", "x");
    assert_string_equal(parsed.values.name, "--tty");
    assert_false(parsed.values.tty);
    assert_string_equal(parsed.rest[0], "x");
    PARSE(&parsed, "--name", "a", "--name", "b");
    assert_string_equal(parsed.values.name, "b");
    assert_null(parsed.rest[0]);
}

static void test_options_short_flags_may_be_joined(void **state)
{
    struct parsed parsed;

    (void)state;
    PARSE(&parsed, "-it", "x");
    assert_int_equal(parsed.result, OPTIONS_OK);
    assert_true(parsed.values.interactive && parsed.values.tty);
    assert_string_equal(parsed.rest[0], "x");
    PARSE(&parsed, "-itm1g", "x");
    assert_true(parsed.values.interactive && parsed.values.tty);
    assert_true(parsed.values.memory == UINT64_C(1) << 30);
    assert_string_equal(parsed.rest[0], "x");
    PARSE(&parsed, "-im", "2k", "x");
    assert_true(parsed.values.interactive && !parsed.values.tty);
    assert_true(parsed.values.memory == 2048);
    assert_string_equal(parsed.rest[0], "x");
    PARSE(&parsed, "-nit");
    assert_string_equal(parsed.values.name, "it");
    assert_false(parsed.values.interactive);
}

static void test_options_lists_keep_all_in_order(void **state)
{
    size_t before = alloc_live();
    struct parsed parsed;

    (void)state;
    PARSE(&parsed, "-e", "A=1", "--env=B=2", "-eC=3", "--env", "A=4", "x");
    assert_int_equal(parsed.result, OPTIONS_OK);
    assert_int_equal(parsed.values.env.count, 4);
    assert_string_equal(parsed.values.env.item[0], "A=1");
    assert_string_equal(parsed.values.env.item[1], "B=2");
    assert_string_equal(parsed.values.env.item[2], "C=3");
    assert_string_equal(parsed.values.env.item[3], "A=4");
    assert_null(parsed.values.env.item[4]);
    done(&parsed);
    done(&parsed);
    assert_int_equal(parsed.values.env.count, 0);
    assert_int_equal(alloc_live(), before);
}

static void test_options_end_at_the_first_argument(void **state)
{
    static const struct {
        const char *words[5];
        const char *rest; /* the first one; NULL: none */
        bool tty;
    } table[] = {
        {{NULL}, NULL, false},
        {{"x", "-t"}, "x", false},
        {{"-t", "x", "--bogus"}, "x", true},
        {{"-t", "--", "x"}, "x", true},
        {{"--", "-t"}, "-t", false},
        {{"--", "--", "-t"}, "--", false},
        {{"--"}, NULL, false},
        {{"-", "-t"}, "-", false},
        {{"-t", "-"}, "-", true},
        {{"", "-t"}, "", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct parsed parsed;

        parse(&parsed, table[i].words);
        assert_int_equal(parsed.result, OPTIONS_OK);
        assert_int_equal(parsed.values.tty, table[i].tty);
        if (table[i].rest)
            assert_string_equal(parsed.rest[0], table[i].rest);
        else
            assert_null(parsed.rest[0]);
    }
}

static void test_options_may_stand_anywhere_if_the_verb_says_so(void **state)
{
    static const struct {
        const char *words[8];
        const char *rest[8];
        bool tty;
    } table[] = {
        {{NULL}, {NULL}, false},
        {{"x", "-t"}, {"x"}, true},
        {{"-t", "x"}, {"x"}, true},
        {{"x", "--name", "n", "y", "-t", "z"}, {"x", "y", "z"}, true},
        {{"x", "-", "-t"}, {"x", "-"}, true},
        {{"x", "--", "-t", "y"}, {"x", "-t", "y"}, false},
        {{"--", "-t"}, {"-t"}, false},
        {{"x", "-t", "--"}, {"x"}, true},
    };
    struct verb anywhere = verb;

    (void)state;
    anywhere.options_anywhere = true;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct parsed parsed;
        const char *words[8];

        memcpy(words, table[i].words, sizeof words);
        parse_of(&anywhere, &parsed, words);
        assert_int_equal(parsed.result, OPTIONS_OK);
        assert_int_equal(parsed.values.tty, table[i].tty);
        for (size_t k = 0; table[i].rest[k]; k++) {
            assert_string_equal(parsed.rest[k], table[i].rest[k]);
            assert_true(table[i].rest[k + 1] || !parsed.rest[k + 1]);
        }
        assert_true(table[i].rest[0] || !parsed.rest[0]);
    }
}

static void test_options_take_times_and_signals(void **state)
{
    struct parsed parsed;

    (void)state;
    PARSE(&parsed, "--grace", "1m30s", "-s", "hup");
    assert_int_equal(parsed.result, OPTIONS_OK);
    assert_int_equal(parsed.values.grace_ms, 90000);
    assert_int_equal(parsed.values.signal, 1);
    PARSE(&parsed, "--grace", "soon");
    assert_int_equal(parsed.result, OPTIONS_WRONG);
    assert_non_null(strstr(parsed.said, "--grace soon: not a time"));
    PARSE(&parsed, "--signal=SIGNAL");
    assert_int_equal(parsed.result, OPTIONS_WRONG);
    assert_non_null(strstr(parsed.said, "--signal SIGNAL: not a signal"));
}

static void test_options_that_are_hidden_work(void **state)
{
    struct parsed parsed;

    (void)state;
    PARSE(&parsed, "--secret");
    assert_int_equal(parsed.result, OPTIONS_OK);
    assert_true(parsed.values.secret);
    PARSE(&parsed, "--help");
    assert_null(strstr(parsed.said, "secret"));
    PARSE(&parsed, "--secre");
    assert_null(strstr(parsed.said, "--secret"));
}

/* One line that names the verb, the word and, where there is one, the way out.
 */
static void test_options_say_what_is_wrong(void **state)
{
    static const struct {
        const char *words[3];
        const char *said;
    } table[] = {
        {{"--memry=1g"}, "unknown option --memry: did you mean --memory?"},
        {{"--memroy", "1g"}, "unknown option --memroy: did you mean --memory?"},
        {{"--ttt"}, "unknown option --ttt: did you mean --tty?"},
        {{"--zzzzzz"}, "unknown option --zzzzzz: see supermachine play --help"},
        {{"--"
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "=x"},
         "aaaa: see supermachine play --help"},
        {{"--=x"}, "unknown option --: see"},
        {{"-x"}, "unknown option -x: see supermachine play --help"},
        {{"-ix"}, "unknown option -ix: see"},
        {{"--memory"}, "--memory needs a value: SIZE"},
        {{"-m"}, "--memory needs a value: SIZE"},
        {{"-itm"}, "--memory needs a value: SIZE"},
        {{"--env"}, "--env needs a value: NAME=VALUE"},
        {{"--tty=yes"}, "--tty takes no value"},
        {{"--tty="}, "--tty takes no value"},
        {{"--Memory", "1g"}, "unknown option --Memory: did you mean --memory?"},
        {{"--mem", "1g"}, "unknown option --mem: see"},
        {{"--memory", "1x"}, "--memory 1x: not a size"},
        {{"--memory", "\x1b[2J\n"}, "--memory \\x1b[2J\\n: not a size"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct parsed parsed;

        parse(&parsed, table[i].words);
        assert_int_equal(parsed.result, OPTIONS_WRONG);
        assert_memory_equal(parsed.said, "supermachine: play: ", 20);
        assert_non_null(strstr(parsed.said, table[i].said));
        assert_ptr_equal(strchr(parsed.said, '\n'),
                         parsed.said + strlen(parsed.said) - 1);
        done(&parsed);
    }
}

/* Prints what it got, and succeeds with the number of its words. */
static int say_values(void *values, char **words)
{
    const struct values *got = values;
    int count = 0;

    printf("cpus %u tty %d env %zu:", got->cpus, got->tty, got->env.count);
    for (; words[count]; count++)
        printf(" %s", words[count]);
    return count;
}

/* From the words to the verb's own: its struct begins as the verb says, and is
 * gone after (which the sanitizer sees). */
static void test_call_runs_what_was_asked_for(void **state)
{
    static const struct values defaults = {.cpus = 3};
    static const struct verb rm = {.name = "box rm",
                                   .usage = "",
                                   .summary = "Remove a box",
                                   .values_bytes = sizeof(struct values),
                                   .run = say_values};
    static const struct verb *const seconds[] = {&rm, NULL};
    static const struct verb box = {
        .name = "box", .usage = "", .summary = "Boxes", .seconds = seconds};
    static const struct {
        const struct verb *verb; /* NULL: play, with one or two words */
        const char *words[6];
        int status;
        const char *said;
    } table[] = {
        {NULL, {"a"}, 1, "cpus 3 tty 0 env 0: a"},
        {NULL, {"--cpus", "5", "-t", "a", "b"}, 2, "cpus 5 tty 1 env 0: a b"},
        {NULL, {"-e", "a=1", "-e", "b=2", "x"}, 1, "cpus 3 tty 0 env 2: x"},
        {NULL, {NULL}, 125, "play: what, and with whom?\n"},
        {NULL, {"-e", "a=1"}, 125, "play: what, and with whom?\n"},
        {NULL, {"a", "b", "c"}, 125, "play: c: what, and with whom?\n"},
        {NULL, {"--nosuch", "a"}, 125, "unknown option --nosuch"},
        {NULL, {"--help"}, 0, "Usage: supermachine play"},
        {&box, {"rm", "a", "b", "c"}, 3, "cpus 0 tty 0 env 0: a b c"},
        {&box, {"--help"}, 0, "Usage: supermachine box"},
        {&box, {"rn"}, 125, "unknown verb box rn: did you mean rm?"},
        {&box, {NULL}, 125, "box: what? see supermachine box --help"},
    };
    struct verb play = verb;

    (void)state;
    play.values_bytes = sizeof defaults;
    play.defaults = &defaults;
    play.least = 1;
    play.most = 2;
    play.ask = "what, and with whom?";
    play.run = say_values;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct listening listening;
        const char *words[6];
        char said[4096];
        int status;

        memcpy(words, table[i].words, sizeof words);
        listen_begin(&listening);
        status = verb_call(table[i].verb ? table[i].verb : &play,
                           (char **)(uintptr_t)words);
        listen_done(&listening, said);
        assert_int_equal(status, table[i].status);
        assert_non_null(strstr(said, table[i].said));
    }
}

static void test_options_nearest_is_near(void **state)
{
    static const char *const names[] = {"run", "doctor", "version", "ps"};
    static const struct {
        const char *word;
        const char *nearest;
    } table[] = {
        {"run", "run"},
        {"rn", "run"},
        {"rnu", "run"},
        {"dcotor", "doctor"},
        {"doktor", "doctor"},
        {"versions", "version"},
        {"", NULL},
        {"x", NULL},
        {"qqq", NULL},
        {"p", "ps"},
        {"xx", NULL}, /* all of "ps" would have to change */
        {"doctordoctordoctordoctordoctordoctor", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const char *nearest =
            options_nearest(table[i].word, names, ARRAY_LEN(names));

        if (table[i].nearest) {
            assert_non_null(nearest);
            assert_string_equal(nearest, table[i].nearest);
        } else {
            assert_null(nearest);
        }
    }
    assert_null(options_nearest("run", NULL, 0));
}

static void test_options_help_names_every_option(void **state)
{
    struct parsed parsed;

    (void)state;
    PARSE(&parsed, "-t", "--help", "--bogus");
    assert_int_equal(parsed.result, OPTIONS_HELP);
    assert_non_null(strstr(parsed.said, "Usage: supermachine play [OPTIONS]"));
    for (size_t i = 0; i < ARRAY_LEN(option_table); i++) {
        if (!option_table[i].help)
            continue;
        assert_non_null(strstr(parsed.said, option_table[i].name));
        assert_non_null(strstr(parsed.said, option_table[i].help));
    }
    assert_non_null(strstr(parsed.said, "\nThe score.\n\nOptions:\n"));
    assert_non_null(
        strstr(parsed.said, "\n  -m, --memory SIZE          memory\n"));
    assert_non_null(strstr(parsed.said,
                           "\n      --a-rather-long-name VALUE\n"
                           "                             is long\n"));
    assert_non_null(strstr(parsed.said,
                           "\n\nExamples:\n"
                           "  # Win\n  supermachine play chess\n"
                           "  # Lose\n  supermachine play --tty go\n"));
    /* Behind the first argument it is the command's. */
    PARSE(&parsed, "x", "--help");
    assert_int_equal(parsed.result, OPTIONS_OK);
    assert_string_equal(parsed.said, "");
}

static void test_options_without_memory_fail_and_leak_nothing(void **state)
{
    size_t before = alloc_live();

    (void)state;
    for (size_t nth = 1; nth <= 2; nth++) {
        struct parsed parsed;

        alloc_fail_at(nth);
        PARSE(&parsed, "-e", "A=1", "-e", "B=2");
        assert_true(alloc_has_failed());
        assert_int_equal(parsed.result, OPTIONS_WRONG);
        assert_int_equal(parsed.values.env.count, nth - 1);
        assert_non_null(strstr(parsed.said, "out of memory"));
        alloc_fail_at(0);
        done(&parsed);
        assert_int_equal(alloc_live(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_sizes),
        cmocka_unit_test(test_options_counts),
        cmocka_unit_test(test_options_value_stands_in_either_place),
        cmocka_unit_test(test_options_short_flags_may_be_joined),
        cmocka_unit_test(test_options_lists_keep_all_in_order),
        cmocka_unit_test(test_options_end_at_the_first_argument),
        cmocka_unit_test(test_options_may_stand_anywhere_if_the_verb_says_so),
        cmocka_unit_test(test_options_take_times_and_signals),
        cmocka_unit_test(test_options_that_are_hidden_work),
        cmocka_unit_test(test_options_say_what_is_wrong),
        cmocka_unit_test(test_call_runs_what_was_asked_for),
        cmocka_unit_test(test_options_nearest_is_near),
        cmocka_unit_test(test_options_help_names_every_option),
        cmocka_unit_test(test_options_without_memory_fail_and_leak_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
