/* origin.h: what a machine goes on from, instead of booting: open files.
 *
 * How it works
 *   A template, a snapshot that was kept, and the moment of a machine that is
 *   being forked are the same to a start: a state, memory in one file or two,
 *   and the layers of a disk. The files have names or not, and may lose theirs
 *   meanwhile: whoever has them open goes on.
 *
 *   Machines of one origin share it; it goes with the last of them.
 *
 * Threads
 *   An origin does not change once it is shared; holding and letting go: any.
 */
#ifndef SM_MACHINE_ORIGIN_H
#define SM_MACHINE_ORIGIN_H

#include "base/error.h"
#include "proto/worker.h"

#include <stdbool.h>
#include <stdint.h>

/* A disk: an immutable base, sealed layers over it, the lowest first. */
struct origin_disk {
    int base; /* -1: none */
    int layer[WORKER_LAYERS_MAX];
    unsigned count;
};

/* The program that goes on with whoever starts a machine of it. */
struct origin_program {
    uint32_t channel; /* of the session that it had; 0: there is none */
    bool tty;
    bool streams[3]; /* it has a stdin, stdout, stderr of its own */
};

struct origin {
    unsigned holders;
    char *label;           /* as its state has it: snapshot_read() */
    uint64_t memory_bytes; /* of the machine                       */
    uint32_t vcpus;
    uint64_t features; /* AGENT_CAN_*                              */
    uint64_t state_at; /* where the state begins in its file       */
    int state;
    int memory;
    int differential; /* -1: all is in `memory`                    */
    struct origin_disk disk;
    struct origin_program program;
};

/* Without files yet, held once. NULL: out of memory. */
struct origin *origin_new(void);
struct origin *origin_hold(struct origin *origin);
/* NULL is fine. */
void origin_let_go(struct origin *origin);

#define ORIGIN_DISK_NONE ((struct origin_disk){.base = -1})

/* Put a layer on top; (fd) is the disk's. There must be room for it. */
void origin_disk_add(struct origin_disk *disk, int fd);
/* A second one of (from), with descriptors of its own. SM_ELIMIT. */
int origin_disk_copy(const struct origin_disk *from, struct origin_disk *to,
                     struct sm_error *err);
void origin_disk_close(struct origin_disk *disk);

#endif
