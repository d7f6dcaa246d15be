/* remove.c: snapshots, and what was left of some, are removed; see shelf.h. */
#include "shelf/inside.h"

#include "base/own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

bool shelf_is_temporary(const char *name)
{
    static const char digits[] = "0123456789abcdef";
    const char *rest = name + strlen(SHELF_TEMPORARY);

    return begins(name, SHELF_TEMPORARY) && strlen(rest) == 16 &&
           strspn(rest, digits) == 16;
}

/* ---- folders ---- */

/* The list of a folder, which has (fd) for its own. */
static DIR *list_of(int folder, const char *name, int *ret_fd)
{
    int fd =
        openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);

    if (fd >= 0 && !list)
        close(fd);
    *ret_fd = fd;
    return list;
}

uint64_t shelf_clear(int root, const char *name)
{
    const struct dirent *entry;
    uint64_t own = 0;
    uint64_t shared = 0;
    struct stat st;
    int fd;
    DIR *list = list_of(root, name, &fd);

    while (list && (entry = readdir(list)) != NULL) {
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            S_ISDIR(st.st_mode))
            continue;
        if (unlinkat(fd, entry->d_name, 0) == 0)
            shelf_count(&st, &own, &shared);
    }
    if (list)
        closedir(list);
    unlinkat(root, name, AT_REMOVEDIR);
    return own;
}

/* Its maker holds a lock on it. */
static bool is_locked(int root, const char *name)
{
    AUTO_CLOSE int fd =
        openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

static bool is_left_over(int root, const char *name)
{
    struct timespec now;
    struct stat st;

    if (begins(name, SHELF_OLD))
        return true;
    if (begins(name, SHELF_NEW))
        return !is_locked(root, name);
    if (!shelf_is_temporary(name) ||
        fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        clock_gettime(CLOCK_REALTIME, &now) != 0)
        return false;
    return now.tv_sec - st.st_mtim.tv_sec > SHELF_TEMPORARY_MAX_S;
}

void shelf_sweep_root(int root,
                      void (*fn)(void *context, const char *name,
                                 uint64_t bytes),
                      void *context)
{
    const struct dirent *entry;
    int fd;
    DIR *list = list_of(root, ".", &fd);

    while (list && (entry = readdir(list)) != NULL) {
        uint64_t bytes;

        if (entry->d_name[0] != '.' || !is_left_over(root, entry->d_name))
            continue;
        bytes = shelf_clear(root, entry->d_name);
        if (fn)
            fn(context, entry->d_name, bytes);
    }
    if (list)
        closedir(list);
}

void shelf_sweep(const char *home,
                 void (*fn)(void *context, const char *name, uint64_t bytes),
                 void *context)
{
    AUTO_CLOSE int root = -1;

    if (shelf_root_open(home, false, &root, NULL) == 0 &&
        shelf_root_lock(root, NULL) == 0)
        shelf_sweep_root(root, fn, context);
}

/* ---- one ---- */

int shelf_remove(const char *home, const char *name, uint64_t *ret_bytes,
                 struct sm_error *err)
{
    AUTO_CLOSE int root = -1;
    char old[SHELF_NAME_MAX + 1];
    int rc = shelf_is_temporary(name) ? 0 : shelf_check_name(name, err);

    if (!rc)
        rc = shelf_root_open(home, false, &root, err);
    if (rc == SM_ENOENT)
        return shelf_none(root, name, err);
    if (!rc)
        rc = shelf_make_name(SHELF_OLD, old, err);
    if (rc)
        return rc;
    if (renameat(root, name, root, old) != 0)
        return errno == ENOENT ? shelf_none(root, name, err)
                               : fail_os(err, "snapshot %s: remove", name);
    *ret_bytes = shelf_clear(root, old);
    return 0;
}
