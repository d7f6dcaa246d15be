/* save.h: images of the store, written as one archive. */
#ifndef SM_OCI_SAVE_H
#define SM_OCI_SAVE_H

#include "oci/catalog.h"

enum save_format {
    SAVE_OCI,   /* an OCI image layout in a tar: blobs as they came  */
    SAVE_DOCKER /* as `docker save`: layers unpacked, by their names */
};

struct save_item {
    const struct catalog_entry *entry;
    bool named; /* the entry's name goes with it */
};

/*
 * Write (items) to the descriptor (fd), which may be a pipe. (home) is where
 * layers are unpacked. The same images give the same bytes.
 * Returns 0, SM_ENOENT (a blob is gone), SM_EDIGEST, SM_EIMAGE, SM_ENOSPC,
 * SM_ENOMEM, SM_EIO; then what was written is of no use.
 */
int save_archive(const char *home, const struct save_item *items, size_t count,
                 enum save_format format, int fd, struct sm_error *err);

#endif
