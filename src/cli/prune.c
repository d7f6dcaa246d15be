/* prune.c: `supermachine prune`: what nothing refers to goes. */
#include "change.h"
#include "host.h"
#include "human.h"
#include "text.h"
#include "verbs.h"
#include "warm.h"

#include <stdio.h>

struct prune_options {
    bool all;
};

static const struct option prune_option_table[] = {
    {"all", 'a', OPTION_FLAG, offsetof(struct prune_options, all), NULL,
     "also root file systems that no machine runs on now, and templates"},
};

static int prune_store(unsigned flags)
{
    struct change_sum sum = {0};
    struct sm_host *host = NULL;
    struct sm_error err = {0};
    char freed[HUMAN_MAX];
    int rc = cli_host_open(&host, &err);

    if (!rc)
        rc = warm_prune(host, &sum.freed_bytes, &err);
    if (!rc)
        rc = sm_store_prune(host, flags, change_print, &sum, &err);
    sm_host_free(host);
    if (rc) {
        complain("prune: %s", err.message);
        return EXIT_OURS;
    }
    printf("Freed: %s\n", human_bytes(freed, sum.freed_bytes));
    return 0;
}

static int run_prune(void *values, char **words)
{
    const struct prune_options *options = values;

    (void)words;
    return prune_store(options->all ? SM_STORE_ALL : 0);
}

const struct verb verb_prune = {
    .name = "prune",
    .options_anywhere = true,
    .group = VERB_IMAGES,
    .usage = "[OPTIONS]",
    .summary = "Remove what nothing needs, and what can be made again",
    .details = "Blobs that no name leads to, root file systems whose image is "
               "gone, templates\nthat no start wanted for a week, what run "
               "--warm has kept, and what killed\nprocesses left half-made. "
               "Names stay, and snapshots with names of yours, and what\na "
               "machine or a pull is using. What run --warm keeps, and what "
               "--all removes, is\nmade again when it is wanted; machines of "
               "it go on.",
    .options = prune_option_table,
    .option_count = sizeof prune_option_table / sizeof prune_option_table[0],
    .values_bytes = sizeof(struct prune_options),
    .ask = "takes no arguments",
    .run = run_prune,
};
