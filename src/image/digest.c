/* digest.c: the digest of one file; see keep.h. */
#include "image/keep.h"

#include "base/own.h"
#include "oci/digest.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { CHUNK = 256 << 10 };

/* From its beginning, wherever others have read to. */
static int hash_file(int fd, struct hasher *hasher, struct sm_error *err)
{
    AUTO_FREE char *chunk = malloc(CHUNK);
    off_t at = 0;
    ssize_t got;

    if (!chunk)
        return fail(err, SM_ENOMEM, "out of memory");
    while ((got = pread(fd, chunk, CHUNK, at)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_os(err, "read");
        hasher_add(hasher, chunk, (size_t)got);
        at += got;
    }
    return 0;
}

int keep_digest(const struct keep_request *request, struct reporter *reporter,
                struct sm_error *err)
{
    AUTO(hasher_done) struct hasher hasher = {0};
    char text[DIGEST_TEXT_MAX];
    struct digest digest;
    int rc = hasher_init(&hasher, DIGEST_SHA256, err);

    if (!rc)
        rc = hash_file(request->file, &hasher, err);
    if (rc)
        return rc;
    hasher_end(&hasher, &digest);
    digest_text(&digest, text);
    return report_text(reporter, text, err);
}
