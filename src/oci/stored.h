/* stored.h: an image of the store that is called by its ID, as a source. */
#ifndef SM_OCI_STORED_H
#define SM_OCI_STORED_H

#include "oci/source.h"

/*
 * (text) is what catalog_is_id() takes. Nothing is fetched from anywhere.
 * Returns 0, SM_ENOENT (no such ID, or it is a name as well, and then means
 * that), SM_EINVAL (the beginning of several), SM_ENOMEM, SM_EIO.
 */
int stored_open(const char *home, const char *text, struct oci_source **ret,
                struct sm_error *err);

#endif
