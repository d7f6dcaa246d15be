/* saving.c: a moment of a running machine is taken; see machine_capture().
 *
 * How it works
 *   library              agent                      worker
 *   [MERGE + files    -----------------------------> a copy of the process
 *                                                    makes one layer of many
 *                     <----------------------------- MERGED]
 *   HOLD              -> programs stand still, all
 *                        that they wrote is sent
 *                     <- HELD
 *   SAVE + files      -----------------------------> vcpus and devices stand
 *                                                    still; what there is, is
 *                                                    noted down; they go on
 *                     <----------------------------- CAPTURED
 *   RELEASE           -> programs go on              a copy of the process
 *                                                    writes the files
 *                     <----------------------------- SAVED
 *
 *   So the connection to the agent is empty in what was captured, and a clone
 *   can go on with it; and nothing but the agent runs in a clone before that
 *   has got random numbers and a clock of its own.
 *
 *   A disk has WORKER_LAYERS_MAX sealed layers at most, and each capture adds
 *   one. Where there is no more room, those that there are become one first,
 *   while the machine still runs: they do not change any more.
 */
#include "machine/inside.h"

#include "base/own.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/random.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(own_take_fd(fd));
}

void machine_files_close(struct machine_files *files)
{
    close_one(&files->memory);
    close_one(&files->differential);
    close_one(&files->base);
    close_one(&files->top);
    while (files->layer_count)
        close_one(&files->layer[--files->layer_count]);
}

/* What comes back --------------------------------------------------------- */

/* The programs go on. */
static void release(struct machine *machine)
{
    struct machine_saving *saving = &machine->saving;

    if (!saving->holding)
        return;
    saving->holding = false;
    if (machine->session)
        session_release(machine->session, NULL);
    saving->still_ns = clock_monotonic_ns() - saving->since_ns;
}

void machine_held(void *context, const struct sm_error *why_not)
{
    struct machine *machine = context;
    struct machine_saving *saving = &machine->saving;

    if (!saving->holding || saving->held)
        return;
    saving->held = true;
    if (why_not) {
        saving->not_held = *why_not;
        saving->holding = false;
    } else if (saving->given_up) {
        release(machine);
    }
}

void machine_merged(void *context, const struct worker_merged *merged)
{
    struct machine *machine = context;
    struct machine_saving *saving = &machine->saving;

    if (!saving->merging)
        return;
    saving->merging = false;
    saving->merge_over = true;
    saving->not_merged = merged->error;
}

/* What the machine wrote to is sealed; it writes to another layer now. */
void machine_captured(void *context, const struct worker_captured *captured)
{
    struct machine *machine = context;
    struct machine_saving *saving = &machine->saving;
    struct machine_files *files = &machine->files;
    struct machine_files former = MACHINE_FILES_NONE;

    if (!saving->asked || saving->captured)
        return;
    saving->captured = saving->went_on = true;
    saving->taken = *captured;
    if (saving->merged >= 0) {
        while (files->layer_count)
            former.layer[former.layer_count++] =
                own_take_fd(&files->layer[--files->layer_count]);
        files->layer[files->layer_count++] = own_take_fd(&saving->merged);
    }
    files->layer[files->layer_count++] = own_take_fd(&files->top);
    files->top = own_take_fd(&saving->top);
    release(machine);
    /* Whose names are gone is removed from the disk here: the programs need
     * not stand still for that. */
    machine_files_close(&former);
}

void machine_saved(void *context, const struct worker_saved *saved)
{
    struct machine *machine = context;
    struct machine_saving *saving = &machine->saving;

    if (!saving->asked)
        return;
    saving->asked = false;
    saving->over = saving->went_on = true;
    saving->saved = *saved;
    /* Of a moment that was not taken; nobody may wait for it any more. */
    close_one(&saving->merged);
    close_one(&saving->top);
    release(machine);
}

/* Files ------------------------------------------------------------------- */

static int copy_fd(int fd, int *ret, struct sm_error *err)
{
    *ret = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return *ret < 0 ? fail_os(err, "snapshot") : 0;
}

/* The disk of the moment: what the machine's lies on now, with what it wrote
 * on top. */
static int plan_disk(struct machine *machine, struct shelf_snapshot *ret,
                     struct sm_error *err)
{
    const struct machine_files *files = &machine->files;
    struct machine_saving *saving = &machine->saving;
    uint32_t *count = &ret->manifest.layer_count;
    bool merged = saving->merged >= 0;
    const int *layer = merged ? &saving->merged : files->layer;
    unsigned layers = merged ? 1 : files->layer_count;
    int rc = copy_fd(files->base, &ret->fds[SNAPSHOT_ROOTFS], err);

    if (!rc)
        rc = file_unnamed(machine->paths.home, &saving->top, err);
    *count = 0;
    for (unsigned i = 0; !rc && i < layers; i++)
        rc = copy_fd(layer[i], &ret->fds[SNAPSHOT_DISK + (*count)++], err);
    return rc ? rc
              : copy_fd(files->top, &ret->fds[SNAPSHOT_DISK + (*count)++], err);
}

static int plan_memory(struct machine *machine, bool full,
                       struct shelf_snapshot *ret, struct sm_error *err)
{
    const char *home = machine->paths.home;
    int rc = file_unnamed(home, &ret->fds[SNAPSHOT_STATE], err);

    if (rc)
        return rc;
    ret->manifest.differential = !full && machine->files.memory >= 0;
    if (!ret->manifest.differential)
        return file_unnamed(home, &ret->fds[SNAPSHOT_MEMORY], err);
    rc = copy_fd(machine->files.memory, &ret->fds[SNAPSHOT_MEMORY], err);
    return rc ? rc : file_unnamed(home, &ret->fds[SNAPSHOT_DIFFERENTIAL], err);
}

/* The program that goes on in machines of this moment: its channel is 0 if
 * there is none. */
static int plan_program(struct machine *machine,
                        const struct machine_capture *config,
                        struct snapshot_program *ret, struct sm_error *err)
{
    const struct program *wanted = config->program;
    const struct program *found = wanted;

    for (const struct program *at = machine->programs; at && !wanted;
         at = at->next)
        if (at->of_start)
            found = at;
    /* It may have been sent just now. */
    if (found && found->exec)
        machine_turn(machine, &found->started, config->timeout_ms);
    if (found && found->exec && found->started && !found->ended) {
        ret->channel = exec_channel(found->exec);
        ret->tty = found->config.tty;
        ret->has_stdin = found->config.fds[AGENT_IN] != -1;
        return program_words(found, &ret->argv, err);
    }
    return wanted ? fail(err, SM_ESTATE, "snapshot: the command does not run")
                  : 0;
}

/* A label that no other snapshot has: its state and its manifest belong
 * together. */
static int make_label(char **ret, struct sm_error *err)
{
    uint8_t bytes[16];
    int rc = random_bytes(bytes, sizeof bytes, err);
    int at = 0;

    if (rc)
        return rc;
    *ret = malloc(2 * sizeof bytes + 1);
    if (!*ret)
        return fail(err, SM_ENOMEM, "snapshot: out of memory");
    for (size_t i = 0; i < sizeof bytes; i++)
        at += snprintf(*ret + at, 3, "%02x", bytes[i]);
    return 0;
}

/* Taking ------------------------------------------------------------------ */

static int check(const struct machine *machine, struct sm_error *err)
{
    if (machine->state == MACHINE_PAUSED)
        return fail(err, SM_ESTATE,
                    "snapshot: the machine is paused: resume it first");
    if (machine->state != MACHINE_RUNNING || !machine->session)
        return fail(err, SM_ESTATE, "snapshot: the machine does not run");
    if (!(machine->features & AGENT_CAN_HOLD))
        return fail(err, SM_ENOTSUP, "snapshot: the guest's agent is too old");
    if (machine->saving.asked || machine->saving.holding)
        return fail(err, SM_EBUSY,
                    "snapshot: one before this is not finished yet");
    return 0;
}

static int ended_meanwhile(const struct machine *machine, struct sm_error *err)
{
    if (err)
        *err = machine->end.why;
    return machine->end.why.code;
}

static int ask_for_merge(struct machine *machine, struct sm_error *err)
{
    struct machine_saving *saving = &machine->saving;
    const struct machine_files *files = &machine->files;
    int fds[WORKER_MERGE_FDS_MAX] = {[WORKER_MERGE_INTO] = saving->merged,
                                     [WORKER_MERGE_BASE] = files->base};
    int rc;

    for (unsigned i = 0; i < files->layer_count; i++)
        fds[WORKER_MERGE_LAYER + i] = files->layer[i];
    rc = worker_merge(machine->worker, fds,
                      WORKER_MERGE_LAYER + files->layer_count, err);
    saving->merging = rc == 0;
    return rc;
}

/* One layer instead of many, if there is no room for a further one. The machine
 * runs, so there is no hurry; afterwards it may not any more. */
static int make_room(struct machine *machine, struct sm_error *err)
{
    struct machine_saving *saving = &machine->saving;
    int rc;

    if (machine->files.layer_count < WORKER_LAYERS_MAX)
        return 0;
    rc = file_unnamed(machine->paths.home, &saving->merged, err);
    if (!rc)
        rc = ask_for_merge(machine, err);
    if (rc)
        return rc;
    machine_turn(machine, &saving->merge_over, 0);
    if (!saving->merge_over)
        return ended_meanwhile(machine, err);
    if (err && saving->not_merged.code)
        *err = saving->not_merged;
    return saving->not_merged.code ? saving->not_merged.code
                                   : check(machine, err);
}

static int hold(struct machine *machine, uint32_t timeout_ms,
                struct sm_error *err)
{
    struct machine_saving *saving = &machine->saving;
    int rc = session_hold(machine->session, err);

    if (rc)
        return rc;
    saving->holding = true;
    saving->since_ns = clock_monotonic_ns();
    if (!machine_turn(machine, &saving->held, timeout_ms)) {
        saving->given_up = true;
        return fail(err, SM_ETIMEOUT,
                    "snapshot: the guest's programs did not stand still "
                    "within %u ms",
                    timeout_ms);
    }
    if (!saving->held)
        return ended_meanwhile(machine, err);
    if (err && saving->not_held.code)
        *err = saving->not_held;
    return saving->not_held.code;
}

static int ask_worker(struct machine *machine,
                      const struct machine_capture *config,
                      const struct shelf_snapshot *to, struct sm_error *err)
{
    struct machine_saving *saving = &machine->saving;
    const struct machine_files *files = &machine->files;
    bool differs = to->manifest.differential;
    struct worker_save save = {
        .snapshot = to->manifest.origin.label,
        .flags = (differs ? WORKER_SAVE_DIFFERENTIAL : 0u) |
                 (config->durable ? WORKER_SAVE_DURABLE : 0u),
    };
    int fds[WORKER_SAVE_FDS_MAX];
    int rc;

    for (int i = 0; i < WORKER_SAVE_FDS_MAX; i++)
        fds[i] = -1;
    fds[WORKER_SAVE_STATE] = to->fds[SNAPSHOT_STATE];
    fds[WORKER_SAVE_MEMORY] =
        to->fds[differs ? SNAPSHOT_DIFFERENTIAL : SNAPSHOT_MEMORY];
    fds[WORKER_SAVE_OVERLAY] = saving->top;
    fds[WORKER_SAVE_SEALED] = files->top;
    fds[WORKER_SAVE_MERGED] = saving->merged;
    fds[WORKER_SAVE_BASE] = saving->merged < 0 ? -1 : files->base;
    rc = worker_save(machine->worker, &save, fds, err);
    saving->asked = rc == 0;
    return rc;
}

/* Everything is planned: do it. */
static int take(struct machine *machine, const struct machine_capture *config,
                const struct shelf_snapshot *to, struct sm_error *err)
{
    struct machine_saving *saving = &machine->saving;
    int rc = hold(machine, config->timeout_ms, err);

    if (rc)
        return rc;
    rc = ask_worker(machine, config, to, err);
    if (rc) {
        release(machine);
        return rc;
    }
    if (!machine_turn(machine, &saving->went_on, config->timeout_ms)) {
        release(machine);
        return fail(err, SM_ETIMEOUT,
                    "snapshot: the machine was not captured within %u ms",
                    config->timeout_ms);
    }
    machine_turn(machine, &saving->over, 0);
    if (!saving->over)
        return ended_meanwhile(machine, err);
    if (err && saving->saved.error.code)
        *err = saving->saved.error;
    return saving->saved.error.code;
}

static int plan(struct machine *machine, const struct machine_capture *config,
                struct shelf_snapshot *ret, struct sm_error *err)
{
    struct snapshot_manifest *manifest = &ret->manifest;
    int rc = plan_program(machine, config, &manifest->program, err);

    manifest->memory_bytes = machine->config.memory_bytes;
    manifest->vcpus = machine->config.vcpus;
    manifest->disk_bytes = machine->disk_bytes;
    manifest->processes_max = machine->config.processes_max;
    manifest->hostname = strdup(machine->named ? machine->config.hostname : "");
    if (!machine->config.snapshot) {
        manifest->origin.own_kernel = machine->config.kernel != NULL;
        manifest->origin.programs = strdup(machine->boots);
    }
    if (!rc && (!manifest->hostname || !manifest->origin.programs))
        rc = fail(err, SM_ENOMEM, "snapshot: out of memory");
    if (!rc)
        rc = make_label(&manifest->origin.label, err);
    if (!rc)
        rc = plan_memory(machine, config->full, ret, err);
    return rc ? rc : plan_disk(machine, ret, err);
}

int machine_capture(struct machine *machine,
                    const struct machine_capture *config,
                    struct shelf_snapshot *ret,
                    struct machine_captured *figures, struct sm_error *err)
{
    struct machine_saving *saving = &machine->saving;
    int rc = check(machine, err);

    if (rc)
        return rc;
    *saving = (struct machine_saving){.merged = -1, .top = -1};
    rc = make_room(machine, err);
    if (!rc)
        rc = plan(machine, config, ret, err);
    if (!rc)
        rc = take(machine, config, ret, err);
    if (!rc &&
        !(ret->manifest.origin.hypervisor = strdup(saving->taken.hypervisor)))
        rc = fail(err, SM_ENOMEM, "snapshot: out of memory");
    if (!saving->asked) {
        close_one(&saving->merged);
        close_one(&saving->top);
    }
    *figures = (struct machine_captured){
        .still_ns = saving->still_ns,
        .paused_ns = saving->taken.paused_ns,
        .written_bytes = saving->saved.memory_bytes,
    };
    return rc;
}
