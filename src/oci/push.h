/* push.h: what is put into a repository of a registry (OCI distribution
 * specification 1.1, push).
 *
 * How it works
 *   Each blob is asked for first; one that is not there is sent whole, to where
 *   the registry says, as long as that is the registry itself. The manifest
 *   comes last, so that nothing is there by name before all of it is.
 */
#ifndef SM_OCI_PUSH_H
#define SM_OCI_PUSH_H

#include "oci/client.h"

/* The (bytes) of the file (fd), which hash to (digest). *ret_sent: they were
 * not there. SM_EACCES, SM_EPROTO, and as http_run(). */
int push_blob(struct client *client, const struct digest *digest, int fd,
              uint64_t bytes, bool *ret_sent, struct sm_error *err);

/* The manifest (text), of the media type (type), as (tag). (home) is a folder
 * for files without a name. */
int push_manifest(struct client *client, const char *tag, const char *type,
                  const void *text, size_t count, const char *home,
                  struct sm_error *err);

/* The blob that (descriptor) names into a nameless file in (home), to be
 * verified while it is read. */
int pull_blob(struct client *client, const struct oci_descriptor *descriptor,
              const char *home, struct blob **ret, struct sm_error *err);

#endif
