/* gmem.h: guest-physical memory.
 *
 * How it works
 *   A machine's memory is a few regions, each a run of guest-physical
 *   addresses backed by one host mapping. A guest-physical address is a
 *   `struct gpa`: nobody can dereference it by mistake. Everything that a
 *   guest supplies goes through the functions below, which check the whole
 *   range first, against overflow and holes. A range never spans two regions.
 *
 *   The guest's vcpus write at the same time. So a value that decides
 *   something is copied out once with gmem_read() or gmem_load*(), checked,
 *   and only the copy is used. gmem_span() hands out host memory for bulk
 *   data (the bytes of a disk block or of a packet), never for anything that
 *   is interpreted.
 */
#ifndef SM_MEMORY_GMEM_H
#define SM_MEMORY_GMEM_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* A guest-physical address. */
struct gpa {
    uint64_t v;
};

#define GPA(value) ((struct gpa){.v = (value)})

static inline struct gpa gpa_add(struct gpa at, uint64_t bytes)
{
    return GPA(at.v + bytes);
}

enum { GMEM_REGIONS_MAX = 8 };

struct gmem_region {
    struct gpa at;
    uint64_t bytes;
    uint8_t *host;
    bool borrowed; /* the mapping is the caller's */
    /* Of a copy of the image: the pages that were given back since, by number
     * in the region (base/bits.h). The host gives the set its memory where
     * there is something in it. NULL: it began as zeros. */
    uint64_t *dropped;
};

/* A part of a file, in whole pages. */
struct gmem_range {
    uint64_t at;
    uint64_t bytes;
};

enum { GMEM_RANGES_MAX = 1024 };

/*
 * What memory begins as: (bytes) of a file, and over it ranges of another one,
 * the differential, at the same offsets. Region follows upon region in both.
 * Neither file may ever change.
 */
struct gmem_image {
    int fd;
    int differential_fd; /* not looked at if there are no ranges */
    uint64_t bytes;
    const struct gmem_range *range; /* ascending, none overlaps another */
    size_t count;
};

/* Regions sorted by address, without overlaps. */
struct gmem {
    unsigned count;
    struct gmem_region region[GMEM_REGIONS_MAX];
    struct gmem_image image; /* our own descriptors; fd -1: none */
};

/* Anonymous, zeroed, private memory for a new region at (at). (at) and
 * (bytes) are multiples of 4096, (bytes) > 0. Nothing is touched.
 * Returns 0, SM_EINVAL, SM_EEXIST (overlaps a region), SM_ELIMIT, SM_ENOMEM. */
int gmem_add(struct gmem *mem, struct gpa at, uint64_t bytes,
             struct sm_error *err);
/*
 * gmem_add_copy() is to take what regions begin as from (image); its
 * descriptors and its list are copied. They are kept until gmem_done(): who
 * saves the memory has to know what is the same in there.
 * Returns 0, SM_EIMAGE (a file is too short; ranges that are not whole pages,
 * not in order or outside of the memory), SM_ELIMIT (more than
 * GMEM_RANGES_MAX), SM_ENOMEM, SM_EIO.
 */
int gmem_set_image(struct gmem *mem, const struct gmem_image *image,
                   struct sm_error *err);
/* The ranges alone, of a memory of any size. SM_EIMAGE, SM_ELIMIT. */
int gmem_check_ranges(const struct gmem_range *range, size_t count,
                      struct sm_error *err);
/* As gmem_add(), filled with what follows in the image upon the regions that
 * are there already: they are added in ascending order. Pages are shared with
 * the files until they are written to, and the files never change
 * (pages_map_copy()); those of small ranges are read at once. SM_EINVAL also if
 * the image has no more; SM_EIO and the like if a file cannot be read. */
int gmem_add_copy(struct gmem *mem, struct gpa at, uint64_t bytes,
                  struct sm_error *err);
/* The same over (host), which the caller keeps mapped until gmem_done(), and
 * which gmem_done() leaves alone. */
int gmem_add_host(struct gmem *mem, struct gpa at, uint64_t bytes, void *host,
                  struct sm_error *err);
void gmem_init(struct gmem *mem);
/* Unmap what gmem_add() and gmem_add_copy() mapped. */
void gmem_done(struct gmem *mem);

uint64_t gmem_total_bytes(const struct gmem *mem);

/* The whole range [at, at + bytes) lies in one region; (bytes) may be 0, but
 * (at) lies in one also then. */
bool gmem_valid(const struct gmem *mem, struct gpa at, uint64_t bytes);

/* Host memory behind [at, at + bytes) for bulk data, NULL if not valid. */
void *gmem_span(const struct gmem *mem, struct gpa at, uint64_t bytes);

/* Copies; false and nothing done if the range is not valid. */
bool gmem_read(const struct gmem *mem, struct gpa from, void *to,
               uint64_t bytes);
bool gmem_write(const struct gmem *mem, struct gpa to, const void *from,
                uint64_t bytes);
bool gmem_zero(const struct gmem *mem, struct gpa at, uint64_t bytes);

/*
 * Single little-endian loads and stores that happen at once, for ring
 * indices; (at) is naturally aligned, else false. Loads acquire, stores
 * release (partner: the driver's barriers, virtio 1.2, 2.7.13).
 */
bool gmem_load16(const struct gmem *mem, struct gpa at, uint16_t *value);
bool gmem_store16(const struct gmem *mem, struct gpa at, uint16_t value);

/* The guest is about to write to the whole pages of the range: have them ready.
 * Only a matter of time. False if the range is not valid. */
bool gmem_prepare(const struct gmem *mem, struct gpa at, uint64_t bytes);

/* Whether copies of this process (platform/process.h) that are made from now on
 * go without the memory: for those that have no use for it. It spares the guest
 * a fault for each page that it writes to next. */
void gmem_leave_out(const struct gmem *mem, bool leave_out);

/* Give the whole pages inside of the range back to the host; they read as
 * zero afterwards. False if the range is not valid. Any thread; who looks at
 * the regions' (dropped) has stopped all others before, as for any other
 * look at memory as a whole. */
bool gmem_discard(const struct gmem *mem, struct gpa at, uint64_t bytes);

#endif
