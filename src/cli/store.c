/* store.c: `supermachine store verify`: is what is kept what it should be? */
#include "change.h"
#include "host.h"
#include "text.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

struct store_options {
    bool repair;
};

static const struct option store_option_table[] = {
    {"repair", 0, OPTION_FLAG, offsetof(struct store_options, repair), NULL,
     "remove what is damaged; the next pull gets it anew"},
};

static int verify_store(unsigned flags)
{
    struct change_sum sum = {0};
    struct sm_host *host = NULL;
    struct sm_error err = {0};
    int rc = cli_host_open(&host, &err);

    if (!rc)
        rc = sm_store_verify(host, flags, change_print, &sum, &err);
    sm_host_free(host);
    if (rc) {
        complain("store verify: %s", err.message);
        return EXIT_OURS;
    }
    if (!sum.damaged) {
        printf("Everything is as it should be.\n");
        return 0;
    }
    if (flags & SM_STORE_REPAIR)
        printf("%u damaged, and removed.\n", sum.damaged);
    else
        printf("%u damaged: supermachine store verify --repair removes them.\n",
               sum.damaged);
    return 1;
}

static int run_store(void *values, char **words)
{
    const struct store_options *options = values;

    if (strcmp(words[0], "verify") == 0)
        return verify_store(options->repair ? SM_STORE_REPAIR : 0);
    complain("store: %s: verify is all that can be done", words[0]);
    return EXIT_OURS;
}

const struct verb verb_store = {
    .name = "store",
    .options_anywhere = true,
    .group = VERB_IMAGES,
    .usage = "verify [OPTIONS]",
    .summary = "Check everything that is kept",
    .details = "Hashes every blob, and looks whether every name leads to a "
               "whole image and\nevery root file system is what it is called. "
               "Exits with 0 if nothing is\ndamaged, else with 1.",
    .options = store_option_table,
    .option_count = sizeof store_option_table / sizeof store_option_table[0],
    .values_bytes = sizeof(struct store_options),
    .least = 1,
    .most = 1,
    .ask = "verify is all that can be done",
    .run = run_store,
};
