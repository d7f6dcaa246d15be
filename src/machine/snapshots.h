/* snapshots.h: may a machine go on from this snapshot, in this installation?
 *
 * How it works
 *   A machine has the guest kernel and the agent in its memory: nothing is
 *   loaded when it goes on. But this side must be able to talk to them. So a
 *   snapshot says which they are, by their digests, and what is installed must
 *   be the same. To hash them takes longer than a whole start: the manifest
 *   says also which files they were, and as long as those are there unchanged,
 *   nobody hashes.
 */
#ifndef SM_MACHINE_SNAPSHOTS_H
#define SM_MACHINE_SNAPSHOTS_H

#include "machine/imaging.h"
#include "shelf/shelf.h"

/* What a machine that boots (kernel_fd) and (initrd_fd) is to say when it is
 * captured, in (origin.programs): *ret is the caller's. SM_ENOMEM, SM_EIO. */
int snapshots_describe(int kernel_fd, int initrd_fd, char **ret,
                       struct sm_error *err);

/* This host's, "x86_64": *ret is the caller's. SM_ENOMEM, SM_EIO. */
int snapshots_architecture(char **ret, struct sm_error *err);

/*
 * Fill (origin.kernel_digest) and (origin.agent_digest) in, unless the machine
 * brought them from its snapshot. Takes some 10 ms, in a process of its own.
 *
 * kernel       its config's, NULL: the installation's.
 * Returns      0, SM_ENOTSUP (the files are no longer those that it was booted
 *              with), or as imaging_run().
 */
int snapshots_note_digests(const struct machine_paths *paths,
                           const char *kernel, struct snapshot_origin *origin,
                           struct sm_error *err);

/*
 * May a machine of (snapshot), which was opened as (name), go on here?
 * Returns 0, or SM_ENOTSUP and which of architecture, kernel and agent is
 * another one. (Hypervisor and processors are the worker's to compare.)
 */
int snapshots_check(const struct machine_paths *paths, const char *name,
                    struct shelf_snapshot *snapshot, struct sm_error *err);

#endif
