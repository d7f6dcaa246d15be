/* reach.h: what of the store a name leads to. */
#ifndef SM_OCI_REACH_H
#define SM_OCI_REACH_H

#include "oci/store.h"

/* (at) is an index, or a manifest that says (manifest), else NULL. A result
 * other than 0 ends the walk. */
typedef int reach_fn(void *context, const struct oci_descriptor *at,
                     const struct oci_manifest *manifest, struct sm_error *err);

/*
 * Call (fn) for (top) and for all indexes and manifests below it that are in
 * the store, once each: of an index, only those platforms are there that were
 * wanted.
 * Returns 0, SM_ENOENT ((top) itself is not there), SM_EDIGEST and SM_EIMAGE
 * (damaged), SM_ENOTSUP, SM_ELIMIT, SM_ENOMEM, SM_EIO.
 */
int reach_walk(const struct store *store, const struct oci_descriptor *top,
               reach_fn *fn, void *context, struct sm_error *err);

/* Every blob that (top) leads to, whether it is there or not, added to
 * (context), a struct digest_set. */
reach_fn reach_add_blobs;

#endif
