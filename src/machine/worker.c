/* worker.c: the library's end of a worker process; see worker.h. */
#include "machine/worker.h"

#include "base/own.h"
#include "platform/channel.h"
#include "platform/process.h"

struct worker {
    struct loop_watch *watch;
    const struct worker_events *events;
    void *context;
    struct process process;
    int channel;
    bool ended;
    uint8_t in[CHANNEL_BYTES_MAX];
};

/* The last event. */
static void end(struct worker *worker, const struct worker_ended *ended)
{
    if (worker->ended)
        return;
    worker->ended = true;
    loop_change(worker->watch, 0);
    worker->events->ended(worker->context, ended);
}

static void fail_worker(struct worker *worker, const struct sm_error *why)
{
    struct worker_ended ended = {.end = WORKER_END_FAILED, .error = *why};

    end(worker, &ended);
}

static int take_probed(struct worker *worker, struct wire_reader *from,
                       struct sm_error *err)
{
    struct worker_probed probed = {0};
    int rc = worker_get_probed(from, &probed, err);

    if (!rc && worker->events->probed)
        worker->events->probed(worker->context, &probed);
    worker_probed_done(&probed);
    return rc;
}

static int take_steps(struct worker *worker, struct wire_reader *from,
                      struct sm_error *err)
{
    struct worker_steps steps;
    int rc = worker_get_steps(from, &steps, err);

    if (!rc && worker->events->steps)
        worker->events->steps(worker->context, &steps);
    return rc;
}

static int take_captured(struct worker *worker, struct wire_reader *from,
                         struct sm_error *err)
{
    struct worker_captured captured;
    int rc = worker_get_captured(from, &captured, err);

    if (!rc && worker->events->captured)
        worker->events->captured(worker->context, &captured);
    return rc;
}

static int take_saved(struct worker *worker, struct wire_reader *from,
                      struct sm_error *err)
{
    struct worker_saved saved;
    int rc = worker_get_saved(from, &saved, err);

    if (!rc && worker->events->saved)
        worker->events->saved(worker->context, &saved);
    return rc;
}

static int take_merged(struct worker *worker, struct wire_reader *from,
                       struct sm_error *err)
{
    struct worker_merged merged;
    int rc = worker_get_merged(from, &merged, err);

    if (!rc && worker->events->merged)
        worker->events->merged(worker->context, &merged);
    return rc;
}

static int take_ended(struct worker *worker, struct wire_reader *from,
                      struct sm_error *err)
{
    struct worker_ended ended;
    int rc = worker_get_ended(from, &ended, err);

    if (!rc)
        end(worker, &ended);
    return rc;
}

static int take_figures(struct worker *worker, struct wire_reader *from,
                        struct sm_error *err)
{
    struct worker_figures figures;
    int rc = worker_get_figures(from, &figures, err);

    if (!rc && worker->events->figures)
        worker->events->figures(worker->context, &figures);
    return rc;
}

static int take_message(struct worker *worker, size_t count,
                        struct sm_error *err)
{
    struct wire_reader from;
    enum worker_type type;
    int rc;

    wire_read(&from, worker->in, count);
    rc = worker_get_type(&from, &type, err);
    if (rc)
        return rc;
    switch (type) {
    case WORKER_PROBED:
        return take_probed(worker, &from, err);
    case WORKER_STEPS:
        return take_steps(worker, &from, err);
    case WORKER_FIGURES:
        return take_figures(worker, &from, err);
    case WORKER_ENDED:
        return take_ended(worker, &from, err);
    case WORKER_PAUSED:
    case WORKER_RESUMED:
        if (worker->events->paused)
            worker->events->paused(worker->context, type == WORKER_PAUSED);
        return 0;
    case WORKER_CAPTURED:
        return take_captured(worker, &from, err);
    case WORKER_SAVED:
        return take_saved(worker, &from, err);
    case WORKER_MERGED:
        return take_merged(worker, &from, err);
    case WORKER_HOT_DONE:
        if (worker->events->hot_done)
            worker->events->hot_done(worker->context);
        return 0;
    case WORKER_PROBE:
    case WORKER_HOT:
    case WORKER_SAVE:
    case WORKER_MERGE:
    case WORKER_START:
    case WORKER_STOP:
    case WORKER_PAUSE:
    case WORKER_RESUME:
    case WORKER_MEASURE:
        break;
    }
    return fail(err, SM_EPROTO, "worker: unexpected message %d", (int)type);
}

static void readable(void *context, unsigned events)
{
    struct worker *worker = context;
    struct channel_message message;
    struct sm_error err;
    int rc;

    (void)events;
    rc = channel_receive(worker->channel, worker->in, &message, &err);
    if (rc == SM_ECLOSED)
        fail(&err, SM_EGUEST, "the machine's worker process died");
    if (!rc) {
        channel_message_done(&message);
        rc = take_message(worker, message.count, &err);
    }
    if (rc)
        fail_worker(worker, &err);
}

/* Start the process; its end of the channel goes with it. */
static int launch(struct worker *worker, const char *path, struct sm_error *err)
{
    char *argv[] = {"supermachine-vmm", NULL};
    int ends[2];
    int rc = channel_pair(ends, err);

    if (rc)
        return rc;
    worker->channel = ends[0];
    rc = process_start(path, argv, &ends[1], 1, &worker->process, err);
    close(ends[1]);
    return rc;
}

int worker_open(struct loop *loop, const char *path,
                const struct worker_events *events, void *context,
                struct worker **ret, struct sm_error *err)
{
    struct worker *worker = calloc(1, sizeof *worker);
    int rc;

    if (!worker)
        return fail(err, SM_ENOMEM, "worker: out of memory");
    worker->events = events;
    worker->context = context;
    worker->process = PROCESS_NONE;
    worker->channel = -1;
    rc = launch(worker, path, err);
    if (!rc)
        rc = loop_watch(loop, worker->channel, LOOP_READ, readable, worker,
                        &worker->watch, err);
    if (rc) {
        worker_close(worker);
        return wrap(err, rc, "worker");
    }
    *ret = worker;
    return 0;
}

void worker_close(struct worker *worker)
{
    if (!worker)
        return;
    loop_unwatch(worker->watch);
    process_kill(&worker->process);
    process_wait(&worker->process, NULL);
    if (worker->channel >= 0)
        close(worker->channel);
    free(worker);
}

static int send_message(struct worker *worker, struct buf *message,
                        const int *fds, unsigned fd_count, struct sm_error *err)
{
    int rc;

    if (message->failed)
        rc = buf_refuse(message, err, "message to the worker");
    else
        rc = channel_send(worker->channel, message->data, message->size, fds,
                          fd_count, err);
    buf_done(message);
    return rc;
}

int worker_probe(struct worker *worker, struct sm_error *err)
{
    struct buf message;

    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_simple(&message, WORKER_PROBE);
    return send_message(worker, &message, NULL, 0, err);
}

int worker_start(struct worker *worker, struct worker_start *start,
                 const int *fds, struct sm_error *err)
{
    int packed[WORKER_FDS_MAX];
    unsigned count = worker_pack_fds(fds, WORKER_FDS_MAX, packed, &start->fds);
    struct buf message;

    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_start(&message, start);
    return send_message(worker, &message, packed, count, err);
}

int worker_hot(struct worker *worker, int fd, struct sm_error *err)
{
    struct buf message;

    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_simple(&message, WORKER_HOT);
    return send_message(worker, &message, &fd, 1, err);
}

int worker_measure(struct worker *worker, struct sm_error *err)
{
    struct buf message;

    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_simple(&message, WORKER_MEASURE);
    return send_message(worker, &message, NULL, 0, err);
}

int worker_pause(struct worker *worker, bool pause, struct sm_error *err)
{
    struct buf message;

    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_simple(&message, pause ? WORKER_PAUSE : WORKER_RESUME);
    return send_message(worker, &message, NULL, 0, err);
}

int worker_save(struct worker *worker, struct worker_save *save, const int *fds,
                struct sm_error *err)
{
    int packed[WORKER_SAVE_FDS_MAX];
    unsigned count =
        worker_pack_fds(fds, WORKER_SAVE_FDS_MAX, packed, &save->fds);
    struct buf message;

    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_save(&message, save);
    return send_message(worker, &message, packed, count, err);
}

int worker_merge(struct worker *worker, const int *fds, unsigned count,
                 struct sm_error *err)
{
    struct buf message;

    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_simple(&message, WORKER_MERGE);
    return send_message(worker, &message, fds, count, err);
}

void worker_kill(const struct worker *worker)
{
    process_kill(&worker->process);
}
