/* bundle.h: an image whose parts lie somewhere in open files, as a source.
 *
 * How it works
 *   Not all that is an image comes with digests and a manifest: Docker's own
 *   archives name layers by path, a root file system is a single layer. Their
 *   parts are hashed where they lie, and a manifest is made of that; from then
 *   on it is an image like any other, and what is read is verified again.
 */
#ifndef SM_OCI_BUNDLE_H
#define SM_OCI_BUNDLE_H

#include "oci/source.h"

struct bundle;

/* An image whose parts lie in the regular file (fd), which stays the
 * caller's. */
int bundle_new(int fd, struct bundle **ret, struct sm_error *err);
/* NULL is fine. */
void bundle_free(struct bundle *bundle);

/* [offset, offset + bytes) of the file is the config, or the next layer from
 * below. SM_ELIMIT, SM_ENOMEM, SM_EIO. */
int bundle_set_config(struct bundle *bundle, uint64_t offset, uint64_t bytes,
                      struct sm_error *err);
int bundle_add_layer(struct bundle *bundle, uint64_t offset, uint64_t bytes,
                     struct sm_error *err);
/* A config for a root file system, the one layer that was added: nothing is
 * known but the platform, this host's. */
int bundle_make_config(struct bundle *bundle, struct sm_error *err);

/* All parts are there: the image as a source, which finds it under any tag.
 * (bundle) is taken over, also on failure. */
int bundle_finish(struct bundle *bundle, struct oci_source **ret,
                  struct sm_error *err);

OWN_DEFINE(struct bundle, bundle_free)

#endif
