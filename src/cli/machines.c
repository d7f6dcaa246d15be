/* machines.c: the verbs that do one thing to each machine named: stop, kill,
 * wait, pause, unpause, rm; and rename. */
#include "control.h"
#include "events.h"
#include "host.h"
#include "text.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    GRACE_MAX_MS = 86400000,
    /* So many are stopped side by side: each takes two descriptors. */
    STOPS_MAX = 64
};

struct each_options {
    uint64_t grace_ms; /* UINT64_MAX: the machine's own */
    uint32_t signal;   /* 0: likewise                   */
    bool force;
};

#define FIELD(name) offsetof(struct each_options, name)

/* Returns 0 or SM_E*; what there is to print beside the name is its own. */
typedef int each_fn(struct record *record, const struct each_options *options,
                    struct sm_error *err);

static int not_running(const struct record *record, struct sm_error *err)
{
    return text_fail(err, SM_ESTATE, "the machine %s is not running",
                     record->name);
}

/* Asked something, it had ended, or did while it was asked. */
static bool is_gone(int rc)
{
    return rc == SM_ENOENT || rc == SM_ECLOSED;
}

/* The record of one that is_gone(), as it is now. SM_ENOENT: nobody wanted to
 * see it again. */
static int reload(struct record *record, struct sm_error *err)
{
    struct record again;
    int rc = record_find(record->home, record->id, &again, err);

    if (rc)
        return rc;
    record_done(record);
    *record = again;
    return record_is_live(record)
               ? text_fail(err, SM_ECLOSED, "the machine %s does not answer",
                           record->name)
               : 0;
}

static int kill_one(struct record *record, const struct each_options *options,
                    struct sm_error *err)
{
    char text[16];

    if (!record_is_live(record))
        return not_running(record, err);
    snprintf(text, sizeof text, "%u", options->signal);
    return control_ask(record, CONTROL_KILL, text, NULL, err);
}

static int pause_one(struct record *record, const struct each_options *options,
                     struct sm_error *err)
{
    (void)options;
    if (!record_is_live(record))
        return not_running(record, err);
    if (record->state == RECORD_PAUSED)
        return text_fail(err, SM_ESTATE, "the machine %s is paused already",
                         record->name);
    return control_ask(record, CONTROL_PAUSE, NULL, NULL, err);
}

static int unpause_one(struct record *record,
                       const struct each_options *options, struct sm_error *err)
{
    (void)options;
    if (!record_is_live(record))
        return not_running(record, err);
    if (record->state != RECORD_PAUSED)
        return text_fail(err, SM_ESTATE, "the machine %s is not paused",
                         record->name);
    return control_ask(record, CONTROL_RESUME, NULL, NULL, err);
}

static int remove_one(struct record *record, const struct each_options *options,
                      struct sm_error *err)
{
    int rc = 0;

    if (record_is_live(record) && !options->force)
        return text_fail(err, SM_EBUSY,
                         "the machine %s is running: stop it first, or force "
                         "it with -f",
                         record->name);
    if (record_is_live(record))
        rc = control_ask(record, CONTROL_STOP, "0", NULL, err);
    /* Gone in between is as good. */
    if (rc && !is_gone(rc))
        return rc;
    record_remove(record);
    events_note(record, "destroy", NULL, NULL);
    return 0;
}

static int wait_one(struct record *record, const struct each_options *options,
                    struct sm_error *err)
{
    struct sm_exit_status status;
    int rc;

    (void)options;
    if (record_is_live(record)) {
        rc = control_ask(record, CONTROL_WAIT, NULL, &status, err);
        if (!rc) {
            printf("%d\n", sm_exit_code(&status));
            return 0;
        }
        if (is_gone(rc))
            rc = reload(record, err);
        if (rc)
            return rc;
    }
    if (record->state == RECORD_DEAD)
        return text_fail(err, SM_EGUEST, "the machine %s died with its keeper",
                         record->name);
    printf("%u\n", record->exit_code);
    return 0;
}

static int for_each(const struct verb *verb, const char *home, char **names,
                    each_fn *call, const struct each_options *options)
{
    struct sm_error err;
    int status = 0;

    for (; *names; names++) {
        struct record record;
        int rc = record_find(home, *names, &record, &err);

        if (rc == SM_ENOENT && options->force)
            continue; /* rm -f of nothing */
        if (!rc) {
            rc = call(&record, options, &err);
            record_done(&record);
        }
        if (rc) {
            complain("%s: %s", verb->name, err.message);
            status = 1;
        } else if (verb != &verb_wait) {
            printf("%s\n", *names);
        }
    }
    return status;
}

/* Whether the machines called (names) can be looked for, in (home). */
static bool begin(const struct verb *verb, char **names, char home[HOME_MAX])
{
    struct sm_error err;

    if (!names[0]) {
        complain("%s: which machine? see supermachine ps", verb->name);
        return false;
    }
    if (cli_home(home, &err)) {
        complain("%s: %s", verb->name, err.message);
        return false;
    }
    return true;
}

static int run_each(const struct verb *verb, void *values, char **words,
                    each_fn *call)
{
    char home[HOME_MAX];

    return begin(verb, words, home) ? for_each(verb, home, words, call, values)
                                    : EXIT_OURS;
}

/* -------------------------------------------------------------- stopping -- */

/* A machine that is asked to end. */
struct stopping {
    const char *name; /* as the user calls it */
    struct record record;
    bool found; /* the record is there */
    int keeper; /* who says when it has ended, or less than 0: nobody does */
    int rc;
    struct sm_error err;
};

static void stop_begin(struct stopping *one, const char *home, const char *name,
                       const struct each_options *options)
{
    struct control_message message = {0};

    *one = (struct stopping){.name = name, .keeper = -1};
    one->rc = record_find(home, name, &one->record, &one->err);
    one->found = !one->rc;
    /* One that has ended is as was asked for. */
    if (!one->found || !record_is_live(&one->record))
        return;
    control_put(&message, "%lld", (long long)options->grace_ms);
    if (options->signal)
        control_put(&message, "%u", options->signal);
    one->keeper =
        control_ask_begin(&one->record, CONTROL_STOP, &message, &one->err);
    if (one->keeper < 0)
        one->rc = one->keeper;
}

/* Wait for its end. Returns the exit status. */
static int stop_end(struct stopping *one)
{
    int rc = one->rc;

    if (one->keeper >= 0)
        rc = control_ask_end(&one->record, one->keeper, NULL, &one->err);
    if (one->found && is_gone(rc))
        rc = reload(&one->record, &one->err);
    /* One that nobody wanted to see again is gone: as good. */
    if (one->found && rc == SM_ENOENT)
        rc = 0;
    if (one->found)
        record_done(&one->record);
    if (rc)
        complain("stop: %s", one->err.message);
    else
        printf("%s\n", one->name);
    return rc ? 1 : 0;
}

/* Side by side; what became of them is told in the order of (names). */
static int stop_all(const char *home, char **names,
                    const struct each_options *options)
{
    struct stopping *list = calloc(STOPS_MAX, sizeof *list);
    size_t begun = 0;
    size_t ended = 0;
    int status = 0;

    if (!list) {
        complain("stop: out of memory");
        return EXIT_OURS;
    }
    while (names[ended]) {
        if (names[begun] && begun - ended < STOPS_MAX) {
            stop_begin(&list[begun % STOPS_MAX], home, names[begun], options);
            begun++;
        } else {
            status |= stop_end(&list[ended % STOPS_MAX]);
            ended++;
        }
    }
    free(list);
    return status;
}

static int run_stop(void *values, char **words)
{
    const struct each_options *options = values;
    char home[HOME_MAX];

    if (options->grace_ms > GRACE_MAX_MS && options->grace_ms != UINT64_MAX) {
        complain("stop: --time: at most a day");
        return EXIT_OURS;
    }
    return begin(&verb_stop, words, home) ? stop_all(home, words, options)
                                          : EXIT_OURS;
}

/* ------------------------------------------------------------- the verbs -- */

static int run_kill(void *values, char **words)
{
    return run_each(&verb_kill, values, words, kill_one);
}

static int run_pause(void *values, char **words)
{
    return run_each(&verb_pause, values, words, pause_one);
}

static int run_unpause(void *values, char **words)
{
    return run_each(&verb_unpause, values, words, unpause_one);
}

static int run_rm(void *values, char **words)
{
    return run_each(&verb_rm, values, words, remove_one);
}

static int run_wait(void *values, char **words)
{
    return run_each(&verb_wait, values, words, wait_one);
}

static int rename_record(struct record *record, const char *to,
                         struct sm_error *err)
{
    int rc = record_rename(record, to, err);

    if (!rc)
        events_note(record, "rename", NULL, NULL);
    return rc;
}

static int rename_machine(const char *from, const char *to,
                          struct sm_error *err)
{
    struct record record;
    char home[HOME_MAX];
    int rc = cli_home(home, err);

    if (!rc)
        rc = record_find(home, from, &record, err);
    if (rc)
        return rc;
    /* The record of a machine that lives is its keeper's to write. */
    rc = record_is_live(&record)
             ? control_ask(&record, CONTROL_RENAME, to, NULL, err)
             : rename_record(&record, to, err);
    record_done(&record);
    return rc;
}

static int run_rename(void *values, char **words)
{
    struct sm_error err;

    (void)values;
    if (rename_machine(words[0], words[1], &err) == 0)
        return 0;
    complain("rename: %s", err.message);
    return 1;
}

static const struct each_options stop_defaults = {.grace_ms = UINT64_MAX};
static const struct each_options kill_defaults = {.signal = 9};

static const struct option stop_options[] = {
    {"signal", 's', OPTION_SIGNAL, FIELD(signal), "SIGNAL",
     "what asks the command to end, as TERM or 15 (default: what run "
     "--stop-signal said, or TERM)"},
    {"time", 't', OPTION_TIME, FIELD(grace_ms), "TIME",
     "how long the command may take before it is killed: 10 or 1m30s (default: "
     "what run --stop-timeout said, or 10)"},
};

static const struct option kill_options[] = {
    {"signal", 's', OPTION_SIGNAL, FIELD(signal), "SIGNAL",
     "what is sent to the command, as TERM or 15 (default KILL)"},
};

static const struct option rm_options[] = {
    {"force", 'f', OPTION_FLAG, FIELD(force), NULL,
     "kill it if it runs; no complaint if there is none"},
};

const struct verb verb_stop = {
    .name = "stop",
    .usage = "[OPTIONS] MACHINE...",
    .summary = "Ask machines to end, then make them",
    .options = stop_options,
    .option_count = sizeof stop_options / sizeof stop_options[0],
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct each_options),
    .defaults = &stop_defaults,
    .run = run_stop,
};

const struct verb verb_kill = {
    .name = "kill",
    .usage = "[OPTIONS] MACHINE...",
    .summary = "Send a signal to machines' commands",
    .options = kill_options,
    .option_count = 1,
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct each_options),
    .defaults = &kill_defaults,
    .run = run_kill,
};

const struct verb verb_pause = {
    .name = "pause",
    .usage = "MACHINE...",
    .summary = "Have machines stand still",
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct each_options),
    .run = run_pause,
};

const struct verb verb_unpause = {
    .name = "unpause",
    .usage = "MACHINE...",
    .summary = "Let paused machines go on",
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct each_options),
    .run = run_unpause,
};

const struct verb verb_rm = {
    .name = "rm",
    .usage = "[OPTIONS] MACHINE...",
    .summary = "Forget machines that have ended",
    .options = rm_options,
    .option_count = 1,
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct each_options),
    .run = run_rm,
};

const struct verb verb_wait = {
    .name = "wait",
    .usage = "MACHINE...",
    .summary = "Wait for machines to end, and print their exit statuses",
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct each_options),
    .run = run_wait,
};

const struct verb verb_rename = {
    .name = "rename",
    .usage = "MACHINE NAME",
    .summary = "Give a machine another name",
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .least = 2,
    .most = 2,
    .ask = "a machine and its new name, no more and no less",
    .run = run_rename,
};
