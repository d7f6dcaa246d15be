/* snapshot.c: machines are kept, go on from there, and are forked. */
#include "api/inside.h"

#include "base/bytes.h"
#include "base/own.h"
#include "machine/snapshots.h"
#include "platform/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAPTURE_TIMEOUT_MS = 30000, FORKS_MAX = 256 };

#define FLAGS_KNOWN                                                            \
    (SM_SNAPSHOT_FULL | SM_SNAPSHOT_REPLACE | SM_SNAPSHOT_TEMPORARY |          \
     SM_SNAPSHOT_NOWAIT)

/* A snapshot that is being made, until somebody hears what became of it. */
struct keeping {
    char *name; /* NULL: it is temporary */
    uint32_t flags;
    uint64_t begun_ns;
    struct shelf_folder *folder;
    struct shelf_snapshot snapshot; /* the machine fills it in */
};

void sm_snapshot_config_init(struct sm_snapshot_config *config)
{
    *config = (struct sm_snapshot_config){.size = sizeof *config};
}

/* ---- capturing ---- */

static bool copy_strings(struct image_strings *to,
                         const struct image_strings *from)
{
    for (uint32_t i = 0; i < from->count; i++)
        if (!image_strings_add(to, from->items[i]))
            return false;
    return true;
}

static bool copy_defaults(struct image_config *to,
                          const struct image_config *from)
{
    to->workdir = strdup(from->workdir ? from->workdir : "");
    to->user = strdup(from->user ? from->user : "");
    to->stop_signal = strdup(from->stop_signal ? from->stop_signal : "");
    to->healthcheck = strdup(from->healthcheck ? from->healthcheck : "");
    return to->workdir && to->user && to->stop_signal && to->healthcheck &&
           copy_strings(&to->entrypoint, &from->entrypoint) &&
           copy_strings(&to->cmd, &from->cmd) &&
           copy_strings(&to->env, &from->env) &&
           copy_strings(&to->volumes, &from->volumes) &&
           copy_strings(&to->ports, &from->ports) &&
           copy_strings(&to->labels, &from->labels);
}

/* A machine of a snapshot has kernel and agent of that in its memory. */
static bool copy_origin(struct snapshot_origin *to,
                        const struct shelf_snapshot *snapshot)
{
    const struct snapshot_origin *from = &snapshot->manifest.origin;

    to->own_kernel = from->own_kernel;
    to->programs = strdup(from->programs ? from->programs : "");
    to->kernel_digest = strdup(from->kernel_digest ? from->kernel_digest : "");
    to->agent_digest = strdup(from->agent_digest ? from->agent_digest : "");
    return to->programs && to->kernel_digest && to->agent_digest;
}

/* What this floor knows; machine_capture() knows the rest. */
static int describe(const struct sm_machine *machine,
                    struct snapshot_manifest *to, struct sm_error *err)
{
    to->created_s = clock_wall_ns() / NS_PER_S;
    to->image = strdup(machine->image_name);
    to->image_digest = strdup(machine->image);
    to->parent = strdup(machine->parent);
    if (asprintf(&to->writer, "supermachine %s", sm_version()) < 0)
        to->writer = NULL;
    memcpy(to->limits, machine->limits,
           machine->limit_count * sizeof *machine->limits);
    to->limit_count = machine->limit_count;
    to->processes_max = machine_config(machine->machine)->processes_max;
    if (!to->image || !to->image_digest || !to->parent || !to->writer ||
        (machine->snapshot && !copy_origin(&to->origin, machine->snapshot)) ||
        !copy_defaults(&to->defaults, &machine->defaults) ||
        !copy_strings(&to->labels, &machine->labels))
        return fail(err, SM_ENOMEM, "snapshot: out of memory");
    return snapshots_architecture(&to->origin.architecture, err);
}

/* ---- keeping ---- */

static int keep_size(void *context, const struct shelf_item *item,
                     struct sm_error *err)
{
    uint64_t *bytes = context;

    (void)err;
    *bytes = item->own_bytes;
    return 0;
}

/* Out of the files that were captured a snapshot of that name. */
static int put_on_shelf(const char *home, struct keeping *keeping,
                        struct sm_snapshot_info *info, struct sm_error *err)
{
    struct shelf_snapshot *snapshot = &keeping->snapshot;
    const struct shelf_finish finish = {
        .name = keeping->name,
        .replace = (keeping->flags & SM_SNAPSHOT_REPLACE) != 0,
    };
    int rc = 0;

    for (unsigned file = 0; file < SNAPSHOT_FILES && !rc; file++)
        if (snapshot->fds[file] >= 0)
            rc = shelf_add(keeping->folder, file, snapshot->fds[file], err);
    if (!rc)
        rc = shelf_finish(keeping->folder, &snapshot->manifest, &finish,
                          info->name, err);
    /* Somebody may have removed it already; and nobody asks of one that will
     * not last. */
    if (!rc && keeping->name)
        shelf_look(home, info->name, keep_size, &info->bytes, NULL);
    return rc;
}

static int check_snapshot_config(const struct sm_snapshot_config *config,
                                 struct sm_error *err)
{
    bool temporary = (config->flags & SM_SNAPSHOT_TEMPORARY) != 0;

    if (config->flags & ~FLAGS_KNOWN)
        return fail(err, SM_EINVAL,
                    "sm_snapshot_create: flags 0x%x: may be "
                    "0x%x",
                    config->flags, FLAGS_KNOWN);
    if (!config->name == !temporary)
        return fail(err, SM_EINVAL,
                    "sm_snapshot_create: a snapshot has a name, unless it is "
                    "temporary");
    return temporary ? 0 : shelf_check_name(config->name, err);
}

void keeping_free(struct keeping *keeping)
{
    if (!keeping)
        return;
    shelf_free(keeping->folder);
    shelf_snapshot_done(&keeping->snapshot);
    free(keeping->name);
    free(keeping);
}

static int keeping_new(const char *home,
                       const struct sm_snapshot_config *config,
                       struct keeping **ret, struct sm_error *err)
{
    struct keeping *keeping = calloc(1, sizeof *keeping);
    int rc;

    if (!keeping)
        return fail(err, SM_ENOMEM, "snapshot: out of memory");
    keeping->begun_ns = clock_monotonic_ns();
    keeping->flags = config->flags;
    shelf_snapshot_init(&keeping->snapshot);
    if (config->name)
        keeping->name = strdup(config->name);
    rc = config->name && !keeping->name
             ? fail(err, SM_ENOMEM, "snapshot: out of memory")
             : shelf_begin(home, &keeping->folder, err);
    if (rc)
        keeping_free(keeping);
    else
        *ret = keeping;
    return rc;
}

static int begin(struct sm_machine *machine,
                 const struct sm_snapshot_config *config, struct sm_error *err)
{
    const struct machine_capture wanted = {
        .full = (config->flags & SM_SNAPSHOT_FULL) != 0,
        .durable = config->name != NULL,
        .program = config->command ? program_of(config->command) : NULL,
        .timeout_ms =
            config->timeout_ms ? config->timeout_ms : CAPTURE_TIMEOUT_MS,
    };
    const char *home = machine->host->home;
    struct keeping *keeping = NULL;
    int rc = 0;

    if (config->command && config->command->machine != machine)
        return fail(err, SM_EINVAL,
                    "sm_snapshot_create: the command is another machine's");
    /* shelf_finish() sees to it; here it costs the machine no pause. */
    if (config->name && !(config->flags & SM_SNAPSHOT_REPLACE) &&
        shelf_has(home, config->name))
        rc = fail(err, SM_EEXIST,
                  "snapshot %s: there is one of that name: remove it, or have "
                  "it replaced",
                  config->name);
    if (!rc)
        rc = keeping_new(home, config, &keeping, err);
    if (rc)
        return rc;
    rc = describe(machine, &keeping->snapshot.manifest, err);
    if (!rc)
        rc = machine_capture_begin(machine->machine, &wanted,
                                   &keeping->snapshot, err);
    if (rc)
        keeping_free(keeping);
    else
        machine->keeping = keeping;
    return rc;
}

/* All is written, or it failed. */
static int finish(struct sm_machine *machine, struct keeping *keeping,
                  struct sm_snapshot_info *info, struct sm_error *err)
{
    struct machine_paths paths = host_paths(machine->host);
    struct machine_captured figures;
    int rc = machine_capture_end(machine->machine, &figures, err);

    if (!rc && keeping->name)
        rc = snapshots_note_digests(&paths,
                                    machine_config(machine->machine)->kernel,
                                    &keeping->snapshot.manifest.origin, err);
    if (!rc)
        rc = put_on_shelf(machine->host->home, keeping, info, err);
    info->paused_ns = figures.still_ns;
    info->duration_ns = clock_monotonic_ns() - keeping->begun_ns;
    return rc;
}

static bool is_same(const struct keeping *keeping,
                    const struct sm_snapshot_config *config)
{
    return !((keeping->flags ^ config->flags) & ~SM_SNAPSHOT_NOWAIT) &&
           (!config->name || strcmp(keeping->name, config->name) == 0);
}

/* 1: it goes on. */
static int keep(struct sm_machine *machine,
                const struct sm_snapshot_config *config,
                struct sm_snapshot_info *info, struct sm_error *err)
{
    bool waits = !(config->flags & SM_SNAPSHOT_NOWAIT);
    struct keeping *keeping = machine->keeping;
    int rc = 0;

    if (keeping && !is_same(keeping, config))
        return fail(err, SM_EBUSY,
                    "snapshot: another one of this machine is being made");
    if (!keeping)
        rc = begin(machine, config, err);
    if (rc)
        return rc;
    if (!machine_capture_turn(machine->machine, waits ? 0 : SM_NOWAIT))
        return 1;
    keeping = own_take(machine->keeping);
    rc = finish(machine, keeping, info, err);
    keeping_free(keeping);
    return rc;
}

int sm_snapshot_create(struct sm_machine *machine,
                       const struct sm_snapshot_config *given,
                       struct sm_snapshot_info *ret, struct sm_error *err)
{
    struct sm_snapshot_info info = {0};
    struct sm_snapshot_config config;
    int rc;

    sm_snapshot_config_init(&config);
    rc = config_copy(&config, sizeof config, given, "sm_snapshot_config", err);
    if (!rc)
        rc = check_snapshot_config(&config, err);
    if (!rc)
        rc = machine_enter(machine, err);
    if (rc)
        return rc;
    rc = keep(machine, &config, &info, err);
    machine_leave(machine);
    if (!rc && ret)
        *ret = info;
    return rc;
}

/* ---- going on ---- */

static int check_same(const struct sm_machine_config *config,
                      const struct snapshot_manifest *manifest,
                      struct sm_error *err)
{
    if (config->memory_bytes && config->memory_bytes != manifest->memory_bytes)
        return fail(err, SM_EINVAL,
                    "memory of %llu bytes: its snapshot has %llu",
                    (unsigned long long)config->memory_bytes,
                    (unsigned long long)manifest->memory_bytes);
    if (config->vcpus && config->vcpus != manifest->vcpus)
        return fail(err, SM_EINVAL, "%u vcpus: its snapshot has %u",
                    config->vcpus, manifest->vcpus);
    if (config->kernel || config->kernel_args || config->cold)
        return fail(err, SM_EINVAL,
                    "a machine of a snapshot does not boot: no kernel, no "
                    "kernel arguments");
    return 0;
}

int machine_take_snapshot(struct sm_machine *machine,
                          const struct shelf_snapshot *snapshot,
                          struct sm_machine_config *config,
                          struct sm_error *err)
{
    const struct snapshot_manifest *manifest = &snapshot->manifest;
    int rc = check_same(config, manifest, err);

    if (rc)
        return rc;
    config->memory_bytes = manifest->memory_bytes;
    config->vcpus = manifest->vcpus;
    if (!config->processes_max)
        config->processes_max = manifest->processes_max;
    if (!config->limit_count) {
        memcpy(machine->limits, manifest->limits, sizeof manifest->limits);
        machine->limit_count = manifest->limit_count;
    }
    return 0;
}

static int make_from(struct sm_host *host, struct shelf_snapshot *snapshot,
                     const char *parent, const struct sm_machine_config *config,
                     struct sm_machine **ret, struct sm_error *err)
{
    return machine_make(host,
                        &(struct machine_source){
                            .defaults = &snapshot->manifest.defaults,
                            .image = snapshot->manifest.image_digest,
                            .image_name = snapshot->manifest.image,
                            .rootfs = "",
                            .rootfs_fd = -1,
                            .snapshot = snapshot,
                            .parent = parent,
                        },
                        config, ret, err);
}

int machine_make_from(struct sm_host *host,
                      const struct sm_machine_config *config,
                      struct sm_machine **ret, struct sm_error *err)
{
    struct machine_paths paths = host_paths(host);
    struct shelf_snapshot *snapshot = malloc(sizeof *snapshot);
    int rc;

    if (!snapshot)
        return fail(err, SM_ENOMEM, "machine: out of memory");
    rc = shelf_open(host->home, config->snapshot, snapshot, err);
    if (rc) {
        free(snapshot);
        return rc;
    }
    rc = snapshots_check(&paths, config->snapshot, snapshot, err);
    if (!rc)
        rc = make_from(host, snapshot, config->snapshot, config, ret, err);
    if (rc) {
        shelf_snapshot_done(snapshot);
        free(snapshot);
    }
    return rc;
}

/* ---- forks ---- */

static int make_fork(struct sm_machine *machine,
                     const struct shelf_snapshot *captured,
                     const struct sm_machine_config *config,
                     struct sm_machine **ret, struct sm_error *err)
{
    struct shelf_snapshot *snapshot = malloc(sizeof *snapshot);
    int rc;

    if (!snapshot)
        return fail(err, SM_ENOMEM, "fork: out of memory");
    rc = shelf_snapshot_copy(snapshot, captured, err);
    if (!rc) {
        rc = make_from(machine->host, snapshot, machine->parent, config, ret,
                       err);
        if (rc)
            shelf_snapshot_done(snapshot);
    }
    if (rc)
        free(snapshot);
    return rc;
}

static int make_forks(struct sm_machine *machine,
                      const struct shelf_snapshot *captured,
                      const struct sm_machine_config *config, uint32_t count,
                      struct sm_machine **ret, struct sm_error *err)
{
    AUTO_FREE struct sm_machine **forks = calloc(count, sizeof *forks);
    int rc = 0;

    if (!forks)
        return fail(err, SM_ENOMEM, "fork: out of memory");
    for (uint32_t i = 0; i < count && !rc; i++)
        rc = make_fork(machine, captured, config, &forks[i], err);
    if (rc) {
        for (uint32_t i = 0; i < count; i++)
            sm_machine_free(forks[i]);
        return rc;
    }
    memcpy(ret, forks, count * sizeof *forks);
    return 0;
}

/* This moment of it, for as long as (ret) lasts. */
static int capture(struct sm_machine *machine, struct shelf_snapshot *ret,
                   struct sm_error *err)
{
    const struct machine_capture wanted = {.timeout_ms = CAPTURE_TIMEOUT_MS};
    struct machine_captured figures;
    int rc = describe(machine, &ret->manifest, err);

    if (!rc)
        rc = machine_enter(machine, err);
    if (rc)
        return rc;
    rc = machine_capture_begin(machine->machine, &wanted, ret, err);
    if (!rc) {
        machine_capture_turn(machine->machine, 0);
        rc = machine_capture_end(machine->machine, &figures, err);
    }
    machine_leave(machine);
    return rc;
}

int sm_machine_fork(struct sm_machine *machine,
                    const struct sm_machine_config *given, uint32_t count,
                    struct sm_machine **ret, struct sm_error *err)
{
    struct sm_machine_config config;
    struct shelf_snapshot captured;
    int rc = 0;

    if (count < 1 || count > FORKS_MAX)
        return fail(err, SM_EINVAL, "fork: %u machines: 1 to %d", count,
                    FORKS_MAX);
    sm_machine_config_init(&config);
    if (given)
        rc = config_copy(&config, sizeof config, given, "sm_machine_config",
                         err);
    if (!rc && config.snapshot)
        rc = fail(err, SM_EINVAL, "fork: of a machine, not of a snapshot");
    if (rc)
        return rc;
    shelf_snapshot_init(&captured);
    rc = capture(machine, &captured, err);
    if (!rc)
        rc = make_forks(machine, &captured, &config, count, ret, err);
    shelf_snapshot_done(&captured);
    return rc;
}
