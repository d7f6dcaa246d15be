/* digests.h: a set of digests. */
#ifndef SM_OCI_DIGESTS_H
#define SM_OCI_DIGESTS_H

#include "oci/digest.h"

#include <stddef.h>

/* Zeroed, it is empty. Sorted by every digest_set_has() that follows an
 * addition, so that adding many and then asking for many is fast. */
struct digest_set {
    struct digest *items;
    size_t count;
    size_t room;
    size_t sorted; /* as many from the front are in order */
};

/* One that is there already may be added once more. SM_ENOMEM. */
int digest_set_add(struct digest_set *set, const struct digest *digest,
                   struct sm_error *err);
bool digest_set_has(struct digest_set *set, const struct digest *digest);
void digest_set_done(struct digest_set *set);

#endif
