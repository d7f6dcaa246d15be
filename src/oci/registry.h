/* registry.h: images of registries, as a source (OCI distribution
 * specification 1.1, pull).
 *
 * How it works
 *   A name that was pulled before is answered out of the store, without a
 *   network, unless place->refresh. Otherwise the registry is asked for the
 *   manifest; each document and each layer goes into the store, verified as it
 *   comes, and is opened there. The name is kept last, so that a pull that was
 *   killed is simply not there, and its blobs are where the next one goes on.
 *
 *   Registries speak HTTPS with a certificate that is checked. Those on this
 *   host (localhost, 127.0.0.0/8, [::1]) and those of place->insecure may show
 *   any certificate, or speak plain HTTP.
 */
#ifndef SM_OCI_REGISTRY_H
#define SM_OCI_REGISTRY_H

#include "oci/source.h"

/*
 * (reference) is of REFERENCE_REGISTRY; strings of (place) must live as long
 * as the source. No request is made before something is asked for. Then:
 * SM_ENOENT (no such image; with near tags), SM_EACCES (not permitted),
 * SM_ELIMIT (too many requests, with the registry's limits), SM_ETIMEOUT,
 * SM_EDIGEST, SM_EIMAGE, SM_EPROTO, SM_ENOSPC, SM_ENOMEM, SM_EIO.
 */
int registry_open(const struct reference *reference,
                  const struct oci_place *place, struct oci_source **ret,
                  struct sm_error *err);

#endif
