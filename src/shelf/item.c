/* item.c: a snapshot in hand, its name and its size; see shelf.h. */
#include "shelf/inside.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int shelf_check_name(const char *name, struct sm_error *err)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static const char others[] = "abcdefghijklmnopqrstuvwxyz"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t length = strlen(name);

    if (length == 0 || length > SHELF_NAME_MAX || !strchr(first, name[0]) ||
        strspn(name, others) != length)
        return fail(err, SM_EINVAL,
                    "snapshot \"%.80s\": a name is 1 to %d letters, digits, "
                    "\"_\", \".\" and \"-\", the first a letter or a digit",
                    name, SHELF_NAME_MAX);
    return 0;
}

void shelf_snapshot_init(struct shelf_snapshot *snapshot)
{
    *snapshot = (struct shelf_snapshot){0};
    for (unsigned file = 0; file < SNAPSHOT_FILES; file++)
        snapshot->fds[file] = -1;
}

void shelf_snapshot_done(struct shelf_snapshot *snapshot)
{
    snapshot_manifest_done(&snapshot->manifest);
    for (unsigned file = 0; file < SNAPSHOT_FILES; file++)
        if (snapshot->fds[file] >= 0)
            close(snapshot->fds[file]);
    shelf_snapshot_init(snapshot);
}

int shelf_snapshot_copy(struct shelf_snapshot *to,
                        const struct shelf_snapshot *from, struct sm_error *err)
{
    int rc;

    shelf_snapshot_init(to);
    rc = snapshot_manifest_copy(&to->manifest, &from->manifest, err);
    for (unsigned file = 0; file < SNAPSHOT_FILES && !rc; file++) {
        if (from->fds[file] < 0)
            continue;
        to->fds[file] = fcntl(from->fds[file], F_DUPFD_CLOEXEC, 3);
        if (to->fds[file] < 0)
            rc = fail_os(err, "snapshot: its files");
    }
    if (rc)
        shelf_snapshot_done(to);
    return rc;
}

/* A link is somebody else's as well. What this file system shares in other
 * ways it tells nobody. */
void shelf_count(const struct stat *st, uint64_t *own, uint64_t *shared)
{
    uint64_t bytes = (uint64_t)st->st_blocks * 512;

    if (st->st_nlink > 1)
        *shared += bytes;
    else
        *own += bytes;
}
