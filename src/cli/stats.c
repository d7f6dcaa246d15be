/* stats.c: `supermachine stats`: what machines use, once or every second. */
#include "control.h"
#include "host.h"
#include "human.h"
#include "json.h"
#include "listing.h"
#include "text.h"
#include "verbs.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { INTERVAL_MS = 1000 };

struct stats_options {
    struct listing_options listing;
    bool all;
    bool once;
};

static const struct option stats_option_table[] = {
    {"all", 'a', OPTION_FLAG, offsetof(struct stats_options, all), NULL,
     "those that do not run, too"},
    {"no-stream", 0, OPTION_FLAG, offsetof(struct stats_options, once), NULL,
     "print one table and end, as with --json and --quiet"},
    LISTING_OPTION_ROWS(stats_options, listing),
};

enum {
    ID,
    NAME,
    CPU,
    MEMORY,
    MEMORY_SHARE,
    BLOCK,
    STREAM,
    PIDS,
    HOST_MEMORY,
    MEMORY_USED,
    MEMORY_LIMIT,
    CPU_TIME,
    WORKER_TIME,
    READ,
    WRITTEN,
    STREAM_IN,
    STREAM_OUT,
    OOM_KILLS,
    COLUMNS
};

static const struct listing_column columns[COLUMNS] = {
    [ID] = {"ID", "MACHINE ID", LISTING_KEY | LISTING_ID, RECORD_ID_SHOWN},
    [NAME] = {"Name", "NAME", 0, 0},
    [CPU] = {"CPUPerc", "CPU %", LISTING_RIGHT, 0},
    [MEMORY] = {"MemUsage", "MEM USAGE / LIMIT", 0, 0},
    [MEMORY_SHARE] = {"MemPerc", "MEM %", LISTING_RIGHT, 0},
    [BLOCK] = {"BlockIO", "BLOCK I/O", 0, 0},
    [STREAM] = {"StreamIO", "STREAM I/O", 0, 0},
    [PIDS] = {"PIDs", "PIDS", LISTING_RIGHT, 0},
    [HOST_MEMORY] = {"HostMemory", "HOST MEM", LISTING_RIGHT, 0},
    [MEMORY_USED] = {"MemUsageBytes", NULL, 0, 0},
    [MEMORY_LIMIT] = {"MemLimitBytes", NULL, 0, 0},
    [CPU_TIME] = {"CPUTimeMicroseconds", NULL, 0, 0},
    [WORKER_TIME] = {"HostTimeMicroseconds", NULL, 0, 0},
    [READ] = {"BlockReadBytes", NULL, 0, 0},
    [WRITTEN] = {"BlockWrittenBytes", NULL, 0, 0},
    [STREAM_IN] = {"StreamInBytes", NULL, 0, 0},
    [STREAM_OUT] = {"StreamOutBytes", NULL, 0, 0},
    [OOM_KILLS] = {"OOMKills", NULL, 0, 0},
};

/* What was seen of a machine the last time. */
struct sample {
    char id[RECORD_ID_DIGITS + 1];
    uint64_t cpu_us;
    int64_t at_us;
};

struct watcher {
    const struct stats_options *options;
    char **names; /* NULL at the end; none: all */
    char home[HOME_MAX];
    struct sample *samples; /* of the last round */
    size_t sample_count;
    bool failed; /* a machine that was named is not there */
};

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static uint64_t number(struct json_value stats, const char *name)
{
    return json_number(json_at(stats, name, strlen(name)));
}

/* ------------------------------------------------------------- one row -- */

static void put_percent(struct listing *listing, size_t column, double share)
{
    char text[32];
    char json[32];

    snprintf(text, sizeof text, "%.2f%%", share * 100);
    snprintf(json, sizeof json, "%.4f", share * 100);
    listing_json(listing, column, json, text);
}

static void put_pair(struct listing *listing, size_t column, uint64_t one,
                     uint64_t other)
{
    char left[HUMAN_MAX];
    char right[HUMAN_MAX];
    char text[2 * HUMAN_MAX + 8];

    snprintf(text, sizeof text, "%s / %s", human_bytes(left, one),
             human_bytes(right, other));
    listing_text(listing, column, text);
}

/* Share of one processor since the last round; at first since the start. */
static double cpu_share(struct watcher *watcher, const struct record *record,
                        struct json_value stats, struct sample *next)
{
    uint64_t used = number(stats, "vcpu_us");
    int64_t passed = (int64_t)number(stats, "uptime_us");

    *next = (struct sample){.cpu_us = used, .at_us = now_us()};
    memcpy(next->id, record->id, sizeof next->id);
    for (size_t i = 0; i < watcher->sample_count; i++) {
        const struct sample *last = &watcher->samples[i];

        if (strcmp(last->id, record->id) == 0 && used >= last->cpu_us) {
            used -= last->cpu_us;
            passed = next->at_us - last->at_us;
        }
    }
    return passed > 0 ? (double)used / (double)passed : 0;
}

static void put_stats(struct watcher *watcher, struct listing *listing,
                      const struct record *record, struct json_value stats,
                      struct sample *next)
{
    uint64_t total = number(stats, "guest_total_bytes");
    uint64_t available = number(stats, "guest_available_bytes");
    uint64_t limit = number(stats, "memory_bytes");
    uint64_t used = total > available ? total - available : 0;
    uint64_t host = number(stats, "worker_bytes");
    char text[HUMAN_MAX];

    put_percent(listing, CPU, cpu_share(watcher, record, stats, next));
    if (number(stats, "guest_answered")) {
        put_pair(listing, MEMORY, used, limit);
        put_percent(listing, MEMORY_SHARE, (double)used / (double)limit);
        listing_number(listing, MEMORY_USED, used, NULL);
        listing_number(listing, PIDS, number(stats, "processes"), NULL);
        listing_number(listing, OOM_KILLS, number(stats, "oom_kills"), NULL);
    }
    listing_number(listing, MEMORY_LIMIT, limit, NULL);
    listing_number(listing, HOST_MEMORY, host, human_bytes(text, host));
    put_pair(listing, BLOCK, number(stats, "disk_read_bytes"),
             number(stats, "disk_written_bytes"));
    put_pair(listing, STREAM, number(stats, "stream_in_bytes"),
             number(stats, "stream_out_bytes"));
    listing_number(listing, CPU_TIME, number(stats, "vcpu_us"), NULL);
    listing_number(listing, WORKER_TIME, number(stats, "worker_us"), NULL);
    listing_number(listing, READ, number(stats, "disk_read_bytes"), NULL);
    listing_number(listing, WRITTEN, number(stats, "disk_written_bytes"), NULL);
    listing_number(listing, STREAM_IN, number(stats, "stream_in_bytes"), NULL);
    listing_number(listing, STREAM_OUT, number(stats, "stream_out_bytes"),
                   NULL);
}

/* True: *next was filled. */
static bool add_row(struct watcher *watcher, struct listing *listing,
                    const struct record *record, struct sample *next)
{
    char *text = NULL;
    bool lives = record_is_live(record) &&
                 control_ask_text(record, CONTROL_STATS, &text, NULL) == 0;

    /* One that ended while we asked, or does not run. */
    if (!lives && !watcher->options->all && !watcher->names[0])
        return false;
    listing_row(listing);
    listing_text(listing, ID, record->id);
    listing_text(listing, NAME, record->name);
    if (lives)
        put_stats(watcher, listing, record, json_read(text), next);
    else
        listing_text(listing, CPU, "--");
    free(text);
    return lives;
}

/* ---------------------------------------------------------- all machines -- */

/* The machines that were named, or all. */
static int find(struct watcher *watcher, struct record **ret, size_t *count,
                struct sm_error *err)
{
    size_t wanted = 0;
    int rc = 0;

    if (!watcher->names[0])
        return record_list(watcher->home, ret, count, err);
    while (watcher->names[wanted])
        wanted++;
    *count = 0;
    *ret = calloc(wanted, sizeof **ret);
    if (!*ret)
        return text_fail(err, SM_ENOMEM, "out of memory");
    for (size_t i = 0; i < wanted && !rc; i++) {
        rc = record_find(watcher->home, watcher->names[i], *ret + *count, err);
        *count += rc == 0;
    }
    if (rc)
        record_list_done(*ret, *count);
    return rc;
}

/* One table of all. */
static int round_of(struct watcher *watcher, struct listing *listing)
{
    struct record *records = NULL;
    struct sample *samples;
    struct sm_error err;
    size_t count = 0;
    size_t taken = 0;
    int rc = find(watcher, &records, &count, &err);

    if (rc) {
        complain("stats: %s", err.message);
        return 1;
    }
    samples = calloc(count + 1, sizeof *samples);
    for (size_t i = 0; samples && i < count; i++)
        taken += add_row(watcher, listing, &records[i], &samples[taken]);
    free(watcher->samples);
    watcher->samples = samples;
    watcher->sample_count = taken;
    record_list_done(records, count);
    if (isatty(STDOUT_FILENO) && !watcher->options->once)
        fputs("\033[H\033[J", stdout);
    return listing_print(listing, stdout);
}

/* True: a second has passed. False: nobody reads what we write. */
static bool wait_for_next(void)
{
    struct pollfd reader = {.fd = STDOUT_FILENO};

    return poll(&reader, 1, INTERVAL_MS) == 0;
}

static int watch(struct stats_options *options, char **names)
{
    struct watcher watcher = {.options = options, .names = names};
    struct sm_error err;
    int status = 0;

    if (cli_home(watcher.home, &err)) {
        complain("stats: %s", err.message);
        return EXIT_OURS;
    }
    options->once |= options->listing.json || options->listing.quiet;
    do {
        struct listing listing;

        if (!listing_init(&listing, "stats", columns, COLUMNS,
                          &options->listing)) {
            status = EXIT_OURS;
            break;
        }
        status = round_of(&watcher, &listing);
        listing_done(&listing);
    } while (!options->once && status == 0 && wait_for_next());
    free(watcher.samples);
    return status;
}

static int run_stats(void *values, char **words)
{
    return watch(values, words);
}

const struct verb verb_stats = {
    .name = "stats",
    .usage = "[OPTIONS] [MACHINE...]",
    .summary = "Show what machines use",
    .details =
        "Without names: of all that run. CPU % is that of one processor since "
        "the last\ntable, in the first one since the start. MEM USAGE is what "
        "the guest's kernel\ncannot give away, HOST MEM what the machine's "
        "process holds of this host's\nmemory. STREAM I/O is what commands "
        "read "
        "and wrote.",
    .options = stats_option_table,
    .option_count = sizeof stats_option_table / sizeof stats_option_table[0],
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct stats_options),
    .run = run_stats,
};
