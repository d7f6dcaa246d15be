/* snapshot.h: a machine in files, and out of them again.
 *
 * How it works
 *   docs/FORMAT.md has the bytes. The state file is small: what the snapshot
 *   is of, where its memory is, and the machine's record (vm/state.c), with a
 *   checksum over all of it. The memory is the guest's, region after region,
 *   with holes where it is zero: a machine that is made from it maps it
 *   privately, so that nothing is read before the guest touches it, and
 *   machines of one snapshot share its pages.
 *
 *   A full snapshot has all of the memory in one file. A differential one has
 *   what is not as in the file that its machine once began as, and is used
 *   together with that file: so it takes little to make, and however often a
 *   machine is saved and gone on from, there are at most two files. It is
 *   cumulative: what the machine's own differential brought is part of it.
 *
 *   Saving has two halves. snapshot_capture(), while the machine stands still,
 *   takes what the machine is beside its memory: a few KiB. snapshot_store()
 *   looks for what is in the memory and writes it: in a process_copy(), which
 *   has the memory of that moment for itself while the machine goes on, or at
 *   once, before the machine is thawed.
 *
 *   State and memory may be parts of one file: then the state lies behind the
 *   memory, and the two cannot be mixed up with those of another snapshot.
 *   Files are written whole before they get a name, and never change
 *   afterwards. The state is checked on reading, field by field; the memory is
 *   the guest's own, and nothing of it is trusted here.
 */
#ifndef SM_SNAPSHOT_SNAPSHOT_H
#define SM_SNAPSHOT_SNAPSHOT_H

#include "base/own.h"
#include "vm/vm.h"

enum { SNAPSHOT_VERSION = 2, SNAPSHOT_LABEL_MAX = 4096 };

/* Where the state is. */
struct snapshot_place {
    int fd;
    uint64_t at; /* it goes from here to the end of the file */
};

/* ---- saving ---- */

struct snapshot_wanted {
    const char *label; /* what it is of; at most SNAPSHOT_LABEL_MAX bytes */
    bool full;         /* also if a differential one is possible          */
};

/* A machine at one moment. Uses the machine's memory, which must be there and
 * as it was, in this process or in its copy, until snapshot_store(). */
struct snapshot_capture;

/*
 * Take (vm), which is frozen. Whatever snapshot_store() needs room for is
 * allocated here.
 * Returns 0, SM_EINVAL (label too long), or as vm_save().
 */
int snapshot_capture(struct vm *vm, const struct snapshot_wanted *wanted,
                     struct snapshot_capture **ret, struct sm_error *err);
/* NULL is fine. */
void snapshot_capture_free(struct snapshot_capture *capture);
OWN_DEFINE(struct snapshot_capture, snapshot_capture_free)
/* It will be one file: that was wanted, or the machine was booted, not made of
 * another snapshot, and has nothing to differ from. */
bool snapshot_is_full(const struct snapshot_capture *capture);

/* Empty files; those of the two halves may be one and the same. */
struct snapshot_files {
    struct snapshot_place state;
    int memory_fd; /* of a full one its memory, else the differential */
    bool durable;  /* return once they would survive a loss of power  */
};

/*
 * Write the snapshot. Once; takes no lock, allocates nothing, and needs no
 * descriptors but those of (files) and those of the memory's image
 * (vm_memory()->image), all of which a process_copy() must be given. *bytes:
 * how much of the memory was written; zeros are not. Returns 0, SM_ENOSPC,
 * SM_EIO.
 */
int snapshot_store(struct snapshot_capture *capture,
                   const struct snapshot_files *files, uint64_t *bytes,
                   struct sm_error *err);

/* ---- going on ---- */

/* A state file that was read and found whole. */
struct snapshot {
    void *bytes;          /* the file                        */
    const uint8_t *state; /* in (bytes): vm_saved.state      */
    size_t state_count;
    struct gmem_range *range; /* vm_saved.range: what is in a second file */
    size_t range_count;
};

/*
 * Read the state at (place), which may come from anybody.
 * Returns 0, or SM_EIMAGE (no snapshot, damaged, cut off), SM_ENOTSUP (of
 * another version), SM_ENOENT (it is not of (label)), SM_ELIMIT (too many
 * ranges), SM_ENOMEM, SM_EIO.
 */
int snapshot_read(const struct snapshot_place *place, const char *label,
                  struct snapshot *ret, struct sm_error *err);
void snapshot_done(struct snapshot *snapshot);

/*
 * hot.c: the pages that a machine has written to since it came out of its
 * snapshot, for those that come out of it later: most will write to the same.
 * A file of { u64 address, u64 bytes } in the guest's address space, behind
 * the magic "SMHOT" and three zeros.
 */
enum {
    SNAPSHOT_HOT_MAX = 4096, /* ranges */
    /* More than that is the doing of a program, not of a start. */
    SNAPSHOT_HOT_BYTES_MAX = 4 << 20
};

/* SM_ELIMIT: the machine has written to more than SNAPSHOT_HOT_BYTES_MAX. */
int snapshot_write_hot(const struct gmem *mem, int fd, struct sm_error *err);
/* *ret is the caller's. SM_EIMAGE: not such a file; SM_ELIMIT: too many. */
int snapshot_read_hot(int fd, struct vm_range **ret, size_t *ret_count,
                      struct sm_error *err);

#endif
