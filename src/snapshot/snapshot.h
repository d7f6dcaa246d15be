/* snapshot.h: a machine in two files, and out of them again.
 *
 * How it works
 *   docs/FORMAT.md has the bytes. The state file is small: what the snapshot
 *   is of, and the machine's record (vm/state.c), with a checksum over all of
 *   it. The memory file is the guest's memory, region after region, with holes
 *   where it is zero: a machine that is made from it maps it privately, so
 *   that nothing is read before the guest touches it, and machines of one
 *   snapshot share its pages.
 *
 *   Both may be parts of one file: then the state lies behind the memory, and
 *   the two cannot be mixed up with those of another snapshot. Files are
 *   written whole before they get a name, and never change afterwards. The
 * state is checked on reading, field by field; the memory is the guest's own,
 * and nothing of it is trusted here.
 */
#ifndef SM_SNAPSHOT_SNAPSHOT_H
#define SM_SNAPSHOT_SNAPSHOT_H

#include "vm/vm.h"

enum { SNAPSHOT_VERSION = 1, SNAPSHOT_LABEL_MAX = 4096 };

/* Where the state is. */
struct snapshot_place {
    int fd;
    uint64_t at; /* it goes from here to the end of the file */
};

/*
 * Write (vm), which is frozen, to empty files. (label), up to
 * SNAPSHOT_LABEL_MAX bytes, says what it is of. *memory_bytes: how much of the
 * memory is not zero. Neither file is synced.
 * Returns 0, or as vm_save(), SM_ENOSPC, SM_EIO.
 */
int snapshot_write(struct vm *vm, const char *label,
                   const struct snapshot_place *state, int memory_fd,
                   uint64_t *memory_bytes, struct sm_error *err);

/* A state file that was read and found whole. */
struct snapshot {
    void *bytes;          /* the file                        */
    const uint8_t *state; /* in (bytes): vm_saved.state      */
    size_t state_count;
};

/*
 * Read the state at (place), which may come from anybody.
 * Returns 0, or SM_EIMAGE (no snapshot, damaged, cut off), SM_ENOTSUP (of
 * another version), SM_ENOENT (it is not of (label)), SM_ENOMEM, SM_EIO.
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

/* memory.c: write (mem) to the empty file (fd), with holes for zeros. */
int snapshot_write_memory(const struct gmem *mem, int fd, uint64_t *ret_bytes,
                          struct sm_error *err);

#endif
