/* path.c: walking paths of tar entries within the root; see unpack.h. */
#include "rootfs/unpack.h"

#include "base/bytes.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A walk through (unpack)->rest. */
struct walk {
    struct unpack *unpack;
    struct tree_entry *at;
    char *next;     /* the part of `rest` that lies ahead                 */
    size_t own;     /* bytes at its end that are of the entry's own path;
                       what is before came out of symbolic links          */
    unsigned links; /* followed so far                                    */
    bool make;
    struct ext4_time when;
};

static bool is_own(const struct walk *walk)
{
    return strlen(walk->next) <= walk->own;
}

static char *skip_slashes(char *at)
{
    return at + strspn(at, "/");
}

/* One up; at the root a symbolic link stays there, as with chroot(2). */
static int go_up(struct walk *walk, struct sm_error *err)
{
    if (walk->at == walk->unpack->tree.root && is_own(walk))
        return fail(err, SM_EIMAGE, "leaves the root");
    walk->at = walk->at->parent;
    return 0;
}

static int make_directory(struct walk *walk, const char *name, size_t length,
                          struct sm_error *err)
{
    struct unpack *unpack = walk->unpack;
    const struct ext4_meta meta = {
        .mode = S_IFDIR | 0755,
        .atime = walk->when,
        .mtime = walk->when,
    };
    struct tree_entry *entry;
    int rc = tree_add(&unpack->tree, walk->at, name, length, TREE_DIRECTORY,
                      &entry, err);

    if (rc)
        return rc;
    entry->layer = unpack->layer;
    walk->at = entry;
    return ext4_node(unpack->image, &meta, &entry->inode, err);
}

/* Put the target of a link in front of what lies ahead. */
static int follow(struct walk *walk, const struct tree_entry *link,
                  const char *after, struct sm_error *err)
{
    struct unpack *unpack = walk->unpack;
    size_t ahead = strlen(after);
    size_t length;
    int rc;

    if (++walk->links > UNPACK_LINKS_MAX)
        return fail(err, SM_EIMAGE, "more than %d symbolic links on its way",
                    UNPACK_LINKS_MAX);
    rc = ext4_readlink(unpack->image, link->inode, unpack->target, err);
    if (rc)
        return rc;
    length = strlen(unpack->target);
    if (length + 1 + ahead + 1 > sizeof unpack->rest)
        return fail(err, SM_EIMAGE, "too long once its links are followed");
    walk->own = min_u64(walk->own, ahead);
    memmove(unpack->rest + length + 1, after, ahead + 1);
    memcpy(unpack->rest, unpack->target, length);
    unpack->rest[length] = '/';
    walk->next = unpack->rest;
    if (unpack->target[0] == '/')
        walk->at = unpack->tree.root;
    return 0;
}

/* Into the component (name) of a directory; (after) is what follows it. */
static int go_into(struct walk *walk, size_t length, char *after,
                   struct sm_error *err)
{
    struct unpack *unpack = walk->unpack;
    const char *name = walk->next;
    struct tree_entry *entry = tree_find(&unpack->tree, walk->at, name, length);
    int rc = 0;

    if (entry && entry->type == TREE_SYMLINK)
        return follow(walk, entry, after, err);
    if (entry && entry->type == TREE_DIRECTORY) {
        walk->at = entry;
    } else if (!walk->make) {
        walk->at = NULL;
        return 0;
    } else if (entry && entry->layer == unpack->layer) {
        return fail(err, SM_EIMAGE, "\"%.*s\" on its way is no directory",
                    (int)min_u64(length, 64), name);
    } else {
        if (entry)
            rc = unpack_remove(unpack, entry, err);
        if (!rc)
            rc = make_directory(walk, name, length, err);
    }
    walk->next = after;
    return rc;
}

static int check_component(const struct walk *walk, size_t length,
                           struct sm_error *err)
{
    if (length > TREE_NAME_MAX)
        return fail(err, SM_EIMAGE, "name of %zu bytes: at most %d", length,
                    TREE_NAME_MAX);
    if (length >= 4 && memcmp(walk->next, ".wh.", 4) == 0 && is_own(walk))
        return fail(err, SM_EIMAGE,
                    "goes through a name that begins with .wh.");
    return 0;
}

/* One component; *done when it was the last one, which stays where it is. */
static int step(struct walk *walk, struct unpack_place *ret, bool *done,
                struct sm_error *err)
{
    size_t length;
    char *after;
    bool dots;
    int rc;

    walk->next = skip_slashes(walk->next);
    length = strcspn(walk->next, "/");
    after = skip_slashes(walk->next + length);
    dots = (length == 1 && walk->next[0] == '.') ||
           (length == 2 && memcmp(walk->next, "..", 2) == 0);
    *done = !*after;
    if (*done || dots) {
        rc = length == 2 && dots ? go_up(walk, err) : 0;
        *ret = (struct unpack_place){
            .directory = walk->at,
            .name = walk->next,
            .length = dots ? 0 : length,
        };
        walk->next = after;
        return rc;
    }
    rc = check_component(walk, length, err);
    return rc ? rc : go_into(walk, length, after, err);
}

int unpack_walk(struct unpack *unpack, const char *path, bool make,
                struct ext4_time when, struct unpack_place *ret,
                struct sm_error *err)
{
    struct walk walk = {
        .unpack = unpack,
        .at = unpack->tree.root,
        .next = unpack->rest,
        .own = strlen(path),
        .make = make,
        .when = when,
    };
    bool done = false;

    if (walk.own >= UNPACK_PATH_MAX)
        return fail(err, SM_EIMAGE, "path of %zu bytes: at most %d", walk.own,
                    UNPACK_PATH_MAX - 1);
    memcpy(unpack->rest, path, walk.own + 1);
    while (!done) {
        int rc = step(&walk, ret, &done, err);

        if (rc)
            return rc;
        if (!walk.at) {
            *ret = (struct unpack_place){0};
            return 0;
        }
    }
    return 0;
}
