/* main.c: supermachine-image: makes images ready to run, and keeps them.
 *
 *     supermachine-image VERB --home DIR [--fd N] [OPTION]... [WORD]...
 *
 *     prepare [--disk-size BYTES] [--platform OS/ARCH] [--file N] [--refresh]
 *             [--insecure REGISTRY]... REFERENCE
 *                               its root file system, made unless it is there
 *     others: see keep.h
 *
 * --file says which descriptor the reference "-" reads, and which archives are
 * read from and written to; it is 0 by default.
 * Of its environment it reads HOME, DOCKER_CONFIG (where Docker's config.json
 * is), SSL_CERT_FILE, SSL_CERT_DIR, and curl the names of proxies; programs
 * that keep credentials are found in PATH and get all of it.
 * With --fd it writes frames (proto/image.h) to that descriptor, else lines of
 * JSON to its output; errors go there, too. Exit status: 0, 1 if it failed, 2
 * if it was called wrongly.
 */
#include "base/bytes.h"
#include "base/own.h"
#include "image/keep.h"
#include "image/prepare.h"
#include "platform/process.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { INSECURE_MAX = 64 };

struct options {
    const char *home;
    const char *platform;
    const char *verb;
    uint64_t disk_bytes;
    int fd; /* -1: JSON */
    bool refresh;
    struct keep_request keep;
    const char *insecure[INSECURE_MAX + 1]; /* NULL at the end */
    unsigned insecure_count;
};

/* Whoever started this is gone: nobody wants its work, and what it has locked
 * others may be waiting for. Everything half-made is fit to be left. */
static void *await_hangup(void *argument)
{
    const struct options *options = argument;
    struct pollfd end = {.fd = options->fd};

    while (poll(&end, 1, -1) < 0 && errno == EINTR)
        continue;
    _exit(1);
}

static void watch_starter(struct options *options)
{
    pthread_t thread;

    /* Without it, the end of the work is noticed at the end of the work. */
    if (pthread_create(&thread, NULL, await_hangup, options) == 0)
        pthread_detach(thread);
}

/*
 * Images are other people's: whatever they make a library want, it is refused
 * before the host runs out of memory. What is usual is below 64 MiB.
 */
static void limit_memory(void)
{
#ifdef IMAGE_MEMORY_MAX /* sanitizers need more than can be said */
    struct rlimit memory;

    /* Programs of the user's that are started here may have more. */
    if (getrlimit(RLIMIT_DATA, &memory) != 0 ||
        memory.rlim_max < IMAGE_MEMORY_MAX)
        return;
    memory.rlim_cur = IMAGE_MEMORY_MAX;
    (void)setrlimit(RLIMIT_DATA, &memory);
#endif
}

static int usage(const char *why)
{
    fprintf(stderr,
            "supermachine-image: %s\n"
            "usage: supermachine-image VERB --home DIR [OPTION]... [WORD]...\n",
            why);
    return 2;
}

/* A whole number in decimal, at most (most). */
static bool parse_number(const char *text, uint64_t most, uint64_t *ret)
{
    char *end;
    unsigned long long value;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    value = strtoull(text, &end, 10);
    *ret = value;
    return !errno && !*end && value <= most;
}

/* Returns 0 or an exit status. */
static int parse_option(int option, const char *value, struct options *options)
{
    uint64_t number;

    switch (option) {
    case 'h':
        options->home = value;
        return 0;
    case 'p':
        options->platform = value;
        return 0;
    case 'd':
        if (!parse_number(value, INT64_MAX, &options->disk_bytes))
            return usage("--disk-size must be a number of bytes");
        return 0;
    case 'f':
    case 'i':
        if (!parse_number(value, 1 << 20, &number) ||
            fcntl((int)number, F_GETFD) < 0)
            return usage("--fd and --file must be open descriptors");
        *(option == 'f' ? &options->fd : &options->keep.file) = (int)number;
        return 0;
    case 'r':
        options->refresh = true;
        return 0;
    case 'a':
        options->keep.all = true;
        return 0;
    case 'F':
        options->keep.force = true;
        return 0;
    case 'R':
        options->keep.repair = true;
        return 0;
    case 'm':
        options->keep.format = value;
        return 0;
    case 'n':
        options->keep.name = value;
        return 0;
    case 'u':
        if (options->insecure_count == INSECURE_MAX)
            return usage("too many --insecure");
        options->insecure[options->insecure_count++] = value;
        return 0;
    default:
        return usage("unknown option");
    }
}

static int parse_options(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {
        {"home", required_argument, NULL, 'h'},
        {"disk-size", required_argument, NULL, 'd'},
        {"platform", required_argument, NULL, 'p'},
        {"fd", required_argument, NULL, 'f'},
        {"file", required_argument, NULL, 'i'},
        {"refresh", no_argument, NULL, 'r'},
        {"insecure", required_argument, NULL, 'u'},
        {"all", no_argument, NULL, 'a'},
        {"force", no_argument, NULL, 'F'},
        {"repair", no_argument, NULL, 'R'},
        {"format", required_argument, NULL, 'm'},
        {"name", required_argument, NULL, 'n'},
        {0},
    };
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        int status = parse_option(option, optarg, options);

        if (status)
            return status;
    }
    if (argc == optind)
        return usage("what is there to do?");
    options->verb = argv[optind];
    options->keep.words = (const char *const *)argv + optind + 1;
    options->keep.count = (unsigned)(argc - optind - 1);
    options->keep.home = options->home;
    options->keep.platform = options->platform;
    if (strcmp(options->verb, "prepare") == 0
            ? options->keep.count != 1
            : !keep_knows(options->verb, &options->keep))
        return usage("what is there to do?");
    if (!options->home || options->home[0] != '/')
        return usage("--home must be an absolute folder");
    return 0;
}

/* NULL: it is not set, or to nothing. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] ? value : NULL;
}

/* Docker's config.json; NULL if nobody knows where it is, or memory is out. */
static char *docker_config(void)
{
    const char *folder = variable("DOCKER_CONFIG");
    const char *home = variable("HOME");
    char *path = NULL;

    if (folder)
        return asprintf(&path, "%s/config.json", folder) < 0 ? NULL : path;
    if (home)
        return asprintf(&path, "%s/.docker/config.json", home) < 0 ? NULL
                                                                   : path;
    return NULL;
}

static int prepare(const struct options *options, struct reporter *reporter,
                   struct image_result *ret, struct sm_error *err)
{
    AUTO_FREE char *cwd = getcwd(NULL, 0);
    AUTO_FREE char *reference = NULL;
    struct image_request request = {
        .platform = options->platform,
        .disk_bytes = options->disk_bytes,
    };
    int rc = reference_absolute(options->keep.words[0], cwd, &reference, err);

    if (rc)
        return rc;
    request.reference = reference;
    return prepare_image(options->keep.place, &request, reporter, ret, err);
}

/* Do what the verb says, and tell what came out of it. */
static int serve(struct options *options, struct reporter *reporter,
                 struct sm_error *err)
{
    AUTO(image_result_done) struct image_result result = {0};
    AUTO_FREE char *config = docker_config();
    const struct oci_place place = {
        .home = options->home,
        .input_fd = options->keep.file,
        .refresh = options->refresh,
        .ca_file = variable("SSL_CERT_FILE"),
        .ca_folder = variable("SSL_CERT_DIR"),
        .docker_config = config,
        .helper_env = environ,
        .insecure = options->insecure,
        .progress = prepare_progress,
        .context = reporter,
    };
    int rc;

    options->keep.place = &place;
    if (strcmp(options->verb, "prepare") != 0)
        return keep_serve(options->verb, &options->keep, reporter, err);
    rc = prepare(options, reporter, &result, err);
    return rc ? rc : report_result(reporter, &result, err);
}

/*
 * For jansson: without memory it may leave characters out of a string and say
 * nothing (2.14, strbuffer_append_byte() in lex_get_save()). A name that is
 * read wrong must never be acted upon.
 */
static void *take_or_end(size_t bytes)
{
    void *block = malloc(bytes);

    if (!block) {
        fputs("supermachine-image: out of memory\n", stderr);
        _exit(1);
    }
    return block;
}

int main(int argc, char **argv)
{
    struct options options = {
        .platform = "",
        .disk_bytes = IMAGE_DISK_DEFAULT_GIB * GIB,
        .fd = -1,
        .keep = {.file = STDIN_FILENO},
    };
    struct reporter reporter;
    struct sm_error err = {0};
    int status = parse_options(argc, argv, &options);
    int rc;

    process_begin();
    limit_memory();
    json_set_alloc_funcs(take_or_end, free);
    if (status)
        return status;
    reporter = (struct reporter){
        .fd = options.fd < 0 ? STDOUT_FILENO : options.fd,
        .json = options.fd < 0,
    };
    if (options.fd >= 0)
        watch_starter(&options);
    rc = serve(&options, &reporter, &err);
    if (rc && report_error(&reporter, &err, NULL))
        fprintf(stderr, "supermachine-image: %s\n", err.message);
    return rc ? 1 : 0;
}
