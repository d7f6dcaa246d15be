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
    bool copied;   /* it began as the bytes of a file */
};

/* Regions sorted by address, without overlaps. */
struct gmem {
    unsigned count;
    struct gmem_region region[GMEM_REGIONS_MAX];
};

/* Anonymous, zeroed, private memory for a new region at (at). (at) and
 * (bytes) are multiples of 4096, (bytes) > 0. Nothing is touched.
 * Returns 0, SM_EINVAL, SM_EEXIST (overlaps a region), SM_ELIMIT, SM_ENOMEM. */
int gmem_add(struct gmem *mem, struct gpa at, uint64_t bytes,
             struct sm_error *err);
/* The same, filled with what (fd) holds from (offset), a multiple of 4096, on:
 * pages are shared with the file until they are written to, and the file never
 * changes (pages_map_copy()). SM_EIMAGE: the file ends before. */
int gmem_add_copy(struct gmem *mem, struct gpa at, uint64_t bytes, int fd,
                  uint64_t offset, struct sm_error *err);
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

/* Give the whole pages inside of the range back to the host; they read as
 * zero afterwards. False if the range is not valid. */
bool gmem_discard(const struct gmem *mem, struct gpa at, uint64_t bytes);

#endif
