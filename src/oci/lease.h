/* lease.h: what of the store each process is about to use.
 *
 * How it works
 *   HOME/leases/RANDOM belongs to one open store. Its owner keeps it locked
 *   for as long as it lives, and adds the digest of every blob before it looks
 *   whether that is there. One whose lock is free was left by a process that
 *   died, and counts for nothing.
 *
 *   HOME/gate is locked for moments: shared by whoever adds to a lease or
 *   changes a name, exclusively by whoever removes what nothing refers to. So
 *   who removes knows everything that was noted before, and whoever notes
 *   something later does not find what was removed. Nobody takes another lock
 *   while he waits for the gate, but for leases of his own.
 */
#ifndef SM_OCI_LEASE_H
#define SM_OCI_LEASE_H

#include "base/own.h"
#include "oci/digests.h"

/* Wait for the gate below the folder (home); closing *ret_fd opens it again.
 * Returns 0, SM_EACCES, SM_ENOSPC, SM_EIO. */
int gate_lock(int home, bool exclusive, int *ret_fd, struct sm_error *err);

struct lease;

/* (home) stays the caller's, and open as long as the lease. HOME/leases must
 * be there. */
int lease_open(int home, struct lease **ret, struct sm_error *err);
/* What it held may be removed from now on. NULL is fine. */
void lease_close(struct lease *lease);
/* Once this has returned 0, a blob of this digest that is there stays.
 * The caller does not hold the gate exclusively. SM_ENOSPC, SM_ENOMEM,
 * SM_EIO. */
int lease_add(struct lease *lease, const struct digest *digest,
              struct sm_error *err);
/* Add what all living processes hold to (ret), and remove what dead ones left.
 * The caller holds the gate exclusively. */
int lease_gather(int home, struct digest_set *ret, struct sm_error *err);

OWN_DEFINE(struct lease, lease_close)

#endif
