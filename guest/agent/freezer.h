/* freezer.h: all programs of the machine stand still. */
#ifndef SM_GUEST_FREEZER_H
#define SM_GUEST_FREEZER_H

#include "cgroup.h"
#include "guest.h"

/* A folder that was frozen here. */
struct frozen_group {
    int fd;
    int watch; /* of guest->group_watch */
};

struct freezer {
    struct guest *guest;
    struct frozen_group *groups;
    unsigned count;
};

/* Nothing is frozen yet. (changed) is called when freezer_check() may have
 * more to say. guest->cgroups is not NULL. Returns -1 and errno. */
int freezer_open(struct freezer *freezer, struct guest *guest,
                 void (*changed)(struct guest *guest));
/* What is frozen stays so. */
void freezer_close(struct freezer *freezer);

/*
 * Freeze what is not frozen yet. Returns 1 if every process of the machine but
 * this one and the kernel's stands still, 0 if some do not yet, or -1 and
 * errno; EBUSY: a process is in no group that can be frozen (*ret_stray).
 */
int freezer_check(struct freezer *freezer, pid_t *ret_stray);
/* All go on. Returns -1 and errno if some cannot. */
int freezer_thaw(struct freezer *freezer);

#endif
