/* verify.h: is all that the store keeps what it should be?
 *
 * Every blob is hashed. Every name must be readable, be the one that its file
 * is called after, and lead to at least one image that is whole: of an index,
 * a killed pull may have left others that are not.
 *
 * Hashing takes long, and who repairs must be alone: so he hashes twice, all of
 * it with the others, and then alone what seemed to be damaged.
 */
#ifndef SM_OCI_VERIFY_H
#define SM_OCI_VERIFY_H

#include "oci/digests.h"
#include "oci/store.h"

struct verify {
    struct digest_set *suspects; /* hash no other blobs; NULL: all */
    bool repair; /* remove what is damaged: the next pull gets it anew */
    /* (what) is the text of a digest, the name of an image or of a file;
     * (bytes) became free. */
    void (*damaged)(void *context, const char *what, const char *why,
                    uint64_t bytes);
    void *context;
};

/*
 * Hash every blob, and add the damaged ones to (ret).
 * The caller holds the gate of (store), a view. Errors as verify_store().
 */
int verify_suspects(const struct store *store, struct digest_set *ret,
                    struct sm_error *err);

/*
 * The caller holds the gate of (store), a view; exclusively to repair it.
 * Returns 0 (also if something is damaged), SM_EACCES, SM_ENOMEM, SM_EIO.
 */
int verify_store(const struct store *store, const struct verify *verify,
                 struct sm_error *err);

#endif
