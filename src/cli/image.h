/* image.h: finding an image, and telling the user about it; for `run` and
 * `pull`. */
#ifndef SM_CLI_IMAGE_H
#define SM_CLI_IMAGE_H

#include "options.h"
#include "progress.h"

#include <stdio.h>

struct image_options {
    const char *platform;
    struct option_list insecure;
    bool refresh;  /* ask the registry again                 */
    bool quiet;    /* no progress                            */
    bool json;     /* progress and result as lines of JSON   */
    FILE *json_to; /* which go there; NULL: standard output  */
};

/* Their rows for a verb's table; TYPE is its struct, MEMBER the field that is
 * a struct image_options. */
#define IMAGE_OPTION_ROWS(TYPE, MEMBER)                                        \
    {"platform",    0,                                                         \
     OPTION_STRING, offsetof(struct TYPE, MEMBER.platform),                    \
     "OS/ARCH",     "which image, where a name stands for several"},           \
        {"insecure",  0,                                                       \
         OPTION_LIST, offsetof(struct TYPE, MEMBER.insecure),                  \
         "REGISTRY",  "its certificate is not checked, plain HTTP will do"},   \
    {                                                                          \
        "quiet", 'q', OPTION_FLAG, offsetof(struct TYPE, MEMBER.quiet), NULL,  \
            "no progress"                                                      \
    }

/* A config that tells progress as the options and the terminal have it, until
 * cli_telling_done(). It must stay where it is. */
struct cli_telling {
    struct sm_image_config config;
    struct progress progress;
    /* Who is told of it; NULL: nobody. */
    void (*tell)(void *context, const struct sm_progress *event);
    void *context;
    bool pulled;  /* something came from a registry */
    char *loaded; /* "snapshot:NAME" that did, for free(); NULL: none */
};

void cli_telling_init(struct cli_telling *telling,
                      const struct image_options *options);
void cli_telling_done(struct cli_telling *telling);

/* sm_image_prepare() with progress as the options and the terminal have it.
 * As JSON: {"event": "progress", ...} for each sm_progress, and at the end
 * {"event": "result", "digest": ...}; a failure is the caller's to tell. */
int cli_image_open(struct sm_host *host, const char *reference,
                   const struct image_options *options, struct sm_image **ret,
                   struct sm_error *err);

#endif
