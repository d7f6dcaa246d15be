/* beneath.h: entries below a folder that others may be changing: opened without
 * leaving it, and their extended attributes.
 *
 * How it works
 *   A path that somebody else made up is resolved by the kernel, one component
 *   after the other, and refused where it would lead out of the folder
 *   (openat2(2)). Checking a path first and opening it then would be two
 *   different paths.
 */
#ifndef SM_PLATFORM_BENEATH_H
#define SM_PLATFORM_BENEATH_H

#include "base/buf.h"

#include <sys/types.h>

enum beneath_links {
    BENEATH_NO_LINKS, /* a symbolic link on the way is ELOOP              */
    BENEATH_INSIDE,   /* they are followed unless they lead out: EXDEV    */
    BENEATH_AS_ROOT   /* followed as if the folder were the root; ".." of
                         it is itself                                     */
};

/* openat(2) of the relative (path), whose ".." are EXDEV or stay in the folder.
 * Returns a descriptor, closed on exec, or -1 and errno. */
int beneath_open(int folder, const char *path, enum beneath_links links,
                 int flags);

/*
 * Extended attributes of an entry: of the open (fd), or with (fd) -1 of (name)
 * in (folder), which is not followed.
 *
 * xattr_list() appends their names, each with a NUL behind it; xattr_get()
 * appends the value of one. Both return 0 or -1 and errno; ENOTSUP: the file
 * system keeps none.
 */
struct xattr_place {
    int fd;
    int folder;
    const char *name;
};

int xattr_list(const struct xattr_place *place, struct buf *names);
int xattr_get(const struct xattr_place *place, const char *attribute,
              struct buf *value);
int xattr_set(const struct xattr_place *place, const char *attribute,
              const void *value, size_t count);

#endif
