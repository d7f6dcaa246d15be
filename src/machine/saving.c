/* saving.c: a moment of a running machine is taken; see machine_capture().
 *
 * How it works
 *   library              agent                      worker
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
 */
#include "machine/inside.h"

#include "base/own.h"
#include "platform/clock.h"
#include "platform/file.h"

#include <fcntl.h>
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
    close_one(&files->top);
    origin_disk_close(&files->disk);
}

/* What comes back --------------------------------------------------------- */

void machine_held(void *context, const struct sm_error *why_not)
{
    struct machine *machine = context;
    struct machine_saving *saving = &machine->saving;

    if (saving->held || !saving->holding)
        return;
    saving->held = true;
    saving->not_held = why_not ? *why_not : (struct sm_error){0};
}

/* The programs go on, if they stand still. */
static void release(struct machine *machine)
{
    struct machine_saving *saving = &machine->saving;

    if (!saving->holding)
        return;
    saving->holding = false;
    if (machine->session)
        session_release(machine->session);
    saving->still_ns = clock_monotonic_ns() - saving->held_ns;
}

/* What the machine wrote to is sealed; it writes to another layer now. */
void machine_captured(void *context, const struct worker_captured *captured)
{
    struct machine *machine = context;
    struct machine_saving *saving = &machine->saving;
    struct machine_files *files = &machine->files;

    if (!saving->asked || saving->captured)
        return;
    saving->captured = true;
    saving->paused_ns = captured->paused_ns;
    if (saving->merged >= 0) {
        while (files->disk.count)
            close_one(&files->disk.layer[--files->disk.count]);
        origin_disk_add(&files->disk, own_take_fd(&saving->merged));
    }
    origin_disk_add(&files->disk, own_take_fd(&files->top));
    files->top = own_take_fd(&saving->top);
    release(machine);
}

void machine_saved(void *context, const struct worker_saved *saved)
{
    struct machine *machine = context;
    struct machine_saving *saving = &machine->saving;

    if (!saving->asked)
        return;
    saving->asked = false;
    saving->over = true;
    saving->saved = *saved;
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
 * on top; merged into one layer below that if there are many. */
static int plan_disk(struct machine *machine, struct origin_disk *ret,
                     struct sm_error *err)
{
    const struct machine_files *files = &machine->files;
    struct machine_saving *saving = &machine->saving;
    bool merge = files->disk.count == WORKER_LAYERS_MAX;
    struct origin_disk below = files->disk;
    int rc = 0;
    int top;

    if (merge) {
        rc = file_unnamed(machine->paths.home, &saving->merged, err);
        below.layer[0] = saving->merged;
        below.count = 1;
    }
    if (!rc)
        rc = file_unnamed(machine->paths.home, &saving->top, err);
    if (!rc)
        rc = origin_disk_copy(&below, ret, err);
    if (!rc)
        rc = copy_fd(files->top, &top, err);
    if (!rc)
        origin_disk_add(ret, top);
    return rc;
}

static int plan_memory(struct machine *machine,
                       const struct machine_moment *want, struct origin *origin,
                       struct sm_error *err)
{
    const char *home = machine->paths.home;
    int rc = file_unnamed(home, &origin->state, err);

    if (rc)
        return rc;
    if (want->full || machine->files.memory < 0)
        return file_unnamed(home, &origin->memory, err);
    rc = copy_fd(machine->files.memory, &origin->memory, err);
    return rc ? rc : file_unnamed(home, &origin->differential, err);
}

/* The program that goes on in machines of this moment. */
static struct origin_program plan_program(const struct machine *machine,
                                          const struct program *wanted)
{
    const struct program *found = wanted;
    struct origin_program ret = {0};

    for (const struct program *at = machine->programs; at && !wanted;
         at = at->next)
        if (at->of_start)
            found = at;
    if (!found || !found->exec || !found->started || found->ended)
        return ret;
    ret.channel = exec_channel(found->exec);
    ret.tty = found->config.tty;
    for (int i = 0; i < AGENT_STREAMS; i++)
        ret.streams[i] = found->config.fds[i] != -1 &&
                         !(i == AGENT_ERR && found->config.tty);
    return ret;
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
    if (machine->saving.asked)
        return fail(err, SM_EBUSY,
                    "snapshot: one before this is still being written");
    return 0;
}

/* Wait for (*flag) until (deadline_ns). */
static int await(struct machine *machine, const bool *flag,
                 uint64_t deadline_ns, const char *what, struct sm_error *err)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t left_ms =
        now < deadline_ns ? (deadline_ns - now) / 1000000 + 1 : SM_NOWAIT;

    if (!machine_turn(machine, flag, (uint32_t)left_ms))
        return fail(err, SM_ETIMEOUT, "snapshot: the %s in time", what);
    if (*flag)
        return 0;
    if (err)
        *err = machine->end.why;
    return machine->end.why.code;
}

static int hold(struct machine *machine, uint64_t deadline_ns,
                struct sm_error *err)
{
    struct machine_saving *saving = &machine->saving;
    int rc = session_hold(machine->session, err);

    if (rc)
        return rc;
    saving->holding = true;
    saving->held_ns = clock_monotonic_ns();
    rc = await(machine, &saving->held, deadline_ns,
               "guest's programs did not stand still", err);
    if (rc || !saving->not_held.code)
        return rc;
    saving->holding = false; /* they go on already */
    if (err)
        *err = saving->not_held;
    return saving->not_held.code;
}

static int ask_worker(struct machine *machine,
                      const struct machine_moment *want,
                      const struct origin *origin, struct sm_error *err)
{
    struct machine_saving *saving = &machine->saving;
    bool differs = origin->differential >= 0;
    struct worker_save save = {
        .snapshot = origin->label,
        .flags = (differs ? WORKER_SAVE_DIFFERENTIAL : 0u) |
                 (want->durable ? WORKER_SAVE_DURABLE : 0u),
    };
    int fds[WORKER_SAVE_FDS_MAX];
    int rc;

    for (int i = 0; i < WORKER_SAVE_FDS_MAX; i++)
        fds[i] = -1;
    fds[WORKER_SAVE_STATE] = origin->state;
    fds[WORKER_SAVE_MEMORY] = differs ? origin->differential : origin->memory;
    fds[WORKER_SAVE_OVERLAY] = saving->top;
    fds[WORKER_SAVE_MERGED] = saving->merged;
    if (saving->merged >= 0)
        fds[WORKER_SAVE_BASE] = machine->files.disk.base;
    rc = worker_save(machine->worker, &save, fds, err);
    saving->asked = rc == 0;
    return rc;
}

static int take(struct machine *machine, const struct machine_moment *want,
                const struct origin *origin, struct sm_error *err)
{
    struct machine_saving *saving = &machine->saving;
    uint64_t deadline_ns =
        clock_monotonic_ns() + want->timeout_ms * UINT64_C(1000000);
    int rc = hold(machine, deadline_ns, err);

    if (!rc)
        rc = ask_worker(machine, want, origin, err);
    if (!rc)
        rc = await(machine, &saving->over, deadline_ns,
                   "machine was not written", err);
    release(machine);
    if (rc || !saving->saved.error.code)
        return rc;
    if (err)
        *err = saving->saved.error;
    return saving->saved.error.code;
}

static struct origin *make_origin(const struct machine *machine,
                                  const struct machine_moment *want)
{
    struct origin *origin = origin_new();

    if (!origin)
        return NULL;
    origin->label = strdup(want->label);
    origin->memory_bytes = machine->config.memory_bytes;
    origin->vcpus = machine->config.vcpus;
    origin->features = machine->features;
    origin->program = plan_program(machine, want->program);
    return origin;
}

int machine_capture(struct machine *machine, const struct machine_moment *want,
                    struct origin **ret, struct machine_moment_cost *cost,
                    struct sm_error *err)
{
    struct machine_saving *saving = &machine->saving;
    struct origin *origin;
    int rc = check(machine, err);

    if (rc)
        return rc;
    *saving = (struct machine_saving){.merged = -1, .top = -1};
    origin = make_origin(machine, want);
    if (!origin || !origin->label)
        rc = fail(err, SM_ENOMEM, "snapshot: out of memory");
    if (!rc)
        rc = plan_memory(machine, want, origin, err);
    if (!rc)
        rc = plan_disk(machine, &origin->disk, err);
    if (!rc)
        rc = take(machine, want, origin, err);
    if (!saving->asked) {
        close_one(&saving->merged);
        close_one(&saving->top);
    }
    if (rc) {
        origin_let_go(origin);
        return rc;
    }
    *cost = (struct machine_moment_cost){
        .still_ns = saving->still_ns,
        .paused_ns = saving->paused_ns,
        .memory_bytes = saving->saved.memory_bytes,
    };
    *ret = origin;
    return 0;
}
