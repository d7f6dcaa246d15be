/* main.c: the command-line program: finds the verb and hands over. */
#include "complete.h"
#include "help.h"
#include "text.h"
#include "verbs.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static bool is_one_of(const char *word, const char *one, const char *other)
{
    return strcmp(word, one) == 0 || strcmp(word, other) == 0;
}

int main(int argc, char **argv)
{
    const struct verb *verb;

    /* A reader that went away is an error of a write, not our death. */
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        help_program(stderr);
        return EXIT_OURS;
    }
    if (is_one_of(argv[1], "--help", "-h")) {
        help_program(stdout);
        return 0;
    }
    /* Shells ask this (complete.h): it is nobody's verb. */
    if (argc > 2 && strcmp(argv[1], "__complete") == 0) {
        complete(verb_table, (size_t)argc - 2, argv + 2);
        return 0;
    }
    verb = is_one_of(argv[1], "--version", "-v") ? &verb_version
                                                 : verb_expect(argv[1]);
    return verb ? verb_call(verb, argv + 2) : EXIT_OURS;
}
