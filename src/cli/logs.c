/* logs.c: `supermachine logs`: what a machine's command wrote. */
#include "control.h"
#include "host.h"
#include "journal.h"
#include "text.h"
#include "times.h"
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct logs_options {
    bool follow;
    bool times;
    const char *since;
    const char *until;
    const char *tail;
};

#define FIELD(name) offsetof(struct logs_options, name)

static const struct option logs_option_table[] = {
    {"follow", 'f', OPTION_FLAG, FIELD(follow), NULL,
     "go on until the machine ends"},
    {"since", 0, OPTION_STRING, FIELD(since), "TIME",
     "only what came after: 2026-11-22T10:00:00Z, or 10m for ten minutes ago"},
    {"until", 0, OPTION_STRING, FIELD(until), "TIME", "only what came before"},
    {"tail", 'n', OPTION_STRING, FIELD(tail), "N",
     "only the last N lines, or all (the default)"},
    {"timestamps", 't', OPTION_FLAG, FIELD(times), NULL,
     "the time in front of each line, that of its beginning"},
};

static bool parse_tail(const char *text, uint32_t *ret)
{
    char *end;
    unsigned long number;

    if (strcmp(text, "all") == 0)
        return true;
    if (*text < '0' || *text > '9')
        return false;
    number = strtoul(text, &end, 10);
    *ret = (uint32_t)number;
    return !*end && number < 100000000;
}

static bool make_view(const struct logs_options *options,
                      struct journal_view *view)
{
    int64_t now = record_now_ns();

    *view = (struct journal_view){.tail = UINT32_MAX, .times = options->times};
    if (options->since &&
        !times_parse_point(options->since, now, &view->since_ns)) {
        complain("logs: --since %s: a time as 2026-11-22T10:00:00Z, or a span "
                 "as 10m",
                 options->since);
        return false;
    }
    if (options->until &&
        !times_parse_point(options->until, now, &view->until_ns)) {
        complain("logs: --until %s: a time as 2026-11-22T10:00:00Z, or a span "
                 "as 10m",
                 options->until);
        return false;
    }
    if (options->tail && !parse_tail(options->tail, &view->tail)) {
        complain("logs: --tail %s: a number, or all", options->tail);
        return false;
    }
    return true;
}

/* Until the keeper says something, or is gone. False: nobody reads what we
 * write any more. */
static bool await_keeper(int keeper)
{
    struct pollfd list[2] = {
        {.fd = keeper, .events = POLLIN},
        {.fd = STDOUT_FILENO},
    };

    while (poll(list, 2, -1) < 0)
        if (errno != EINTR)
            return false;
    return !(list[1].revents & (POLLERR | POLLHUP));
}

/* Until the keeper is gone; it says when there is more. */
static void follow(FILE *from, int keeper, const struct journal_view *view,
                   struct journal_lines *lines)
{
    struct control_reader reader;
    int rc = 1;

    control_reader_init(&reader);
    while (rc == 1 && !ferror(stdout) && await_keeper(keeper)) {
        rc = control_read(&reader, keeper, true);
        if (rc == 1 && reader.header.type != CONTROL_MORE)
            rc = SM_ECLOSED;
        control_reader_done(&reader);
        journal_follow(from, view, lines);
    }
}

static int show(const struct logs_options *options, const struct record *record,
                const struct journal_view *view)
{
    struct control_message message = {0};
    struct journal_lines lines;
    int keeper = -1;
    int fd;
    FILE *from;

    if (!record->logged) {
        complain("logs: what %s writes goes where the command that runs it "
                 "has its output: only of run -d, or of a terminal, it is kept",
                 record->name);
        return 1;
    }
    fd = openat(record->folder, "log", O_RDONLY | O_CLOEXEC);
    from = fd < 0 ? NULL : fdopen(fd, "r");
    if (!from) {
        complain("logs: %s: %s", record->name, strerror(errno));
        return 1;
    }
    if (options->follow && record_is_live(record)) {
        keeper = control_connect(record, NULL);
        if (keeper >= 0)
            control_send(keeper, CONTROL_FOLLOW, &message, NULL);
    }
    journal_show(from, view, &lines);
    if (keeper >= 0) {
        follow(from, keeper, view, &lines);
        close(keeper);
    }
    fclose(from);
    return 0;
}

static int run_logs(void *values, char **words)
{
    const struct logs_options *options = values;
    struct journal_view view;
    struct record record;
    struct sm_error err;
    char home[HOME_MAX];
    int rc;

    if (!make_view(options, &view))
        return EXIT_OURS;
    rc = cli_home(home, &err);
    if (!rc)
        rc = record_find(home, words[0], &record, &err);
    if (rc) {
        complain("logs: %s", err.message);
        return 1;
    }
    rc = show(options, &record, &view);
    record_done(&record);
    return rc;
}

const struct verb verb_logs = {
    .name = "logs",
    .usage = "[OPTIONS] MACHINE",
    .summary = "Show what a machine's command wrote",
    .details =
        "What a machine of run -d wrote is kept, and what one on a terminal "
        "did.\nStandard output and standard error are kept apart.",
    .options = logs_option_table,
    .option_count = sizeof logs_option_table / sizeof logs_option_table[0],
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct logs_options),
    .least = 1,
    .most = 1,
    .ask = "one machine, no more and no less",
    .run = run_logs,
};
