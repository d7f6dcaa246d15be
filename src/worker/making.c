/* making.c: the machine is made: of a kernel, or of a snapshot. */
#include "worker/inside.h"

#include "base/bytes.h"
#include "base/own.h"
#include "block/overlay.h"
#include "block/raw.h"
#include "hypervisor/hv.h"
#include "proto/agent.h"

#include <stdio.h>

/* No console unless asked for: every character is an exit. Panics are shown
 * all the same, because they raise the level. */
static const char kernel_cmdline[] =
    "console=ttyS0 quiet loglevel=4 panic=-1 tsc=reliable "
    "reboot=acpi 8250.nr_uarts=1";

/* What the machine reports ------------------------------------------------ */

/* The agent connects once, to its own port; nobody else is expected. */
static int connected(void *context, uint32_t host_port, uint32_t guest_port)
{
    struct worker *worker = context;
    struct buf message;

    (void)guest_port;
    if (host_port != AGENT_PORT || worker->agent_fd < 0)
        return -1;
    worker_step(worker, "agent connected");
    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_steps(&message, &worker->steps);
    worker_tell(&message);
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

    worker_finish(context, kinds[end->kind], &end->error);
}

static const struct vm_events vm_events = {
    .connect = connected,
    .console = console_output,
    .step = worker_step,
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

/* Making ------------------------------------------------------------------ */

/* The root disk: the image's file, immutable, sealed layers of a snapshot, and
 * the machine's own on top. Owns the descriptors that it uses. */
static int open_disk(int *fds, struct block **ret, struct sm_error *err)
{
    struct block *base = NULL;
    unsigned layers = 0;
    int rc = raw_open(fds[WORKER_FD_DISK], true, NULL, &base, err);

    if (rc)
        return wrap(err, rc, "root disk");
    own_take_fd(&fds[WORKER_FD_DISK]);
    while (layers < WORKER_LAYERS_MAX && fds[WORKER_FD_LAYER + layers] >= 0)
        layers++;
    rc = overlay_open_chain(base, &fds[WORKER_FD_LAYER], layers, &base, err);
    for (unsigned i = 0; i < layers; i++)
        fds[WORKER_FD_LAYER + i] = -1;
    if (rc)
        return wrap(err, rc, "root disk");
    rc = overlay_create(fds[WORKER_FD_OVERLAY], base, base->bytes, ret, err);
    if (rc) {
        block_free(base);
        return wrap(err, rc, "root disk: overlay");
    }
    own_take_fd(&fds[WORKER_FD_OVERLAY]);
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
                             .differential_fd = fds[WORKER_FD_DIFFERENTIAL]};
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
    worker_step(worker, "machine restored");
    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_steps(&message, &worker->steps);
    worker_tell(&message);
    return 0;
}

int worker_make(struct worker *worker, const struct worker_start *start,
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
    int rc = open_disk(fds, &config.disk, err);

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
