/* inside.h: what the files of the worker share. */
#ifndef SM_WORKER_INSIDE_H
#define SM_WORKER_INSIDE_H

#include "platform/channel.h"
#include "platform/loop.h"
#include "platform/process.h"
#include "proto/worker.h"
#include "snapshot/snapshot.h"
#include "vm/vm.h"
#include "worker/console.h"

enum { CHANNEL_FD = PROCESS_FD_FIRST };

/* Of this process, at work. */
struct worker_copy {
    struct process_copy process;
    struct loop_watch *watch; /* of its end; NULL: there is none */
};

/* Layers that are becoming one. */
struct merging {
    bool active;
    int fds[WORKER_MERGE_FDS_MAX];
    unsigned fd_count;
    struct worker_copy copy;
};

/* A snapshot that is being written. */
struct saving {
    bool active;
    bool captured;
    struct worker_save wanted;
    int fds[WORKER_SAVE_FDS_MAX];
    struct snapshot_capture *capture;
    struct worker_copy copy;
};

struct worker {
    struct loop *loop;
    struct loop_watch *watch;
    struct vm *vm;
    struct loop_timer *lifetime;
    int agent_fd; /* for the agent's first connection; then -1 */
    struct console console;
    struct worker_steps steps;
    struct merging merging;
    struct saving saving;
    bool done;
    uint8_t in[CHANNEL_BYTES_MAX];
};

/* Send (message) to the library, and free it. */
void worker_tell(struct buf *message);
/* The last word; the process ends. */
void worker_finish(struct worker *worker, enum worker_end end,
                   const struct sm_error *error);
void worker_step(void *context, const char *what);

/* making.c: START: make the machine of what came, and let it run. (fds) that
 * were taken are -1 afterwards. */
int worker_make(struct worker *worker, const struct worker_start *start,
                int *fds, struct sm_error *err);

/* copy.c: a copy of this process does (work); (done) follows on the loop with
 * (worker), and gets the result with worker_copy_end(), or nobody ever does. */
int worker_copy_start(struct worker *worker, const struct process_work *work,
                      loop_fn *done, struct worker_copy *copy,
                      struct sm_error *err);
/* As process_copy_end(). */
int worker_copy_end(struct worker_copy *copy, uint64_t *value,
                    struct sm_error *err);
/* Kill it, if it is there. */
void worker_copy_abandon(struct worker_copy *copy);

/* merging.c: MERGE, of (count) descriptors that came with it; those that are
 * taken are -1 afterwards. What goes wrong is told; the machine goes on. */
void worker_merge(struct worker *worker, int *fds, unsigned count);
void worker_merge_abandon(struct worker *worker);

/* saving.c: SAVE. What goes wrong is told; the machine goes on. */
void worker_save(struct worker *worker, struct worker_save *wanted, int *fds);
void worker_save_abandon(struct worker *worker);

#endif
