/* error.h: how a failure travels from the place that saw it to the user.
 *
 * How it works
 *   Every function that can fail returns 0 or a negative SM_E* code and takes,
 *   last, an optional `struct sm_error *` that the caller owns. The place that
 *   sees the failure fills it with fail() or fail_os(); every floor on the way
 *   up may put its own context in front with wrap(), so that the user reads
 *
 *       run alpine:3: unpack: layer 2 of 4: tar entry "../x": leaves the root
 *
 *   All three return the code, so that a failure is one statement:
 *
 *       return fail(err, SM_EINVAL, "memory of %u MiB: at least 32", mib);
 *
 *   Messages are lower case, end without a full stop, name the object, the
 *   wrong value, the right range and, where known, the way out. Whatever is
 *   put into them, they stay one line of UTF-8: a byte that could not be part
 *   of one becomes '?'. A message that is too long is cut at its end.
 */
#ifndef SM_BASE_ERROR_H
#define SM_BASE_ERROR_H

#include "supermachine.h"

#include <stdarg.h>

/* Set (err) to (code) with a formatted message. Returns (code). */
int fail(struct sm_error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));

/*
 * Like fail() with the code that fits errno and ": strerror" at the end.
 * errno is read first, so arguments may not depend on it.
 */
int fail_os(struct sm_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), cold));

/* fail_os() for an error number that is not in errno: (os_error) > 0. */
int fail_errno(struct sm_error *err, int os_error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));

/* Put "context: " in front of the message of (err), whose code becomes (rc).
 * Returns (rc). */
int wrap(struct sm_error *err, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));

/* The SM_E* code that fits an error number of the C library. */
int error_from_errno(int os_error);

#endif
