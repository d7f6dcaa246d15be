/* worker.h: the library's end of a worker process.
 *
 * How it works
 *   worker_open() starts supermachine-vmm and watches its channel from a loop.
 *   Requests go out at once; answers come as events, on the loop's thread. The
 *   last event is `ended`, exactly once, also when the process died or spoke
 *   nonsense. Closing the worker kills what is left of it.
 */
#ifndef SM_MACHINE_WORKER_H
#define SM_MACHINE_WORKER_H

#include "platform/loop.h"
#include "proto/worker.h"

struct worker;

/* All may be NULL but `ended`. */
struct worker_events {
    void (*probed)(void *context, const struct worker_probed *probed);
    void (*steps)(void *context, const struct worker_steps *steps);
    /* It stands still, or runs again, as asked for. */
    void (*paused)(void *context, bool paused);
    void (*captured)(void *context, const struct worker_captured *captured);
    void (*saved)(void *context, const struct worker_saved *saved);
    void (*merged)(void *context, const struct worker_merged *merged);
    void (*hot_done)(void *context);
    void (*figures)(void *context, const struct worker_figures *figures);
    /* There is no machine any more. worker_close() may be called here. */
    void (*ended)(void *context, const struct worker_ended *ended);
};

/*
 * Start the program (path). (events) and (context) outlive the worker.
 * Returns 0, SM_ENOENT (not installed), SM_ENOMEM, SM_EIO.
 */
int worker_open(struct loop *loop, const char *path,
                const struct worker_events *events, void *context,
                struct worker **ret, struct sm_error *err);
/* Kill the process if it lives, wait for it. NULL is fine. */
void worker_close(struct worker *worker);

int worker_probe(struct worker *worker, struct sm_error *err);
/* (fds): WORKER_FDS_MAX descriptors, which stay the caller's, -1 for those that
 * there are not; start->fds is filled in. */
int worker_start(struct worker *worker, struct worker_start *start,
                 const int *fds, struct sm_error *err);
/* Have it stand still or run again; `paused` follows. */
int worker_pause(struct worker *worker, bool pause, struct sm_error *err);
/* Have the machine written to (fds), WORKER_SAVE_FDS_MAX descriptors that stay
 * the caller's, -1 for those that there are not; save->fds is filled in.
 * `captured` and `saved` follow, or `saved` with an error alone. */
int worker_save(struct worker *worker, struct worker_save *save, const int *fds,
                struct sm_error *err);
/* Have layers of the disk made one: (fds) are (count) descriptors in the order
 * of enum worker_merge_fd, which stay the caller's. `merged` follows. */
int worker_merge(struct worker *worker, const int *fds, unsigned count,
                 struct sm_error *err);
/* Have the pages that were written to listed in (fd), an empty file that stays
 * the caller's; `hot_done` follows. */
int worker_hot(struct worker *worker, int fd, struct sm_error *err);
/* `figures` follows. */
int worker_measure(struct worker *worker, struct sm_error *err);
/* End the process at once; `ended` follows. Any thread. */
void worker_kill(const struct worker *worker);

#endif
