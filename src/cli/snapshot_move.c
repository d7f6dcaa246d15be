/* snapshot_move.c: `supermachine snapshot export`, `import`, `push` and `pull`:
 * snapshots on their way from here to there. */
#include "change.h"
#include "host.h"
#include "image.h"
#include "load.h"
#include "save.h"
#include "snapshots.h"
#include "text.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>

/* -------------------------------------------------------------- export -- */

struct export_options {
    const char *output;
};

static const struct option export_option_table[] = {
    {"output", 'o', OPTION_STRING, offsetof(struct export_options, output),
     "FILE", "write this, not standard output"},
};

static int export_one(const char *name, const char *output)
{
    char *whole = snapshot_whole_name(name);
    const char *const names[] = {whole, NULL};
    int status;

    if (!whole)
        return EXIT_OURS;
    /* What was in the machine's memory is for nobody else to read. */
    status = cli_save(&(struct save_request){.verb = "snapshot export",
                                             .names = names,
                                             .output = output,
                                             .mode = 0600});
    free(whole);
    return status;
}

static int run_export(void *values, char **words)
{
    const struct export_options *options = values;

    return export_one(words[0], options->output);
}

const struct verb verb_snapshot_export = {
    .name = "snapshot export",
    .options_anywhere = true,
    .usage = "[OPTIONS] SNAPSHOT",
    .summary = "Write a snapshot as an archive, for another computer",
    .details = "An OCI archive that holds all of it, compressed. Who can read "
               "it can read what\nwas in the machine's memory.",
    .options = export_option_table,
    .option_count = sizeof export_option_table / sizeof export_option_table[0],
    .values_bytes = sizeof(struct export_options),
    .least = 1,
    .most = 1,
    .ask = "which one? One at a time",
    .run = run_export,
};

/* -------------------------------------------------------------- import -- */

struct import_options {
    const char *input;
};

static const struct option import_option_table[] = {
    {"input", 'i', OPTION_STRING, offsetof(struct import_options, input),
     "FILE", "read this, not standard input"},
};

static int run_import(void *values, char **words)
{
    const struct import_options *options = values;
    char *whole = snapshot_whole_name(words[0] ? words[0] : "");
    int status;

    if (!whole)
        return EXIT_OURS;
    status = cli_load(&(struct load_request){
        .verb = "snapshot import", .input = options->input, .name = whole});
    free(whole);
    return status;
}

const struct verb verb_snapshot_import = {
    .name = "snapshot import",
    .options_anywhere = true,
    .usage = "[OPTIONS] [NAME]",
    .summary = "Take a snapshot in that was exported",
    .details = "Without NAME it is called as it was where it comes from. Its "
               "name is printed. Run\nonly what comes from somebody whom you "
               "would let run a program in a machine.",
    .options = import_option_table,
    .option_count = sizeof import_option_table / sizeof import_option_table[0],
    .values_bytes = sizeof(struct import_options),
    .most = 1,
    .ask = "one at a time",
    .run = run_import,
};

/* ------------------------------------------------------- push and pull -- */

struct move_options {
    struct image_options image;
};

static const struct option move_option_table[] = {
    {"insecure", 0, OPTION_LIST, offsetof(struct move_options, image.insecure),
     "REGISTRY", "its certificate is not checked, plain HTTP will do"},
    {"quiet", 'q', OPTION_FLAG, offsetof(struct move_options, image.quiet),
     NULL, "no progress"},
};

enum { MOVE_OPTIONS = sizeof move_option_table / sizeof move_option_table[0] };

/* After the progress: it would be erased with that. */
static void print_loaded(const char *name)
{
    struct change_sum sum = {0};

    change_print(&sum, &(struct sm_store_change){
                           .kind = SM_STORE_LOADED, .what = name, .why = ""});
}

/* Either of them may be the registry's. */
static int copy(const struct verb *verb, const struct image_options *options,
                const char *from, const char *to)
{
    struct cli_telling telling;
    struct sm_host *host = NULL;
    struct sm_error err = {0};
    char *loaded = NULL;
    int rc = cli_host_open(&host, &err);

    if (!rc) {
        cli_telling_init(&telling, options);
        rc = sm_store_copy(host, from, to, &telling.config, &err);
        loaded = telling.loaded;
        cli_telling_done(&telling);
    }
    sm_host_free(host);
    if (rc)
        complain("%s: %s", verb->name, err.message);
    else if (loaded)
        print_loaded(loaded);
    free(loaded);
    return rc ? EXIT_OURS : 0;
}

static int move(const struct verb *verb, const struct image_options *options,
                const char *snapshot, const char *reference)
{
    char *whole = snapshot_whole_name(snapshot);
    char *target = NULL;
    int status = EXIT_OURS;

    if (asprintf(&target, "docker://%s", reference) < 0) {
        target = NULL;
        complain("%s: out of memory", verb->name);
    }
    if (whole && target)
        status = verb == &verb_snapshot_push
                     ? copy(verb, options, whole, target)
                     : copy(verb, options, target, whole);
    free(whole);
    free(target);
    return status;
}

static int run_push(void *values, char **words)
{
    const struct move_options *options = values;

    return move(&verb_snapshot_push, &options->image, words[0], words[1]);
}

static int run_pull(void *values, char **words)
{
    const struct move_options *options = values;

    return move(&verb_snapshot_pull, &options->image, words[1] ? words[1] : "",
                words[0]);
}

const struct verb verb_snapshot_push = {
    .name = "snapshot push",
    .options_anywhere = true,
    .usage = "[OPTIONS] SNAPSHOT REFERENCE",
    .summary = "Put a snapshot into a registry",
    .details = "REFERENCE is REGISTRY/NAME[:TAG]. What the registry has is not "
               "sent again.",
    .options = move_option_table,
    .option_count = MOVE_OPTIONS,
    .values_bytes = sizeof(struct move_options),
    .least = 2,
    .most = 2,
    .ask = "which snapshot, and where to?",
    .run = run_push,
};

const struct verb verb_snapshot_pull = {
    .name = "snapshot pull",
    .options_anywhere = true,
    .usage = "[OPTIONS] REFERENCE [NAME]",
    .summary = "Get a snapshot from a registry",
    .details = "Without NAME it is called as it was where it comes from. Its "
               "name is printed.",
    .options = move_option_table,
    .option_count = MOVE_OPTIONS,
    .values_bytes = sizeof(struct move_options),
    .least = 1,
    .most = 2,
    .ask = "from where? One at a time",
    .run = run_pull,
};
