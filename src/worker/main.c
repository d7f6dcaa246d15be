/* main.c: supermachine-vmm, the process that is one machine.
 *
 * How it works
 *   Started by the library with one end of a channel as descriptor 3
 *   (proto/worker.h). It gets one request; everything that it needs comes as
 *   open descriptors. It says why it ended and exits. When the channel closes,
 *   nobody is left to run for: it exits at once.
 */
#include "base/bytes.h"
#include "base/own.h"
#include "block/overlay.h"
#include "block/raw.h"
#include "hypervisor/soundness.h"
#include "platform/channel.h"
#include "platform/clock.h"
#include "platform/process.h"
#include "platform/usage.h"
#include "proto/agent.h"
#include "proto/worker.h"
#include "snapshot/snapshot.h"
#include "vm/vm.h"
#include "worker/console.h"

#include <signal.h>
#include <stdio.h>

enum { CHANNEL_FD = PROCESS_FD_FIRST };

/* No console unless asked for: every character is an exit. Panics are shown
 * all the same, because they raise the level. */
static const char kernel_cmdline[] =
    "console=ttyS0 quiet loglevel=4 panic=-1 tsc=reliable "
    "reboot=acpi 8250.nr_uarts=1";

struct worker {
    struct loop *loop;
    struct loop_watch *watch;
    struct vm *vm;
    struct loop_timer *lifetime;
    int agent_fd; /* for the agent's first connection; then -1 */
    struct console console;
    struct worker_steps steps;
    bool done;
    uint8_t in[CHANNEL_BYTES_MAX];
};

static void tell(struct buf *message)
{
    /* If the library is gone, the channel's end will say so. */
    if (!message->failed)
        channel_send(CHANNEL_FD, message->data, message->size, NULL, 0, NULL);
    buf_done(message);
}

static void finish(struct worker *worker, enum worker_end end,
                   const struct sm_error *error)
{
    struct worker_ended ended = {.end = end};
    struct buf message;

    if (worker->done)
        return;
    worker->done = true;
    if (error)
        ended.error = *error;
    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_ended(&message, &ended);
    tell(&message);
    loop_stop(worker->loop);
}

/* What the machine reports ------------------------------------------------ */

static void add_step(void *context, const char *what)
{
    struct worker *worker = context;

    worker_step_add(&worker->steps, what, clock_monotonic_ns());
}

/* The agent connects once, to its own port; nobody else is expected. */
static int connected(void *context, uint32_t host_port, uint32_t guest_port)
{
    struct worker *worker = context;
    struct buf message;

    (void)guest_port;
    if (host_port != AGENT_PORT || worker->agent_fd < 0)
        return -1;
    add_step(worker, "agent connected");
    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_steps(&message, &worker->steps);
    tell(&message);
    return own_take_fd(&worker->agent_fd);
}

static void console_output(void *context, const uint8_t *bytes, size_t count)
{
    struct worker *worker = context;

    console_write(&worker->console, bytes, count);
}

static void machine_ended(void *context, const struct vm_end *end)
{
    static const enum worker_end kinds[] = {
        [VM_END_POWER_OFF] = WORKER_END_POWER_OFF,
        [VM_END_REBOOT] = WORKER_END_REBOOT,
        [VM_END_PANIC] = WORKER_END_PANIC,
        [VM_END_CRASH] = WORKER_END_CRASH,
        [VM_END_FAILED] = WORKER_END_FAILED,
    };

    finish(context, kinds[end->kind], &end->error);
}

static const struct vm_events vm_events = {
    .connect = connected,
    .console = console_output,
    .step = add_step,
    .ended = machine_ended,
};

/* Lines of the devices go where the guest's kernel writes. */
static void log_to_console(void *context, enum log_level level,
                           const char *text)
{
    struct worker *worker = context;
    char line[512];
    int length = snprintf(line, sizeof line, "supermachine: %s\n", text);

    (void)level;
    if (length > 0)
        console_write(&worker->console, (const uint8_t *)line,
                      min_u64((uint64_t)length, sizeof line - 1));
}

/* Requests ---------------------------------------------------------------- */

static enum worker_verdict verdict_of(int rc, bool sound)
{
    if (!rc)
        return sound ? WORKER_SOUND : WORKER_INTERPRETED;
    if (rc == SM_EACCES)
        return WORKER_NOT_PERMITTED;
    return rc == SM_ENOHV ? WORKER_MISSING : WORKER_UNUSABLE;
}

static void probe(struct worker *worker)
{
    const struct hv_ops *hv = hv_host();
    struct hv_soundness soundness = {0};
    struct sm_error err = {0};
    struct hv_caps caps;
    struct worker_probed probed = {.hypervisor = (char *)(uintptr_t)hv->name};
    struct buf message;
    int rc = hv_probe(hv, -1, &caps, &err);

    if (!rc)
        rc = hv_soundness(hv, -1, &soundness, &err);
    probed.verdict = verdict_of(rc, soundness.sound);
    probed.loop_ns = soundness.ns;
    if (!rc)
        hv_soundness_check(&soundness, &err);
    probed.detail = err.message;
    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_probed(&message, &probed);
    tell(&message);
    loop_stop(worker->loop);
}

/* The root disk: the image's file, immutable, under the machine's own. Owns
 * the two descriptors that it uses. */
static int open_disk(int *base_fd, int *overlay_fd, struct block **ret,
                     struct sm_error *err)
{
    struct block *base = NULL;
    int rc = raw_open(*base_fd, true, NULL, &base, err);

    if (rc)
        return wrap(err, rc, "root disk");
    own_take_fd(base_fd);
    rc = overlay_create(*overlay_fd, base, base->bytes, ret, err);
    if (rc) {
        block_free(base);
        return wrap(err, rc, "root disk: overlay");
    }
    own_take_fd(overlay_fd);
    return 0;
}

/* Boot the kernel that came. */
static int boot(struct worker *worker, struct vm_config *config,
                const struct worker_start *start, const int *fds,
                struct sm_error *err)
{
    AUTO_FREE char *cmdline = NULL;

    if (asprintf(&cmdline, "%s %s", kernel_cmdline, start->kernel_args) < 0) {
        cmdline = NULL;
        block_free(config->disk);
        return fail(err, SM_ENOMEM, "out of memory");
    }
    config->cmdline = cmdline;
    config->kernel_fd = fds[WORKER_FD_KERNEL];
    config->initrd_fd = fds[WORKER_FD_INITRD];
    return vm_new(config, &worker->vm, err);
}

/* Go on with the machine that came, and with its agent's connection. */
static int restore(struct worker *worker, struct vm_config *config,
                   const struct worker_start *start, const int *fds,
                   struct sm_error *err)
{
    struct vm_saved saved = {.memory_fd = fds[WORKER_FD_MEMORY],
                             .differential_fd = -1};
    AUTO_FREE struct vm_range *hot = NULL;
    const struct snapshot_place place = {.fd = fds[WORKER_FD_STATE],
                                         .at = start->state_at};
    struct snapshot snapshot = {0};
    struct buf message;
    int rc = snapshot_read(&place, start->snapshot, &snapshot, err);

    if (rc) {
        block_free(config->disk);
        return rc;
    }
    saved.state = snapshot.state;
    saved.count = snapshot.state_count;
    saved.range = snapshot.range;
    saved.range_count = snapshot.range_count;
    /* Without it the machine is a little slower, no more. */
    if (fds[WORKER_FD_HOT] >= 0 &&
        snapshot_read_hot(fds[WORKER_FD_HOT], &hot, &saved.hot_count, NULL) ==
            0)
        saved.hot = hot;
    config->saved = &saved;
    rc = vm_new(config, &worker->vm, err);
    snapshot_done(&snapshot);
    if (!rc)
        rc = vm_adopt(worker->vm, AGENT_PORT, own_take_fd(&worker->agent_fd),
                      err);
    if (rc)
        return rc;
    add_step(worker, "machine restored");
    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_steps(&message, &worker->steps);
    tell(&message);
    return 0;
}

static int make_machine(struct worker *worker, const struct worker_start *start,
                        int *fds, struct sm_error *err)
{
    struct vm_config config = {
        .hv = hv_host(),
        .hv_device_fd = -1,
        .memory_bytes = start->memory_bytes,
        .vcpus = start->vcpus,
        .loop = worker->loop,
        .events = &vm_events,
        .context = worker,
        .log = {.line = log_to_console, .context = worker},
    };
    int rc = open_disk(&fds[WORKER_FD_DISK], &fds[WORKER_FD_OVERLAY],
                       &config.disk, err);

    if (rc)
        return rc;
    console_init(&worker->console, own_take_fd(&fds[WORKER_FD_LOG]));
    worker->agent_fd = own_take_fd(&fds[WORKER_FD_AGENT]);
    rc = start->snapshot[0] ? restore(worker, &config, start, fds, err)
                            : boot(worker, &config, start, fds, err);
    if (!rc)
        vm_run(worker->vm);
    return rc;
}

static void life_over(void *context)
{
    finish(context, WORKER_END_EXPIRED, NULL);
}

static int limit_life(struct worker *worker, uint32_t lifetime_ms,
                      struct sm_error *err)
{
    int rc =
        loop_timer_new(worker->loop, life_over, worker, &worker->lifetime, err);

    if (!rc)
        loop_timer_start(worker->lifetime, lifetime_ms);
    return rc;
}

static int take_start(struct worker *worker, struct wire_reader *from,
                      struct channel_message *message, struct sm_error *err)
{
    struct worker_start start = {0};
    int rc;

    add_step(worker, "request received");
    if (worker->vm)
        return fail(err, SM_ESTATE, "the machine has started already");
    if (message->fd_count != WORKER_FDS && message->fd_count != WORKER_FDS_MAX)
        return fail(err, SM_EPROTO, "%u descriptors, expected %d or %d",
                    message->fd_count, WORKER_FDS, WORKER_FDS_MAX);
    if (message->fd_count == WORKER_FDS)
        message->fds[WORKER_FD_HOT] = -1;
    rc = worker_get_start(from, &start, err);
    if (!rc)
        rc = make_machine(worker, &start, message->fds, err);
    if (!rc && start.lifetime_ms)
        rc = limit_life(worker, start.lifetime_ms, err);
    worker_start_done(&start);
    return rc;
}

static int take_pause(struct worker *worker, bool pause, struct sm_error *err)
{
    struct buf message;

    if (!worker->vm)
        return fail(err, SM_EPROTO, "pause before the machine has started");
    if (pause)
        vm_pause(worker->vm);
    else
        vm_resume(worker->vm);
    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_simple(&message, pause ? WORKER_PAUSED : WORKER_RESUMED);
    tell(&message);
    return 0;
}

static int save(struct worker *worker, const struct worker_save *wanted,
                const int *fds, struct sm_error *err)
{
    const struct snapshot_wanted all = {.label = wanted->snapshot,
                                        .full = true};
    const struct snapshot_files files = {
        .state = {.fd = fds[WORKER_SAVE_STATE], .at = wanted->state_at},
        .memory_fd = fds[WORKER_SAVE_MEMORY]};
    struct snapshot_capture *capture = NULL;
    struct worker_saved saved = {.paused_ns = clock_monotonic_ns()};
    struct buf answer;
    int rc;

    vm_pause(worker->vm);
    rc = vm_freeze(worker->vm, err);
    if (!rc) {
        rc = snapshot_capture(worker->vm, &all, &capture, err);
        if (!rc)
            rc = snapshot_store(capture, &files, &saved.memory_bytes, err);
        snapshot_capture_free(capture);
        vm_thaw(worker->vm);
    }
    vm_resume(worker->vm);
    if (rc)
        return rc;
    saved.paused_ns = clock_monotonic_ns() - saved.paused_ns;
    buf_init(&answer, CHANNEL_BYTES_MAX);
    worker_put_saved(&answer, &saved);
    tell(&answer);
    return 0;
}

static int take_save(struct worker *worker, struct wire_reader *from,
                     const struct channel_message *message,
                     struct sm_error *err)
{
    struct worker_save wanted = {0};
    int rc = worker_get_save(from, &wanted, err);

    if (!rc && !worker->vm)
        rc = fail(err, SM_EPROTO, "save before the machine has started");
    if (!rc && message->fd_count != WORKER_SAVE_FDS)
        rc = fail(err, SM_EPROTO, "%u descriptors, expected %d",
                  message->fd_count, WORKER_SAVE_FDS);
    if (!rc)
        rc = save(worker, &wanted, message->fds, err);
    worker_save_done(&wanted);
    return rc;
}

static int take_hot(struct worker *worker,
                    const struct channel_message *message, struct sm_error *err)
{
    struct buf answer;
    int rc;

    if (!worker->vm || message->fd_count != 1)
        return fail(err, SM_EPROTO, "hot: %u descriptors, expected 1",
                    message->fd_count);
    /* The file stays empty if the machine has written to too much by now. */
    rc = snapshot_write_hot(vm_memory(worker->vm), message->fds[0], err);
    if (rc && rc != SM_ELIMIT)
        return rc;
    buf_init(&answer, CHANNEL_BYTES_MAX);
    worker_put_simple(&answer, WORKER_HOT_DONE);
    tell(&answer);
    return 0;
}

static int take_measure(struct worker *worker, struct sm_error *err)
{
    struct worker_figures figures = {.process_ns = usage_process_ns(),
                                     .rss_bytes = usage_resident_bytes()};
    struct vm_figures vm;
    struct buf message;

    if (!worker->vm)
        return fail(err, SM_EPROTO, "measured before the machine has started");
    vm_measure(worker->vm, &vm);
    figures.vcpu_ns = vm.vcpu_ns;
    figures.disk_read_bytes = vm.disk.read_bytes;
    figures.disk_written_bytes = vm.disk.written_bytes;
    figures.disk_reads = vm.disk.reads;
    figures.disk_writes = vm.disk.writes;
    figures.stream_in_bytes = vm.streams.in_bytes;
    figures.stream_out_bytes = vm.streams.out_bytes;
    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_figures(&message, &figures);
    tell(&message);
    return 0;
}

static int take_message(struct worker *worker, struct channel_message *message,
                        struct sm_error *err)
{
    struct wire_reader from;
    enum worker_type type;
    int rc;

    wire_read(&from, worker->in, message->count);
    rc = worker_get_type(&from, &type, err);
    if (rc)
        return rc;
    switch (type) {
    case WORKER_PROBE:
        probe(worker);
        return 0;
    case WORKER_START:
        return take_start(worker, &from, message, err);
    case WORKER_STOP:
        finish(worker, WORKER_END_STOPPED, NULL);
        return 0;
    case WORKER_PAUSE:
    case WORKER_RESUME:
        return take_pause(worker, type == WORKER_PAUSE, err);
    case WORKER_SAVE:
        return take_save(worker, &from, message, err);
    case WORKER_HOT:
        return take_hot(worker, message, err);
    case WORKER_MEASURE:
        return take_measure(worker, err);
    case WORKER_PROBED:
    case WORKER_STEPS:
    case WORKER_HOT_DONE:
    case WORKER_SAVED:
    case WORKER_ENDED:
    case WORKER_PAUSED:
    case WORKER_RESUMED:
    case WORKER_FIGURES:
        break;
    }
    return fail(err, SM_EPROTO, "unexpected message %d", (int)type);
}

static void readable(void *context, unsigned events)
{
    struct worker *worker = context;
    struct channel_message message;
    struct sm_error err = {0};
    int rc = channel_receive(CHANNEL_FD, worker->in, &message, &err);

    (void)events;
    if (rc == SM_ECLOSED || rc == SM_EIO)
        _exit(0);
    if (!rc)
        rc = take_message(worker, &message, &err);
    channel_message_done(&message);
    if (rc)
        finish(worker, WORKER_END_FAILED, &err);
}

int main(void)
{
    static struct worker worker = {.agent_fd = -1};
    struct sm_error err;
    int rc;

    add_step(&worker, "worker main");
    /* Ctrl-C at the caller's terminal is the caller's business, also while
     * signals are still blocked. */
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    setsid();
    process_begin();
    console_init(&worker.console, -1);
    rc = loop_new(&worker.loop, &err);
    if (!rc)
        rc = loop_watch(worker.loop, CHANNEL_FD, LOOP_READ, readable, &worker,
                        &worker.watch, &err);
    if (rc) {
        fprintf(stderr,
                "supermachine-vmm: %s: this program is started by "
                "supermachine, not by hand\n",
                err.message);
        return 1;
    }
    loop_run(worker.loop);
    vm_free(worker.vm);
    loop_timer_free(worker.lifetime);
    loop_unwatch(worker.watch);
    loop_free(worker.loop);
    return 0;
}
