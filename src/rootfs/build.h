/* build.h: the layers of one image into one ext4 file. */
#ifndef SM_ROOTFS_BUILD_H
#define SM_ROOTFS_BUILD_H

#include "rootfs/store.h"

/* Fill the file (path), which is empty. (key) seeds the identity of the file
 * system, so that equal images are equal files. Errors as rootfs_prepare(). */
int rootfs_build(struct oci_source *source, const struct oci_image *image,
                 const struct rootfs_options *options, const struct digest *key,
                 const char *path, struct sm_error *err);

#endif
