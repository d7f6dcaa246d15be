/* config.h: the config of an image (OCI image specification, config.md, and
 * Docker's, which has the same fields). */
#ifndef SM_OCI_CONFIG_H
#define SM_OCI_CONFIG_H

#include "oci/digest.h"
#include "oci/platform.h"
#include "proto/image.h"

struct oci_config {
    struct image_config image; /* strings are never NULL            */
    struct oci_platform platform;
    struct digest *diff_ids; /* of the unpacked layers, lowest first */
    size_t diff_id_count;
};

/* SM_EIMAGE: malformed; SM_ENOTSUP: root file system that is not made of
 * layers; SM_ELIMIT; SM_ENOMEM. */
int oci_config_parse(const void *bytes, size_t count, struct oci_config *ret,
                     struct sm_error *err);
void oci_config_done(struct oci_config *config);

#endif
