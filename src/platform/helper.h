/* helper.h: ask a program of the user's: a little on its input, its answer on
 * its output.
 *
 * How it works
 *   The program is found as a shell would find it, and started without one.
 *   It has a limited time, its answer a limited length; what does not keep to
 *   them is killed. Its standard error is ours. It ends with the thread that
 *   asks (process.h, is_foreign).
 */
#ifndef SM_PLATFORM_HELPER_H
#define SM_PLATFORM_HELPER_H

#include "base/buf.h"
#include "base/error.h"

enum { HELPER_INPUT_MAX = 4096 };

/*
 * The program (name) of the folders in PATH of (env), "NAME=value" strings
 * with NULL at the end. Folders that are not absolute are passed over. *ret,
 * which the caller frees, is NULL if there is none.
 * Returns 0, SM_EINVAL (name has other characters than letters, digits, '.',
 * '_' and '-'), SM_ENOMEM.
 */
int helper_find(char *const *env, const char *name, char **ret,
                struct sm_error *err);

struct helper_plan {
    const char *path;
    char *const *argv; /* NULL at the end                           */
    char *const *env;
    const char *input; /* at most HELPER_INPUT_MAX bytes, then ends */
    uint32_t timeout_ms;
};

/*
 * Run it to its end; its output is appended to (answer). *status is its exit
 * code, 128 + signal, or -1 if somebody else in this process has collected it.
 * Returns 0, SM_ELIMIT (longer than the cap of (answer)), SM_ETIMEOUT,
 * SM_EINVAL (input too long), what process_start_plan() says, SM_EIO. Blocks.
 */
int helper_run(const struct helper_plan *plan, struct buf *answer, int *status,
               struct sm_error *err);

#endif
