/* copy.c: work that a copy of this process does, while the machine goes on. */
#include "worker/inside.h"

#include "base/own.h"

int worker_copy_start(struct worker *worker, const struct process_work *work,
                      loop_fn *done, struct worker_copy *copy,
                      struct sm_error *err)
{
    int rc = process_copy(work, &copy->process, err);

    if (rc)
        return rc;
    rc = loop_watch(worker->loop, copy->process.process.fd, LOOP_READ, done,
                    worker, &copy->watch, err);
    if (rc)
        process_copy_kill(&copy->process);
    return rc;
}

int worker_copy_end(struct worker_copy *copy, uint64_t *value,
                    struct sm_error *err)
{
    loop_unwatch(own_take(copy->watch));
    return process_copy_end(&copy->process, value, err);
}

void worker_copy_abandon(struct worker_copy *copy)
{
    if (!copy->watch)
        return;
    loop_unwatch(own_take(copy->watch));
    process_copy_kill(&copy->process);
}
