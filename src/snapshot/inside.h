/* inside.h: what the files of snapshot/ share with each other. */
#ifndef SM_SNAPSHOT_INSIDE_H
#define SM_SNAPSHOT_INSIDE_H

#include "snapshot/snapshot.h"

/* ---- state.c: the state file ---- */

/* What is in one. */
struct state_content {
    const char *label; /* at most SNAPSHOT_LABEL_MAX bytes */
    const struct gmem_range *range;
    size_t range_count; /* at most GMEM_RANGES_MAX */
    const uint8_t *machine;
    size_t machine_count; /* at most STATE_MACHINE_MAX */
};

enum { STATE_MACHINE_MAX = 255 << 20 };

/* Write it to (to). Allocates nothing. SM_ENOSPC, SM_EIO. */
int state_write(const struct snapshot_place *to,
                const struct state_content *content, struct sm_error *err);

/* ---- memory.c: which pages go into the memory's file, and into it ---- */

/* The memory as one file, region after region, by the page. */
struct memory_pages {
    const struct gmem *mem;
    uint64_t count;
    uint64_t *set;    /* those to write (base/bits.h)         */
    uint8_t *scratch; /* MEMORY_SCRATCH_BYTES, for comparing  */
    struct gmem_range range[GMEM_RANGES_MAX];
    size_t range_count;
};

enum { MEMORY_SCRATCH_BYTES = 256 << 10 };

/* The empty set, with all the room that is needed below. SM_ENOMEM. */
int memory_pages_init(struct memory_pages *pages, const struct gmem *mem,
                      struct sm_error *err);
void memory_pages_done(struct memory_pages *pages);
/* All pages that may not be zero. SM_EIO. */
int memory_find_all(struct memory_pages *pages, struct sm_error *err);
/* Those that differ from the file that the memory began as, in at most
 * GMEM_RANGES_MAX runs, which become (range): where there are more, what lies
 * between some of them is in as well. SM_EIO. */
int memory_find_changed(struct memory_pages *pages, struct sm_error *err);
/* Write what was found to the empty file (fd), zeros as holes. */
int memory_write(const struct memory_pages *pages, int fd, uint64_t *written,
                 struct sm_error *err);

#endif
