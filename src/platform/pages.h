/* pages.h: large private memory by the page: zeroed, or a copy of a file. */
#ifndef SM_PLATFORM_PAGES_H
#define SM_PLATFORM_PAGES_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* (bytes) of zeroed memory that the host gives page by page at first touch.
 * Returns NULL and fills (err) on failure. */
void *pages_map(uint64_t bytes, struct sm_error *err);
/* The same, filled with (bytes) of file (fd) from (offset), a multiple of the
 * page size. A page is shared with the file and everybody else who maps it
 * until it is first written to; the file never changes. It must not either:
 * what becomes of pages that were not written to is then not known. Bytes
 * behind its end must not be touched. (fd) may be closed afterwards. */
void *pages_map_copy(uint64_t bytes, int fd, uint64_t offset,
                     struct sm_error *err);
/* Replace [at, at + bytes) of such memory, whole pages, by a copy of another
 * file. On failure it is as it was. SM_ENOMEM, SM_EIO. */
int pages_map_over(void *at, uint64_t bytes, int fd, uint64_t offset,
                   struct sm_error *err);
void pages_unmap(void *at, uint64_t bytes);
/* Give the whole pages inside of [at, at + bytes) back: they read as zero. */
void pages_discard(void *at, uint64_t bytes);
/* The same where memory came from pages_map_copy(). */
void pages_discard_copy(void *at, uint64_t bytes);

/* The pages of [at, at + bytes), whole ones, are about to be written to: have
 * the host give them now, in one go. Only ever a matter of time. */
void pages_prepare(void *at, uint64_t bytes);

/* Whether [at, at + bytes), all of a mapping, is missing in processes that are
 * forked from this one from now on. Memory that two processes have costs the
 * first write to each page a fault, also where the other is gone long since. */
void pages_leave_out(void *at, uint64_t bytes, bool leave_out);

/*
 * Which of the (count) pages from (at) on, of pages_size() bytes each, may hold
 * something else than they were mapped with: page n of them puts (first) + n
 * into the set (used) (base/bits.h). Memory that nobody touched is not looked
 * at, so that it costs nothing. SM_EIO.
 */
int pages_used(const void *at, uint64_t count, uint64_t *used, uint64_t first,
               struct sm_error *err);
uint64_t pages_size(void);

#endif
