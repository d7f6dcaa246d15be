/* layout.h: an OCI image layout in a folder, as a source (OCI image
 * specification, image-layout.md). */
#ifndef SM_OCI_LAYOUT_H
#define SM_OCI_LAYOUT_H

#include "oci/source.h"

/* Returns 0, SM_ENOENT (no such folder), SM_EIMAGE (not a layout),
 * SM_ENOTSUP (a version that is not 1.x). */
int layout_open(const char *folder, struct oci_source **ret,
                struct sm_error *err);

#endif
