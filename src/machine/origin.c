/* origin.c: what a machine goes on from; see origin.h. */
#include "machine/origin.h"

#include "base/own.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct origin *origin_new(void)
{
    struct origin *origin = calloc(1, sizeof *origin);

    if (!origin)
        return NULL;
    origin->holders = 1;
    origin->state = origin->memory = origin->differential = -1;
    origin->disk = ORIGIN_DISK_NONE;
    return origin;
}

struct origin *origin_hold(struct origin *origin)
{
    __atomic_add_fetch(&origin->holders, 1, __ATOMIC_RELAXED);
    return origin;
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(own_take_fd(fd));
}

void origin_let_go(struct origin *origin)
{
    if (!origin ||
        __atomic_sub_fetch(&origin->holders, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    close_one(&origin->state);
    close_one(&origin->memory);
    close_one(&origin->differential);
    origin_disk_close(&origin->disk);
    free(origin->label);
    free(origin);
}

void origin_disk_add(struct origin_disk *disk, int fd)
{
    assert(disk->count < WORKER_LAYERS_MAX);
    disk->layer[disk->count++] = fd;
}

static int copy_fd(int fd, int *ret, struct sm_error *err)
{
    *ret = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return *ret < 0 ? fail_os(err, "layer of a disk") : 0;
}

int origin_disk_copy(const struct origin_disk *from, struct origin_disk *to,
                     struct sm_error *err)
{
    int rc;

    *to = ORIGIN_DISK_NONE;
    rc = copy_fd(from->base, &to->base, err);
    while (!rc && to->count < from->count) {
        int fd;

        rc = copy_fd(from->layer[to->count], &fd, err);
        if (!rc)
            origin_disk_add(to, fd);
    }
    if (rc)
        origin_disk_close(to);
    return rc;
}

void origin_disk_close(struct origin_disk *disk)
{
    close_one(&disk->base);
    while (disk->count)
        close_one(&disk->layer[--disk->count]);
}
