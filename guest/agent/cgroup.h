/* cgroup.h: one control group per program, so that a whole tree can be killed
 * whatever sessions and process groups it has made. */
#ifndef SM_GUEST_CGROUP_H
#define SM_GUEST_CGROUP_H

#include "guest.h"

struct cgroups;

/* The folder below the root that all groups are in. */
#define CGROUP_PROGRAMS "programs"

/* One program's group. */
struct cgroup {
    uint64_t number;
    int fd; /* its folder; -1: there is no group */
};

/* (root) is a folder of a cgroup v2 hierarchy. NULL if it is not, or without
 * memory: programs then have no groups. */
struct cgroups *cgroups_open(struct guest *guest, const char *root);
void cgroups_close(struct cgroups *cgroups);

/* The folder that was opened; it stays theirs. */
int cgroups_root(const struct cgroups *cgroups);

/* At most (count) processes and threads in all groups together, from now on;
 * before the first group is made. Returns -1 and errno if that cannot be. */
int cgroups_limit(struct cgroups *cgroups, uint32_t count);

/* A new, empty group; ret->fd is -1 if that cannot be. (cgroups) may be NULL.
 */
void cgroup_make(struct cgroups *cgroups, struct cgroup *ret);
/* The number of the group that process (pid) is in, or below; 0: none of ours.
 * (proc) is the folder "/proc". */
uint64_t cgroup_of_process(const char *proc, pid_t pid);
/* Signal every process in it. */
void cgroup_signal(const struct cgroup *cgroup, int signal);
/* Remove it; if it is populated, as soon as its last process ends. */
void cgroup_drop(struct cgroups *cgroups, struct cgroup *cgroup);

#endif
