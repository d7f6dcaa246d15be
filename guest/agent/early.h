/* early.h: what a machine has before anybody says which machine it is. */
#ifndef SM_GUEST_EARLY_H
#define SM_GUEST_EARLY_H

#include "base/error.h"

#define EARLY_CGROUP_ROOT "/sys/fs/cgroup"

/*
 * Mount the kernel's file systems, make the links below /dev, bring the
 * loopback device up. All of it is the same for every machine and holds
 * nothing of an image, so it may be part of a template.
 */
int early_setup(struct sm_error *err);

#endif
