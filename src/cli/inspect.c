/* inspect.c: `supermachine inspect`: what is known of images, as JSON. */
#include "host.h"
#include "text.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <supermachine.h>

/* As Docker: an array of what there is, and a complaint for what is not. */
static int inspect_images(char *const *names)
{
    struct sm_host *host = NULL;
    struct sm_error err = {0};
    unsigned shown = 0;
    int status = 0;

    if (cli_host_open(&host, &err) != 0) {
        complain("inspect: %s", err.message);
        return EXIT_OURS;
    }
    printf("[");
    for (; *names; names++) {
        char *text = NULL;

        if (sm_store_inspect(host, *names, &text, &err) == 0) {
            printf("%s\n%s", shown++ ? "," : "", text);
        } else {
            complain("inspect: %s", err.message);
            status = EXIT_OURS;
        }
        free(text);
    }
    printf("%s]\n", shown ? "\n" : "");
    sm_host_free(host);
    return status;
}

static int run_inspect(int count, char **arguments)
{
    char **rest;

    (void)count;
    switch (options_parse(&verb_inspect, arguments, NULL, &rest)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_WRONG:
        return EXIT_OURS;
    case OPTIONS_OK:
        break;
    }
    if (!rest[0]) {
        complain("inspect: which image? supermachine images lists them");
        return EXIT_OURS;
    }
    return inspect_images(rest);
}

const struct verb verb_inspect = {
    .name = "inspect",
    .usage = "IMAGE...",
    .summary = "Show what is known of images, as JSON",
    .details = "IMAGE is a name or an ID. Prints an array of objects with the "
               "main fields of\ndocker image inspect; Size is that of the "
               "blobs, RootfsSize that of the root\nfile systems on the disk.",
    .run = run_inspect,
};
