/* verify.h: is all that the store keeps what it should be?
 *
 * Every blob is hashed. Every name must be readable, be the one that its file
 * is called after, and lead to at least one image that is whole: of an index,
 * a killed pull may have left others that are not.
 */
#ifndef SM_OCI_VERIFY_H
#define SM_OCI_VERIFY_H

#include "oci/store.h"

struct verify {
    bool repair; /* remove what is damaged: the next pull gets it anew */
    /* (what) is the text of a digest, the name of an image or of a file;
     * (bytes) became free. */
    void (*damaged)(void *context, const char *what, const char *why,
                    uint64_t bytes);
    void *context;
};

/*
 * The caller holds the gate of (store), a view; exclusively to repair it.
 * Returns 0 (also if something is damaged), SM_EACCES, SM_ENOMEM, SM_EIO.
 */
int verify_store(const struct store *store, const struct verify *verify,
                 struct sm_error *err);

#endif
