/* saving.c: a snapshot of the machine while it goes on.
 *
 * How it works
 *   capture   vcpus and devices stand still: state and list of pages are taken,
 *             the disk gets a new layer (and those below it make room for the
 *             one that they were merged into, if that came along: merging.c),
 *             and the process is copied (fork), with all of its memory as it is
 *             now
 *   store     the machine goes on; the copy writes what it has, and ends
 *
 *   A copy ends with its parent, and its files have no names: nothing is left
 *   behind by whatever ends in the middle of this.
 */
#include "worker/inside.h"

#include "base/own.h"
#include "block/overlay.h"
#include "block/raw.h"
#include "hypervisor/hv.h"
#include "platform/clock.h"
#include "platform/file.h"

#include <stdio.h>
#include <string.h>
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

/* Storing ----------------------------------------------------------------- */

static int store(void *context, uint64_t *bytes, struct sm_error *err)
{
    struct worker *worker = context;
    const struct saving *saving = &worker->saving;
    const struct snapshot_files files = {
        .state = {.fd = saving->fds[WORKER_SAVE_STATE],
                  .at = saving->wanted.state_at},
        .memory_fd = saving->fds[WORKER_SAVE_MEMORY],
        .durable = saving->wanted.flags & WORKER_SAVE_DURABLE,
    };
    int rc = snapshot_store(saving->capture, &files, bytes, err);

    if (!rc && files.durable && saving->fds[WORKER_SAVE_SEALED] >= 0)
        rc = file_sync(saving->fds[WORKER_SAVE_SEALED], err);
    return rc;
}

static void stored(void *context, unsigned events)
{
    struct worker *worker = context;
    struct worker_saved saved = {0};

    (void)events;
    worker_copy_end(&worker->saving.copy, &saved.memory_bytes, &saved.error);
    tell_saved(&worker->saving, &saved);
}

/* (image): of the machine's memory, which the copy reads. */
static int start_storing(struct worker *worker, const struct gmem_image *image,
                         struct sm_error *err)
{
    struct saving *saving = &worker->saving;
    int fds[WORKER_SAVE_FDS_MAX + 2];
    const struct process_work work = {.work = store,
                                      .context = worker,
                                      .fds = fds,
                                      .fd_count = WORKER_SAVE_FDS_MAX + 2};

    memcpy(fds, saving->fds, sizeof saving->fds);
    fds[WORKER_SAVE_FDS_MAX] = image->fd;
    fds[WORKER_SAVE_FDS_MAX + 1] = image->differential_fd;
    return worker_copy_start(worker, &work, stored, &saving->copy, err);
}

/* Capturing --------------------------------------------------------------- */

/* What the layers became, over the base once more; NULL: they stay. */
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
    const struct snapshot_wanted wanted = {
        .label = saving->wanted.snapshot,
        .full = !(saving->wanted.flags & WORKER_SAVE_DIFFERENTIAL),
    };
    int rc = snapshot_capture(worker->vm, &wanted, &saving->capture, err);

    if (!rc && saving->fds[WORKER_SAVE_OVERLAY] >= 0)
        rc = vm_disk_split(worker->vm, below,
                           own_take_fd(&saving->fds[WORKER_SAVE_OVERLAY]), err);
    else
        block_free(below);
    if (rc)
        return rc;
    saving->captured = true;
    return start_storing(worker, &vm_memory(worker->vm)->image, err);
}

static void tell_captured(uint64_t paused_ns)
{
    struct worker_captured captured = {.paused_ns = paused_ns};
    struct buf answer;

    snprintf(captured.hypervisor, sizeof captured.hypervisor, "%s",
             hv_host()->name);
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

static int check(const int *fds, struct sm_error *err)
{
    if (fds[WORKER_SAVE_STATE] < 0 || fds[WORKER_SAVE_MEMORY] < 0)
        return fail(err, SM_EPROTO, "save: no files for state and memory");
    if ((fds[WORKER_SAVE_MERGED] < 0) != (fds[WORKER_SAVE_BASE] < 0))
        return fail(err, SM_EPROTO, "save: merged layers without their base");
    return 0;
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
    } else if (check(saving->fds, &err) != 0) {
        refuse(saving, &err);
    } else {
        capture(worker);
    }
}

void worker_save_abandon(struct worker *worker)
{
    struct saving *saving = &worker->saving;

    if (!saving->active)
        return;
    worker_copy_abandon(&saving->copy);
    forget(saving);
}
