/* tar.h: where the files of a plain tar lie (POSIX.1-2017, pax; GNU's long
 * names).
 *
 * How it works
 *   Archives of images hold blobs as files. To read one without unpacking the
 *   archive, its headers are walked once; from then on each blob is a range of
 *   the archive, for blob_open(). Contents are not looked at, and nothing here
 *   is taken for a path of the host.
 */
#ifndef SM_OCI_TAR_H
#define SM_OCI_TAR_H

#include "base/error.h"

#include <stddef.h>

enum {
    TAR_MEMBERS_MAX = 65536, /* files of one archive                */
    TAR_NAME_MAX = 4096      /* bytes of a name, with its NUL       */
};

/* A regular file or a link; of all others nothing is kept. */
struct tar_member {
    char *name;      /* without "/" and "./" in front              */
    char *link;      /* of a link, as (name) of the target; or NULL */
    uint64_t offset; /* of its content in the archive               */
    uint64_t bytes;
};

struct tar {
    struct tar_member *members;
    size_t count;
    size_t room;
};

/*
 * Walk the archive in the regular file (fd).
 * Returns 0, SM_EIMAGE (no tar, damaged, cut short), SM_ELIMIT, SM_ENOMEM,
 * SM_EIO. On failure (ret) is empty.
 */
int tar_read(int fd, struct tar *ret, struct sm_error *err);
void tar_done(struct tar *tar);

/* The last member called (name), through links; NULL if there is none. */
const struct tar_member *tar_find(const struct tar *tar, const char *name);

#endif
