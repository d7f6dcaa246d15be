/* file.c: whole reads and writes, folders, nameless files; see file.h. */
#include "platform/file.h"

#include "base/bytes.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

int file_read_at(int fd, void *to, size_t count, uint64_t offset,
                 struct sm_error *err)
{
    char *at = to;

    while (count) {
        ssize_t got = pread(fd, at, count, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_os(err, "read");
        if (got == 0)
            return fail(err, SM_EIO, "read: the file ends too early");
        at += got;
        offset += (uint64_t)got;
        count -= (size_t)got;
    }
    return 0;
}

int file_write_at(int fd, const void *from, size_t count, uint64_t offset,
                  struct sm_error *err)
{
    const char *at = from;

    while (count) {
        ssize_t put = pwrite(fd, at, count, (off_t)offset);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail_os(err, "write");
        at += put;
        offset += (uint64_t)put;
        count -= (size_t)put;
    }
    return 0;
}

/* Whether the kernel says that it cannot copy between these two. */
static bool cannot_copy(int os_error)
{
    return os_error == EXDEV || os_error == EINVAL || os_error == EOPNOTSUPP ||
           os_error == ENOSYS || os_error == EPERM || os_error == ETXTBSY;
}

static int copy_through_memory(int from, uint64_t from_at, int to,
                               uint64_t to_at, uint64_t bytes,
                               struct sm_error *err)
{
    enum { PIECE_BYTES = 256 << 10 };
    AUTO_FREE char *piece = malloc(PIECE_BYTES);
    int rc = 0;

    if (!piece)
        return fail(err, SM_ENOMEM, "copy: out of memory");
    while (!rc && bytes) {
        size_t count = bytes < PIECE_BYTES ? (size_t)bytes : PIECE_BYTES;

        rc = file_read_at(from, piece, count, from_at, err);
        if (!rc)
            rc = file_write_at(to, piece, count, to_at, err);
        from_at += count;
        to_at += count;
        bytes -= count;
    }
    return rc;
}

int file_copy_range(int from, uint64_t from_at, int to, uint64_t to_at,
                    uint64_t bytes, struct sm_error *err)
{
    enum { AT_ONCE = 1 << 30 }; /* less than the kernel's limit for a call */

    while (bytes) {
        size_t count = bytes < AT_ONCE ? (size_t)bytes : AT_ONCE;
        off_t in = (off_t)from_at;
        off_t out = (off_t)to_at;
        ssize_t done = copy_file_range(from, &in, to, &out, count, 0);

        if (done < 0 && errno == EINTR)
            continue;
        /* Nothing done: the end of the file, or a file system that says so
         * instead of refusing. */
        if (done == 0 || (done < 0 && cannot_copy(errno)))
            return copy_through_memory(from, from_at, to, to_at, bytes, err);
        if (done < 0)
            return fail_os(err, "copy");
        from_at += (uint64_t)done;
        to_at += (uint64_t)done;
        bytes -= (uint64_t)done;
    }
    return 0;
}

int file_size(int fd, uint64_t *ret_bytes, struct sm_error *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return fail_os(err, "size of a file");
    *ret_bytes = (uint64_t)st.st_size;
    return 0;
}

int file_set_size(int fd, uint64_t bytes, struct sm_error *err)
{
    if (ftruncate(fd, (off_t)bytes) != 0)
        return fail_os(err, "set the size of a file");
    return 0;
}

int file_sync(int fd, struct sm_error *err)
{
    while (fsync(fd) != 0)
        if (errno != EINTR)
            return fail_os(err, "sync");
    return 0;
}

int file_find_data(int fd, uint64_t from, uint64_t end, uint64_t *first,
                   uint64_t *behind, struct sm_error *err)
{
    off_t at = lseek(fd, (off_t)from, SEEK_DATA);

    *first = *behind = end;
    if (at < 0 && errno == ENXIO) /* only holes from here on */
        return 0;
    if (at < 0 && errno == EINVAL) { /* it does not know */
        *first = from;
        return 0;
    }
    if (at < 0)
        return fail_os(err, "look for the holes of a file");
    if ((uint64_t)at >= end)
        return 0;
    *first = (uint64_t)at;
    at = lseek(fd, at, SEEK_HOLE);
    if (at < 0)
        return fail_os(err, "look for the holes of a file");
    *behind = min_u64((uint64_t)at, end);
    return 0;
}

int file_hold(int fd, struct sm_error *err)
{
    struct stat st;

    while (flock(fd, LOCK_SH) != 0)
        if (errno != EINTR)
            return fail_os(err, "lock a file");
    if (fstat(fd, &st) != 0)
        return fail_os(err, "look at a file");
    return st.st_nlink ? 0 : fail(err, SM_ENOENT, "was removed");
}

/* Make the folders above (path), which is scratch. Returns 0, or the errno of
 * the first one that could not be made; one that exists is no failure. */
static int make_parents(char *path)
{
    int first = 0;

    for (char *at = path; *at; at++) {
        if (*at != '/' || at == path)
            continue;
        *at = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST && !first)
            first = errno;
        *at = '/';
    }
    return first;
}

int folder_make(const char *path, struct sm_error *err)
{
    AUTO_FREE char *scratch = strdup(path);
    struct stat st;
    int above;

    if (!scratch)
        return fail(err, SM_ENOMEM, "make %s: out of memory", path);
    above = make_parents(scratch);
    if (mkdir(path, 0700) == 0)
        return 0;
    /* A folder above is missing: what counts is why it could not be made. */
    if (errno != EEXIST)
        return fail_errno(err, errno == ENOENT && above ? above : errno,
                          "make folder %s", path);
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return fail_errno(err, ENOTDIR, "make folder %s", path);
    return 0;
}

/* Where the file system has no O_TMPFILE: a name for an instant. */
static int make_and_unlink(const char *folder)
{
    AUTO_FREE char *path = NULL;
    int fd;

    if (asprintf(&path, "%s/.unnamed-XXXXXX", folder) < 0) {
        path = NULL;
        errno = ENOMEM;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

int file_unnamed(const char *folder, int *ret_fd, struct sm_error *err)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        fd = make_and_unlink(folder);
    if (fd < 0)
        return fail_os(err, "make a temporary file in %s", folder);
    *ret_fd = fd;
    return 0;
}

int file_fresh_open(const char *folder, struct file_fresh *ret,
                    struct sm_error *err)
{
    ret->path = NULL;
    ret->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (ret->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        if (asprintf(&ret->path, "%s/.fresh-XXXXXX", folder) < 0) {
            ret->path = NULL;
            return fail(err, SM_ENOMEM, "file in %s: out of memory", folder);
        }
        ret->fd = mkostemp(ret->path, O_CLOEXEC);
    }
    if (ret->fd >= 0)
        return 0;
    free(own_take(ret->path));
    return fail_os(err, "make a file in %s", folder);
}

int file_fresh_keep(struct file_fresh *fresh, const char *path,
                    struct sm_error *err)
{
    char own[64];
    int rc;

    if (fresh->path) {
        if (rename(fresh->path, path) != 0)
            return fail_os(err, "make %s", path);
        free(own_take(fresh->path));
        return 0;
    }
    snprintf(own, sizeof own, "/proc/self/fd/%d", fresh->fd);
    do {
        rc = linkat(AT_FDCWD, own, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
    } while (rc != 0 && errno == EEXIST && unlink(path) == 0);
    return rc ? fail_os(err, "make %s", path) : 0;
}

void file_fresh_done(struct file_fresh *fresh)
{
    if (fresh->fd >= 0)
        close(fresh->fd);
    if (fresh->path)
        unlink(fresh->path);
    free(fresh->path);
    *fresh = FILE_FRESH_NONE;
}

int file_in_memory(const char *label, int *ret_fd, struct sm_error *err)
{
    int fd = memfd_create(label, MFD_CLOEXEC);

    if (fd < 0)
        return fail_os(err, "make a file in memory");
    *ret_fd = fd;
    return 0;
}
