/* layout.h: an OCI image layout, in a folder or in a tar, as a source (OCI
 * image specification, image-layout.md). */
#ifndef SM_OCI_LAYOUT_H
#define SM_OCI_LAYOUT_H

#include "oci/source.h"
#include "oci/tar.h"

/* Returns 0, SM_ENOENT (no such folder), SM_EIMAGE (not a layout),
 * SM_ENOTSUP (a version that is not 1.x). */
int layout_open(const char *folder, struct oci_source **ret,
                struct sm_error *err);
/* The same for a plain tar, open as (fd), which stays the caller's; (name) is
 * for messages. (tar) is taken over, also on failure. */
int layout_open_tar(int fd, const char *name, struct tar *tar,
                    struct oci_source **ret, struct sm_error *err);

/* The entries of index.json of such a source; they stay its. */
const struct oci_index *layout_index(const struct oci_source *source);

#endif
