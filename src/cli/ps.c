/* ps.c: `supermachine ps`: the machines there are. */
#include "filters.h"
#include "host.h"
#include "human.h"
#include "listing.h"
#include "record.h"
#include "text.h"
#include "times.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

struct ps_options {
    struct listing_options listing;
    bool all;
    uint32_t last;
    bool latest;
    struct option_list filters;
};

#define FIELD(name) offsetof(struct ps_options, name)

static const struct option ps_option_table[] = {
    {"all", 'a', OPTION_FLAG, FIELD(all), NULL, "those that have ended, too"},
    {"last", 'n', OPTION_COUNT, FIELD(last), "N",
     "only the N that were made last, ended or not"},
    {"latest", 'l', OPTION_FLAG, FIELD(latest), NULL,
     "only the one that was made last, ended or not"},
    {"filter", 'f', OPTION_LIST, FIELD(filters), "KEY=VALUE",
     "only those whose id, name, label, status, exited (its code) or ancestor "
     "(the image) is this"},
    LISTING_OPTION_ROWS(ps_options, listing),
};

enum {
    ID,
    IMAGE,
    COMMAND,
    CREATED,
    STATUS,
    NAMES,
    STATE,
    CREATED_AT,
    LABELS,
    EXIT_CODE,
    PID
};

static const struct listing_column columns[] = {
    [ID] = {"ID", "MACHINE ID", LISTING_KEY | LISTING_ID, RECORD_ID_SHOWN},
    [IMAGE] = {"Image", "IMAGE", 0, 40},
    [COMMAND] = {"Command", "COMMAND", 0, 24},
    [CREATED] = {"RunningFor", "CREATED", 0, 0},
    [STATUS] = {"Status", "STATUS", 0, 0},
    [NAMES] = {"Names", "NAMES", 0, 0},
    [STATE] = {"State", NULL, 0, 0},
    [CREATED_AT] = {"CreatedAt", NULL, 0, 0},
    [LABELS] = {"Labels", NULL, 0, 0},
    [EXIT_CODE] = {"ExitCode", NULL, 0, 0},
    [PID] = {"Pid", NULL, 0, 0},
};

static void ago(int64_t since_ns, char *to, size_t capacity)
{
    char span[HUMAN_MAX];

    snprintf(to, capacity, "%s ago",
             human_duration(span, (record_now_ns() - since_ns) / 1000000000));
}

static enum listing_colour put_status(const struct record *record, char *to,
                                      size_t capacity)
{
    char span[HUMAN_MAX];
    char when[HUMAN_MAX + 8];
    int64_t up_s = (record_now_ns() - record->started_ns) / 1000000000;

    switch (record->state) {
    case RECORD_CREATED:
        snprintf(to, capacity, "Created");
        return LISTING_PLAIN;
    case RECORD_RUNNING:
        snprintf(to, capacity, "Up %s", human_duration(span, up_s));
        return LISTING_GREEN;
    case RECORD_PAUSED:
        snprintf(to, capacity, "Up %s (Paused)", human_duration(span, up_s));
        return LISTING_YELLOW;
    case RECORD_EXITED:
        ago(record->finished_ns, when, sizeof when);
        snprintf(to, capacity, "Exited (%u) %s", record->exit_code, when);
        return record->exit_code ? LISTING_RED : LISTING_FAINT;
    case RECORD_DEAD:
        break;
    }
    snprintf(to, capacity, "Dead");
    return LISTING_RED;
}

/* Labels as Docker shows them: "A=B,C=D". */
static void put_labels(struct listing *listing, const char *labels)
{
    char *text = strdup(labels);

    for (char *at = text; at && *at; at++)
        if (*at == '\n')
            *at = ',';
    listing_text(listing, LABELS, text);
    free(text);
}

static void add_row(struct listing *listing, const struct record *record)
{
    char text[128];
    char when[TIMES_MAX];
    enum listing_colour colour;

    listing_row(listing);
    listing_text(listing, ID, record->id);
    listing_text(listing, IMAGE, record->image);
    listing_text(listing, COMMAND, record->command);
    ago(record->created_ns, text, sizeof text);
    listing_text(listing, CREATED, text);
    colour = put_status(record, text, sizeof text);
    listing_text(listing, STATUS, text);
    listing_colour(listing, STATUS, colour);
    listing_text(listing, NAMES, record->name);
    listing_text(listing, STATE, record_state_name(record->state));
    times_text(record->created_ns, when);
    listing_text(listing, CREATED_AT, when);
    put_labels(listing, record->labels);
    if (record->state == RECORD_EXITED)
        listing_number(listing, EXIT_CODE, record->exit_code, NULL);
    if (record_is_live(record))
        listing_number(listing, PID, record->pid, NULL);
}

/* "A=B", or "A" for any value of it, is a line of (labels). */
static bool has_label(const char *labels, const char *wanted)
{
    size_t length = strlen(wanted);
    bool whole = strchr(wanted, '=');

    for (const char *at = labels; *at; at += strspn(at, "\n")) {
        size_t line = strcspn(at, "\n");

        if (line >= length && memcmp(at, wanted, length) == 0 &&
            (line == length || (!whole && at[length] == '=')))
            return true;
        at += line;
    }
    return false;
}

static bool key_is(const char *key, size_t length, const char *name)
{
    return strlen(name) == length && memcmp(key, name, length) == 0;
}

/* An ID is known by its beginning, as everywhere, and a name by any part of it,
 * as Docker has it. */
static bool matches(const void *thing, const char *key, size_t length,
                    const char *wanted)
{
    const struct record *record = thing;
    char code[16];

    if (key_is(key, length, "id"))
        return strncmp(record->id, wanted, strlen(wanted)) == 0;
    if (key_is(key, length, "name"))
        return strstr(record->name, wanted);
    if (key_is(key, length, "label"))
        return has_label(record->labels, wanted);
    if (key_is(key, length, "ancestor"))
        return strcmp(record->image, wanted) == 0;
    if (key_is(key, length, "status"))
        return strcmp(record_state_name(record->state), wanted) == 0;
    snprintf(code, sizeof code, "%u", record->exit_code);
    return record->state == RECORD_EXITED && strcmp(code, wanted) == 0;
}

/* A filter that asks for a state asks for those that have ended, too. */
static bool asks_for_state(const struct option_list *filters)
{
    for (size_t i = 0; i < filters->count; i++)
        if (strncmp(filters->item[i], "status=", 7) == 0 ||
            strncmp(filters->item[i], "exited=", 7) == 0)
            return true;
    return false;
}

static int list(const struct ps_options *options, struct listing *listing)
{
    struct record *records;
    struct sm_error err;
    char home[HOME_MAX];
    uint32_t limit = options->latest ? 1 : options->last;
    bool all = options->all || limit || asks_for_state(&options->filters);
    uint32_t shown = 0;
    size_t count;
    int rc = cli_home(home, &err);

    if (!rc)
        rc = record_list(home, &records, &count, &err);
    if (rc) {
        complain("ps: %s", err.message);
        return EXIT_OURS;
    }
    for (size_t i = 0; i < count && (!limit || shown < limit); i++) {
        if ((!all && !record_is_live(&records[i])) ||
            !filters_hold(&options->filters, &records[i], matches))
            continue;
        add_row(listing, &records[i]);
        shown++;
    }
    record_list_done(records, count);
    return listing_print(listing, stdout);
}

static int list_with(const struct ps_options *options, char **rest)
{
    static const char *const keys[] = {"id",     "name",     "label", "status",
                                       "exited", "ancestor", NULL};
    struct listing listing;
    int status;

    if (rest[0]) {
        complain("ps: %s: no argument is taken", rest[0]);
        return EXIT_OURS;
    }
    if (!filters_check("ps", &options->filters, keys) ||
        !listing_init(&listing, "ps", columns,
                      sizeof columns / sizeof columns[0], &options->listing))
        return EXIT_OURS;
    status = list(options, &listing);
    listing_done(&listing);
    return status;
}

static int run_ps(void *values, char **words)
{
    return list_with(values, words);
}

const struct verb verb_ps = {
    .name = "ps",
    .usage = "[OPTIONS]",
    .summary = "List machines",
    .details = "Of several filters with the same key one must fit, but of "
               "labels all; of\nseveral keys all.",
    .options = ps_option_table,
    .option_count = sizeof ps_option_table / sizeof ps_option_table[0],
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct ps_options),
    .run = run_ps,
};
