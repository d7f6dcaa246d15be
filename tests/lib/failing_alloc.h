/* failing_alloc.h: allocations that fail on command, and are counted.
 *
 * An executable that is linked with failing_alloc_args (meson.build) has its
 * calls of malloc, calloc, realloc, reallocarray, strdup, strndup, asprintf,
 * getcwd, realpath, open_memstream and free go through here, those of the rooms
 * that are linked statically included; not those inside of shared libraries. A
 * test lets the first allocation of a call fail, then the second, and so on,
 * until the call comes through; every failure must be reported, and nothing may
 * stay behind.
 */
#ifndef SM_TESTS_FAILING_ALLOC_H
#define SM_TESTS_FAILING_ALLOC_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* The (nth) allocation of this thread from now on fails, only that one; 0:
 * none does. */
void alloc_fail_at(size_t nth);
/* The allocation that was to fail has been asked for. */
bool alloc_has_failed(void);
/* Blocks that were allocated and not freed, by all threads. */
size_t alloc_live(void);

/* malloc() that is counted and never fails: for a library that gives its blocks
 * away, and lets us say where it gets them from. */
void *alloc_counted(size_t bytes);

/* Something to try: a whole path through a room, with all that it made freed
 * again at its end. Returns 0 or an error. */
typedef int alloc_path_fn(void *context, struct sm_error *err);

/*
 * Try (path) with its first allocation failing, its second, and so on, until
 * it comes through with none failing. False, with a word printed, unless each
 * failure came back as SM_ENOMEM, also in (err); no try left a block or a
 * descriptor open; and the path has at least (least) allocations: that many
 * ways to fail were seen.
 */
bool alloc_each_fails(alloc_path_fn *path, void *context, size_t least);
/* The same where some allocation is for what the path can do without: then it
 * may come through as well. */
bool alloc_each_is_survived(alloc_path_fn *path, void *context, size_t least);

#endif
