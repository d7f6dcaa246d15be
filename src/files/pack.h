/* pack.h: a tree of this system as a stream of entries.
 *
 * How it works
 *   The tree's root gets the name that its path ends with, "." where the path
 *   asks for what is inside of a folder ("dir/.", ".", "/"); everything else
 *   stands below that name. Symbolic links are entries of their own: only one
 *   that the path itself ends with can be followed. Each is opened from its
 *   folder and looked at once it is open, so nothing that changes meanwhile can
 *   lead elsewhere.
 *
 *   Kept are type, mode, owner, size, time of change in nanoseconds, hard links
 *   within the tree, holes, devices, FIFOs and extended attributes (ACLs and
 *   capabilities are some) but for those of this system's own policies
 *   (security.selinux and the like). Sockets belong to who made them, and are
 *   left out.
 */
#ifndef SM_FILES_PACK_H
#define SM_FILES_PACK_H

#include "files/pax.h"

enum { PACK_DEPTH_MAX = 512 };

struct pack_config {
    const char *path;
    bool follow;       /* a symbolic link that the path ends with         */
    bool header_only;  /* of the root; no content, no tree                */
    bool whole_system; /* leave out what is in /proc, /sys and /dev, where
                          these are the kernel's, unless path is inside  */
};

/*
 * Returns 0 and *ret_bytes, which may be NULL: the bytes of content; or
 * SM_ENOENT, SM_EACCES, SM_EBUSY (a file became shorter while it was read),
 * SM_ELIMIT (names beyond PAX_NAME_MAX, folders in PACK_DEPTH_MAX others),
 * SM_ENOMEM, SM_EIO, or what (to) said.
 */
int pack(const struct pack_config *config, const struct pax_output *to,
         uint64_t *ret_bytes, struct sm_error *err);

#endif
