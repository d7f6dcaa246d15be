/* load.c: `supermachine load`: the images of an archive; and a snapshot, see
 * load.h. */
#include "load.h"

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
    struct load_request request;
};

static const struct load_options load_defaults = {.request = {.verb = "load"}};

static const struct option load_option_table[] = {
    {"input", 'i', OPTION_STRING, offsetof(struct load_options, request.input),
     "FILE", "read this, not standard input"},
    {"name", 0, OPTION_STRING, offsetof(struct load_options, request.name),
     "NAME", "what the archive's only image is to be called"},
};

static int read_archive(const struct load_request *request, int fd)
{
    struct change_sum sum = {0};
    struct sm_host *host = NULL;
    struct sm_error err = {0};
    int rc = cli_host_open(&host, &err);

    if (!rc)
        rc = sm_store_load(host, fd, request->name, change_print, &sum, &err);
    if (rc)
        complain("%s: %s", request->verb, err.message);
    sm_host_free(host);
    return rc ? EXIT_OURS : 0;
}

int cli_load(const struct load_request *request)
{
    int fd = STDIN_FILENO;
    int status;

    if (request->input)
        fd = open(request->input, O_RDONLY | O_CLOEXEC);
    else if (isatty(fd)) {
        complain("%s: standard input is a terminal: give an archive with -i",
                 request->verb);
        return EXIT_OURS;
    }
    if (fd < 0) {
        complain("%s: %s: %s", request->verb, request->input, strerror(errno));
        return EXIT_OURS;
    }
    status = read_archive(request, fd);
    if (request->input)
        close(fd);
    return status;
}

static int run_load(void *values, char **words)
{
    const struct load_options *options = values;

    (void)words;
    return cli_load(&options->request);
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
    .values_bytes = sizeof(struct load_options),
    .defaults = &load_defaults,
    .ask = "an archive is given with -i",
    .run = run_load,
};
