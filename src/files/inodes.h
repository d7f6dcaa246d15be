/* inodes.h: which files of a tree were seen before, to find hard links. */
#ifndef SM_FILES_INODES_H
#define SM_FILES_INODES_H

#include "base/buf.h"

#include <sys/types.h>

struct inode_slot;

struct inodes {
    struct inode_slot *slots;
    size_t count;
    size_t room;      /* a power of two, or 0 */
    struct buf names; /* each with a NUL behind it */
};

void inodes_init(struct inodes *inodes);
void inodes_done(struct inodes *inodes);

/*
 * The name under which the file was seen first, valid until the next call; or
 * NULL: it was not, and (name) is kept. *failed: out of memory.
 */
const char *inodes_seen(struct inodes *inodes, dev_t device, ino_t inode,
                        const char *name, bool *failed);

#endif
