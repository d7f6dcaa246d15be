/* saving.c: a moment of a running machine is taken; see
 * machine_capture_begin().
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
 *
 *   Nobody waits in here. Each step ends with something being asked for, and
 *   the answer, the time that is up or the machine's end begin the next one:
 *
 *       MERGING -> STARTING -> HOLDING -> TAKING -> WRITING -> over
 *
 *   So whoever turns the machine's loop gets on with the capture, too, and the
 *   programs stand still no longer for a caller that is busy elsewhere.
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

/* The end of it ----------------------------------------------------------- */

/* (why): it failed; NULL: all is there. What the worker and the agent still owe
 * an answer of is waited for by nobody. */
static void settle(struct machine *machine, const struct sm_error *why)
{
    struct machine_saving *saving = &machine->saving;

    loop_timer_stop(machine->saving_deadline);
    saving->step = SAVING_NOTHING;
    saving->to = NULL;
    saving->over = saving->went_on = true;
    if (why)
        saving->why = *why;
    machine_tell(machine);
    if (saving->asked)
        return;
    close_one(&saving->merged);
    close_one(&saving->top);
}

static void next_step(struct machine *machine, enum saving_step step)
{
    struct machine_saving *saving = &machine->saving;

    saving->step = step;
    loop_timer_stop(machine->saving_deadline);
    if (step >= SAVING_STARTING && step <= SAVING_TAKING)
        loop_timer_start(machine->saving_deadline, saving->wanted.timeout_ms);
}

void machine_saving_ended(struct machine *machine)
{
    struct machine_saving *saving = &machine->saving;

    /* Nobody answers any more. */
    saving->asked = saving->holding = false;
    if (saving->step != SAVING_NOTHING)
        settle(machine, &machine->end.why);
    close_one(&saving->merged);
    close_one(&saving->top);
}

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

/* The program that goes on in machines of this moment; NULL: none. */
static struct program *find_program(const struct machine *machine)
{
    const struct machine_saving *saving = &machine->saving;
    struct program *found = saving->wanted.program;

    for (struct program *at = machine->programs; at && !saving->names_program;
         at = at->next)
        if (at->of_start)
            found = at;
    return found;
}

/* Its channel is 0 if there is none. */
static int plan_program(const struct machine *machine,
                        struct snapshot_program *ret, struct sm_error *err)
{
    const struct program *found = find_program(machine);

    if (!found || !found->exec || !found->started || found->ended)
        return machine->saving.names_program
                   ? fail(err, SM_ESTATE, "snapshot: the command does not run")
                   : 0;
    ret->channel = exec_channel(found->exec);
    ret->tty = found->config.tty;
    ret->has_stdin = found->config.fds[AGENT_IN] != -1;
    return program_words(found, &ret->argv, err);
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

static int plan(struct machine *machine, struct sm_error *err)
{
    struct shelf_snapshot *to = machine->saving.to;
    struct snapshot_manifest *manifest = &to->manifest;
    int rc = plan_program(machine, &manifest->program, err);

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
        rc = plan_memory(machine, machine->saving.wanted.full, to, err);
    return rc ? rc : plan_disk(machine, to, err);
}

/* The steps --------------------------------------------------------------- */

static int check(const struct machine *machine, struct sm_error *err)
{
    if (machine->state == MACHINE_PAUSED || machine->pausing)
        return fail(err, SM_ESTATE,
                    "snapshot: the machine is paused: resume it first");
    if (machine->state != MACHINE_RUNNING || !machine->session)
        return fail(err, SM_ESTATE, "snapshot: the machine does not run");
    if (!(machine->features & AGENT_CAN_HOLD))
        return fail(err, SM_ENOTSUP, "snapshot: the guest's agent is too old");
    return 0;
}

static int ask_for_merge(struct machine *machine, struct sm_error *err)
{
    struct machine_saving *saving = &machine->saving;
    const struct machine_files *files = &machine->files;
    int fds[WORKER_MERGE_FDS_MAX] = {[WORKER_MERGE_BASE] = files->base};
    int rc = file_unnamed(machine->paths.home, &saving->merged, err);

    if (rc)
        return rc;
    fds[WORKER_MERGE_INTO] = saving->merged;
    for (unsigned i = 0; i < files->layer_count; i++)
        fds[WORKER_MERGE_LAYER + i] = files->layer[i];
    return worker_merge(machine->worker, fds,
                        WORKER_MERGE_LAYER + files->layer_count, err);
}

static int ask_for_hold(struct machine *machine, struct sm_error *err)
{
    struct machine_saving *saving = &machine->saving;
    int rc = check(machine, err);

    if (!rc)
        rc = plan(machine, err);
    if (!rc)
        rc = session_hold(machine->session, err);
    if (rc)
        return rc;
    saving->holding = true;
    saving->since_ns = clock_monotonic_ns();
    return 0;
}

static int ask_worker(struct machine *machine, struct sm_error *err)
{
    struct machine_saving *saving = &machine->saving;
    const struct machine_files *files = &machine->files;
    const struct shelf_snapshot *to = saving->to;
    bool differs = to->manifest.differential;
    struct worker_save save = {
        .snapshot = to->manifest.origin.label,
        .flags = (differs ? WORKER_SAVE_DIFFERENTIAL : 0u) |
                 (saving->wanted.durable ? WORKER_SAVE_DURABLE : 0u),
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

static void begin_hold(struct machine *machine)
{
    struct sm_error err;

    if (ask_for_hold(machine, &err) != 0)
        settle(machine, &err);
    else
        next_step(machine, SAVING_HOLDING);
}

/* The program was sent just now. */
static bool is_starting(const struct program *program)
{
    return program && program->exec && !program->started;
}

static void await_program(struct machine *machine)
{
    if (is_starting(find_program(machine)))
        next_step(machine, SAVING_STARTING);
    else
        begin_hold(machine);
}

static void begin_taking(struct machine *machine)
{
    struct sm_error err;

    if (ask_worker(machine, &err) != 0) {
        release(machine);
        settle(machine, &err);
    } else {
        next_step(machine, SAVING_TAKING);
    }
}

/* What comes back --------------------------------------------------------- */

void machine_merged(void *context, const struct worker_merged *merged)
{
    struct machine *machine = context;

    if (machine->saving.step != SAVING_MERGING)
        return;
    if (merged->error.code)
        settle(machine, &merged->error);
    else
        await_program(machine);
}

void machine_saving_program(struct machine *machine)
{
    if (machine->saving.step == SAVING_STARTING &&
        !is_starting(find_program(machine)))
        begin_hold(machine);
}

void machine_held(void *context, const struct sm_error *why_not)
{
    struct machine *machine = context;
    struct machine_saving *saving = &machine->saving;

    if (!saving->holding || saving->held)
        return;
    saving->held = true;
    if (why_not)
        saving->holding = false;
    if (saving->step != SAVING_HOLDING)
        release(machine);
    else if (why_not)
        settle(machine, why_not);
    else
        begin_taking(machine);
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
    if (saving->step == SAVING_TAKING)
        next_step(machine, SAVING_WRITING);
    /* Whose names are gone is removed from the disk here: the programs need
     * not stand still for that. */
    machine_files_close(&former);
}

/* All is written: what only the worker knew. */
static int note_hypervisor(struct machine *machine, struct sm_error *err)
{
    const struct machine_saving *saving = &machine->saving;
    char **hypervisor = &saving->to->manifest.origin.hypervisor;

    *hypervisor = strdup(saving->taken.hypervisor);
    return *hypervisor ? 0 : fail(err, SM_ENOMEM, "snapshot: out of memory");
}

void machine_saved(void *context, const struct worker_saved *saved)
{
    struct machine *machine = context;
    struct machine_saving *saving = &machine->saving;
    struct sm_error err = saved->error;

    if (!saving->asked)
        return;
    saving->asked = false;
    saving->saved = *saved;
    if (!err.code && !saving->captured)
        fail(&err, SM_EPROTO, "snapshot: written, but never captured");
    release(machine);
    if (saving->step == SAVING_NOTHING) {
        /* Nobody may wait for it any more. */
        close_one(&saving->merged);
        close_one(&saving->top);
    } else if (err.code || note_hypervisor(machine, &err) != 0) {
        settle(machine, &err);
    } else {
        settle(machine, NULL);
    }
}

void machine_saving_late(void *context)
{
    struct machine *machine = context;
    struct machine_saving *saving = &machine->saving;
    unsigned timeout_ms = saving->wanted.timeout_ms;
    struct sm_error err;

    if (saving->step == SAVING_STARTING && saving->names_program) {
        fail(&err, SM_ETIMEOUT,
             "snapshot: the command did not start within %u ms", timeout_ms);
        settle(machine, &err);
    } else if (saving->step == SAVING_STARTING) {
        begin_hold(machine);
    } else if (saving->step == SAVING_HOLDING) {
        fail(&err, SM_ETIMEOUT,
             "snapshot: the guest's programs did not stand still within %u ms",
             timeout_ms);
        settle(machine, &err);
    } else if (saving->step == SAVING_TAKING) {
        fail(&err, SM_ETIMEOUT,
             "snapshot: the machine was not captured within %u ms", timeout_ms);
        release(machine);
        settle(machine, &err);
    }
}

/* From outside ------------------------------------------------------------ */

int machine_capture_begin(struct machine *machine,
                          const struct machine_capture *config,
                          struct shelf_snapshot *ret, struct sm_error *err)
{
    struct machine_saving *saving = &machine->saving;
    struct sm_error why;
    int rc = check(machine, err);

    if (!rc && (saving->step != SAVING_NOTHING || saving->over ||
                saving->asked || saving->holding))
        rc = fail(err, SM_EBUSY,
                  "snapshot: one before this is not finished yet");
    if (rc)
        return rc;
    *saving = (struct machine_saving){
        .wanted = *config,
        .names_program = config->program != NULL,
        .to = ret,
        .merged = -1,
        .top = -1,
    };
    if (machine->files.layer_count < WORKER_LAYERS_MAX)
        await_program(machine);
    else if (ask_for_merge(machine, &why) != 0)
        settle(machine, &why);
    else
        next_step(machine, SAVING_MERGING);
    return 0;
}

bool machine_capture_turn(struct machine *machine, uint32_t timeout_ms)
{
    const bool *over = &machine->saving.over;

    if (!*over)
        machine_turn(machine, over, timeout_ms);
    return *over;
}

int machine_capture_end(struct machine *machine,
                        struct machine_captured *figures, struct sm_error *err)
{
    struct machine_saving *saving = &machine->saving;

    saving->over = false;
    *figures = (struct machine_captured){
        .still_ns = saving->still_ns,
        .paused_ns = saving->taken.paused_ns,
        .written_bytes = saving->saved.memory_bytes,
    };
    if (err && saving->why.code)
        *err = saving->why;
    return saving->why.code;
}
