/* snapshot.c: `supermachine snapshot`: machines are kept, listed and removed.
 */
#include "control.h"
#include "created.h"
#include "host.h"
#include "human.h"
#include "inspect.h"
#include "json.h"
#include "snapshots.h"
#include "text.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *snapshot_whole_name(const char *name)
{
    char *whole;

    if (asprintf(&whole, "snapshot:%s", name) >= 0)
        return whole;
    complain("snapshot: out of memory");
    return NULL;
}

/* -------------------------------------------------------------- create -- */

int snapshot_ask(const char *word, const char *name, unsigned flags,
                 struct record *record, char **ret, struct sm_error *err)
{
    struct control_message message = {0};
    char home[HOME_MAX];
    int rc = cli_home(home, err);

    if (!rc)
        rc = record_find(home, word, record, err);
    if (rc)
        return rc;
    if (!record_is_live(record)) {
        rc = text_fail(err, SM_ESTATE, "the machine %s is not running",
                       record->name);
    } else {
        control_put(&message, "%s", name ? name : "");
        control_put(&message, "%u", flags);
        rc = control_ask_with(record, CONTROL_SNAPSHOT, &message, ret, err);
    }
    if (rc)
        record_done(record);
    return rc;
}

struct create_options {
    bool full;
    bool replace;
    bool cost;
};

static const struct option create_option_table[] = {
    {"full", 0, OPTION_FLAG, offsetof(struct create_options, full), NULL,
     "with all of its memory: shares nothing with others"},
    {"replace", 0, OPTION_FLAG, offsetof(struct create_options, replace), NULL,
     "one that has the name goes, in the same step"},
    {"cost", 0, OPTION_FLAG, offsetof(struct create_options, cost), NULL,
     "print what it cost, as JSON, on standard error"},
};

static int create(const struct create_options *options, const char *name,
                  const char *machine)
{
    unsigned flags = (options->full ? SM_SNAPSHOT_FULL : 0) |
                     (options->replace ? SM_SNAPSHOT_REPLACE : 0);
    struct sm_error err = {0};
    struct record record;
    char *text = NULL;

    if (snapshot_ask(machine, name, flags, &record, &text, &err) != 0) {
        complain("snapshot create: %s", err.message);
        return EXIT_OURS;
    }
    record_done(&record);
    if (options->cost)
        fprintf(stderr, "%s\n", text);
    printf("%s\n", name);
    free(text);
    return 0;
}

static int run_create(void *values, char **words)
{
    return create(values, words[0], words[1]);
}

const struct verb verb_snapshot_create = {
    .name = "snapshot create",
    .options_anywhere = true,
    .usage = "[OPTIONS] NAME MACHINE",
    .summary = "Keep a running machine as it is now; it goes on",
    .details = "The machine stands still for some milliseconds, and answers "
               "while the rest is\nwritten. NAME is letters, digits, \"_\", "
               "\".\" and \"-\". Everything that the machine\nhas in its "
               "memory is in the snapshot, passwords and keys too.",
    .options = create_option_table,
    .option_count = sizeof create_option_table / sizeof create_option_table[0],
    .values_bytes = sizeof(struct create_options),
    .least = 2,
    .most = 2,
    .ask = "a name and a machine, please",
    .run = run_create,
};

/* ------------------------------------------------------------------ ls -- */

struct ls_options {
    struct listing_options listing;
};

static const struct option ls_option_table[] = {
    LISTING_OPTION_ROWS(ls_options, listing),
};

enum {
    NAME,
    IMAGE,
    COMMAND,
    CREATED,
    MEMORY,
    CPUS,
    OWN,
    SHARED,
    CREATED_AT,
    DETAILS
};

static const struct listing_column columns[] = {
    [NAME] = {"Name", "NAME", LISTING_KEY, 0},
    [IMAGE] = {"Image", "IMAGE", 0, 32},
    [COMMAND] = {"Command", "COMMAND", 0, 24},
    [CREATED] = {"CreatedSince", "CREATED", 0, 0},
    [MEMORY] = {"Memory", "MEMORY", LISTING_RIGHT, 0},
    [CPUS] = {"Cpus", "CPUS", LISTING_RIGHT, 0},
    [OWN] = {"Size", "SIZE", LISTING_RIGHT, 0},
    [SHARED] = {"SharedSize", "SHARED", LISTING_RIGHT, 0},
    [CREATED_AT] = {"CreatedAt", NULL, 0, 0},
    [DETAILS] = {"Details", NULL, 0, 0},
};

static void on_snapshot(void *context,
                        const struct sm_stored_snapshot *snapshot)
{
    struct listing *listing = context;
    char bytes[HUMAN_MAX];

    listing_row(listing);
    listing_text(listing, NAME, snapshot->name);
    listing_text(listing, IMAGE, snapshot->image);
    listing_text(listing, COMMAND,
                 snapshot->command[0] ? snapshot->command : "-");
    created_put(listing, CREATED, CREATED_AT, snapshot->created_s);
    listing_number(listing, MEMORY, snapshot->memory_bytes,
                   human_bytes(bytes, snapshot->memory_bytes));
    listing_number(listing, CPUS, snapshot->vcpus, NULL);
    listing_number(listing, OWN, snapshot->own_bytes,
                   human_bytes(bytes, snapshot->own_bytes));
    listing_number(listing, SHARED, snapshot->shared_bytes,
                   human_bytes(bytes, snapshot->shared_bytes));
    listing_json(listing, DETAILS, snapshot->json, NULL);
}

static int list_snapshots(struct listing *listing)
{
    struct sm_host *host = NULL;
    struct sm_error err = {0};
    int rc = cli_host_open(&host, &err);

    if (!rc)
        rc = sm_snapshot_list(host, on_snapshot, listing, &err);
    sm_host_free(host);
    if (!rc)
        return listing_print(listing, stdout);
    complain("snapshot ls: %s", err.message);
    return EXIT_OURS;
}

static int run_ls(void *values, char **words)
{
    const struct ls_options *options = values;
    struct listing listing;
    int status;

    (void)words;
    if (!listing_init(&listing, "snapshot ls", columns,
                      sizeof columns / sizeof columns[0], &options->listing))
        return EXIT_OURS;
    status = list_snapshots(&listing);
    listing_done(&listing);
    return status;
}

const struct verb verb_snapshot_ls = {
    .name = "snapshot ls",
    .options_anywhere = true,
    .usage = "[OPTIONS]",
    .summary = "List the snapshots that are kept",
    .details = "SIZE is what would become free on the disk without the "
               "snapshot, SHARED what its\nfiles take up that others have as "
               "well: templates, images, other snapshots.",
    .options = ls_option_table,
    .option_count = sizeof ls_option_table / sizeof ls_option_table[0],
    .values_bytes = sizeof(struct ls_options),
    .ask = "takes no arguments",
    .run = run_ls,
};

/* ------------------------------------------------------------------ rm -- */

/* Each for itself: one that fails does not keep the others. */
static int remove_all(char *const *names)
{
    struct sm_host *host = NULL;
    struct sm_error err = {0};
    int status = 0;

    if (cli_host_open(&host, &err) != 0) {
        complain("snapshot rm: %s", err.message);
        return EXIT_OURS;
    }
    for (; *names; names++) {
        char *whole = snapshot_whole_name(*names);

        if (whole && sm_store_remove(host, whole, 0, NULL, NULL, &err) == 0) {
            printf("%s\n", *names);
        } else {
            status = EXIT_OURS;
            if (whole)
                complain("snapshot rm: %s", err.message);
        }
        free(whole);
    }
    sm_host_free(host);
    return status;
}

static int run_rm(void *values, char **words)
{
    (void)values;
    return remove_all(words);
}

const struct verb verb_snapshot_rm = {
    .name = "snapshot rm",
    .options_anywhere = true,
    .usage = "SNAPSHOT...",
    .summary = "Remove snapshots",
    .details = "Machines that came out of one go on.",
    .least = 1,
    .most = UINT_MAX,
    .ask = "which one? supermachine snapshot ls lists them",
    .run = run_rm,
};

/* ------------------------------------------------------------- inspect -- */

struct inspect_options {
    const char *format;
};

static const struct option inspect_option_table[] = {
    {"format", 'f', OPTION_STRING, offsetof(struct inspect_options, format),
     "TEMPLATE", "a line for each: {{.manifest.machine.vcpus}}, or json"},
};

static int run_inspect(void *values, char **words)
{
    const struct inspect_options *options = values;

    return inspect_snapshots("snapshot inspect", options->format, words);
}

const struct verb verb_snapshot_inspect = {
    .name = "snapshot inspect",
    .options_anywhere = true,
    .usage = "[OPTIONS] SNAPSHOT...",
    .summary = "Show what is known of snapshots, as JSON",
    .options = inspect_option_table,
    .option_count =
        sizeof inspect_option_table / sizeof inspect_option_table[0],
    .values_bytes = sizeof(struct inspect_options),
    .least = 1,
    .most = UINT_MAX,
    .ask = "which one? supermachine snapshot ls lists them",
    .run = run_inspect,
};

/* ----------------------------------------------------------------- all -- */

static const struct verb *const seconds[] = {
    &verb_snapshot_create,  &verb_snapshot_ls,     &verb_snapshot_rm,
    &verb_snapshot_inspect, &verb_snapshot_export, &verb_snapshot_import,
    &verb_snapshot_push,    &verb_snapshot_pull,   NULL,
};

static const struct verb_example examples[] = {
    {"Warm a machine up once, and have many that go on from there",
     "supermachine run -d --name warm app:1 && supermachine snapshot create "
     "ready warm && supermachine run --snapshot ready"},
    {"Take a machine to another computer",
     "supermachine snapshot export ready | ssh other supermachine snapshot "
     "import"},
};

const struct verb verb_snapshot = {
    .name = "snapshot",
    .usage = "COMMAND [OPTIONS] [ARG...]",
    .summary = "Keep machines as they are now, and all that is done with these",
    .details = "A snapshot is a machine at one instant: memory, processors and "
               "disk. Machines of\nit (supermachine run --snapshot) go on from "
               "there.",
    .examples = examples,
    .example_count = sizeof examples / sizeof examples[0],
    .group = VERB_MACHINES,
    .seconds = seconds,
};
