/* verbs.h: what `supermachine VERB` can be. */
#ifndef SM_CLI_VERBS_H
#define SM_CLI_VERBS_H

#include "options.h"

extern const struct verb verb_run;
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
extern const struct verb verb_version;

#endif
