/* pull.c: `supermachine pull`: an image made ready, for later. */
#include "host.h"
#include "image.h"
#include "text.h"
#include "verbs.h"

#include <stdio.h>

struct pull_options {
    struct image_options image;
};

static const struct pull_options pull_defaults = {.image = {.refresh = true}};

static const struct option pull_option_table[] = {
    IMAGE_OPTION_ROWS(pull_options, image),
    {"json", 0, OPTION_FLAG, offsetof(struct pull_options, image.json), NULL,
     "progress and result as lines of JSON"},
};

static int pull_image(const struct image_options *options,
                      const char *reference)
{
    struct sm_host *host = NULL;
    struct sm_image *image = NULL;
    struct sm_error err = {0};
    int rc = cli_host_open(&host, &err);

    if (!rc)
        rc = cli_image_open(host, reference, options, &image, &err);
    if (rc)
        complain("pull: %s", err.message);
    else if (!options->json)
        printf("%s\n", sm_image_digest(image));
    sm_image_free(image);
    sm_host_free(host);
    return rc ? EXIT_OURS : 0;
}

static int run_pull(void *values, char **words)
{
    const struct pull_options *options = values;

    return pull_image(&options->image, words[0]);
}

const struct verb verb_pull = {
    .name = "pull",
    .usage = "[OPTIONS] IMAGE",
    .summary = "Get an image and make it ready to run",
    .details = "IMAGE is as for run; a registry is asked even if the image is "
               "there.\nPrints the digest of its manifest.",
    .options = pull_option_table,
    .option_count = sizeof pull_option_table / sizeof pull_option_table[0],
    .group = VERB_IMAGES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct pull_options),
    .defaults = &pull_defaults,
    .least = 1,
    .most = 1,
    .ask = "which image? One at a time",
    .run = run_pull,
};
