/* load.c: `supermachine load`: the images of an archive. */
#include "change.h"
#include "host.h"
#include "text.h"
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct load_options {
    const char *input;
    const char *name;
};

static const struct option load_option_table[] = {
    {"input", 'i', OPTION_STRING, offsetof(struct load_options, input), "FILE",
     "read this, not standard input"},
    {"name", 0, OPTION_STRING, offsetof(struct load_options, name), "NAME",
     "what the archive's only image is to be called"},
};

static int load_images(const struct load_options *options, int fd)
{
    struct change_sum sum = {0};
    struct sm_host *host = NULL;
    struct sm_error err = {0};
    int rc = cli_host_open(&host, &err);

    if (!rc)
        rc = sm_store_load(host, fd, options->name, change_print, &sum, &err);
    if (rc)
        complain("%s", err.message);
    sm_host_free(host);
    return rc ? EXIT_OURS : 0;
}

static int run_load(int count, char **arguments)
{
    struct load_options options = {0};
    int fd = STDIN_FILENO;
    int status;
    char **rest;

    (void)count;
    switch (options_parse(&verb_load, arguments, &options, &rest)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_WRONG:
        return EXIT_OURS;
    case OPTIONS_OK:
        break;
    }
    if (rest[0]) {
        complain("load: %s: an archive is given with -i", rest[0]);
        return EXIT_OURS;
    }
    if (options.input)
        fd = open(options.input, O_RDONLY | O_CLOEXEC);
    else if (isatty(fd)) {
        complain("load: standard input is a terminal: give an archive with -i");
        return EXIT_OURS;
    }
    if (fd < 0) {
        complain("load: %s: %s", options.input, strerror(errno));
        return EXIT_OURS;
    }
    status = load_images(&options, fd);
    if (options.input)
        close(fd);
    return status;
}

const struct verb verb_load = {
    .name = "load",
    .options_anywhere = true,
    .group = VERB_IMAGES,
    .usage = "[OPTIONS]",
    .summary = "Take the images of an archive into the store",
    .details = "An OCI archive, or one of docker save; it may be compressed.",
    .options = load_option_table,
    .option_count = sizeof load_option_table / sizeof load_option_table[0],
    .run = run_load,
};
