/* version.c: `supermachine version`. */
#include "text.h"
#include "verbs.h"

#include <stdio.h>
#include <supermachine.h>

static int run_version(int count, char **arguments)
{
    char **rest;

    (void)count;
    switch (options_parse(&verb_version, arguments, NULL, &rest)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_WRONG:
        return EXIT_OURS;
    case OPTIONS_OK:
        break;
    }
    printf("supermachine %s\n", sm_version());
    return 0;
}

const struct verb verb_version = {
    .name = "version",
    .usage = "",
    .summary = "Print the version",
    .run = run_version,
};
