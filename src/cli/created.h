/* created.h: when something of a listing was made. */
#ifndef SM_CLI_CREATED_H
#define SM_CLI_CREATED_H

#include "listing.h"

/* "3 days ago" into the column (since), RFC 3339 into (at). (created_s) counts
 * from 1970; 0: nobody knows. */
void created_put(struct listing *listing, size_t since, size_t at,
                 uint64_t created_s);

#endif
