/* fork.c: `supermachine fork`: more machines that go on from where one is. */
#include "host.h"
#include "json.h"
#include "labels.h"
#include "run.h"
#include "snapshots.h"
#include "text.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>

enum { FORKS_MAX = 256 };

struct fork_options {
    uint32_t count;
    const char *name;
    struct option_list labels;
    bool remove;
};

static const struct fork_options fork_defaults = {.count = 1};

static const struct option fork_option_table[] = {
    {"number", 'n', OPTION_COUNT, offsetof(struct fork_options, count), "N",
     "how many (default 1)"},
    {"name", 0, OPTION_STRING, offsetof(struct fork_options, name), "NAME",
     "what it is called; several are NAME-1, NAME-2 and so on"},
    {"label", 'l', OPTION_LIST, offsetof(struct fork_options, labels),
     "KEY=VALUE", "a word of yours, beside those that the machine has"},
    {"rm", 0, OPTION_FLAG, offsetof(struct fork_options, remove), NULL,
     "forget each when it ends"},
};

/* One keeper for each, as `run -d` has it. (all): those before (number), which
 * counts from 1, and this one's place. */
static bool begin_one(const struct fork_options *options,
                      const struct record *parent, const char *snapshot,
                      uint32_t number, struct run_begun *all)
{
    const struct run_begun *before = number > 1 ? &all[number - 2] : NULL;
    struct run_options run = run_defaults;
    char *nothing[] = {NULL};
    char *name = NULL;
    bool begun;

    if (options->name && options->count > 1 &&
        asprintf(&name, "%s-%u", options->name, number) < 0) {
        complain("fork: out of memory");
        return false;
    }
    /* The snapshot has both. */
    run.memory_bytes = run.cpus = 0;
    run.snapshot = snapshot;
    run.name = name ? name : options->name;
    run.labels = options->labels;
    run.detach = true;
    run.remove = options->remove;
    run.stop_signal = parent->stop_signal;
    run.stop_timeout_ms = parent->stop_timeout_ms;
    run.interactive = parent->open_stdin;
    begun = run_begin(&run, nothing, before, &all[number - 1]);
    free(name);
    return begun;
}

/* Side by side. One that fails leaves the others alone: they live. */
static int start_all(const struct fork_options *options,
                     const struct record *parent, const char *snapshot)
{
    struct run_begun begun[FORKS_MAX];
    uint32_t count = 0;
    int status = 0;

    while (count < options->count &&
           begin_one(options, parent, snapshot, count + 1, begun))
        count++;
    if (count < options->count)
        status = EXIT_OURS;
    for (uint32_t i = 0; i < count; i++) {
        int one = run_await(&begun[i]);

        status = status ? status : one;
    }
    return status;
}

static void drop(const char *snapshot)
{
    char *whole = snapshot_whole_name(snapshot);
    struct sm_host *host = NULL;

    if (whole && cli_host_open(&host, NULL) == 0)
        sm_store_remove(host, whole, 0, NULL, NULL, NULL);
    sm_host_free(host);
    free(whole);
}

static int fork_machine(struct fork_options *options, const char *machine)
{
    struct sm_error err = {0};
    struct record parent;
    char *snapshot = NULL;
    char *text = NULL;
    int status = EXIT_OURS;

    if (snapshot_ask(machine, NULL, SM_SNAPSHOT_TEMPORARY, &parent, &text,
                     &err) != 0) {
        complain("fork: %s", err.message);
        return EXIT_OURS;
    }
    snapshot = json_text(json_at(json_read(text), "name", 4));
    if (snapshot && labels_inherit(&options->labels, parent.labels))
        status = start_all(options, &parent, snapshot);
    else
        complain("fork: out of memory");
    /* Machines of it have its files open. */
    if (snapshot)
        drop(snapshot);
    record_done(&parent);
    free(snapshot);
    free(text);
    return status;
}

static int run_fork(void *values, char **words)
{
    struct fork_options *options = values;

    if (options->count < 1 || options->count > FORKS_MAX)
        complain("fork: -n %u: 1 to %d", options->count, FORKS_MAX);
    else if (labels_check("fork", &options->labels))
        return fork_machine(options, words[0]);
    return EXIT_OURS;
}

const struct verb verb_fork = {
    .name = "fork",
    .options_anywhere = true,
    .usage = "[OPTIONS] MACHINE",
    .summary = "Have more machines that go on from where one is now",
    .details =
        "The new machines are detached; their IDs are printed. They have "
        "memory and disk\nof their own from then on, names and random numbers "
        "of their own, and the labels\nof the machine, which itself goes on.",
    .options = fork_option_table,
    .option_count = sizeof fork_option_table / sizeof fork_option_table[0],
    .group = VERB_MACHINES,
    .values_bytes = sizeof(struct fork_options),
    .defaults = &fork_defaults,
    .least = 1,
    .most = 1,
    .ask = "which machine? One at a time",
    .run = run_fork,
};
