/* seen.h: what is in a finished ext4 image, as others see it: libext2fs as a
 * reader, and e2fsck. */
#ifndef SM_TESTS_ROOTFS_SEEN_H
#define SM_TESTS_ROOTFS_SEEN_H

#include "../oci/stand.h"

#include <ext2fs/ext2fs.h>

/* Open for reading; ends the test if it is no file system. */
ext2_filsys seen_open(const char *path);
void seen_close(ext2_filsys fs);

/* The inode number of (path), symbolic links not followed; 0: not there. */
ext2_ino_t seen_find(ext2_filsys fs, const char *path);
/* That inode; ends the test if it is not there. */
struct ext2_inode_large seen_inode(ext2_filsys fs, const char *path);
/* The file has exactly this content. */
void seen_text(ext2_filsys fs, const char *path, const char *text);
void seen_link(ext2_filsys fs, const char *path, const char *target);
/* The bytes of an extended attribute as they are stored; -1: there is none. */
ssize_t seen_xattr(ext2_filsys fs, const char *path, const char *name, void *to,
                   size_t size);
/* How many names a directory has, without the dots. */
size_t seen_count(ext2_filsys fs, const char *path);

/* `e2fsck -fn` finds nothing. */
void seen_clean(const char *path);

#endif
