/* cp.c: `supermachine cp`: files and trees into machines and out of them.
 *
 * The machine's keeper has the guest's half of the work done; the half on this
 * side is ours, with our rights and our working directory. A pipe is between
 * the two, and where the user wants the tar itself, his own descriptor.
 */
#include "host.h"
#include "human.h"
#include "keeper_files.h"
#include "text.h"
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cp_options {
    bool archive;
    bool follow;
    bool quiet;
};

#define FIELD(name) offsetof(struct cp_options, name)

static const struct option cp_option_table[] = {
    {"archive", 'a', OPTION_FLAG, FIELD(archive), NULL,
     "keep owners; on this host also devices and setuid bits"},
    {"follow-link", 'L', OPTION_FLAG, FIELD(follow), NULL,
     "copy what a symbolic link FROM leads to"},
    {"quiet", 'q', OPTION_FLAG, FIELD(quiet), NULL,
     "do not tell how much was copied"},
};

/* One side of the command line. */
struct side {
    char *machine; /* NULL: this host */
    const char *path;
};

/* What is done, and with whom. */
struct job {
    const struct cp_options *options;
    struct side from;
    struct side to;
    int keeper;
    uint64_t bytes;
};

/* As Docker does: "a:b" is a machine unless it begins with "." or "/". False:
 * out of memory. */
static bool read_side(const char *word, struct side *ret)
{
    const char *colon = strchr(word, ':');

    *ret = (struct side){.path = word};
    if (!colon || word[0] == '/' || word[0] == '.' || colon == word)
        return true;
    ret->machine = strndup(word, (size_t)(colon - word));
    ret->path = colon + 1;
    return ret->machine != NULL;
}

static bool is_stream(const struct side *side)
{
    return !side->machine && strcmp(side->path, "-") == 0;
}

static int await_answer(const struct job *job, struct sm_error *err)
{
    struct control_reader reader;
    int rc;

    control_reader_init(&reader);
    rc = control_read(&reader, job->keeper, true);
    if (rc == 1)
        rc = control_answer(&reader, NULL, err);
    else
        rc = text_fail(err, SM_EGUEST, "the machine ended meanwhile");
    control_reader_done(&reader);
    return rc;
}

/* The guest's half, with (fd) as its stream. */
static int ask(const struct job *job, int fd, struct sm_error *err)
{
    bool out = job->from.machine != NULL;
    struct sm_file_config config;
    int rc;

    sm_file_config_init(&config);
    config.work = out ? SM_FILE_PACK : SM_FILE_UNPACK;
    config.path = out ? job->from.path : job->to.path;
    config.fd = fd;
    if (out && job->options->follow)
        config.flags = SM_FILE_FOLLOW;
    if (!out && job->options->archive)
        config.flags = SM_FILE_ARCHIVE;
    config.place = !out && !is_stream(&job->from);
    rc = keeper_files_send(job->keeper, &config);
    return rc ? text_fail(err, rc, "the request could not be sent: %s",
                          sm_strerror(rc))
              : 0;
}

/* Our half, with (fd) as its stream. */
static int do_half(struct job *job, int fd, struct sm_error *err)
{
    bool out = job->from.machine != NULL;
    struct sm_copy_config config;

    sm_copy_config_init(&config);
    config.from = job->from.path;
    if (out) {
        config.from_fd = fd;
        config.to = job->to.path;
    } else {
        config.to_fd = fd;
    }
    config.flags = (job->options->archive ? SM_FILE_ARCHIVE : 0u) |
                   (job->options->follow ? SM_FILE_FOLLOW : 0u);
    return sm_copy(&config, &job->bytes, err);
}

static int copy_halves(struct job *job, struct sm_error *err)
{
    bool out = job->from.machine != NULL;
    int ends[2];
    int ours;
    int rc;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return text_fail_os(err, "pipe");
    ours = out ? ends[0] : ends[1];
    rc = ask(job, out ? ends[1] : ends[0], err);
    close(out ? ends[1] : ends[0]);
    if (!rc)
        rc = do_half(job, ours, err);
    close(ours);
    /* A stream that broke off does not tell why. Otherwise nobody waits for the
     * other half: it ends when we leave. */
    if (rc == 0 || rc == SM_ECLOSED) {
        struct sm_error theirs;
        int their_rc = await_answer(job, &theirs);

        if (their_rc)
            *err = theirs;
        rc = their_rc ? their_rc : rc;
    }
    return rc;
}

static int copy_stream(struct job *job, struct sm_error *err)
{
    bool out = job->from.machine != NULL;
    int rc;

    if (out && isatty(STDOUT_FILENO))
        return text_fail(err, SM_EINVAL,
                         "a tar is nothing for a terminal: send the output "
                         "elsewhere");
    rc = ask(job, out ? STDOUT_FILENO : STDIN_FILENO, err);
    return rc ? rc : await_answer(job, err);
}

static int copy_with(struct job *job, struct sm_error *err)
{
    const char *name = job->from.machine ? job->from.machine : job->to.machine;
    struct record record = {.folder = -1, .lock = -1};
    char home[HOME_MAX];
    int rc = cli_home(home, err);

    job->keeper = -1;
    if (!rc)
        rc = record_find(home, name, &record, err);
    if (!rc) {
        job->keeper = control_connect(&record, err);
        rc = job->keeper < 0 ? job->keeper : 0;
    }
    if (!rc)
        rc = is_stream(&job->from) || is_stream(&job->to)
                 ? copy_stream(job, err)
                 : copy_halves(job, err);
    if (job->keeper >= 0)
        close(job->keeper);
    record_done(&record);
    return rc;
}

static void tell(const struct job *job, const char *to)
{
    char amount[HUMAN_MAX];

    if (job->options->quiet || !isatty(STDERR_FILENO) ||
        is_stream(&job->from) || is_stream(&job->to))
        return;
    fprintf(stderr, "Copied %s to %s\n", human_bytes(amount, job->bytes), to);
}

static int cp_sides(const struct cp_options *options, char *const *words)
{
    struct job job = {.options = options};
    struct sm_error err;
    int status = EXIT_OURS;

    if (!read_side(words[0], &job.from) || !read_side(words[1], &job.to))
        complain("cp: out of memory");
    else if (job.from.machine && job.to.machine)
        complain("cp: from one machine to another is not supported");
    else if (!job.from.machine && !job.to.machine)
        complain("cp: one of the two must be MACHINE:PATH");
    else if (!job.from.path[0] || !job.to.path[0])
        complain("cp: an empty path");
    else if (copy_with(&job, &err) != 0)
        complain("cp: %s", err.message);
    else
        status = 0;
    if (status == 0)
        tell(&job, words[1]);
    free(job.from.machine);
    free(job.to.machine);
    return status ? 1 : 0;
}

static int cp_run(void *values, char **words)
{
    return cp_sides(values, words);
}

static const struct verb_example examples[] = {
    {"A folder into a machine", "supermachine cp ./site web:/srv/www"},
    {"What is in a folder of it, into one here",
     "supermachine cp web:/var/log/. ./logs"},
    {"A tar of a folder", "supermachine cp web:/etc - | tar -tv"},
};

const struct verb verb_cp = {
    .name = "cp",
    .usage = "[OPTIONS] FROM TO",
    .summary = "Copy files and folders into a machine that runs, or out of it",
    .details =
        "One of FROM and TO is MACHINE:PATH, the other a path of this host, or "
        "-, a\ntar on standard input or output. A path of this host that has a "
        "colon begins\nwith ./ or /.\n"
        "\n"
        "If TO is a folder, FROM goes into it under its own name; if TO does "
        "not exist,\nFROM becomes TO, whose folder must exist. FROM as "
        "FOLDER/. "
        "is what is in the\nfolder. A tar goes into TO as it is, which must be "
        "a folder.\n"
        "\n"
        "In the machine all becomes root's, on this host the caller's, unless "
        "-a keeps\nthe owners. Modes, times, links, holes and attributes are "
        "kept. Without -a no\nsetuid bit and no device comes to this host.",
    .exit_status = "0, or 1 when it failed.",
    .examples = examples,
    .example_count = sizeof examples / sizeof examples[0],
    .options = cp_option_table,
    .option_count = sizeof cp_option_table / sizeof cp_option_table[0],
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct cp_options),
    .least = 2,
    .most = 2,
    .ask = "from where, and where to? see supermachine cp --help",
    .run = cp_run,
};
