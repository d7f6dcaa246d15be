/* tree.c: names while layers are applied; see tree.h. */
#include "rootfs/tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS_FIRST = 1024 };

/* FNV-1a over the name, begun with the directory's address, which an image's
 * author cannot know. */
static size_t bucket_of(const struct tree *tree,
                        const struct tree_entry *directory, const char *name,
                        size_t length)
{
    uint64_t hash = (uintptr_t)directory * UINT64_C(0x9e3779b97f4a7c15);

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)name[i]) * UINT64_C(0x100000001b3);
    hash ^= hash >> 32;
    return (size_t)hash & (tree->bucket_count - 1);
}

static void hash_in(struct tree *tree, struct tree_entry *entry)
{
    size_t bucket = bucket_of(tree, entry->parent, entry->name, entry->length);

    entry->hash_next = tree->buckets[bucket];
    tree->buckets[bucket] = entry;
}

static void hash_out(struct tree *tree, struct tree_entry *entry)
{
    size_t bucket = bucket_of(tree, entry->parent, entry->name, entry->length);
    struct tree_entry **at = &tree->buckets[bucket];

    while (*at != entry)
        at = &(*at)->hash_next;
    *at = entry->hash_next;
}

/* Twice the buckets; if memory is out, chains just get longer. */
static void grow(struct tree *tree)
{
    size_t old_count = tree->bucket_count;
    struct tree_entry **old = tree->buckets;
    struct tree_entry **buckets = calloc(2 * old_count, sizeof *buckets);

    if (!buckets)
        return;
    tree->buckets = buckets;
    tree->bucket_count = 2 * old_count;
    for (size_t i = 0; i < old_count; i++) {
        while (old[i]) {
            struct tree_entry *entry = old[i];

            old[i] = entry->hash_next;
            hash_in(tree, entry);
        }
    }
    free(old);
}

int tree_init(struct tree *tree, uint32_t inode, size_t limit,
              struct sm_error *err)
{
    *tree = (struct tree){.limit = limit};
    tree->root = calloc(1, sizeof *tree->root);
    tree->buckets = calloc(BUCKETS_FIRST, sizeof(struct tree_entry *));
    if (!tree->root || !tree->buckets)
        return fail(err, SM_ENOMEM, "out of memory");
    tree->bucket_count = BUCKETS_FIRST;
    tree->root->parent = tree->root;
    tree->root->inode = inode;
    tree->root->type = TREE_DIRECTORY;
    return 0;
}

void tree_done(struct tree *tree)
{
    for (size_t i = 0; i < tree->bucket_count; i++) {
        while (tree->buckets[i]) {
            struct tree_entry *entry = tree->buckets[i];

            tree->buckets[i] = entry->hash_next;
            free(entry);
        }
    }
    free(tree->buckets);
    free(tree->root);
    *tree = (struct tree){0};
}

struct tree_entry *tree_find(const struct tree *tree,
                             const struct tree_entry *directory,
                             const char *name, size_t length)
{
    struct tree_entry *entry =
        tree->buckets[bucket_of(tree, directory, name, length)];

    while (entry && !(entry->parent == directory && entry->length == length &&
                      memcmp(entry->name, name, length) == 0))
        entry = entry->hash_next;
    return entry;
}

static void ring_in(struct tree_entry *directory, struct tree_entry *entry)
{
    struct tree_entry *first = directory->first;

    if (!first) {
        entry->next = entry->previous = entry;
        directory->first = entry;
        return;
    }
    entry->next = first;
    entry->previous = first->previous;
    first->previous->next = entry;
    first->previous = entry;
}

static void ring_out(struct tree_entry *entry)
{
    struct tree_entry *directory = entry->parent;

    if (directory->first == entry)
        directory->first = entry->next == entry ? NULL : entry->next;
    entry->next->previous = entry->previous;
    entry->previous->next = entry->next;
}

int tree_add(struct tree *tree, struct tree_entry *directory, const char *name,
             size_t length, enum tree_type type, struct tree_entry **ret,
             struct sm_error *err)
{
    struct tree_entry *entry;

    assert(directory->type == TREE_DIRECTORY && length > 0);
    if (length > TREE_NAME_MAX)
        return fail(err, SM_EIMAGE, "name of %zu bytes: at most %d", length,
                    TREE_NAME_MAX);
    if (directory->depth >= TREE_DEPTH_MAX)
        return fail(err, SM_EIMAGE, "nested deeper than %d directories",
                    TREE_DEPTH_MAX);
    if (tree->count == tree->limit)
        return fail(err, SM_ELIMIT, "more than %zu files", tree->limit);
    entry = calloc(1, sizeof *entry + length);
    if (!entry)
        return fail(err, SM_ENOMEM, "out of memory");
    entry->parent = directory;
    entry->depth = (uint16_t)(directory->depth + 1);
    entry->type = (uint8_t)type;
    entry->length = (uint8_t)length;
    memcpy(entry->name, name, length);
    if (tree->count > tree->bucket_count)
        grow(tree);
    hash_in(tree, entry);
    ring_in(directory, entry);
    tree->count++;
    *ret = entry;
    return 0;
}

void tree_remove(struct tree *tree, struct tree_entry *entry)
{
    assert(!entry->first && entry != tree->root);
    hash_out(tree, entry);
    ring_out(entry);
    tree->count--;
    free(entry);
}

struct tree_entry *tree_next(const struct tree_entry *entry)
{
    if (entry->parent == entry || entry->next == entry->parent->first)
        return NULL;
    return entry->next;
}

struct tree_entry *tree_walk(const struct tree_entry *top,
                             struct tree_entry *at)
{
    if (at->first)
        return at->first;
    while (at != top) {
        struct tree_entry *next = tree_next(at);

        if (next)
            return next;
        at = at->parent;
    }
    return NULL;
}

struct tree_entry *tree_deepest(struct tree_entry *top)
{
    while (top->first)
        top = top->first;
    return top;
}

struct tree_entry *tree_walk_up(const struct tree_entry *top,
                                struct tree_entry *at)
{
    struct tree_entry *next;

    if (at == top)
        return NULL;
    next = tree_next(at);
    return next ? tree_deepest(next) : at->parent;
}
