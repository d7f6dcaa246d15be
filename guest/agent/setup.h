/* setup.h: SETUP and CLONE: a machine becomes a certain one. */
#ifndef SM_GUEST_SETUP_H
#define SM_GUEST_SETUP_H

#include "identity.h"

/*
 * Random numbers first, then clock, names, root, mounts, files. Stops at the
 * first failure: the machine is then half made and must not run anything.
 */
int setup_apply(struct identity *identity, const struct agent_setup *setup,
                struct sm_error *err);

/*
 * A machine that setup_apply() has made becomes another one: random numbers
 * first, then clock, names, files, and the notice last. The same holds for
 * failures.
 */
int setup_clone(struct identity *identity, const struct agent_clone *clone,
                struct sm_error *err);

#endif
