/* test_complete.c: what may follow a command line that is being typed. */
#include "cli/complete.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof(a)[0])

static const struct option play_options[] = {
    {"env", 'e', OPTION_LIST, 0, "NAME=VALUE", "a variable"},
    {"env-file", 0, OPTION_LIST, 0, "FILE", "variables"},
    {"folder", 'f', OPTION_STRING, 0, "DIR", "a folder"},
    {"pull", 0, OPTION_STRING, 0, "missing|always", "when to ask"},
    {"signal", 's', OPTION_SIGNAL, 0, "SIGNAL", "what to send"},
    {"tty", 't', OPTION_FLAG, 0, NULL, "a terminal"},
    {"secret", 0, OPTION_FLAG, 0, NULL, NULL},
};

struct ps_options {
    bool all;
    const char *format;
};

static const struct option ps_table[] = {
    {"all", 'a', OPTION_FLAG, offsetof(struct ps_options, all), NULL, "all"},
    {"format", 0, OPTION_STRING, offsetof(struct ps_options, format),
     "TEMPLATE", "how"},
};

/* As `supermachine ps` would, if it is asked the right thing. */
static int print_names(void *values, char **words)
{
    const struct ps_options *options = values;

    assert_true(options->all);
    assert_string_equal(options->format, "{{.Names}}");
    assert_null(words[0]);
    puts("web\ndb");
    return 0;
}

static const struct verb play = {.name = "play",
                                 .usage = "[OPTIONS] FILE [COMMAND [ARG...]]",
                                 .summary = "Play",
                                 .options = play_options,
                                 .option_count = ARRAY_LEN(play_options)};
static const struct verb ps = {
    .name = "ps",
    .usage = "",
    .summary = "List",
    .options = ps_table,
    .option_count = ARRAY_LEN(ps_table),
    .values_bytes = sizeof(struct ps_options),
    .run = print_names,
};
static const struct verb stop = {.name = "stop",
                                 .usage = "[OPTIONS] MACHINE...",
                                 .summary = "Stop",
                                 .options = play_options,
                                 .option_count = ARRAY_LEN(play_options),
                                 .options_anywhere = true};
static const struct verb rmi = {
    .name = "rmi", .usage = "IMAGE [IMAGE...]", .summary = "Remove"};
static const struct verb help = {
    .name = "help", .usage = "[VERB]", .summary = "Help"};
static const struct verb *const table[] = {&play, &ps,   &stop,
                                           &rmi,  &help, NULL};

static void test_complete_offers_what_fits(void **state)
{
    static const struct {
        const char *words[6];
        const char *said;
    } lines[] = {
        {{"p"}, "play\tPlay\nps\tList\n"},
        {{"sto"}, "stop\tStop\n"},
        {{"x"}, ""},
        {{"--v"}, "--version\tprint the version\n"},
        {{"nosuch", ""}, ""},
        /* Options, those that are hidden not. */
        {{"play", "--en"}, "--env\ta variable\n--env-file\tvariables\n"},
        {{"play", "--s"}, "--signal\twhat to send\n"},
        {{"play", "-t", "--tt"}, "--tty\ta terminal\n"},
        {{"play", "-x"}, ""},
        /* Their values, in all four forms. */
        {{"play", "--env-file", ""}, ":files\n"},
        {{"play", "--env-file=a"}, ":files\n"},
        {{"play", "-f", ""}, ":dirs\n"},
        {{"play", "-tf", "--tt"}, ":dirs\n"},
        {{"play", "--pull", ""}, "missing\nalways\n"},
        {{"play", "--pull", "a"}, "always\n"},
        {{"play", "--pull=m"}, "--pull=missing\n"},
        {{"play", "--signal", "USR"}, "USR1\nUSR2\n"},
        {{"play", "--env", "--tt"}, ""},
        {{"play", "--tty=x"}, ""},
        {{"play", "--nosuch=x"}, ""},
        {{"play", "--=x"}, ""},
        {{"play", "-=x"}, ""},
        /* Arguments. */
        {{"play", ""}, ":files\n"},
        {{"play", "-"},
         "--env\ta variable\n--env-file\tvariables\n"
         "--folder\ta folder\n--pull\twhen to ask\n"
         "--signal\twhat to send\n--tty\ta terminal\n"
         "--help\tprint what there is to know\n"},
        {{"play", "-e", "A=1", ""}, ":files\n"},
        {{"play", "-eA=1", ""}, ":files\n"},
        {{"play", "x", ""}, ""},
        {{"play", "x", "--tt"}, ""},
        {{"play", "--", "--tt"}, ":files\n"},
        {{"stop", ""}, "web\ndb\n"},
        {{"stop", "web", "x", ""}, "web\ndb\n"},
        {{"stop", "web", "--tt"}, "--tty\ta terminal\n"},
        {{"stop", "web", "--pull", ""}, "missing\nalways\n"},
        {{"help", "st"}, "stop\tStop\n"},
        {{"help", "stop", ""}, ""},
        {{"rmi", ""}, ""}, /* no verb of the table knows images */
        {{"ps", ""}, ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        int saved = fcntl(1, F_DUPFD_CLOEXEC, 10);
        int said = memfd_create("said", MFD_CLOEXEC);
        char text[4096];
        size_t count = 0;
        ssize_t length;

        while (lines[i].words[count])
            count++;
        fflush(stdout);
        dup2(said, 1);
        complete(table, count, (char *const *)(uintptr_t)lines[i].words);
        fflush(stdout);
        dup2(saved, 1);
        length = pread(said, text, sizeof text - 1, 0);
        text[length < 0 ? 0 : length] = '\0';
        assert_string_equal(text, lines[i].said);
        close(saved);
        close(said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete_offers_what_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
