/* verbs.h: what `supermachine VERB` can be. */
#ifndef SM_CLI_VERBS_H
#define SM_CLI_VERBS_H

#include "options.h"

extern const struct verb verb_run;
extern const struct verb verb_exec;
extern const struct verb verb_cp;
extern const struct verb verb_attach;
extern const struct verb verb_ps;
extern const struct verb verb_stats;
extern const struct verb verb_top;
extern const struct verb verb_events;
extern const struct verb verb_logs;
extern const struct verb verb_stop;
extern const struct verb verb_kill;
extern const struct verb verb_wait;
extern const struct verb verb_pause;
extern const struct verb verb_unpause;
extern const struct verb verb_rename;
extern const struct verb verb_rm;
extern const struct verb verb_fork;
extern const struct verb verb_snapshot;
extern const struct verb verb_pull;
extern const struct verb verb_images;
extern const struct verb verb_rmi;
extern const struct verb verb_inspect;
extern const struct verb verb_tag;
extern const struct verb verb_prune;
extern const struct verb verb_store;
extern const struct verb verb_load;
extern const struct verb verb_save;
extern const struct verb verb_doctor;
extern const struct verb verb_completion;
extern const struct verb verb_version;
extern const struct verb verb_help;

/* All of them, NULL at the end, in the order of the main help. The build reads
 * the rows too: the verb called NAME is verb_NAME. */
extern const struct verb *const verb_table[];

/* The verb called (name), or NULL. */
const struct verb *verb_find(const char *name);

/* verb_find(), with a message when there is none. */
const struct verb *verb_expect(const char *name);

#endif
