/* rmi.c: `supermachine rmi`: names dropped, and what they alone led to. */
#include "change.h"
#include "host.h"
#include "text.h"
#include "verbs.h"

struct rmi_options {
    bool force;
};

static const struct option rmi_option_table[] = {
    {"force", 'f', OPTION_FLAG, offsetof(struct rmi_options, force), NULL,
     "also if a machine runs on it, or an ID has several names"},
};

/* Each for itself: one that fails does not keep the others. */
static int remove_images(char *const *names, unsigned flags)
{
    struct change_sum sum = {0};
    struct sm_host *host = NULL;
    struct sm_error err = {0};
    int status = 0;

    if (cli_host_open(&host, &err) != 0) {
        complain("rmi: %s", err.message);
        return EXIT_OURS;
    }
    for (; *names; names++) {
        if (sm_store_remove(host, *names, flags, change_print, &sum, &err) == 0)
            continue;
        complain("rmi: %s", err.message);
        status = EXIT_OURS;
    }
    sm_host_free(host);
    return status;
}

static int run_rmi(void *values, char **words)
{
    const struct rmi_options *options = values;

    return remove_images(words, options->force ? SM_STORE_FORCE : 0);
}

const struct verb verb_rmi = {
    .name = "rmi",
    .options_anywhere = true,
    .group = VERB_IMAGES,
    .usage = "[OPTIONS] IMAGE...",
    .summary = "Remove images",
    .details = "IMAGE is a name or an ID. Its name goes, and with it the blobs "
               "and root file\nsystems that nothing else refers to.",
    .options = rmi_option_table,
    .option_count = sizeof rmi_option_table / sizeof rmi_option_table[0],
    .values_bytes = sizeof(struct rmi_options),
    .least = 1,
    .most = UINT_MAX,
    .ask = "which image? supermachine images lists them",
    .run = run_rmi,
};
