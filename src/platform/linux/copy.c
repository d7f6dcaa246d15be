/* copy.c: copies of files that have holes; see file.h. */
#include "platform/file.h"

#include "base/own.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { PIECE = 1 << 20 };

int file_next_data(int fd, uint64_t *at, uint64_t *ret_end,
                   struct sm_error *err)
{
    off_t data = lseek(fd, (off_t)*at, SEEK_DATA);
    off_t hole;

    *ret_end = 0;
    if (data < 0 && errno == ENXIO)
        return 0;
    /* Not every file system knows holes: then all is data. */
    if (data < 0 && errno == EINVAL)
        data = (off_t)*at;
    if (data < 0)
        return fail_os(err, "look for data");
    hole = lseek(fd, data, SEEK_HOLE);
    if (hole < 0 && errno == EINVAL)
        hole = lseek(fd, 0, SEEK_END);
    /* It became shorter meanwhile. */
    if (hole < 0 && errno == ENXIO)
        return 0;
    if (hole < 0)
        return fail_os(err, "look for holes");
    if (hole <= data)
        return 0;
    *at = (uint64_t)data;
    *ret_end = (uint64_t)hole;
    return 0;
}

static int copy_by_hand(int from, int to, uint64_t at, uint64_t end,
                        struct sm_error *err)
{
    AUTO_FREE char *piece = malloc(PIECE);
    int rc = 0;

    if (!piece)
        return fail(err, SM_ENOMEM, "copy: out of memory");
    while (at < end && !rc) {
        size_t count = end - at < PIECE ? (size_t)(end - at) : PIECE;

        rc = file_read_at(from, piece, count, at, err);
        if (!rc)
            rc = file_write_at(to, piece, count, at, err);
        at += count;
    }
    return rc;
}

/* The kernel may know a shorter way than through our memory. */
static int copy_range(int from, int to, uint64_t at, uint64_t end,
                      struct sm_error *err)
{
    while (at < end) {
        off_t in = (off_t)at;
        off_t out = (off_t)at;
        ssize_t done =
            copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && (errno == ENOSPC || errno == EIO || errno == EDQUOT))
            return fail_os(err, "copy");
        if (done <= 0)
            return copy_by_hand(from, to, at, end, err);
        at += (uint64_t)done;
    }
    return 0;
}

int file_copy(int from, int to, struct sm_error *err)
{
    uint64_t bytes;
    uint64_t at = 0;
    uint64_t end;
    int rc = file_size(from, &bytes, err);

    if (rc || ioctl(to, FICLONE, from) == 0)
        return rc;
    rc = file_set_size(to, bytes, err);
    while (!rc) {
        rc = file_next_data(from, &at, &end, err);
        if (rc || !end)
            break;
        rc = copy_range(from, to, at, end, err);
        at = end;
    }
    return rc;
}
