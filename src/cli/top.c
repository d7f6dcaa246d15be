/* top.c: `supermachine top`: what runs in a machine. */
#include "control.h"
#include "host.h"
#include "human.h"
#include "json.h"
#include "listing.h"
#include "text.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

struct top_options {
    struct listing_options listing;
};

static const struct option top_option_table[] = {
    LISTING_OPTION_ROWS(top_options, listing),
};

enum { UID, PID, PARENT, STATE, THREADS, RSS, TIME, COMMAND };

static const struct listing_column columns[] = {
    [UID] = {"UID", "UID", LISTING_RIGHT, 0},
    [PID] = {"PID", "PID", LISTING_KEY | LISTING_RIGHT, 0},
    [PARENT] = {"PPID", "PPID", LISTING_RIGHT, 0},
    [STATE] = {"State", "S", 0, 0},
    [THREADS] = {"Threads", "THREADS", LISTING_RIGHT, 0},
    [RSS] = {"RSS", "RSS", LISTING_RIGHT, 0},
    [TIME] = {"Time", "TIME", LISTING_RIGHT, 0},
    [COMMAND] = {"Command", "COMMAND", 0, 80},
};

static uint64_t number(struct json_value process, const char *name)
{
    return json_number(json_at(process, name, strlen(name)));
}

static void put_text(struct listing *listing, size_t column,
                     struct json_value process, const char *name)
{
    char *text = json_text(json_at(process, name, strlen(name)));

    listing_text(listing, column, text);
    free(text);
}

/* "1:02:03", as ps shows it. */
static void put_time(struct listing *listing, uint64_t us)
{
    unsigned long long s = us / 1000000;
    char text[64];

    snprintf(text, sizeof text, "%02llu:%02llu:%02llu", s / 3600, s / 60 % 60,
             s % 60);
    listing_number(listing, TIME, us, text);
}

static void add_row(struct listing *listing, struct json_value process)
{
    char bytes[HUMAN_MAX];

    listing_row(listing);
    listing_number(listing, UID, number(process, "uid"), NULL);
    listing_number(listing, PID, number(process, "pid"), NULL);
    listing_number(listing, PARENT, number(process, "parent"), NULL);
    put_text(listing, STATE, process, "state");
    listing_number(listing, THREADS, number(process, "threads"), NULL);
    listing_number(listing, RSS, number(process, "rss_bytes"),
                   human_bytes(bytes, number(process, "rss_bytes")));
    put_time(listing, number(process, "cpu_us"));
    put_text(listing, COMMAND, process, "command");
}

static int ask(const char *name, char **ret, struct sm_error *err)
{
    struct record record;
    char home[HOME_MAX];
    int rc = cli_home(home, err);

    if (!rc)
        rc = record_find(home, name, &record, err);
    if (rc)
        return rc;
    if (record_is_live(&record))
        rc = control_ask_text(&record, CONTROL_TOP, ret, err);
    else
        rc = text_fail(err, SM_ESTATE, "the machine %s is not running",
                       record.name);
    record_done(&record);
    return rc;
}

static int show(const struct top_options *options, const char *name)
{
    struct json_value list;
    struct json_value process;
    struct listing listing;
    struct sm_error err;
    char *text = NULL;
    int status;

    if (!listing_init(&listing, "top", columns,
                      sizeof columns / sizeof columns[0], &options->listing))
        return EXIT_OURS;
    if (ask(name, &text, &err) != 0) {
        complain("top: %s", err.message);
        listing_done(&listing);
        return 1;
    }
    list = json_read(text);
    for (process = json_next(list, NULL); process.length;
         process = json_next(list, &process))
        add_row(&listing, process);
    status = listing_print(&listing, stdout);
    listing_done(&listing);
    free(text);
    return status;
}

static int run_top(void *values, char **words)
{
    return show(values, words[0]);
}

const struct verb verb_top = {
    .name = "top",
    .usage = "[OPTIONS] MACHINE",
    .summary = "List what runs in a machine",
    .details =
        "The list comes from the machine's own agent: the image needs no ps.\n"
        "Neither the kernel's own threads nor the agent are in it.",
    .options = top_option_table,
    .option_count = sizeof top_option_table / sizeof top_option_table[0],
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct top_options),
    .least = 1,
    .most = 1,
    .ask = "one machine, and no options for ps",
    .run = run_top,
};
