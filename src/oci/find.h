/* find.h: which entry of a list of images is meant. */
#ifndef SM_OCI_FIND_H
#define SM_OCI_FIND_H

#include "oci/manifest.h"

/*
 * The entry of (index), the list of what (where) has, that (tag) names. NULL:
 * the only entry, else what is tagged "latest", else, if none has a tag, the
 * one of them that fits (platform).
 * Returns 0, SM_ENOENT (with the tags that are there), SM_EINVAL (several, none
 * chosen), SM_ENOTSUP (no image), SM_ENOMEM.
 */
int oci_index_find(const struct oci_index *index, const char *where,
                   const char *tag, const struct oci_platform *platform,
                   struct oci_descriptor *ret, struct sm_error *err);

#endif
