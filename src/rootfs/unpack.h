/* unpack.h: layers, one after the other, into one file system.
 *
 * How it works
 *   Entries change two things: an ext4 image (ext4.h), where contents go as
 *   they come, and a tree of names in memory (tree.h). Whiteouts, replaced
 *   files and hard links are changes of the tree, and links gained or lost
 *   of inodes. unpack_finish() writes the directories out of the tree.
 *
 * What an entry may do (OCI image specification, layer.md, and what engines
 * make of it)
 *   - Its path is taken from the root, "/" in front or not. ".." that would
 *     leave the root is an error, in names and in targets of hard links.
 *   - A symbolic link on the way to the last component is followed, within
 *     the root, as chroot(2) would: a later layer may say lib/x where an
 *     earlier one made lib a link to usr/lib. The last component never is.
 *   - Directories that are missing on the way are made (root, 0755). A file
 *     of a lower layer in their place gives way.
 *   - A directory over a directory changes its metadata only; anything else
 *     replaces what was there.
 *   - .wh.NAME and .wh..wh..opq remove what lower layers made, never what
 *     this layer made, before or after. Other names that begin with .wh..wh.
 *     are aufs's own and are left out.
 */
#ifndef SM_ROOTFS_UNPACK_H
#define SM_ROOTFS_UNPACK_H

#include "rootfs/ext4.h"
#include "rootfs/layer.h"
#include "rootfs/tree.h"

enum { UNPACK_PATH_MAX = 4096, UNPACK_LINKS_MAX = 40, UNPACK_XATTRS_MAX = 256 };

struct unpack {
    struct ext4 *image;
    struct tree tree;
    uint16_t layer; /* the present one, from 1 */
    /* Of the present entry; behind the last one libarchive writes zeros. */
    struct ext4_xattr xattrs[UNPACK_XATTRS_MAX + 1];
    char rest[2 * UNPACK_PATH_MAX]; /* of a path that is being walked */
    char target[EXT4_SYMLINK_MAX + 1];
};

/* (image) stays the caller's. */
int unpack_init(struct unpack *unpack, struct ext4 *image,
                struct sm_error *err);
void unpack_done(struct unpack *unpack);

/* Called now and then with the bytes of the blob that are done. */
typedef void unpack_progress_fn(void *context, uint64_t done_bytes);

/* Apply all of (layer) on top of what is there. (progress) may be NULL. */
int unpack_layer(struct unpack *unpack, struct layer *layer,
                 unpack_progress_fn *progress, void *context,
                 struct sm_error *err);

/* Write the directories. */
int unpack_finish(struct unpack *unpack, struct sm_error *err);

/* For path.c's caller and its tests: where (path) leads. */
struct unpack_place {
    struct tree_entry *directory; /* NULL: a part of the way is missing,
                                     which only happens if not (make)    */
    const char *name;             /* last component, in unpack->rest     */
    size_t length;                /* 0: the path names the directory     */
};

/* Walk (path), but for its last component; with (make), make what is missing,
 * with the times (when). SM_EIMAGE: leaves the root, too many links, through
 * a file. */
int unpack_walk(struct unpack *unpack, const char *path, bool make,
                struct ext4_time when, struct unpack_place *ret,
                struct sm_error *err);

/* Remove (entry) and all below it. */
int unpack_remove(struct unpack *unpack, struct tree_entry *entry,
                  struct sm_error *err);

#endif
