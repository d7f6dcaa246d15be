/* failing_alloc.h: allocations that fail on command, and are counted.
 *
 * An executable that is linked with failing_alloc_args (meson.build) has its
 * malloc, calloc, realloc, strdup, asprintf, open_memstream and free go through
 * here.
 * A test lets the first allocation of a call fail, then the second, and so on,
 * until the call comes through; every failure must be reported, and nothing may
 * stay behind.
 */
#ifndef SM_TESTS_FAILING_ALLOC_H
#define SM_TESTS_FAILING_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* The (nth) allocation from now on fails, only that one; 0: none does. */
void alloc_fail_at(size_t nth);
/* The allocation that was to fail has been asked for. */
bool alloc_has_failed(void);
/* Blocks that were allocated and not freed. */
size_t alloc_live(void);

#endif
