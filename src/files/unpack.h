/* unpack.h: a stream of entries as a tree of this system.
 *
 * How it works
 *   Entries are made one after the other, each by its name alone in its folder,
 *   which was opened without leaving the target. What stands in the way and is
 *   no folder is removed, never written to or followed; a folder and something
 *   that is none do not replace each other. Folders get their modes, times and
 *   attributes when all is done, because filling them needs other modes and
 *   changes their times.
 *
 *   Where a tree goes follows the rules of cp as Docker has them
 * (unpack_config, `place`): target is a folder        its root keeps its name,
 * in there target is something else  a file replaces it; a folder cannot there
 * is no target        the root gets that name; its folder must exist, and
 * "name/" cannot become a file
 *
 *   A stream may come from somebody hostile. Without `privileged`, nothing
 *   comes out that could be more than a file of the caller's: setuid and setgid
 *   bits and all attributes but user.* are left out, a device ends it.
 */
#ifndef SM_FILES_UNPACK_H
#define SM_FILES_UNPACK_H

#include "files/pax.h"
#include "platform/beneath.h"

enum { UNPACK_LATER_MAX = 256 << 20 }; /* bytes that wait for the end */

struct unpack_config {
    const char *path;
    /* By the rules above; else path must be a folder, into which everything is
     * put as it is named. */
    bool place;
    /* With place: what the root must be called, as path_split() has it; NULL:
     * anything. Who asked for one name gets no other. */
    const char *root;
    bool owners;     /* as they stand there; else this process's   */
    bool privileged; /* see above                                  */
    /* What is done about symbolic links on the way to an entry. */
    enum beneath_links links;
    uint64_t bytes_max; /* of content; 0: no limit */
};

/*
 * Returns 0 and *ret_bytes, which may be NULL: the bytes of content; or
 * SM_ENOENT (no such folder), SM_EEXIST (a folder and something else),
 * SM_EACCES (a name that leads out), SM_ENOTSUP (a device, or a kind that is
 * unknown), SM_ELIMIT, SM_ENOSPC, SM_EPROTO (not the root that was asked for),
 * SM_EIO, or what pax_next() says. What was made before stays; no file is left
 * half-done.
 */
int unpack(const struct unpack_config *config, const struct pax_input *from,
           uint64_t *ret_bytes, struct sm_error *err);

#endif
