/* machines.c: the verbs that do one thing to each machine named: stop, kill,
 * wait, pause, unpause, rm; and rename. */
#include "control.h"
#include "events.h"
#include "host.h"
#include "text.h"
#include "verbs.h"

#include <stdio.h>

enum { GRACE_MAX_MS = 86400000 };

struct each_options {
    uint64_t grace_ms; /* UINT64_MAX: the machine's own */
    uint32_t signal;
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

/* Ask one that may end while we do. 0 and *record as it is afterwards; 1: it
 * answered. */
static int ask_or_reload(struct record *record, enum control_type type,
                         const char *text, struct sm_exit_status *status,
                         struct sm_error *err)
{
    struct record again;
    int rc = control_ask(record, type, text, status, err);

    if (rc == 0)
        return 1;
    if (rc != SM_ENOENT && rc != SM_ECLOSED)
        return rc;
    rc = record_find(record->home, record->id, &again, err);
    if (rc)
        return rc;
    record_done(record);
    *record = again;
    return record_is_live(record)
               ? text_fail(err, SM_ECLOSED, "the machine %s does not answer",
                           record->name)
               : 0;
}

static int stop_one(struct record *record, const struct each_options *options,
                    struct sm_error *err)
{
    char text[32];
    int rc;

    if (!record_is_live(record))
        return 0; /* as was asked for */
    snprintf(text, sizeof text, "%lld", (long long)options->grace_ms);
    rc = ask_or_reload(record, CONTROL_STOP, text, NULL, err);
    /* One that nobody wanted to see again is gone: as good. */
    return rc == 1 || rc == SM_ENOENT ? 0 : rc;
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
    if (rc && rc != SM_ENOENT && rc != SM_ECLOSED)
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
        rc = ask_or_reload(record, CONTROL_WAIT, NULL, &status, err);
        if (rc == 1)
            printf("%d\n", sm_exit_code(&status));
        if (rc)
            return rc == 1 ? 0 : rc;
    }
    if (record->state == RECORD_DEAD)
        return text_fail(err, SM_EGUEST, "the machine %s died with its keeper",
                         record->name);
    printf("%u\n", record->exit_code);
    return 0;
}

static int for_each(const struct verb *verb, char **names, each_fn *call,
                    const struct each_options *options)
{
    struct sm_error err;
    char home[HOME_MAX];
    int status = 0;

    if (!names[0]) {
        complain("%s: which machine? see supermachine ps", verb->name);
        return EXIT_OURS;
    }
    if (cli_home(home, &err)) {
        complain("%s: %s", verb->name, err.message);
        return EXIT_OURS;
    }
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

static const struct each_options each_defaults = {.grace_ms = UINT64_MAX,
                                                  .signal = 9};

static int run_each(const struct verb *verb, void *values, char **words,
                    each_fn *call)
{
    const struct each_options *options = values;

    if (options->grace_ms <= GRACE_MAX_MS || options->grace_ms == UINT64_MAX)
        return for_each(verb, words, call, options);
    complain("%s: --time: at most a day", verb->name);
    return EXIT_OURS;
}

static int run_stop(void *values, char **words)
{
    return run_each(&verb_stop, values, words, stop_one);
}

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

static const struct option stop_options[] = {
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
    .option_count = 1,
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct each_options),
    .defaults = &each_defaults,
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
    .defaults = &each_defaults,
    .run = run_kill,
};

const struct verb verb_pause = {
    .name = "pause",
    .usage = "MACHINE...",
    .summary = "Have machines stand still",
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct each_options),
    .defaults = &each_defaults,
    .run = run_pause,
};

const struct verb verb_unpause = {
    .name = "unpause",
    .usage = "MACHINE...",
    .summary = "Let paused machines go on",
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct each_options),
    .defaults = &each_defaults,
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
    .defaults = &each_defaults,
    .run = run_rm,
};

const struct verb verb_wait = {
    .name = "wait",
    .usage = "MACHINE...",
    .summary = "Wait for machines to end, and print their exit statuses",
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct each_options),
    .defaults = &each_defaults,
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
