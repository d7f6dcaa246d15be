/* kept.h: calls of the store whose name is "snapshot:NAME". */
#ifndef SM_API_KEPT_H
#define SM_API_KEPT_H

#include "supermachine.h"

typedef void kept_change_fn(void *context,
                            const struct sm_store_change *change);

/* The NAME in "snapshot:NAME", which may be ""; NULL: it is an image's. */
const char *kept_snapshot(const char *name);

int kept_inspect(struct sm_host *host, const char *snapshot, char **ret,
                 struct sm_error *err);
int kept_remove(struct sm_host *host, const char *snapshot, kept_change_fn *fn,
                void *context, struct sm_error *err);

#endif
