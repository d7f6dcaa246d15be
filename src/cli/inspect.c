/* inspect.c: `supermachine inspect`: what is known of machines and images, as
 * JSON. */
#include "inspect.h"

#include "host.h"
#include "json.h"
#include "printable.h"
#include "record.h"
#include "template.h"
#include "text.h"
#include "times.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------ machines -- */

/* A key in an object whose entries are (depth) levels in. */
static void put_key(FILE *to, int depth, const char *key)
{
    fprintf(to, "%*s\"%s\": ", 4 * depth, "", key);
}

static void put_text(FILE *to, int depth, const char *key, const char *value)
{
    put_key(to, depth, key);
    printable_write_json(to, value ? value : "");
    fputs(",\n", to);
}

/* null for what has not been. */
static void put_time(FILE *to, int depth, const char *key, int64_t ns)
{
    char when[TIMES_MAX];

    put_key(to, depth, key);
    if (ns) {
        times_text(ns, when);
        fprintf(to, "\"%s\"", when);
    } else {
        fputs("null", to);
    }
    fputs(",\n", to);
}

static void put_number(FILE *to, int depth, const char *key, uint64_t number)
{
    put_key(to, depth, key);
    fprintf(to, "%llu,\n", (unsigned long long)number);
}

static void put_flag(FILE *to, int depth, const char *key, bool value)
{
    put_key(to, depth, key);
    fprintf(to, "%s,\n", value ? "true" : "false");
}

/* "KEY=VALUE" lines as an object. */
static void put_labels(FILE *to, const char *labels)
{
    char *copy = strdup(labels ? labels : "");
    char *next;
    bool some = false;

    put_key(to, 1, "Labels");
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

static void put_state(FILE *to, const struct record *record)
{
    put_key(to, 1, "State");
    fputs("{\n", to);
    put_text(to, 2, "Status", record_state_name(record->state));
    put_flag(to, 2, "Running", record->state == RECORD_RUNNING);
    put_flag(to, 2, "Paused", record->state == RECORD_PAUSED);
    put_flag(to, 2, "OOMKilled", record->oom_killed);
    put_flag(to, 2, "Dead", record->state == RECORD_DEAD);
    put_number(to, 2, "Pid", record_is_live(record) ? record->pid : 0);
    put_number(to, 2, "ExitCode", record->exit_code);
    put_text(to, 2, "Error", record->error);
    put_time(to, 2, "StartedAt", record->started_ns);
    put_key(to, 2, "FinishedAt");
    if (record->finished_ns) {
        char when[TIMES_MAX];

        times_text(record->finished_ns, when);
        fprintf(to, "\"%s\"\n    },\n", when);
    } else {
        fputs("null\n    },\n", to);
    }
}

/* What the library says of it: its own words, or none. */
static void put_config(FILE *to, const struct record *record)
{
    struct json_value config =
        json_at(json_read(record->config ? record->config : ""), "config", 6);

    put_key(to, 1, "Config");
    if (config.length)
        fprintf(to, "%.*s\n}", (int)config.length, config.start);
    else
        fputs("null\n}", to);
}

static void put_machine(FILE *to, const struct record *record)
{
    fputs("{\n", to);
    put_text(to, 1, "Id", record->id);
    put_text(to, 1, "Name", record->name);
    put_text(to, 1, "Image", record->image);
    put_text(to, 1, "Command", record->command);
    put_time(to, 1, "Created", record->created_ns);
    put_state(to, record);
    put_number(to, 1, "MemoryBytes", record->memory_bytes);
    put_number(to, 1, "Cpus", record->cpus);
    put_number(to, 1, "StopSignal", record->stop_signal);
    put_number(to, 1, "StopTimeoutMs", record->stop_timeout_ms);
    put_labels(to, record->labels);
    put_flag(to, 1, "Tty", record->tty);
    put_flag(to, 1, "OpenStdin", record->open_stdin);
    put_flag(to, 1, "Detached", record->detached);
    put_flag(to, 1, "AutoRemove", record->remove);
    put_config(to, record);
}

/* For free(); NULL: no memory. */
static char *machine_text(const struct record *record)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    if (!to)
        return NULL;
    put_machine(to, record);
    if (fclose(to) == 0)
        return text;
    free(text);
    return NULL;
}

/* --------------------------------------------------------------- both -- */

struct inspection {
    const char *verb;
    char home[HOME_MAX];
    struct sm_host *host;
    bool machines;
    bool images;
    bool snapshots;
    const char *format; /* NULL: all of it, as an array */
    unsigned shown;
};

static int inspect_snapshot(struct sm_host *host, const char *name, char **ret,
                            struct sm_error *err)
{
    char *whole = NULL;
    int rc;

    if (asprintf(&whole, "snapshot:%s", name) < 0)
        return text_fail(err, SM_ENOMEM, "out of memory");
    rc = sm_store_inspect(host, whole, ret, err);
    free(whole);
    return rc;
}

/* The object of what (name) names. Machines first, as Docker does. */
static int find_text(struct inspection *inspection, const char *name,
                     char **ret, struct sm_error *err)
{
    struct record record;
    int rc = SM_ENOENT;

    if (inspection->machines)
        rc = record_find(inspection->home, name, &record, err);
    if (!rc) {
        *ret = machine_text(&record);
        record_done(&record);
        return *ret ? 0 : text_fail(err, SM_ENOMEM, "out of memory");
    }
    if (rc == SM_ENOENT && inspection->images)
        rc = sm_store_inspect(inspection->host, name, ret, err);
    if (rc == SM_ENOENT && inspection->snapshots)
        rc = inspect_snapshot(inspection->host, name, ret, err);
    return rc;
}

static void write_value(struct json_value value)
{
    char *text = json_text(value);

    if (text)
        printable_write(stdout, text, 0);
    free(text);
}

/* One object by the template, on a line. SM_EINVAL: a field is not there. */
static int write_format(const char *name, const char *format, const char *text,
                        struct sm_error *err)
{
    struct json_value object = json_read(text);
    struct template_part part;

    for (const char *at = format;
         (part = template_next(&at)).kind != TEMPLATE_END;)
        if ((part.kind == TEMPLATE_FIELD || part.kind == TEMPLATE_JSON) &&
            json_at(object, part.start, part.length).length == 0)
            return text_fail(err, SM_EINVAL, "%s has no %.*s", name,
                             (int)part.length, part.start);
    for (const char *at = format;
         (part = template_next(&at)).kind != TEMPLATE_END;) {
        struct json_value value = json_at(object, part.start, part.length);

        if (part.kind == TEMPLATE_FIELD)
            write_value(value);
        else if (part.kind == TEMPLATE_JSON)
            json_write(stdout, value);
        else
            fwrite(part.start, 1, part.length, stdout);
    }
    putchar('\n');
    return 0;
}

static int inspect_one(struct inspection *inspection, const char *name,
                       struct sm_error *err)
{
    char *text = NULL;
    int rc = find_text(inspection, name, &text, err);

    if (!rc && inspection->format)
        rc = write_format(name, inspection->format, text, err);
    else if (!rc)
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
        complain("%s: %s", inspection->verb, err.message);
        return EXIT_OURS;
    }
    if (!inspection->format)
        printf("[");
    for (; *names; names++)
        if (inspect_one(inspection, *names, &err) != 0) {
            complain("%s: %s", inspection->verb, err.message);
            status = 1;
        }
    if (!inspection->format)
        printf("%s]\n", inspection->shown ? "\n" : "");
    sm_host_free(inspection->host);
    return status;
}

/* NULL: a message was printed. "json" is the whole object on a line. */
static const char *check_format(const char *format)
{
    struct template_part part;

    if (strcmp(format, "json") == 0)
        return "{{json .}}";
    for (const char *at = format;
         (part = template_next(&at)).kind != TEMPLATE_END;)
        if (part.kind == TEMPLATE_WRONG) {
            complain("inspect: --format: %s: neither {{.Field}} nor "
                     "{{json .Field}}",
                     part.start);
            return NULL;
        }
    return format;
}

int inspect_snapshots(const char *verb, const char *format, char *const *names)
{
    struct inspection inspection = {.verb = verb, .snapshots = true};

    if (format && !(inspection.format = check_format(format)))
        return EXIT_OURS;
    return inspect_all(&inspection, names);
}

struct inspect_options {
    const char *type;
    const char *format;
};

static const struct option inspect_option_table[] = {
    {"type", 0, OPTION_STRING, offsetof(struct inspect_options, type), "TYPE",
     "only a machine, an image or a snapshot"},
    {"format", 'f', OPTION_STRING, offsetof(struct inspect_options, format),
     "TEMPLATE",
     "a line for each: {{.State.Status}}, {{json .Config.env}} and so on, or "
     "json"},
};

static int run_inspect(void *values, char **words)
{
    const struct inspect_options *options = values;
    const char *type = options->type;
    struct inspection inspection = {
        .verb = "inspect", .machines = true, .images = true};

    if (type) {
        inspection.machines = strcmp(type, "machine") == 0;
        inspection.images = strcmp(type, "image") == 0;
        inspection.snapshots = strcmp(type, "snapshot") == 0;
    }
    if (!inspection.machines && !inspection.images && !inspection.snapshots)
        complain("inspect: --type %s: must be machine, image or snapshot",
                 type);
    else if (!options->format ||
             (inspection.format = check_format(options->format)))
        return inspect_all(&inspection, words);
    return EXIT_OURS;
}

const struct verb verb_inspect = {
    .name = "inspect",
    .options_anywhere = true,
    .usage = "[OPTIONS] NAME...",
    .summary = "Show what is known of machines and images, as JSON",
    .details = "NAME is a machine's or an image's name or ID; with --type, a "
               "snapshot's\nname. Prints an array "
               "of objects. Those of\nimages have the main fields of docker "
               "image inspect; Size is that of the\nblobs, RootfsSize that of "
               "the root file systems on the disk.",
    .options = inspect_option_table,
    .option_count =
        sizeof inspect_option_table / sizeof inspect_option_table[0],
    .values_bytes = sizeof(struct inspect_options),
    .least = 1,
    .most = UINT_MAX,
    .ask = "which machine or image? see supermachine ps -a and "
           "supermachine images",
    .run = run_inspect,
};
