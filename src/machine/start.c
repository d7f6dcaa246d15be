/* start.c: a machine starts: out of its template, or by booting.
 *
 * How it works
 *   The worker process starts up while the files are opened that it will need.
 *   Is there a template (template.h), its two files take the place of kernel
 *   and agent, and the set-up leaves for the agent at once; the programs
 *   follow as soon as the worker says that the machine is there, while the
 *   agent is still busy with the set-up. Is there none, it is made first, and
 *   the worker waits. What goes wrong with templates never fails a start: the
 *   machine boots.
 *
 *   A machine with a kernel, or kernel arguments, of the caller's boots. One
 *   of a snapshot goes on from that as from a template, but it can in no other
 *   way: a failure is the start's.
 */
#include "machine/inside.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/channel.h"
#include "platform/clock.h"
#include "platform/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

enum { START_TIMEOUT_MS = 60000 };

_Static_assert((int)SNAPSHOT_LAYERS_MAX == (int)WORKER_LAYERS_MAX,
               "what a snapshot has, a worker takes");

static int open_input(const char *what, const char *folder, const char *name,
                      int *ret, struct sm_error *err)
{
    AUTO_FREE char *path = NULL;
    struct stat st;

    if (asprintf(&path, "%s%s%s", folder, folder[0] ? "/" : "", name) < 0) {
        path = NULL;
        return fail(err, SM_ENOMEM, "machine: out of memory");
    }
    /* A FIFO must not keep us waiting for a writer. */
    *ret = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*ret < 0 || fstat(*ret, &st) != 0)
        return fail_os(err, "%s %s", what, path);
    if (!S_ISREG(st.st_mode))
        return fail(err, SM_EINVAL, "%s %s: not a regular file", what, path);
    return 0;
}

static int open_boot(struct machine *machine, int *fds, struct sm_error *err)
{
    const struct machine_config *config = &machine->config;
    const char *runtime = machine->paths.runtime_dir;
    int rc = config->kernel ? open_input("guest kernel", "", config->kernel,
                                         &fds[WORKER_FD_KERNEL], err)
                            : open_input("guest kernel", runtime, "vmlinux",
                                         &fds[WORKER_FD_KERNEL], err);

    if (!rc)
        rc = open_input("guest agent", runtime, "initramfs.cpio",
                        &fds[WORKER_FD_INITRD], err);
    return rc ? rc
              : template_programs(fds[WORKER_FD_KERNEL], fds[WORKER_FD_INITRD],
                                  machine->boots, err);
}

/* What the disk lies on, where that is not a snapshot's. */
static int open_disk(struct machine *machine, int *fds, struct sm_error *err)
{
    int rc;

    if (machine->config.snapshot)
        return 0;
    rc = open_input("root file system", "", machine->config.rootfs,
                    &fds[WORKER_FD_DISK], err);
    /* The worker's copy keeps it from being removed (rootfs/store.h). */
    return rc ? rc : file_hold(fds[WORKER_FD_DISK], err);
}

/* Everything else that the worker needs. */
static int open_own(struct machine *machine, int *fds, struct sm_error *err)
{
    int rc = open_disk(machine, fds, err);

    if (!rc)
        rc = file_size(fds[WORKER_FD_DISK], &machine->disk_bytes, err);
    if (!rc)
        rc = file_unnamed(machine->paths.home, &fds[WORKER_FD_OVERLAY], err);
    if (!rc && machine->log_fd < 0)
        rc = file_in_memory("supermachine-log", &machine->log_fd, err);
    if (!rc) {
        fds[WORKER_FD_LOG] = fcntl(machine->log_fd, F_DUPFD_CLOEXEC, 0);
        if (fds[WORKER_FD_LOG] < 0)
            rc = fail_os(err, "log");
    }
    return rc;
}

/* What the machine's memory and disk are made of stays open. */
static void keep_files(struct machine *machine, int *fds)
{
    struct machine_files *files = &machine->files;

    machine_files_close(files);
    if (machine->from_template || machine->config.snapshot)
        files->memory = own_take_fd(&fds[WORKER_FD_MEMORY]);
    files->differential = own_take_fd(&fds[WORKER_FD_DIFFERENTIAL]);
    files->base = own_take_fd(&fds[WORKER_FD_DISK]);
    files->top = own_take_fd(&fds[WORKER_FD_OVERLAY]);
    for (unsigned i = 0; i < WORKER_LAYERS_MAX; i++)
        if (fds[WORKER_FD_LAYER + i] >= 0)
            files->layer[files->layer_count++] =
                own_take_fd(&fds[WORKER_FD_LAYER + i]);
}

/* The machine is there already: tell its agent what it is now. */
static int greet(struct machine *machine, struct sm_error *err)
{
    /* It is the agent that we came with: the template's key says so, or
     * snapshots_check(). */
    machine->features = AGENT_CAN_ALL;
    if (machine->from_template) {
        session_greeted(machine->session);
        return machine_set_up(machine, err);
    }
    session_restored(machine->session);
    for (struct program *at = machine->programs; at; at = at->next)
        if (at->config.resume)
            program_send(at);
    return machine_set_up_clone(machine, err);
}

static const char *start_label(const struct machine *machine)
{
    const struct shelf_snapshot *snapshot = machine->config.snapshot;

    if (snapshot)
        return snapshot->manifest.origin.label;
    return machine->from_template ? machine->template.label : "";
}

/* Send the request and open the session: the worker has what it needs. */
static int hand_over(struct machine *machine, int *fds, struct sm_error *err)
{
    bool kept = machine->config.snapshot != NULL;
    struct worker_start start = {
        .memory_bytes = machine->config.memory_bytes,
        .vcpus = machine->config.vcpus,
        .lifetime_ms = machine->config.lifetime_ms,
        .kernel_args = (char *)(uintptr_t)machine->config.kernel_args,
        .snapshot = (char *)(uintptr_t)start_label(machine),
        .state_at = kept ? 0 : machine->config.memory_bytes,
    };
    int ends[2];
    int rc = open_own(machine, fds, err);

    if (!rc)
        rc = stream_pair(ends, err);
    if (rc)
        return rc;
    fds[WORKER_FD_AGENT] = ends[1];
    rc = worker_start(machine->worker, &start, fds, err);
    if (rc) {
        close(ends[0]);
        return rc;
    }
    keep_files(machine, fds);
    rc = session_open(machine->loop, ends[0], &machine_session_events, machine,
                      &machine->session, err);
    machine_step(machine, "request sent");
    if (rc || !(machine->from_template || kept))
        return rc;
    return greet(machine, err);
}

static void close_all(int *fds)
{
    for (int i = 0; i < WORKER_FDS_MAX; i++)
        if (fds[i] >= 0)
            close(own_take_fd(&fds[i]));
}

static void no_fds(int *fds)
{
    for (int i = 0; i < WORKER_FDS_MAX; i++)
        fds[i] = -1;
}

static int open_worker(struct machine *machine, struct sm_error *err)
{
    AUTO_FREE char *program = NULL;
    struct worker *worker = NULL;
    bool killed;
    int rc;

    if (asprintf(&program, "%s/supermachine-vmm", machine->paths.runtime_dir) <
        0) {
        program = NULL;
        return fail(err, SM_ENOMEM, "machine: out of memory");
    }
    rc = worker_open(machine->loop, program, &machine_worker_events, machine,
                     &worker, err);
    if (rc)
        return rc;
    pthread_mutex_lock(&machine->lock);
    machine->worker = worker;
    killed = machine->killed;
    pthread_mutex_unlock(&machine->lock);
    if (killed)
        return fail(err, SM_ECANCELED, "the machine was killed");
    machine_step(machine, "worker started");
    return 0;
}

/* Have the template's files in the place of kernel and agent. */
static bool use_template(struct machine *machine, int *fds)
{
    int hot;
    int state;
    int memory;

    if (template_open(&machine->paths, &machine->template, &state, &hot,
                      NULL) != 0)
        return false;
    memory = fcntl(state, F_DUPFD_CLOEXEC, 0);
    if (memory < 0) {
        close(state);
        return false;
    }
    close(fds[WORKER_FD_KERNEL]);
    close(fds[WORKER_FD_INITRD]);
    fds[WORKER_FD_STATE] = state;
    fds[WORKER_FD_MEMORY] = memory;
    fds[WORKER_FD_HOT] = hot;
    machine->from_template = true;
    machine->template_cold = hot < 0 && machine->made_template;
    return true;
}

/* Have (fd) where (to) is, open a second time. -1 stays -1. */
static int lend(int fd, int *to, struct sm_error *err)
{
    *to = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return *to < 0 && fd >= 0 ? fail_os(err, "snapshot") : 0;
}

static int use_snapshot(const struct shelf_snapshot *snapshot, int *fds,
                        struct sm_error *err)
{
    static const uint8_t places[][2] = {
        {SNAPSHOT_STATE, WORKER_FD_STATE},
        {SNAPSHOT_MEMORY, WORKER_FD_MEMORY},
        {SNAPSHOT_DIFFERENTIAL, WORKER_FD_DIFFERENTIAL},
        {SNAPSHOT_ROOTFS, WORKER_FD_DISK},
    };
    int rc = 0;

    for (size_t i = 0; i < ARRAY_LEN(places) && !rc; i++)
        rc = lend(snapshot->fds[places[i][0]], &fds[places[i][1]], err);
    for (unsigned i = 0; i < snapshot->manifest.layer_count && !rc; i++)
        rc = lend(snapshot->fds[SNAPSHOT_DISK + i], &fds[WORKER_FD_LAYER + i],
                  err);
    return rc;
}

static bool wants_template(const struct machine *machine)
{
    return !machine->config.cold && !machine->config.kernel &&
           !machine->config.kernel_args[0];
}

bool machine_note_hot(struct machine *machine)
{
    if (!machine->template_cold ||
        template_hot_open(&machine->paths, &machine->hot, NULL) != 0)
        return false;
    machine->template_cold = false;
    if (worker_hot(machine->worker, machine->hot.fd, NULL) == 0)
        return true;
    file_fresh_done(&machine->hot);
    return false;
}

void machine_keep_hot(struct machine *machine)
{
    uint64_t bytes = 0;

    if (machine->hot.fd >= 0 && file_size(machine->hot.fd, &bytes, NULL) == 0 &&
        bytes)
        template_hot_keep(&machine->paths, &machine->template, &machine->hot);
    file_fresh_done(&machine->hot);
}

/* The worker waits for its request: give it one. */
static void go_on(struct machine *machine, bool with_template)
{
    int fds[WORKER_FDS_MAX];
    struct sm_error why;
    int rc;

    no_fds(fds);
    rc = open_boot(machine, fds, &why);

    if (!rc && with_template)
        use_template(machine, fds);
    if (!rc)
        rc = hand_over(machine, fds, &why);
    close_all(fds);
    if (rc)
        machine_fail(machine, &why);
}

static void template_made(void *context, int rc, const struct sm_error *err)
{
    struct machine *machine = context;

    (void)err;
    template_maker_free(own_take(machine->maker));
    machine_step(machine, rc ? "template failed" : "template made");
    machine->made_template = rc == 0;
    go_on(machine, rc == 0);
}

/* Returns 0 also if the template has to be made first. */
static int launch(struct machine *machine, int *fds, struct sm_error *err)
{
    int rc = open_worker(machine, err);

    if (rc)
        return rc;
    if (machine->config.snapshot) {
        rc = use_snapshot(machine->config.snapshot, fds, err);
        return rc ? rc : hand_over(machine, fds, err);
    }
    rc = open_boot(machine, fds, err);
    if (rc)
        return rc;
    if (!wants_template(machine) ||
        template_key_make(&machine->paths, machine->config.memory_bytes,
                          machine->config.vcpus, fds[WORKER_FD_KERNEL],
                          fds[WORKER_FD_INITRD], &machine->template, NULL) ||
        use_template(machine, fds))
        return hand_over(machine, fds, err);
    rc = template_make(machine->loop, &machine->paths, &machine->template,
                       fds[WORKER_FD_KERNEL], fds[WORKER_FD_INITRD],
                       template_made, machine, &machine->maker, NULL);
    return rc ? hand_over(machine, fds, err) : 0;
}

bool machine_boot_instead(struct machine *machine)
{
    struct sm_error why;

    if (!machine->from_template || machine->restored || machine->killed ||
        machine->state != MACHINE_STARTING)
        return false;
    machine_step(machine, "template refused");
    template_drop(&machine->paths, &machine->template);
    machine->from_template = false;
    loop_timer_stop(machine->grace);
    session_close(own_take(machine->session));
    pthread_mutex_lock(&machine->lock);
    worker_close(own_take(machine->worker));
    pthread_mutex_unlock(&machine->lock);
    if (open_worker(machine, &why) != 0)
        machine_fail(machine, &why);
    else
        go_on(machine, false);
    return true;
}

int machine_start(struct machine *machine, uint32_t timeout_ms,
                  struct sm_error *err)
{
    int fds[WORKER_FDS_MAX];
    struct sm_error why;
    int rc;

    no_fds(fds);
    if (machine->state != MACHINE_NEW)
        return fail(err, SM_ESTATE, "the machine was started before");
    machine->state = MACHINE_STARTING;
    machine->started_ns = clock_monotonic_ns();
    machine->start_timeout_ms =
        timeout_ms && timeout_ms != SM_NOWAIT ? timeout_ms : START_TIMEOUT_MS;
    loop_timer_start(machine->start_deadline, machine->start_timeout_ms);
    machine_step(machine, "start called");
    rc = launch(machine, fds, &why);
    close_all(fds);
    if (rc)
        machine_fail(machine, &why);
    while (timeout_ms != SM_NOWAIT && machine->state == MACHINE_STARTING)
        loop_turn(machine->loop, -1);
    if (timeout_ms == SM_NOWAIT)
        machine_nudge(machine);
    else
        machine_turned(machine);
    if (machine->state != MACHINE_STOPPED)
        return 0;
    if (err)
        *err = machine->end.why;
    return machine->end.why.code;
}
