/* events.c: `supermachine events`: what happened to machines and images, and
 * goes on happening. */
#include "events.h"

#include "filters.h"
#include "host.h"
#include "json.h"
#include "printable.h"
#include "template.h"
#include "text.h"
#include "times.h"
#include "verbs.h"
#include "watch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct events_options {
    const char *since;
    const char *until;
    struct option_list filters;
    const char *format;
    bool json;
};

#define FIELD(name) offsetof(struct events_options, name)

static const struct option events_option_table[] = {
    {"since", 0, OPTION_STRING, FIELD(since), "TIME",
     "begin with what happened after: 2026-11-22T10:00:00Z, or 10m for ten "
     "minutes ago"},
    {"until", 0, OPTION_STRING, FIELD(until), "TIME",
     "end with what happened before; a time to come is waited for"},
    {"filter", 'f', OPTION_LIST, FIELD(filters), "KEY=VALUE",
     "only those whose event, machine or image is this"},
    {"format", 0, OPTION_STRING, FIELD(format), "TEMPLATE",
     "a line for each: {{.Action}}, {{json .Actor}} and so on, or json"},
    {"json", 0, OPTION_FLAG, FIELD(json), NULL, "an object on each line"},
};

/* What is wanted, and how far it has been shown. */
struct following {
    const struct events_options *options;
    int64_t since_ns;
    int64_t until_ns; /* 0: for ever */
    char path[HOME_MAX + 32];
    long shown; /* bytes of the file `events` */
    ino_t file;
};

/* ------------------------------------------------------------ one event -- */

static struct json_value at(struct json_value event, const char *path)
{
    return json_at(event, path, strlen(path));
}

/* "die" for a filter's event, a name or the beginning of an ID for machine. */
static bool matches(const void *thing, const char *key, size_t length,
                    const char *wanted)
{
    static const struct {
        const char *key;
        const char *path;
        bool beginning;
        const char *type; /* of events that it is for; NULL: of all */
    } places[] = {
        {"event", "Action", false, NULL},
        {"machine", "Actor.Attributes.name", false, "machine"},
        {"machine", "Actor.ID", true, "machine"},
        {"image", "Actor.Attributes.image", false, "machine"},
        {"image", "Actor.Attributes.name", false, "image"},
        {"image", "Actor.ID", true, "image"},
        {"type", "Type", false, NULL},
    };
    const struct json_value *event = thing;
    char *type = json_text(at(*event, "Type"));
    bool fine = false;

    for (size_t i = 0; type && i < sizeof places / sizeof places[0]; i++) {
        char *text;

        if (strlen(places[i].key) != length ||
            memcmp(places[i].key, key, length) != 0 ||
            (places[i].type && strcmp(places[i].type, type) != 0))
            continue;
        text = json_text(at(*event, places[i].path));
        if (text && places[i].beginning)
            fine |= *wanted && strncmp(text, wanted, strlen(wanted)) == 0;
        else if (text)
            fine |= strcmp(text, wanted) == 0;
        free(text);
    }
    free(type);
    return fine;
}

static bool is_wanted(const struct following *following,
                      struct json_value event)
{
    int64_t when = (int64_t)json_number(at(event, "timeNano"));

    return when > following->since_ns &&
           (!following->until_ns || when <= following->until_ns) &&
           filters_hold(&following->options->filters, &event, matches);
}

static void write_text(struct json_value value)
{
    char *text = json_text(value);

    if (text)
        printable_write(stdout, text, 0);
    free(text);
}

/* "2026-11-22T10:00:00.123456789Z machine die ID (image=..., name=...)". */
static void show_line(struct json_value event)
{
    char when[TIMES_MAX];
    struct json_value attributes = at(event, "Actor.Attributes");
    const char *key = attributes.start;
    const char *end = key + attributes.length;

    times_text((int64_t)json_number(at(event, "timeNano")), when);
    printf("%s ", when);
    write_text(at(event, "Type"));
    putchar(' ');
    write_text(at(event, "Action"));
    putchar(' ');
    write_text(at(event, "Actor.ID"));
    fputs(" (", stdout);
    /* Our own attributes: plain names, values that are strings. */
    while (key && key < end && (key = memchr(key, '"', (size_t)(end - key)))) {
        const char *name = key + 1;
        struct json_value value;
        size_t length;

        key = memchr(name, '"', (size_t)(end - name));
        if (!key)
            break;
        length = (size_t)(key - name);
        value = json_at(attributes, name, length);
        printf("%s%.*s=", name == attributes.start + 2 ? "" : ", ", (int)length,
               name);
        write_text(value);
        key = value.length ? value.start + value.length : end;
    }
    puts(")");
}

static void show_format(const char *format, struct json_value event)
{
    struct template_part part;

    while ((part = template_next(&format)).kind != TEMPLATE_END) {
        struct json_value value = json_at(event, part.start, part.length);

        if (part.kind == TEMPLATE_JSON)
            json_write(stdout, value);
        else if (part.kind == TEMPLATE_FIELD)
            write_text(value);
        else
            fwrite(part.start, 1, part.length, stdout);
    }
    putchar('\n');
}

static void show(const struct following *following, const char *line)
{
    const struct events_options *options = following->options;
    struct json_value event = json_read(line);

    if (!is_wanted(following, event))
        return;
    if (options->json || (options->format && !strcmp(options->format, "json")))
        printf("%s", line);
    else if (options->format)
        show_format(options->format, event);
    else
        show_line(event);
}

/* ---------------------------------------------------------- the file(s) -- */

/* Show whole lines of (from) on; returns where they ended. */
static long show_file(const struct following *following, FILE *from)
{
    char *line = NULL;
    size_t capacity = 0;
    long shown = ftell(from);
    ssize_t length;

    while ((length = getline(&line, &capacity, from)) > 0 &&
           line[length - 1] == '\n') {
        show(following, line);
        shown += length;
    }
    free(line);
    return shown;
}

static void show_old(const struct following *following)
{
    char path[sizeof following->path + 8];
    FILE *from;

    snprintf(path, sizeof path, "%s.old", following->path);
    from = fopen(path, "re");
    if (!from)
        return;
    show_file(following, from);
    fclose(from);
}

/* What came since the last time. A file that was put aside meanwhile is another
 * one: the end of the former is read there. */
static void show_new(struct following *following)
{
    FILE *from = fopen(following->path, "re");
    struct stat status;

    if (!from)
        return;
    if (fstat(fileno(from), &status) == 0 && status.st_ino != following->file) {
        char path[sizeof following->path + 8];
        FILE *former;

        snprintf(path, sizeof path, "%s.old", following->path);
        former = following->file ? fopen(path, "re") : NULL;
        if (former && fseek(former, following->shown, SEEK_SET) == 0)
            show_file(following, former);
        if (former)
            fclose(former);
        following->file = status.st_ino;
        following->shown = 0;
    }
    if (fseek(from, following->shown, SEEK_SET) == 0)
        following->shown = show_file(following, from);
    fclose(from);
    fflush(stdout);
}

/* Milliseconds to the time at which it ends, for poll(); -1: never. */
static int patience(const struct following *following)
{
    int64_t left = (following->until_ns - record_now_ns()) / 1000000 + 1;

    if (!following->until_ns)
        return -1;
    if (left < 0)
        return 0;
    return left < 3600000 ? (int)left : 3600000;
}

static int follow(struct following *following, const char *folder)
{
    struct pollfd list[2] = {
        {.fd = watch_open(folder), .events = POLLIN},
        /* A reader that has gone ends it. */
        {.fd = STDOUT_FILENO},
    };

    if (list[0].fd < 0) {
        complain("events: %s: %s", folder, strerror(errno));
        return EXIT_OURS;
    }
    show_new(following);
    while (!ferror(stdout) && patience(following) != 0) {
        if (poll(list, 2, patience(following)) < 0 && errno != EINTR)
            break;
        if (list[1].revents & (POLLERR | POLLHUP))
            break;
        watch_clear(list[0].fd);
        show_new(following);
    }
    close(list[0].fd);
    return 0;
}

/* ------------------------------------------------------------- the verb -- */

static bool parse_time(const char *name, const char *text, int64_t *ret)
{
    if (!text || times_parse_point(text, record_now_ns(), ret))
        return true;
    complain("events: --%s %s: a time as 2026-11-22T10:00:00Z, or a span as "
             "10m",
             name, text);
    return false;
}

static bool check_format(const char *format)
{
    struct template_part part;

    while (format && (part = template_next(&format)).kind != TEMPLATE_END)
        if (part.kind == TEMPLATE_WRONG) {
            complain("events: --format: %s: neither {{.Field}} nor "
                     "{{json .Field}}",
                     part.start);
            return false;
        }
    return true;
}

static int list_and_follow(const struct events_options *options)
{
    struct following following = {.options = options};
    struct sm_error err;
    char home[HOME_MAX];
    char folder[HOME_MAX + 16];
    struct sm_host *host = NULL;
    int rc;

    if (!parse_time("since", options->since, &following.since_ns) ||
        !parse_time("until", options->until, &following.until_ns))
        return EXIT_OURS;
    /* The host makes the home folder where it is missing. */
    rc = cli_host_open(&host, &err);
    if (!rc)
        rc = cli_home(home, &err);
    if (!rc)
        rc = record_prepare(home, &err);
    sm_host_free(host);
    if (rc) {
        complain("events: %s", err.message);
        return EXIT_OURS;
    }
    /* As Docker: without a beginning, what happens from now on. */
    if (!options->since && !options->until)
        following.since_ns = record_now_ns();
    snprintf(folder, sizeof folder, "%s/machines", home);
    snprintf(following.path, sizeof following.path, "%s/events", folder);
    if (options->since || options->until)
        show_old(&following);
    return follow(&following, folder);
}

static int run_events(void *values, char **words)
{
    static const char *const keys[] = {"event", "machine", "image", "type",
                                       NULL};
    const struct events_options *options = values;

    (void)words;
    if (!filters_check("events", &options->filters, keys) ||
        !check_format(options->format))
        return EXIT_OURS;
    return list_and_follow(options);
}

const struct verb verb_events = {
    .name = "events",
    .usage = "[OPTIONS]",
    .summary = "Show what happens to machines and images",
    .details =
        "Goes on until --until, or Ctrl-C. The events are:\n"
        "  create, start, die, destroy  of a machine; die has its exit status\n"
        "  stop, kill                   what was asked for\n"
        "  pause, unpause, rename\n"
        "  exec_start, exec_die         of commands of supermachine exec\n"
        "  attach, detach\n"
        "  oom                          the guest killed a process for want "
        "of\n"
        "                               memory\n"
        "  panic                        the guest's kernel panicked\n"
        "  pull, load, tag, save        of an image\n"
        "  untag, delete                of an image's name; of what nothing "
        "refers to\n"
        "                               any more\n"
        "  snapshot                     of a machine; it has the snapshot's "
        "name",
    .options = events_option_table,
    .option_count = sizeof events_option_table / sizeof events_option_table[0],
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct events_options),
    .ask = "no argument is taken",
    .run = run_events,
};
