/* tree.h: the names of a root file system while its layers are applied.
 *
 * How it works
 *   Layers add, replace and remove names all over the tree, so directories
 *   are kept in memory, as names that lead to inode numbers, until the last
 *   layer is done; only then are they written out, each in one piece. What an
 *   inode holds is on the disk image already: an entry costs its name and
 *   about 64 bytes.
 *
 *   A hash table over (directory, name) finds entries; each directory also
 *   has its children in a ring, in the order in which they came, so that the
 *   same layers give the same image.
 */
#ifndef SM_ROOTFS_TREE_H
#define SM_ROOTFS_TREE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    TREE_NAME_MAX = 255,  /* bytes, as ext4 and Linux have it */
    TREE_DEPTH_MAX = 1024 /* directories above an entry       */
};

enum tree_type {
    TREE_FILE,
    TREE_DIRECTORY,
    TREE_SYMLINK,
    TREE_CHAR_DEVICE,
    TREE_BLOCK_DEVICE,
    TREE_FIFO
};

struct tree_entry {
    struct tree_entry *parent; /* the root's is the root itself */
    struct tree_entry *first;  /* child, or NULL                */
    struct tree_entry *next;   /* ring of siblings              */
    struct tree_entry *previous;
    struct tree_entry *hash_next;
    uint32_t inode;
    uint16_t depth;   /* the root has 0                                   */
    uint16_t layer;   /* that named it last                               */
    uint16_t cleared; /* the layer that has removed all that lower ones
                         left in this directory; 0: none                  */
    uint8_t type;     /* enum tree_type                                   */
    uint8_t length;   /* of the name                                      */
    char name[];      /* no NUL at its end                                */
};

struct tree {
    struct tree_entry *root;
    struct tree_entry **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;        /* entries without the root */
    size_t limit;
};

/* At most (limit) entries. (inode): of the root. */
int tree_init(struct tree *tree, uint32_t inode, size_t limit,
              struct sm_error *err);
void tree_done(struct tree *tree);

/* NULL if (directory) has no such entry. */
struct tree_entry *tree_find(const struct tree *tree,
                             const struct tree_entry *directory,
                             const char *name, size_t length);

/*
 * Add an entry that is not there yet; inode and layer are zero.
 * Returns 0, SM_EIMAGE (name too long, tree too deep), SM_ELIMIT, SM_ENOMEM.
 */
int tree_add(struct tree *tree, struct tree_entry *directory, const char *name,
             size_t length, enum tree_type type, struct tree_entry **ret,
             struct sm_error *err);

/* Take out and free an entry without children that is not the root. */
void tree_remove(struct tree *tree, struct tree_entry *entry);

/* The sibling behind (entry), NULL behind the last. */
struct tree_entry *tree_next(const struct tree_entry *entry);

/*
 * Walk the tree below and including (top), parents before children; NULL
 * after the last. Start with at = top.
 */
struct tree_entry *tree_walk(const struct tree_entry *top,
                             struct tree_entry *at);
/* The same, children before parents: start with tree_deepest(top); (top)
 * comes last. The present entry may be removed once its successor is known. */
struct tree_entry *tree_deepest(struct tree_entry *top);
struct tree_entry *tree_walk_up(const struct tree_entry *top,
                                struct tree_entry *at);

#endif
