/* pages.h: large, zeroed, private memory by the page. */
#ifndef SM_PLATFORM_PAGES_H
#define SM_PLATFORM_PAGES_H

#include "base/error.h"

#include <stdint.h>

/* (bytes) of zeroed memory that the host gives page by page at first touch.
 * Returns NULL and fills (err) on failure. */
void *pages_map(uint64_t bytes, struct sm_error *err);
void pages_unmap(void *at, uint64_t bytes);
/* Give the whole pages inside of [at, at + bytes) back: they read as zero. */
void pages_discard(void *at, uint64_t bytes);

#endif
