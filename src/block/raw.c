/* raw.c: a disk that is a plain file; see raw.h. */
#include "block/raw.h"

#include "block/disk_file.h"

struct raw {
    struct block block;
    int fd;
    /* A sync has failed. The host's kernel may have dropped the data and
     * report success the next time, so no later flush may claim any. */
    bool lost;
};

static struct raw *raw_of(struct block *block)
{
    return (struct raw *)block;
}

static int raw_read(struct block *block, uint64_t at, uint64_t bytes,
                    const struct iovec *to, unsigned count,
                    struct sm_error *err)
{
    (void)bytes;
    return disk_file_read(raw_of(block)->fd, at, to, count, err);
}

static int raw_write(struct block *block, uint64_t at, uint64_t bytes,
                     const struct iovec *from, unsigned count,
                     struct sm_error *err)
{
    (void)bytes;
    return disk_file_write(raw_of(block)->fd, at, from, count, err);
}

static int raw_flush(struct block *block, struct sm_error *err)
{
    struct raw *raw = raw_of(block);
    int rc;

    if (raw->lost)
        return fail(err, SM_EIO, "disk: an earlier sync failed");
    rc = disk_file_sync(raw->fd, err);
    raw->lost = rc != 0;
    return rc;
}

static int raw_discard(struct block *block, uint64_t at, uint64_t bytes,
                       struct sm_error *err)
{
    int rc = disk_file_zero(raw_of(block)->fd, at, bytes, true, err);

    return rc == SM_ENOTSUP ? 0 : rc;
}

static int raw_write_zeroes(struct block *block, uint64_t at, uint64_t bytes,
                            bool unmap, struct sm_error *err)
{
    int fd = raw_of(block)->fd;
    int rc = disk_file_zero(fd, at, bytes, unmap, err);

    if (rc == SM_ENOTSUP)
        rc = disk_file_write_zeroes(fd, at, bytes, err);
    return rc;
}

static void raw_free(struct block *block)
{
    struct raw *raw = raw_of(block);

    close(raw->fd);
    free(raw);
}

static const struct block_ops raw_ops = {
    .name = "raw",
    .read = raw_read,
    .write = raw_write,
    .flush = raw_flush,
    .discard = raw_discard,
    .write_zeroes = raw_write_zeroes,
    .free = raw_free,
};

int raw_open(int fd, bool read_only, const struct block_id *id,
             struct block **ret, struct sm_error *err)
{
    AUTO_FREE struct raw *raw = calloc(1, sizeof *raw);
    int rc;

    if (!raw)
        return fail(err, SM_ENOMEM, "disk: out of memory");
    rc = disk_file_size(fd, &raw->block.bytes, err);
    if (rc)
        return rc;
    raw->block.ops = &raw_ops;
    raw->block.read_only = read_only;
    raw->block.depth = 1;
    if (id)
        raw->block.id = *id;
    raw->fd = fd;
    *ret = &own_take(raw)->block;
    return 0;
}
