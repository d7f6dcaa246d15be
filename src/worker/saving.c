/* saving.c: a snapshot of the machine while it goes on.
 *
 * How it works
 *   [merge]   if the disk has many layers, a copy of this process makes one of
 *             those that nobody writes to any more
 *   capture   vcpus and devices stand still: state and list of pages are taken,
 *             the disk gets a new layer, and the process is copied (fork), with
 *             all of its memory as it is now
 *   store     the machine goes on; the copy writes what it has, and ends
 *
 *   A copy ends with its parent, and its files have no names: nothing is left
 *   behind by whatever ends in the middle of this.
 */
#include "worker/inside.h"

#include "base/own.h"
#include "block/overlay.h"
#include "block/raw.h"
#include "platform/clock.h"
#include "platform/file.h"

#include <unistd.h>

static void forget(struct saving *saving)
{
    snapshot_capture_free(own_take(saving->capture));
    for (int i = 0; i < WORKER_SAVE_FDS_MAX; i++)
        if (saving->fds[i] >= 0)
            close(own_take_fd(&saving->fds[i]));
    worker_save_done(&saving->wanted);
    saving->active = saving->captured = false;
}

static void tell_saved(struct saving *saving, const struct worker_saved *saved)
{
    struct buf answer;

    buf_init(&answer, CHANNEL_BYTES_MAX);
    worker_put_saved(&answer, saved);
    worker_tell(&answer);
    forget(saving);
}

static void refuse(struct saving *saving, const struct sm_error *why)
{
    struct worker_saved saved = {.error = *why};

    tell_saved(saving, &saved);
}

/* A copy at work ---------------------------------------------------------- */

/* Do (work) in a copy of this process; (done) follows. */
static int start_copy(struct worker *worker,
                      int (*work)(void *context, struct sm_error *err),
                      loop_watch_fn *done, struct sm_error *err)
{
    struct saving *saving = &worker->saving;
    int rc = process_copy(work, worker, &saving->copy, err);

    if (rc)
        return rc;
    rc = loop_watch(worker->loop, saving->copy.fd, LOOP_READ, done, worker,
                    &saving->watch, err);
    if (rc)
        process_copy_end(&saving->copy, NULL);
    return rc;
}

static int end_copy(struct saving *saving, struct sm_error *err)
{
    loop_unwatch(own_take(saving->watch));
    return process_copy_end(&saving->copy, err);
}

/* Storing ----------------------------------------------------------------- */

static int store(void *context, struct sm_error *err)
{
    struct worker *worker = context;
    const struct saving *saving = &worker->saving;
    struct block *disk = vm_disk(worker->vm);
    int rc = snapshot_store(saving->capture, err);

    /* What was sealed just now. */
    if (!rc && disk && saving->wanted.flags & WORKER_SAVE_DURABLE &&
        overlay_base(disk))
        rc = block_flush(overlay_base(disk), err);
    return rc;
}

static void stored(void *context, unsigned events)
{
    struct worker *worker = context;
    struct saving *saving = &worker->saving;
    struct worker_saved saved = {0};

    (void)events;
    saved.memory_bytes = snapshot_capture_bytes(saving->capture);
    if (end_copy(saving, &saved.error) == 0)
        saved.error = (struct sm_error){0};
    tell_saved(saving, &saved);
}

/* Capturing --------------------------------------------------------------- */

/* What the merged layers became, over the base once more. */
static int open_merged(struct saving *saving, struct block **ret,
                       struct sm_error *err)
{
    struct block *base = NULL;
    int merged;
    int rc;

    *ret = NULL;
    if (saving->fds[WORKER_SAVE_MERGED] < 0)
        return 0;
    rc = raw_open(saving->fds[WORKER_SAVE_BASE], true, NULL, &base, err);
    if (rc)
        return rc;
    own_take_fd(&saving->fds[WORKER_SAVE_BASE]);
    merged = own_take_fd(&saving->fds[WORKER_SAVE_MERGED]);
    return overlay_open_chain(base, &merged, 1, ret, err);
}

/* The machine stands still. From the moment that its disk is another one on,
 * it has been captured, whatever becomes of the rest. */
static int take_moment(struct worker *worker, struct block *below,
                       struct sm_error *err)
{
    struct saving *saving = &worker->saving;
    const struct snapshot_plan plan = {
        .label = saving->wanted.snapshot,
        .state = {.fd = saving->fds[WORKER_SAVE_STATE],
                  .at = saving->wanted.state_at},
        .memory_fd = saving->fds[WORKER_SAVE_MEMORY],
        .differential = saving->wanted.flags & WORKER_SAVE_DIFFERENTIAL,
        .durable = saving->wanted.flags & WORKER_SAVE_DURABLE,
    };
    int rc = snapshot_capture(worker->vm, &plan, &saving->capture, err);

    if (!rc && saving->fds[WORKER_SAVE_OVERLAY] >= 0)
        rc = vm_disk_split(worker->vm, below,
                           own_take_fd(&saving->fds[WORKER_SAVE_OVERLAY]), err);
    else
        block_free(below);
    if (rc)
        return rc;
    saving->captured = true;
    return start_copy(worker, store, stored, err);
}

static void tell_captured(uint64_t paused_ns)
{
    const struct worker_captured captured = {.paused_ns = paused_ns};
    struct buf answer;

    buf_init(&answer, CHANNEL_BYTES_MAX);
    worker_put_captured(&answer, &captured);
    worker_tell(&answer);
}

static void capture(struct worker *worker)
{
    struct saving *saving = &worker->saving;
    struct block *below;
    struct sm_error err;
    uint64_t since;
    int rc = open_merged(saving, &below, &err);

    if (rc) {
        refuse(saving, &err);
        return;
    }
    since = clock_monotonic_ns();
    vm_pause(worker->vm);
    rc = vm_freeze(worker->vm, &err);
    if (rc) {
        block_free(below);
    } else {
        rc = take_moment(worker, below, &err);
        vm_thaw(worker->vm);
    }
    vm_resume(worker->vm);
    if (saving->captured)
        tell_captured(clock_monotonic_ns() - since);
    if (rc)
        refuse(saving, &err);
}

/* Merging ----------------------------------------------------------------- */

static int merge(void *context, struct sm_error *err)
{
    struct worker *worker = context;

    return overlay_merge(overlay_base(vm_disk(worker->vm)),
                         worker->saving.fds[WORKER_SAVE_MERGED], err);
}

static void merged(void *context, unsigned events)
{
    struct worker *worker = context;
    struct sm_error err;

    (void)events;
    if (end_copy(&worker->saving, &err) != 0)
        refuse(&worker->saving, &err);
    else
        capture(worker);
}

static int begin(struct worker *worker, struct sm_error *err)
{
    const struct saving *saving = &worker->saving;
    const struct block *disk = vm_disk(worker->vm);

    if (saving->fds[WORKER_SAVE_STATE] < 0 ||
        saving->fds[WORKER_SAVE_MEMORY] < 0)
        return fail(err, SM_EPROTO, "save: no files for state and memory");
    if (saving->fds[WORKER_SAVE_MERGED] < 0)
        return 0;
    if (saving->fds[WORKER_SAVE_BASE] < 0 || !disk || disk->depth < 3)
        return fail(err, SM_EPROTO, "save: no layers to merge");
    return start_copy(worker, merge, merged, err);
}

void worker_save(struct worker *worker, struct worker_save *wanted, int *fds)
{
    struct saving *saving = &worker->saving;
    struct saving second = {.active = true};
    struct sm_error err;
    bool busy = saving->active;

    if (busy)
        saving = &second;
    saving->active = true;
    saving->wanted = *wanted;
    *wanted = (struct worker_save){0};
    for (int i = 0; i < WORKER_SAVE_FDS_MAX; i++)
        saving->fds[i] = own_take_fd(&fds[i]);
    if (busy) {
        fail(&err, SM_EBUSY, "save: one before this is still being written");
        refuse(saving, &err);
    } else if (begin(worker, &err) != 0) {
        refuse(saving, &err);
    } else if (!saving->watch) {
        capture(worker);
    }
}

void worker_save_abandon(struct worker *worker)
{
    struct saving *saving = &worker->saving;

    if (!saving->active)
        return;
    if (saving->watch)
        end_copy(saving, NULL);
    forget(saving);
}
