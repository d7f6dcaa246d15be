/* tag.c: `supermachine tag`: another name for an image. */
#include "events.h"
#include "host.h"
#include "text.h"
#include "verbs.h"

#include <supermachine.h>

static int tag_image(const char *name, const char *target)
{
    struct sm_host *host = NULL;
    struct sm_error err = {0};
    int rc = cli_host_open(&host, &err);

    if (!rc)
        rc = sm_store_tag(host, name, target, &err);
    if (rc)
        complain("tag: %s", err.message);
    else
        events_note_image("tag", name, target);
    sm_host_free(host);
    return rc ? EXIT_OURS : 0;
}

static int run_tag(void *values, char **words)
{
    (void)values;
    return tag_image(words[0], words[1]);
}

const struct verb verb_tag = {
    .name = "tag",
    .options_anywhere = true,
    .group = VERB_IMAGES,
    .usage = "IMAGE NAME[:TAG]",
    .summary = "Give an image another name",
    .details = "IMAGE is a name or an ID. What had the new name before has it "
               "no longer.",
    .least = 2,
    .most = 2,
    .ask = "an image and its new name are needed",
    .run = run_tag,
};
