/* merging.c: the layers of the machine's disk become one, before there are too
 * many.
 *
 * How it works
 *   The layers are sealed, so nobody writes to them: a copy of this process
 *   reads them and writes the one file, while the machine goes on and its disk
 *   stays as it is. The next SAVE brings the file along and puts it in their
 *   place, which takes no time that would count (saving.c).
 *
 *   What is merged is what came with the message, not what the machine has
 *   open: descriptors of its disk may be moved by a SAVE meanwhile.
 */
#include "worker/inside.h"

#include "base/own.h"
#include "block/overlay.h"
#include "block/raw.h"
#include "platform/file.h"

#include <unistd.h>

static void forget(struct merging *merging)
{
    while (merging->fd_count)
        close(own_take_fd(&merging->fds[--merging->fd_count]));
    merging->active = false;
}

static void tell(const struct sm_error *error)
{
    const struct worker_merged merged = {.error = *error};
    struct buf answer;

    buf_init(&answer, CHANNEL_BYTES_MAX);
    worker_put_merged(&answer, &merged);
    worker_tell(&answer);
}

/* Of this copy the guest is to notice nothing: it goes without its memory. */
static int start_copy(struct worker *worker, const struct process_work *work,
                      loop_fn *done, struct sm_error *err)
{
    const struct gmem *memory = vm_memory(worker->vm);
    int rc;

    gmem_leave_out(memory, true);
    rc = worker_copy_start(worker, work, done, &worker->merging.copy, err);
    gmem_leave_out(memory, false);
    return rc;
}

/* In the copy: what it opens, its end closes. */
static int merge(void *context, uint64_t *value, struct sm_error *err)
{
    const struct merging *merging = &((struct worker *)context)->merging;
    const int *fds = merging->fds;
    struct block *base = NULL;
    struct block *top = NULL;
    int rc = raw_open(fds[WORKER_MERGE_BASE], true, NULL, &base, err);

    (void)value;
    if (!rc)
        rc = overlay_open_chain(base, &fds[WORKER_MERGE_LAYER],
                                merging->fd_count - WORKER_MERGE_LAYER, &top,
                                err);
    if (!rc)
        rc = overlay_merge(top, fds[WORKER_MERGE_INTO], err);
    /* Or the guest's next flush would have to wait for it. */
    return rc ? rc : file_sync(fds[WORKER_MERGE_INTO], err);
}

static void merged(void *context, unsigned events)
{
    struct merging *merging = &((struct worker *)context)->merging;
    struct sm_error error = {0};
    uint64_t value;

    (void)events;
    worker_copy_end(&merging->copy, &value, &error);
    forget(merging);
    tell(&error);
}

static int begin(struct worker *worker, int *fds, unsigned count,
                 struct sm_error *err)
{
    struct merging *merging = &worker->merging;
    struct process_work work = {.work = merge, .context = worker};
    int rc;

    if (merging->active)
        return fail(err, SM_EBUSY, "merge: one before this is not finished");
    if (count <= WORKER_MERGE_LAYER || count > WORKER_MERGE_FDS_MAX)
        return fail(err, SM_EPROTO, "merge: %u descriptors, expected %d to %d",
                    count, WORKER_MERGE_LAYER + 1, WORKER_MERGE_FDS_MAX);
    merging->active = true;
    for (; merging->fd_count < count; merging->fd_count++)
        merging->fds[merging->fd_count] = own_take_fd(&fds[merging->fd_count]);
    work.fds = merging->fds;
    work.fd_count = merging->fd_count;
    rc = start_copy(worker, &work, merged, err);
    if (rc)
        forget(merging);
    return rc;
}

void worker_merge(struct worker *worker, int *fds, unsigned count)
{
    struct sm_error err;

    if (begin(worker, fds, count, &err) != 0)
        tell(&err);
}

void worker_merge_abandon(struct worker *worker)
{
    worker_copy_abandon(&worker->merging.copy);
    forget(&worker->merging);
}
