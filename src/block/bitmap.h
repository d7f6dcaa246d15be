/* bitmap.h: a bit per cluster, in a file, held in memory where it is used.
 *
 * The bitmap is cut into pages of 4096 bytes, bit i in byte i / 8 at i % 8. A
 * page is read when one of its bits is first asked for. Bits are set in memory
 * only, until bitmap_write(); making that durable, and what must be durable
 * before, is the caller's business.
 */
#ifndef SM_BLOCK_BITMAP_H
#define SM_BLOCK_BITMAP_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { BITMAP_PAGE_BYTES = 4096, BITMAP_PAGE_BITS = 8 * BITMAP_PAGE_BYTES };

struct bitmap_page {
    uint8_t *bits; /* NULL: as in the file */
    bool dirty;    /* differs from the file */
};

struct bitmap {
    int fd; /* the caller's */
    uint64_t at;
    size_t pages;
    struct bitmap_page *page;
};

/* A bitmap of (bits) in (fd) from offset (at) on. Reads nothing. */
int bitmap_init(struct bitmap *bitmap, int fd, uint64_t at, uint64_t bits,
                struct sm_error *err);
void bitmap_done(struct bitmap *bitmap);

/* Bytes that it takes in the file: whole pages. */
uint64_t bitmap_bytes(const struct bitmap *bitmap);

int bitmap_get(struct bitmap *bitmap, uint64_t bit, bool *set,
               struct sm_error *err);
/* Have bits [first, end) in memory, so that setting them cannot fail. */
int bitmap_prepare(struct bitmap *bitmap, uint64_t first, uint64_t end,
                   struct sm_error *err);
/* Set bits [first, end), which were prepared or got. */
void bitmap_set(struct bitmap *bitmap, uint64_t first, uint64_t end);
/* How many bits are set; reads all pages. */
int bitmap_count(struct bitmap *bitmap, uint64_t *count, struct sm_error *err);

/* Write the pages that have new bits; *wrote: there were any. They count as
 * new until bitmap_written(). */
int bitmap_write(struct bitmap *bitmap, bool *wrote, struct sm_error *err);
void bitmap_written(struct bitmap *bitmap);

#endif
