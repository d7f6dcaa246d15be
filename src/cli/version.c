/* version.c: `supermachine version`. */
#include "text.h"
#include "verbs.h"

#include <stdio.h>
#include <supermachine.h>

static int run_version(void *values, char **words)
{
    (void)values;
    (void)words;
    printf("supermachine %s\n", sm_version());
    return 0;
}

const struct verb verb_version = {
    .name = "version",
    .usage = "",
    .summary = "Print the version",
    .ask = "takes no arguments",
    .run = run_version,
};
