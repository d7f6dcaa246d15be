/* load.h: the images of an archive, taken into the store. */
#ifndef SM_OCI_LOAD_H
#define SM_OCI_LOAD_H

#include "base/error.h"

/* (name), the whole one, now leads to an image of the archive. */
typedef void load_fn(void *context, const char *name);

struct load_request {
    const char *home;
    int fd;           /* an OCI archive or one of `docker save`; may be a pipe,
                         and compressed                                      */
    const char *name; /* of the only image; NULL: as the archive says        */
    load_fn *loaded;
    void *context;
};

/*
 * Images come one by one, each named once it is there.
 * Returns 0, SM_EINVAL (an image without a name; a name for several),
 * SM_ENOENT (no image), SM_EIMAGE, SM_EDIGEST, SM_ENOTSUP, SM_ELIMIT,
 * SM_ENOSPC, SM_ENOMEM, SM_EIO.
 */
int load_archive(const struct load_request *request, struct sm_error *err);

#endif
