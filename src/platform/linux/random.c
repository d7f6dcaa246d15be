/* random.c: random bytes by getrandom(2); see random.h. */
#include "platform/random.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

int random_bytes(void *to, size_t count, struct sm_error *err)
{
    char *at = to;

    while (count) {
        ssize_t got = getrandom(at, count, 0);

        if (got < 0 && errno != EINTR)
            return fail_os(err, "getrandom");
        if (got > 0) {
            at += got;
            count -= (size_t)got;
        }
    }
    return 0;
}
