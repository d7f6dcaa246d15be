/* sweep.h: removing blobs that nothing refers to.
 *
 * How it works
 *   Once a blob is there it stays, whatever becomes of the names that led to
 *   it, until somebody sweeps: with the gate held exclusively, what names lead
 *   to and what living processes are about to use (lease.h) is gathered; the
 *   rest may go. A sweep that is killed leaves a store in which some of the
 *   rest is still there.
 */
#ifndef SM_OCI_SWEEP_H
#define SM_OCI_SWEEP_H

#include "oci/digests.h"
#include "oci/store.h"

/* Something that was removed: the text of a digest, or the name of a file. */
typedef void sweep_fn(void *context, const char *what, uint64_t bytes);

struct sweep {
    const struct digest_set *only; /* remove no others; NULL: any, and what
                                      dead processes left half-made */
    sweep_fn *removed;
    void *context;
};

/*
 * The caller holds the gate of (store), a view, exclusively.
 * Returns 0, SM_EIMAGE or SM_EDIGEST (what a name leads to cannot be read: who
 * knows what it needs?), SM_ENOMEM, SM_EIO.
 */
int sweep_blobs(const struct store *store, const struct sweep *sweep,
                struct sm_error *err);

#endif
