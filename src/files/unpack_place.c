/* unpack_place.c: where a tree goes, by the rules of cp; see unpack.h. */
#include "files/unpacking.h"

#include "base/own.h"
#include "files/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static int open_target(struct unpacking *unpack, const char *path,
                       struct sm_error *err)
{
    unpack->target = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (unpack->target < 0)
        return fail_os(err, "%s", path);
    /* "/" is where links mean what they say. */
    unpack->links = unpack->config->links;
    if (unpack->links == BENEATH_INSIDE && path[strspn(path, "/")] == '\0')
        unpack->links = BENEATH_AS_ROOT;
    return 0;
}

/* Below the folder of (path), under the name that it ends with. */
static int open_parent(struct unpacking *unpack, const char *path,
                       struct sm_error *err)
{
    AUTO_FREE char *real = NULL;
    struct path_parts parts;
    int rc = path_target(path, &real, err);

    if (!rc)
        rc = path_split(real, &parts, err);
    if (rc)
        return rc;
    rc = open_target(unpack, parts.folder, err);
    if (!rc && strcmp(parts.name, ".") != 0)
        unpack->rename = own_take(parts.name);
    path_parts_done(&parts);
    return rc;
}

static bool asks_for_folder(const char *path)
{
    size_t length = strlen(path);

    return path[length - 1] == '/' ||
           (length > 1 && strcmp(path + length - 2, "/.") == 0);
}

static int find_place(struct unpacking *unpack, bool is_folder,
                      struct sm_error *err)
{
    const char *path = unpack->config->path;
    struct stat st;

    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return open_target(unpack, path, err);
        if (is_folder)
            return fail(err, SM_EEXIST,
                        "%s: is not a folder: a folder cannot be put there",
                        path);
        return open_parent(unpack, path, err);
    }
    if (errno != ENOENT)
        return fail_os(err, "%s", path);
    if (!is_folder && asks_for_folder(path))
        return fail(err, SM_ENOENT, "%s: no such folder", path);
    return open_parent(unpack, path, err);
}

/* The root has one name, and the one that was asked for. */
static int check_root(const struct unpacking *unpack, struct sm_error *err)
{
    const char *wanted = unpack->config->root;

    if (wanted && strcmp(wanted, ".") == 0)
        wanted = "";
    if (strchr(unpack->root, '/') ||
        (wanted && strcmp(wanted, unpack->root) != 0))
        return fail(err, SM_EPROTO, "entry %.200s: not what was asked for",
                    unpack->root);
    return 0;
}

int unpack_place(struct unpacking *unpack, const struct pax_entry *first,
                 struct sm_error *err)
{
    char root[PAX_NAME_MAX + 1];
    int rc;

    unpack->placed = true;
    if (!unpack->config->place)
        return open_target(unpack, unpack->config->path, err);
    rc = path_clean(first->name, root, err);
    if (rc)
        return rc;
    unpack->root = strdup(root);
    if (!unpack->root)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = check_root(unpack, err);
    return rc ? rc : find_place(unpack, first->type == PAX_FOLDER, err);
}

int unpack_rename(const struct unpacking *unpack, const char *name, char *to,
                  struct sm_error *err)
{
    char clean[PAX_NAME_MAX + 1];
    size_t skip = unpack->root ? strlen(unpack->root) : 0;
    size_t length = 0;
    int rc = path_clean(name, clean, err);

    if (rc)
        return rc;
    if (skip && (strncmp(clean, unpack->root, skip) != 0 ||
                 (clean[skip] && clean[skip] != '/')))
        return fail(err, SM_EPROTO, "entry %.200s: not in %s", clean,
                    unpack->root);
    if (!unpack->rename) {
        memcpy(to, clean, strlen(clean) + 1);
        return 0;
    }
    length = strlen(unpack->rename);
    if (length + 1 + strlen(clean + skip) > PAX_NAME_MAX)
        return fail(err, SM_ELIMIT, "entry %.200s...: too long", clean);
    memcpy(to, unpack->rename, length);
    /* What is left begins with a slash, unless the root was nameless. */
    if (clean[skip] && clean[skip] != '/')
        to[length++] = '/';
    memcpy(to + length, clean + skip, strlen(clean + skip) + 1);
    return 0;
}
