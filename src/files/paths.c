/* paths.c: paths as cp reads them; see paths.h. */
#include "files/paths.h"

#include "base/own.h"
#include "files/pax.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Docker's number. */
enum { LINKS_MAX = 10 };

void path_parts_done(struct path_parts *parts)
{
    free(own_take(parts->folder));
    free(own_take(parts->name));
}

static bool is_inside(const char *name, size_t length)
{
    return length == 0 || (length == 1 && name[0] == '.') ||
           (length == 2 && name[0] == '.' && name[1] == '.');
}

int path_split(const char *path, struct path_parts *ret, struct sm_error *err)
{
    size_t end = strlen(path);
    size_t begin;

    *ret = (struct path_parts){0};
    if (end == 0)
        return fail(err, SM_EINVAL, "an empty path");
    ret->is_folder = path[end - 1] == '/';
    while (end > 0 && path[end - 1] == '/')
        end--;
    begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    if (is_inside(path + begin, end - begin)) {
        ret->folder = strdup(path);
        ret->name = strdup(".");
        ret->is_folder = true;
    } else {
        ret->folder = begin ? strndup(path, begin) : strdup(".");
        ret->name = strndup(path + begin, end - begin);
    }
    if (ret->folder && ret->name)
        return 0;
    path_parts_done(ret);
    return fail(err, SM_ENOMEM, "%s: out of memory", path);
}

int path_clean(const char *name, char *to, struct sm_error *err)
{
    size_t length = 0;
    const char *at = name;

    while (*at) {
        size_t part = strcspn(at, "/");

        if (part == 2 && at[0] == '.' && at[1] == '.') {
            if (length == 0)
                return fail(err, SM_EACCES,
                            "entry %.200s: leads out of the "
                            "target",
                            name);
            while (length > 0 && to[--length] != '/')
                ;
        } else if (part > 0 && !(part == 1 && at[0] == '.')) {
            if (length + 1 + part > PAX_NAME_MAX)
                return fail(err, SM_ELIMIT, "entry %.200s...: longer than %d",
                            name, PAX_NAME_MAX);
            if (length > 0)
                to[length++] = '/';
            memcpy(to + length, at, part);
            length += part;
        }
        at += part;
        at += *at == '/';
    }
    to[length] = '\0';
    return 0;
}

/* (link) as a path from where the link at (path) stands. */
static char *join_link(const char *path, const char *link)
{
    const char *slash = strrchr(path, '/');
    char *joined;

    if (link[0] == '/' || !slash)
        return strdup(link);
    if (asprintf(&joined, "%.*s/%s", (int)(slash - path), path, link) < 0)
        return NULL;
    return joined;
}

int path_target(const char *path, char **ret, struct sm_error *err)
{
    AUTO_FREE char *at = strdup(path);

    for (int links = 0; at && links <= LINKS_MAX; links++) {
        char link[PATH_MAX];
        size_t length = strlen(at);
        ssize_t count;
        char *next;

        while (length > 1 && at[length - 1] == '/')
            at[--length] = '\0';
        count = readlink(at, link, sizeof link - 1);
        if (count < 0) {
            *ret = own_take(at);
            return 0;
        }
        link[count] = '\0';
        next = join_link(at, link);
        free(at);
        at = next;
    }
    return at ? fail(err, SM_ELIMIT, "%s: too many symbolic links", path)
              : fail(err, SM_ENOMEM, "%s: out of memory", path);
}
