/* image.h: one image for one platform: its config and its layers.
 *
 * How it works
 *   From what the source finds it goes down through at most OCI_INDEX_DEPTH_MAX
 *   indexes, choosing by platform, to a manifest, and from there to the
 *   config. All of them are verified before they are parsed. Layers are only
 *   named here; who unpacks them opens and verifies them, against (digest) as
 *   they are stored and against (diff_id) as they are unpacked.
 */
#ifndef SM_OCI_IMAGE_H
#define SM_OCI_IMAGE_H

#include "oci/config.h"
#include "oci/source.h"

struct oci_layer {
    struct oci_descriptor blob;
    struct digest diff_id;
};

struct oci_image {
    struct digest digest; /* of the manifest */
    struct digest config_digest;
    struct oci_platform platform;
    struct image_config config;
    struct oci_layer *layers; /* the lowest first */
    size_t layer_count;
};

/*
 * Returns 0, SM_ENOENT (no such tag, no image for the platform, a blob is
 * missing), SM_EINVAL (several images, none chosen), SM_EIMAGE, SM_EDIGEST,
 * SM_ENOTSUP, SM_ELIMIT, SM_ENOMEM, SM_EIO.
 */
int oci_image_load(struct oci_source *source, const char *tag,
                   const struct oci_platform *platform, struct oci_image *ret,
                   struct sm_error *err);
void oci_image_done(struct oci_image *image);

#endif
