/* main.c: supermachine-vmm, the process that is one machine.
 *
 * How it works
 *   Started by the library with one end of a channel as descriptor 3
 *   (proto/worker.h). It gets one request; everything that it needs comes as
 *   open descriptors. It says why it ended and exits. When the channel closes,
 *   nobody is left to run for: it exits at once.
 */
#include "worker/inside.h"

#include "base/own.h"
#include "hypervisor/soundness.h"
#include "platform/clock.h"
#include "platform/usage.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

void worker_tell(struct buf *message)
{
    /* If the library is gone, the channel's end will say so. */
    if (!message->failed)
        channel_send(CHANNEL_FD, message->data, message->size, NULL, 0, NULL);
    buf_done(message);
}

void worker_finish(struct worker *worker, enum worker_end end,
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
    worker_tell(&message);
    loop_stop(worker->loop);
}

void worker_step(void *context, const char *what)
{
    struct worker *worker = context;

    worker_step_add(&worker->steps, what, clock_monotonic_ns());
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
    worker_tell(&message);
    loop_stop(worker->loop);
}

static void life_over(void *context)
{
    worker_finish(context, WORKER_END_EXPIRED, NULL);
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
    int fds[WORKER_FDS_MAX];
    int rc;

    worker_step(worker, "request received");
    if (worker->vm)
        return fail(err, SM_ESTATE, "the machine has started already");
    rc = worker_get_start(from, &start, err);
    if (!rc) {
        rc = worker_unpack_fds(message->fds, message->fd_count, start.fds, fds,
                               WORKER_FDS_MAX, err);
        if (!rc)
            rc = worker_make(worker, &start, fds, err);
        for (int i = 0; i < WORKER_FDS_MAX; i++)
            if (fds[i] >= 0)
                close(fds[i]);
    }
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
    worker_tell(&message);
    return 0;
}

static int take_save(struct worker *worker, struct wire_reader *from,
                     struct channel_message *message, struct sm_error *err)
{
    struct worker_save wanted = {0};
    int fds[WORKER_SAVE_FDS_MAX];
    int rc = worker_get_save(from, &wanted, err);

    if (!rc)
        rc = worker_unpack_fds(message->fds, message->fd_count, wanted.fds, fds,
                               WORKER_SAVE_FDS_MAX, err);
    if (!rc && !worker->vm)
        rc = fail(err, SM_EPROTO, "save before the machine has started");
    if (!rc)
        worker_save(worker, &wanted, fds);
    worker_save_done(&wanted);
    return rc;
}

static int take_merge(struct worker *worker, struct channel_message *message,
                      struct sm_error *err)
{
    if (!worker->vm)
        return fail(err, SM_EPROTO, "merge before the machine has started");
    worker_merge(worker, message->fds, message->fd_count);
    return 0;
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
    worker_tell(&answer);
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
    worker_tell(&message);
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
        worker_finish(worker, WORKER_END_STOPPED, NULL);
        return 0;
    case WORKER_PAUSE:
    case WORKER_RESUME:
        return take_pause(worker, type == WORKER_PAUSE, err);
    case WORKER_SAVE:
        return take_save(worker, &from, message, err);
    case WORKER_MERGE:
        return take_merge(worker, message, err);
    case WORKER_HOT:
        return take_hot(worker, message, err);
    case WORKER_MEASURE:
        return take_measure(worker, err);
    case WORKER_PROBED:
    case WORKER_STEPS:
    case WORKER_HOT_DONE:
    case WORKER_CAPTURED:
    case WORKER_SAVED:
    case WORKER_MERGED:
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
        worker_finish(worker, WORKER_END_FAILED, &err);
}

int main(void)
{
    static struct worker worker = {.agent_fd = -1};
    struct sm_error err;
    int rc;

    worker_step(&worker, "worker main");
    /* Ctrl-C at the caller's terminal is the caller's business, also while
     * signals are still blocked. */
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    /* A limit on the size of files is an error of the disk, no end. */
    signal(SIGXFSZ, SIG_IGN);
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
    worker_merge_abandon(&worker);
    worker_save_abandon(&worker);
    vm_free(worker.vm);
    loop_timer_free(worker.lifetime);
    loop_unwatch(worker.watch);
    loop_free(worker.loop);
    return 0;
}
