/* beneath.c: entries below a folder, by openat2(2); see beneath.h. */
#include "platform/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
    TRIES = 64,
    PLACE_MAX = 512,     /* bytes of a name in /proc */
    FIRST_ROOM = 1024,   /* most lists and values fit */
    VALUE_MAX = 64 << 10 /* XATTR_SIZE_MAX and XATTR_LIST_MAX of Linux */
};

int beneath_open(int folder, const char *path, enum beneath_links links,
                 int flags)
{
    static const uint64_t resolve[] = {
        [BENEATH_NO_LINKS] = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
        [BENEATH_INSIDE] = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
        [BENEATH_AS_ROOT] = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .resolve = resolve[links],
    };
    long fd = -1;

    /* EAGAIN: something was renamed meanwhile, so that ".." is in doubt. */
    for (int i = 0; i < TRIES && fd < 0; i++) {
        fd = syscall(SYS_openat2, folder, path, &how, sizeof how);
        if (fd < 0 && errno != EAGAIN && errno != EINTR)
            break;
    }
    return (int)fd;
}

/* There are no calls for a name in a folder (before Linux 6.13): /proc has a
 * path for it that nobody can turn elsewhere. False: the name is too long. */
static bool path_of(const struct xattr_place *place, char to[PLACE_MAX])
{
    int length = snprintf(to, PLACE_MAX, "/proc/self/fd/%d/%s", place->folder,
                          place->name);

    if (length < PLACE_MAX)
        return true;
    errno = ENAMETOOLONG;
    return false;
}

static ssize_t list_once(const struct xattr_place *place, char *to,
                         size_t capacity)
{
    char path[PLACE_MAX];

    if (place->fd >= 0)
        return flistxattr(place->fd, to, capacity);
    return path_of(place, path) ? llistxattr(path, to, capacity) : -1;
}

int xattr_list(const struct xattr_place *place, struct buf *names)
{
    size_t room = FIRST_ROOM;
    ssize_t count = -1;
    uint8_t *to = NULL;

    for (; count < 0 && room <= VALUE_MAX; room *= 8) {
        to = buf_room(names, room);
        if (!to) {
            errno = ENOMEM;
            return -1;
        }
        count = list_once(place, (char *)to, room);
        if (count < 0 && errno != ERANGE)
            return -1;
    }
    if (count > 0)
        buf_added(names, (size_t)count);
    return count < 0 ? -1 : 0;
}

static ssize_t get_once(const struct xattr_place *place, const char *attribute,
                        void *to, size_t capacity)
{
    char path[PLACE_MAX];

    if (place->fd >= 0)
        return fgetxattr(place->fd, attribute, to, capacity);
    return path_of(place, path) ? lgetxattr(path, attribute, to, capacity) : -1;
}

int xattr_get(const struct xattr_place *place, const char *attribute,
              struct buf *value)
{
    size_t room = FIRST_ROOM;
    ssize_t count = -1;
    uint8_t *to = NULL;

    for (; count < 0 && room <= VALUE_MAX; room *= 8) {
        to = buf_room(value, room);
        if (!to) {
            errno = ENOMEM;
            return -1;
        }
        count = get_once(place, attribute, to, room);
        if (count < 0 && errno != ERANGE)
            return -1;
    }
    if (count > 0)
        buf_added(value, (size_t)count);
    return count < 0 ? -1 : 0;
}

int xattr_set(const struct xattr_place *place, const char *attribute,
              const void *value, size_t count)
{
    char path[PLACE_MAX];

    if (place->fd >= 0)
        return fsetxattr(place->fd, attribute, value, count, 0);
    return path_of(place, path) ? lsetxattr(path, attribute, value, count, 0)
                                : -1;
}
