/* save.c: `supermachine save`: images as an archive; and snapshots, see save.h.
 */
#include "save.h"

#include "events.h"
#include "host.h"
#include "text.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <supermachine.h>
#include <sys/stat.h>
#include <unistd.h>

struct save_options {
    struct save_request request;
};

static const struct save_options save_defaults = {
    .request = {.verb = "save", .mode = 0666}};

static const struct option save_option_table[] = {
    {"output", 'o', OPTION_STRING,
     offsetof(struct save_options, request.output), "FILE",
     "write this, not standard output"},
    {"format", 0, OPTION_STRING, offsetof(struct save_options, request.format),
     "NAME", "oci-archive (default) or docker-archive"},
};

static int write_archive(const struct save_request *request, int fd)
{
    struct sm_host *host = NULL;
    struct sm_error err = {0};
    int rc = cli_host_open(&host, &err);

    if (!rc)
        rc = sm_store_save(host, request->names, request->format, fd, &err);
    if (rc)
        complain("%s: %s", request->verb, err.message);
    for (const char *const *at = request->names; !rc && *at; at++)
        events_note_image("save", *at, *at);
    sm_host_free(host);
    return rc ? EXIT_OURS : 0;
}

/* Under another name first, so that FILE is whole or as it was. A device or a
 * FIFO is written as it is. */
static int save_to_file(const struct save_request *request)
{
    const char *output = request->output;
    struct stat st;
    char *temp = NULL;
    bool direct = stat(output, &st) == 0 && !S_ISREG(st.st_mode);
    mode_t mask = umask(0);
    int status;
    FILE *file;
    int fd;

    umask(mask);
    if (asprintf(&temp, "%s%s", output, direct ? "" : ".XXXXXX") < 0) {
        complain("%s: out of memory", request->verb);
        return EXIT_OURS;
    }
    file = direct ? fopen(output, "we") : NULL;
    fd = file ? fileno(file) : direct ? -1 : mkstemp(temp);
    if (fd < 0) {
        complain("%s: %s: %s", request->verb, output, strerror(errno));
        free(temp);
        return EXIT_OURS;
    }
    status = write_archive(request, fd);
    if (!direct && !status &&
        (fchmod(fd, request->mode & ~mask) != 0 || fsync(fd) != 0 ||
         rename(temp, output) != 0)) {
        complain("%s: %s: %s", request->verb, output, strerror(errno));
        status = EXIT_OURS;
    }
    if (!direct && status)
        unlink(temp);
    if (file)
        fclose(file);
    else
        close(fd);
    free(temp);
    return status;
}

int cli_save(const struct save_request *request)
{
    if (request->output)
        return save_to_file(request);
    if (isatty(STDOUT_FILENO)) {
        complain("%s: standard output is a terminal: give a file with -o",
                 request->verb);
        return EXIT_OURS;
    }
    return write_archive(request, STDOUT_FILENO);
}

static int run_save(void *values, char **words)
{
    struct save_options *options = values;

    options->request.names = (const char *const *)words;
    return cli_save(&options->request);
}

const struct verb verb_save = {
    .name = "save",
    .options_anywhere = true,
    .group = VERB_IMAGES,
    .usage = "[OPTIONS] IMAGE...",
    .summary = "Write images as an archive",
    .details = "IMAGE is a name or an ID; an ID goes without its names.",
    .options = save_option_table,
    .option_count = sizeof save_option_table / sizeof save_option_table[0],
    .values_bytes = sizeof(struct save_options),
    .defaults = &save_defaults,
    .least = 1,
    .most = UINT_MAX,
    .ask = "which image? supermachine images lists them",
    .run = run_save,
};
