/* help.c: `supermachine help`: the program and its verbs, for reading and as
 * manual pages. */
#include "help.h"

#include "man.h"
#include "text.h"
#include "verbs.h"

#include <stddef.h>

struct help_options {
    bool man;
};

/* How the build asks for the manual pages. */
static const struct option help_option_table[] = {
    {"man", 0, OPTION_FLAG, offsetof(struct help_options, man), NULL, NULL},
};

void help_program(FILE *to)
{
    static const enum verb_group order[] = {VERB_MACHINES, VERB_IMAGES,
                                            VERB_OTHER};

    fprintf(to,
            "Usage: supermachine VERB [OPTIONS] [ARGUMENTS]\n\n"
            "%s.\n",
            HELP_PURPOSE);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        fprintf(to, "\n%s:\n", verb_group_name(order[i]));
        for (size_t k = 0; verb_table[k]; k++)
            if (verb_table[k]->group == order[i])
                fprintf(to, "  %-11s %s\n", verb_table[k]->name,
                        verb_table[k]->summary);
    }
    fprintf(to, "\n`supermachine VERB --help` tells more about each.\n");
}

/* (name) NULL: about the program; (second) NULL: about the whole verb. */
static int tell(const char *name, const char *second, bool man)
{
    const struct verb *verb = name ? verb_expect(name) : NULL;

    if (verb && second && verb->seconds)
        verb = verb_second(verb, second);
    else if (second) {
        complain("help: %s: one verb at a time", second);
        return EXIT_OURS;
    }
    if (name && !verb)
        return EXIT_OURS;
    if (man && verb)
        man_verb(verb, stdout);
    else if (man)
        man_program(verb_table, stdout);
    else if (verb)
        options_help(verb);
    else
        help_program(stdout);
    return 0;
}

static int run_help(void *values, char **words)
{
    const struct help_options *options = values;

    return tell(words[0], words[0] ? words[1] : NULL, options->man);
}

const struct verb verb_help = {
    .name = "help",
    .usage = "[VERB]",
    .summary = "Tell about the program, or about a verb",
    .options = help_option_table,
    .option_count = sizeof help_option_table / sizeof help_option_table[0],
    .options_anywhere = true,
    .values_bytes = sizeof(struct help_options),
    .most = 2,
    .ask = "one verb at a time",
    .run = run_help,
};
