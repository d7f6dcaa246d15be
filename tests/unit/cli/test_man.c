/* test_man.c: manual pages: every word of the table, and none that roff would
 * take for its own. */
#include "cli/man.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <supermachine.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof(a)[0])

static const struct option option_table[] = {
    {"size", 's', OPTION_BYTES, 0, "SIZE[:UNIT]", ".5 isn't \\fBone\\fR"},
    {"tty", 0, OPTION_FLAG, 0, NULL, "a terminal"},
    {"secret", 0, OPTION_FLAG, 0, NULL, NULL},
};

static const struct verb_example examples[] = {
    {"Play `go'", ".play --tty 'a\\b' ~/c^d"},
};

static const struct verb play = {
    .name = "play",
    .usage = "[OPTIONS] GAME...",
    .summary = "Play a game",
    .details = "GAME is one of\n"
               "  go          with stones,\n"
               "              two colours\n"
               "  chess[:N]   .another\n"
               "  -           what else\n"
               ".dots begin no line\n"
               "nor this\n\n"
               "'Nor quotes.",
    .exit_status = "The score.",
    .options = option_table,
    .option_count = ARRAY_LEN(option_table),
    .examples = examples,
    .example_count = ARRAY_LEN(examples),
    .group = VERB_MACHINES,
};

static const struct verb rest = {
    .name = "rest", .usage = "", .summary = "Do nothing"};

/* The library's, of which the pages need no more. */
const char *sm_version(void)
{
    return "1.2.3";
}

static char *write_page(const struct verb *verb)
{
    static const struct verb *const table[] = {&play, &rest, NULL};
    char *text;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);

    assert_non_null(to);
    if (verb)
        man_verb(verb, to);
    else
        man_program(table, to);
    fclose(to);
    return text;
}

static void test_man_page_of_a_verb_holds_all_of_its_row(void **state)
{
    static const char *const parts[] = {
        ".TH SUPERMACHINE\\-PLAY 1 \"\" \"supermachine 1.2.3\"",
        ".SH NAME\nsupermachine\\-play \\- Play a game\n",
        ".SH SYNOPSIS\n.B supermachine play\n"
        "[\\fIOPTIONS\\fR] \\fIGAME\\fR...\n",
        ".PP\nGAME is one of\n"
        ".TP\n\\fBgo\\fR\nwith stones,\ntwo colours\n"
        ".TP\n\\fBchess[:N]\\fR\n\\&.another\n"
        ".TP\n\\fB\\-\\fR\nwhat else\n"
        ".PP\n\\&.dots begin no line\nnor this\n"
        ".PP\n\\(aqNor quotes.\n.SH OPTIONS\n",
        ".TP\n\\fB\\-s\\fR, \\fB\\-\\-size\\fR \\fISIZE\\fR[:\\fIUNIT\\fR]\n"
        "\\&.5 isn\\(aqt \\efBone\\efR\n",
        ".TP\n\\fB\\-\\-tty\\fR\na terminal\n.TP\n\\fB\\-\\-help\\fR\n",
        ".SH EXIT STATUS\n.PP\nThe score.\n.SH ENVIRONMENT\n",
        ".TP\n.B SUPERMACHINE_HOME\n",
        ".SH EXAMPLES\n.PP\nPlay \\(gago\\(aq:\n.PP\n.RS 4\n.EX\n"
        "\\&.play \\-\\-tty \\(aqa\\eb\\(aq \\(ti/c\\(had\n.EE\n.RE\n",
    };
    char *text = write_page(&play);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (!strstr(text, parts[i]))
            print_error("not there: %s\nbut: %s", parts[i], text);
        assert_non_null(strstr(text, parts[i]));
    }
    assert_null(strstr(text, "secret"));
    free(text);
}

static void test_man_page_of_a_plain_verb_has_what_all_have(void **state)
{
    char *text = write_page(&rest);

    (void)state;
    assert_non_null(strstr(text, ".B supermachine rest\n.SH DESCRIPTION\n"
                                 "Do nothing.\n.SH OPTIONS\n"));
    assert_non_null(strstr(text, ".SH EXIT STATUS\n.PP\n0 if all was done; 1"));
    assert_null(strstr(text, "EXAMPLES"));
    free(text);
}

static void test_man_page_of_the_program_leads_to_each_verb(void **state)
{
    char *text = write_page(NULL);

    (void)state;
    assert_non_null(strstr(text, ".SS Machines\n.TP\n"
                                 ".BR supermachine\\-play (1)\n"
                                 "Play a game\n.SS "));
    assert_non_null(strstr(text, ".SS Other\n.TP\n"
                                 ".BR supermachine\\-rest (1)\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_man_page_of_a_verb_holds_all_of_its_row),
        cmocka_unit_test(test_man_page_of_a_plain_verb_has_what_all_have),
        cmocka_unit_test(test_man_page_of_the_program_leads_to_each_verb),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
