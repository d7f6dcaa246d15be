/* bed-agent.h - the two halves of process 1 of the bed: making the machine
 * habitable (bed-init.c) and running commands in it (bed-agent.c).
 */
#ifndef SM_TESTBED_BED_AGENT_H
#define SM_TESTBED_BED_AGENT_H

#include <stddef.h>

/* Where a command finds the --out directories before they are bound. */
#define BED_RUN_FOLDER "/run/testbed"

/* Loads the modules, mounts everything, enters the host's file system.
 * Returns the open line to the host. Ends the machine when it cannot. */
int bed_init(void);

/* Binds the bed kernel's modules into /lib/modules; path is the host's. */
void bed_bind_modules(const char *path);

/* Mounts the number'th --out channel. */
void bed_mount_out(size_t number);

/* mkdir -p */
void bed_make_folders(const char *path);

/* Mounts a 9p channel; returns 0 or an errno. */
int bed_mount_9p(const char *tag, const char *target, const char *extra,
                 unsigned long flags);

#endif
