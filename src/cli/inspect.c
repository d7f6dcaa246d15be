/* inspect.c: `supermachine inspect`: what is known of machines and images, as
 * JSON. */
#include "host.h"
#include "printable.h"
#include "record.h"
#include "text.h"
#include "times.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------ machines -- */

static void put_key(FILE *to, const char *key)
{
    fprintf(to, "    \"%s\": ", key);
}

static void put_text(FILE *to, const char *key, const char *value)
{
    put_key(to, key);
    printable_write_json(to, value);
    fputs(",\n", to);
}

/* null for what has not been. */
static void put_time(FILE *to, const char *key, int64_t ns)
{
    char when[TIMES_MAX];

    put_key(to, key);
    if (ns) {
        times_text(ns, when);
        fprintf(to, "\"%s\",\n", when);
    } else {
        fputs("null,\n", to);
    }
}

static void put_number(FILE *to, const char *key, uint64_t number)
{
    put_key(to, key);
    fprintf(to, "%llu,\n", (unsigned long long)number);
}

/* "KEY=VALUE" lines as an object. */
static void put_labels(FILE *to, const char *labels)
{
    char *copy = strdup(labels);
    char *next;
    bool some = false;

    put_key(to, "Labels");
    fputc('{', to);
    for (char *line = copy; line && *line; line = next) {
        char *value;

        next = line + strcspn(line, "\n");
        if (*next)
            *next++ = '\0';
        value = strchr(line, '=');
        if (value)
            *value++ = '\0';
        fputs(some ? ", " : "", to);
        printable_write_json(to, line);
        fputs(": ", to);
        printable_write_json(to, value ? value : "");
        some = true;
    }
    fputs("},\n", to);
    free(copy);
}

static void put_machine(FILE *to, const struct record *record)
{
    fputs("{\n", to);
    put_text(to, "Id", record->id);
    put_text(to, "Name", record->name);
    put_text(to, "Image", record->image);
    put_text(to, "Command", record->command);
    put_text(to, "State", record_state_name(record->state));
    put_text(to, "Error", record->error ? record->error : "");
    put_time(to, "Created", record->created_ns);
    put_time(to, "StartedAt", record->started_ns);
    put_time(to, "FinishedAt", record->finished_ns);
    put_number(to, "ExitCode", record->exit_code);
    put_number(to, "Pid", record_is_live(record) ? record->pid : 0);
    put_number(to, "MemoryBytes", record->memory_bytes);
    put_number(to, "Cpus", record->cpus);
    put_number(to, "StopSignal", record->stop_signal);
    put_labels(to, record->labels ? record->labels : "");
    put_key(to, "Detached");
    fprintf(to, "%s,\n", record->detached ? "true" : "false");
    put_key(to, "AutoRemove");
    fprintf(to, "%s\n  }", record->remove ? "true" : "false");
}

/* --------------------------------------------------------------- both -- */

struct inspection {
    char home[HOME_MAX];
    struct sm_host *host;
    bool machines;
    bool images;
    unsigned shown;
};

/* Machines first, as Docker does. */
static int inspect_one(struct inspection *inspection, const char *name,
                       struct sm_error *err)
{
    struct record record;
    char *text = NULL;
    int rc = SM_ENOENT;

    if (inspection->machines)
        rc = record_find(inspection->home, name, &record, err);
    if (!rc) {
        fputs(inspection->shown++ ? ",\n  " : "\n  ", stdout);
        put_machine(stdout, &record);
        record_done(&record);
        return 0;
    }
    if (rc != SM_ENOENT || !inspection->images)
        return rc;
    rc = sm_store_inspect(inspection->host, name, &text, err);
    if (!rc)
        printf("%s\n%s", inspection->shown++ ? "," : "", text);
    free(text);
    return rc;
}

/* As Docker: an array of what there is, and a complaint for what is not. */
static int inspect_all(struct inspection *inspection, char *const *names)
{
    struct sm_error err = {0};
    int status = 0;
    int rc = cli_home(inspection->home, &err);

    if (!rc)
        rc = cli_host_open(&inspection->host, &err);
    if (rc) {
        complain("inspect: %s", err.message);
        return EXIT_OURS;
    }
    printf("[");
    for (; *names; names++)
        if (inspect_one(inspection, *names, &err) != 0) {
            complain("inspect: %s", err.message);
            status = 1;
        }
    printf("%s]\n", inspection->shown ? "\n" : "");
    sm_host_free(inspection->host);
    return status;
}

struct inspect_options {
    const char *type;
};

static const struct option inspect_option_table[] = {
    {"type", 0, OPTION_STRING, offsetof(struct inspect_options, type), "TYPE",
     "only a machine, or only an image"},
};

static int run_inspect(int count, char **arguments)
{
    struct inspection inspection = {.machines = true, .images = true};
    struct inspect_options options = {0};
    char **rest;

    (void)count;
    switch (options_parse(&verb_inspect, arguments, &options, &rest)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_WRONG:
        return EXIT_OURS;
    case OPTIONS_OK:
        break;
    }
    if (options.type) {
        inspection.machines = strcmp(options.type, "machine") == 0;
        inspection.images = strcmp(options.type, "image") == 0;
    }
    if (!inspection.machines && !inspection.images)
        complain("inspect: --type %s: must be machine or image", options.type);
    else if (!rest[0])
        complain("inspect: which machine or image? see supermachine ps -a and "
                 "supermachine images");
    else
        return inspect_all(&inspection, rest);
    return EXIT_OURS;
}

const struct verb verb_inspect = {
    .name = "inspect",
    .options_anywhere = true,
    .usage = "[OPTIONS] NAME...",
    .summary = "Show what is known of machines and images, as JSON",
    .details = "NAME is a machine's or an image's name or ID. Prints an array "
               "of objects. Those of\nimages have the main fields of docker "
               "image inspect; Size is that of the\nblobs, RootfsSize that of "
               "the root file systems on the disk.",
    .options = inspect_option_table,
    .option_count = 1,
    .run = run_inspect,
};
