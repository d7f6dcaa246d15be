/* snapshots.h: the verbs of `supermachine snapshot`. */
#ifndef SM_CLI_SNAPSHOTS_H
#define SM_CLI_SNAPSHOTS_H

#include "options.h"
#include "record.h"

extern const struct verb verb_snapshot_create;
extern const struct verb verb_snapshot_ls;
extern const struct verb verb_snapshot_rm;
extern const struct verb verb_snapshot_inspect;
extern const struct verb verb_snapshot_export;
extern const struct verb verb_snapshot_import;
extern const struct verb verb_snapshot_push;
extern const struct verb verb_snapshot_pull;

/*
 * Have the keeper of the machine (word) make a snapshot: (name), NULL: a
 * temporary one; (flags) as of sm_snapshot_create(). *record is the machine's,
 * for record_done(), if that succeeds; *ret, for free(), what became of it, as
 * JSON. Returns 0 or SM_E*.
 */
int snapshot_ask(const char *word, const char *name, unsigned flags,
                 struct record *record, char **ret, struct sm_error *err);

/* "snapshot:NAME", for free(); NULL: no memory, and a message was printed. */
char *snapshot_whole_name(const char *name);

#endif
