/* setup.h: SETUP: a bare machine becomes a certain one. */
#ifndef SM_GUEST_SETUP_H
#define SM_GUEST_SETUP_H

#include "proto/agent.h"

/*
 * Random numbers first, then clock, names, root, mounts, files. Stops at the
 * first failure: the machine is then half made and must not run anything.
 */
int setup_apply(const struct agent_setup *setup, struct sm_error *err);

#endif
