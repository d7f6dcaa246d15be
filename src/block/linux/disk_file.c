/* disk_file.c: disk files on Linux; see disk_file.h. */
#include "block/disk_file.h"

#include "base/bytes.h"
#include "block/block.h"
#include "block/spans.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

typedef ssize_t transfer_fn(int fd, const struct iovec *spans, int count,
                            off_t at);

/*
 * Repeat (fn) until all is done: it may do less than it was asked for. Returns
 * 0, a positive errno, or -1 if it stopped doing anything (end of file).
 */
static int transfer(transfer_fn *fn, int fd, uint64_t at,
                    const struct iovec *spans, unsigned count)
{
    struct iovec rest[BLOCK_SPANS_MAX];
    struct spans cursor = spans_of(spans, count);
    uint64_t left = 0;

    for (unsigned i = 0; i < count; i++)
        left += spans[i].iov_len;
    while (left) {
        ssize_t done = fn(fd, spans, (int)count, (off_t)at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done ? errno : -1;
        at += (uint64_t)done;
        left -= (uint64_t)done;
        if (left) {
            struct spans behind;

            spans_take(&cursor, (uint64_t)done, rest);
            behind = cursor;
            count = spans_take(&behind, left, rest);
            spans = rest;
        }
    }
    return 0;
}

static ssize_t read_some(int fd, const struct iovec *to, int count, off_t at)
{
    return preadv(fd, to, count, at);
}

static ssize_t write_some(int fd, const struct iovec *from, int count, off_t at)
{
    return pwritev(fd, from, count, at);
}

int disk_file_read(int fd, uint64_t at, const struct iovec *to, unsigned count,
                   struct sm_error *err)
{
    int status = transfer(read_some, fd, at, to, count);

    if (status < 0)
        return fail(err, SM_EIO, "disk file: ends before its content");
    return status ? fail_errno(err, status, "read a disk file") : 0;
}

int disk_file_write(int fd, uint64_t at, const struct iovec *from,
                    unsigned count, struct sm_error *err)
{
    int status = transfer(write_some, fd, at, from, count);

    if (status < 0)
        return fail(err, SM_EIO, "write a disk file: nothing written");
    return status ? fail_errno(err, status, "write a disk file") : 0;
}

int disk_file_sync(int fd, struct sm_error *err)
{
    while (fdatasync(fd) != 0)
        if (errno != EINTR)
            return fail_os(err, "sync a disk file");
    return 0;
}

int disk_file_zero(int fd, uint64_t at, uint64_t bytes, bool punch,
                   struct sm_error *err)
{
    int mode = FALLOC_FL_KEEP_SIZE |
               (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);

    while (fallocate(fd, mode, (off_t)at, (off_t)bytes) != 0) {
        if (errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV)
            return fail(err, SM_ENOTSUP, "disk file: cannot have holes");
        if (errno != EINTR)
            return fail_os(err, "zero a part of a disk file");
    }
    return 0;
}

int disk_file_write_zeroes(int fd, uint64_t at, uint64_t bytes,
                           struct sm_error *err)
{
    static const uint8_t zeroes[64 * KIB];

    while (bytes) {
        size_t part = min_u64(bytes, sizeof zeroes);
        /* iovecs are not const; a write does not change them. */
        struct iovec span = {.iov_base = (void *)(uintptr_t)zeroes,
                             .iov_len = part};
        int rc = disk_file_write(fd, at, &span, 1, err);

        if (rc)
            return rc;
        at += part;
        bytes -= part;
    }
    return 0;
}

int disk_file_size(int fd, uint64_t *bytes, struct sm_error *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return fail_os(err, "disk file");
    if (S_ISREG(st.st_mode)) {
        *bytes = (uint64_t)st.st_size;
        return 0;
    }
    if (!S_ISBLK(st.st_mode))
        return fail(err, SM_EINVAL,
                    "disk file: neither a regular file nor a block device");
    if (ioctl(fd, BLKGETSIZE64, bytes) != 0)
        return fail_os(err, "size of a block device");
    return 0;
}

int disk_file_stretch(int fd, uint64_t bytes, struct sm_error *err)
{
    if (ftruncate(fd, (off_t)bytes) != 0)
        return fail_os(err, "make a disk file of %llu bytes",
                       (unsigned long long)bytes);
    return 0;
}
