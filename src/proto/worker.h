/* worker.h: what the library and a worker process say to each other.
 *
 * How it works
 *   The library starts supermachine-vmm with one end of a channel as
 *   descriptor 3 and sends one request: either to probe the hypervisor or to
 *   start a machine, with every file that the machine needs as an open
 *   descriptor. The worker answers with events. The end of the channel is the
 *   end of the worker: when the library's process dies, by whatever means,
 *   its workers see the channel close and exit at once.
 *
 *   Both programs are installed together; a version that differs is refused.
 *
 *   request  WORKER_PROBE                     -> WORKER_PROBED
 *            WORKER_START + descriptors       -> WORKER_STEPS, WORKER_ENDED
 *            WORKER_STOP                      -> WORKER_ENDED
 *            WORKER_PAUSE                     -> WORKER_PAUSED
 *            WORKER_RESUME                    -> WORKER_RESUMED
 *            WORKER_SAVE + descriptors        -> WORKER_CAPTURED, WORKER_SAVED
 *            WORKER_MERGE + descriptors       -> WORKER_MERGED
 *            WORKER_HOT + 1 descriptor        -> WORKER_HOT_DONE
 *            WORKER_MEASURE                   -> WORKER_FIGURES
 *   answers  WORKER_PAUSED   the vcpus stand still; WORKER_RESUMED: they run
 *            WORKER_PROBED   what the hypervisor can do
 *            WORKER_STEPS    what was done when, once the guest's agent has
 *                            connected, or the snapshot's has been taken over
 *            WORKER_CAPTURED the machine runs again; what it was at that
 *                            moment is being written
 *            WORKER_SAVED    it is in the files; or why it is not. Without
 *                            WORKER_CAPTURED before, nothing has changed
 *            WORKER_MERGED   one file holds what the layers do; or why not
 *            WORKER_HOT_DONE the file holds what the machine has written to
 *                            since it came out of its snapshot; empty: too much
 *            WORKER_FIGURES  what the machine has used so far
 *            WORKER_ENDED    why there is no machine (any more); the last word
 */
#ifndef SM_PROTO_WORKER_H
#define SM_PROTO_WORKER_H

#include "base/error.h"
#include "base/wire.h"

#include <stdbool.h>

enum { WORKER_VERSION = 4 };

enum worker_type {
    WORKER_PROBE = 1,
    WORKER_START = 2,
    WORKER_STOP = 3,
    WORKER_PAUSE = 4,
    WORKER_RESUME = 5,
    WORKER_SAVE = 6,
    WORKER_HOT = 7,
    WORKER_MERGE = 8,
    WORKER_MEASURE = 16,
    WORKER_PROBED = 64,
    WORKER_STEPS = 65,
    WORKER_ENDED = 66,
    WORKER_PAUSED = 67,
    WORKER_RESUMED = 68,
    WORKER_SAVED = 69,
    WORKER_HOT_DONE = 70,
    WORKER_CAPTURED = 71,
    WORKER_MERGED = 72,
    WORKER_FIGURES = 80
};

/* A machine's disk: at most so many sealed layers, beside the base below them
 * and the one above that it writes to. */
enum { WORKER_LAYERS_MAX = 8 };

/* The descriptors of WORKER_START. Those that are there come in this order. Of
 * a machine that comes out of a snapshot, the first two are the snapshot's. */
enum worker_fd {
    WORKER_FD_KERNEL, /* kernel image, read-only                           */
    WORKER_FD_STATE = WORKER_FD_KERNEL,
    WORKER_FD_INITRD, /* initramfs, read-only                              */
    WORKER_FD_MEMORY = WORKER_FD_INITRD,
    WORKER_FD_DISK,         /* root disk's immutable base, read-only         */
    WORKER_FD_OVERLAY,      /* empty file for the machine's writes           */
    WORKER_FD_AGENT,        /* stream: becomes the agent's first connection  */
    WORKER_FD_LOG,          /* file for the guest kernel's log               */
    WORKER_FD_HOT,          /* of a snapshot, if known: WORKER_HOT's file    */
    WORKER_FD_DIFFERENTIAL, /* of a snapshot, if it has one                  */
    WORKER_FD_LAYER,        /* of the disk, the lowest first                 */
    WORKER_FDS_MAX = WORKER_FD_LAYER + WORKER_LAYERS_MAX
};

/* The descriptors of WORKER_SAVE, likewise. */
enum worker_save_fd {
    WORKER_SAVE_STATE,   /* file for the state, from state_at on             */
    WORKER_SAVE_MEMORY,  /* file for the memory; may be the same             */
    WORKER_SAVE_OVERLAY, /* empty: for the machine's writes from now on      */
    WORKER_SAVE_SEALED,  /* with it: what the machine has written to so far  */
    WORKER_SAVE_MERGED,  /* takes its layers' place: WORKER_MERGE made it    */
    WORKER_SAVE_BASE,    /* with it, and not without: the disk's base        */
    WORKER_SAVE_FDS_MAX
};

/* The descriptors of WORKER_MERGE: as many as there are layers, and these. The
 * machine goes on meanwhile, and its disk stays as it is. */
enum worker_merge_fd {
    WORKER_MERGE_INTO,  /* empty: to become one layer out of the others      */
    WORKER_MERGE_BASE,  /* the disk's base                                   */
    WORKER_MERGE_LAYER, /* its sealed layers, the lowest first: at least one */
    WORKER_MERGE_FDS_MAX = WORKER_MERGE_LAYER + WORKER_LAYERS_MAX
};

struct worker_start {
    uint64_t memory_bytes;
    uint32_t vcpus;
    uint32_t lifetime_ms; /* then it ends: WORKER_END_EXPIRED; 0: never */
    char *kernel_args;    /* added to the command line; "" for none        */
    char *snapshot;       /* what the snapshot must be of; "": boot a kernel */
    uint64_t state_at;    /* where its state begins in WORKER_FD_STATE       */
    uint32_t fds;         /* bit n: the descriptor worker_fd n is there      */
};

enum worker_save_flags {
    WORKER_SAVE_DIFFERENTIAL = 1, /* only what its first snapshot has not    */
    WORKER_SAVE_DURABLE = 2       /* files survive a loss of power when saved */
};

/* A snapshot that is wanted. */
struct worker_save {
    char *snapshot;    /* as worker_start.snapshot will ask for it */
    uint64_t state_at; /* where in WORKER_SAVE_STATE it is to begin */
    uint32_t flags;    /* enum worker_save_flags */
    uint32_t fds;      /* bit n: the descriptor worker_save_fd n is there */
};

/* The moment was taken. */
struct worker_captured {
    uint64_t paused_ns;  /* how long the machine stood still       */
    char hypervisor[16]; /* that alone can go on from it: "kvm"    */
};

/* A snapshot: what was written, or why it was not. */
struct worker_saved {
    uint64_t memory_bytes; /* to the memory's file   */
    struct sm_error error; /* code 0: all is written */
};

struct worker_merged {
    struct sm_error error; /* code 0: the layers are one */
};

/* What a hypervisor was found to be. */
enum worker_verdict {
    WORKER_SOUND,         /* runs guests at the processor's speed            */
    WORKER_INTERPRETED,   /* executes guest kernel code by interpretation    */
    WORKER_MISSING,       /* not there                                       */
    WORKER_NOT_PERMITTED, /* there, but not for this user                    */
    WORKER_UNUSABLE       /* there, but refuses or lacks something           */
};

struct worker_probed {
    enum worker_verdict verdict;
    uint64_t loop_ns; /* time of the probing loop, 0 if it could not run */
    char *hypervisor; /* "kvm" */
    char *detail;     /* the error's text, "" for WORKER_SOUND */
};

enum { WORKER_STEPS_MAX = 32, WORKER_STEP_NAME_MAX = 32 };

/* One moment of a start: when (name) was done. */
struct worker_step {
    char name[WORKER_STEP_NAME_MAX];
    uint64_t at_ns; /* on the host's monotonic clock */
};

struct worker_steps {
    unsigned count;
    struct worker_step step[WORKER_STEPS_MAX];
};

/* What a machine has used since it was started. */
struct worker_figures {
    uint64_t vcpu_ns;    /* processor time of the vcpus, all together */
    uint64_t process_ns; /* of the whole process, vcpus included      */
    uint64_t rss_bytes;  /* of the process, guest memory included     */
    uint64_t disk_read_bytes;
    uint64_t disk_written_bytes;
    uint64_t disk_reads;
    uint64_t disk_writes;
    uint64_t stream_in_bytes; /* through vsock to the guest */
    uint64_t stream_out_bytes;
};

enum worker_end {
    WORKER_END_POWER_OFF, /* the guest switched itself off      */
    WORKER_END_REBOOT,    /* the guest asked for a restart      */
    WORKER_END_PANIC,     /* the guest's kernel panicked        */
    WORKER_END_CRASH,     /* triple fault or the like           */
    WORKER_END_STOPPED,   /* WORKER_STOP                        */
    WORKER_END_FAILED,    /* the host's side failed: see error  */
    WORKER_END_EXPIRED    /* its life-time was over             */
};

struct worker_ended {
    enum worker_end end;
    struct sm_error error; /* for WORKER_END_FAILED */
};

/* "powered off", "kernel panic", ... */
const char *worker_end_text(enum worker_end end);

/* Encoders append a whole message to an empty buf with room for
 * CHANNEL_BYTES_MAX; they fail only as bufs do. */
void worker_put_simple(struct buf *to, enum worker_type type);
void worker_put_start(struct buf *to, const struct worker_start *start);
void worker_put_probed(struct buf *to, const struct worker_probed *probed);
void worker_put_steps(struct buf *to, const struct worker_steps *steps);
void worker_put_save(struct buf *to, const struct worker_save *save);
void worker_put_captured(struct buf *to,
                         const struct worker_captured *captured);
void worker_put_saved(struct buf *to, const struct worker_saved *saved);
void worker_put_merged(struct buf *to, const struct worker_merged *merged);
void worker_put_ended(struct buf *to, const struct worker_ended *ended);
void worker_put_figures(struct buf *to, const struct worker_figures *figures);

/* The message's type; the reader stands behind it. SM_EPROTO: too short or
 * another version. */
int worker_get_type(struct wire_reader *from, enum worker_type *ret,
                    struct sm_error *err);
/* Decoders check every field: SM_EPROTO, also when memory is out. What they
 * fill is freed with the _done() below, also after a failure. */
int worker_get_start(struct wire_reader *from, struct worker_start *ret,
                     struct sm_error *err);
void worker_start_done(struct worker_start *start);
int worker_get_probed(struct wire_reader *from, struct worker_probed *ret,
                      struct sm_error *err);
void worker_probed_done(struct worker_probed *probed);
int worker_get_save(struct wire_reader *from, struct worker_save *ret,
                    struct sm_error *err);
void worker_save_done(struct worker_save *save);
int worker_get_captured(struct wire_reader *from, struct worker_captured *ret,
                        struct sm_error *err);
int worker_get_saved(struct wire_reader *from, struct worker_saved *ret,
                     struct sm_error *err);
int worker_get_merged(struct wire_reader *from, struct worker_merged *ret,
                      struct sm_error *err);
int worker_get_steps(struct wire_reader *from, struct worker_steps *ret,
                     struct sm_error *err);
int worker_get_ended(struct wire_reader *from, struct worker_ended *ret,
                     struct sm_error *err);
int worker_get_figures(struct wire_reader *from, struct worker_figures *ret,
                       struct sm_error *err);

/*
 * Which descriptors go with a message: pack those of (fds)[0 .. count) that are
 * not -1 into (to), and say in *mask which they are; and back, where (packed)
 * many came. What is not there becomes -1, and only what has a place is taken
 * out of (from). SM_EPROTO: their number is not the mask's.
 */
unsigned worker_pack_fds(const int *fds, unsigned count, int *to,
                         uint32_t *mask);
int worker_unpack_fds(int *from, unsigned packed, uint32_t mask, int *fds,
                      unsigned count, struct sm_error *err);

/* Note that (name) was done at (at_ns); beyond WORKER_STEPS_MAX it is dropped.
 */
void worker_step_add(struct worker_steps *steps, const char *name,
                     uint64_t at_ns);

#endif
