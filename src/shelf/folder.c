/* folder.c: the folder of a snapshot is made; see shelf.h. */
#include "shelf/inside.h"

#include "base/own.h"
#include "platform/file.h"
#include "platform/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct shelf_folder {
    int root;
    int fd; /* locked */
    char name[SHELF_NAME_MAX + 1];
    bool finished;
};

/* ---- HOME/snapshots ---- */

int shelf_root_open(const char *home, bool make, int *ret, struct sm_error *err)
{
    AUTO_FREE char *path = NULL;
    int rc = 0;

    if (asprintf(&path, "%s/snapshots", home) < 0) {
        path = NULL;
        return fail(err, SM_ENOMEM, "snapshots: out of memory");
    }
    if (make)
        rc = folder_make(path, err);
    if (rc)
        return rc;
    *ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret < 0 ? fail_os(err, "snapshots: %s", path) : 0;
}

int shelf_root_lock(int root, struct sm_error *err)
{
    while (flock(root, LOCK_EX) != 0)
        if (errno != EINTR)
            return fail_os(err, "snapshots: lock");
    return 0;
}

void shelf_root_unlock(int root)
{
    flock(root, LOCK_UN);
}

int shelf_make_name(const char *prefix, char to[SHELF_NAME_MAX + 1],
                    struct sm_error *err)
{
    uint8_t bytes[8];
    int rc = random_bytes(bytes, sizeof bytes, err);
    size_t used = strlen(prefix);

    if (rc)
        return rc;
    memcpy(to, prefix, used);
    for (size_t i = 0; i < sizeof bytes; i++)
        used += (size_t)snprintf(to + used, 3, "%02x", bytes[i]);
    return 0;
}

/* ---- making ---- */

/* With the lock of the root, under which nobody sweeps. */
static int make_folder(struct shelf_folder *folder, struct sm_error *err)
{
    int rc = shelf_make_name(SHELF_NEW, folder->name, err);

    if (rc)
        return rc;
    if (mkdirat(folder->root, folder->name, 0700) != 0) {
        rc = fail_os(err, "snapshot: make a folder");
        folder->name[0] = '\0';
        return rc;
    }
    folder->fd = openat(folder->root, folder->name,
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder->fd < 0 || flock(folder->fd, LOCK_EX | LOCK_NB) != 0)
        return fail_os(err, "snapshot: its folder");
    return 0;
}

int shelf_begin(const char *home, struct shelf_folder **ret,
                struct sm_error *err)
{
    struct shelf_folder *folder = calloc(1, sizeof *folder);
    int rc;

    if (!folder)
        return fail(err, SM_ENOMEM, "snapshot: out of memory");
    folder->root = folder->fd = -1;
    rc = shelf_root_open(home, true, &folder->root, err);
    if (!rc)
        rc = shelf_root_lock(folder->root, err);
    if (!rc) {
        shelf_sweep_root(folder->root, NULL, NULL);
        rc = make_folder(folder, err);
        shelf_root_unlock(folder->root);
    }
    if (rc) {
        shelf_free(folder);
        return rc;
    }
    *ret = folder;
    return 0;
}

int shelf_add_new(struct shelf_folder *folder, unsigned file, int *ret,
                  struct sm_error *err)
{
    char name[SNAPSHOT_FILE_NAME_MAX];

    snapshot_file_name(file, name);
    *ret = openat(folder->fd, name,
                  O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return *ret < 0 ? fail_os(err, "snapshot: make its %s", name) : 0;
}

/* Other file systems, other users' files, too many links, a file whose last
 * name is gone, no /proc: no link, but there can be a copy. */
static bool wants_copy(int error)
{
    return error == EXDEV || error == EPERM || error == EACCES ||
           error == EMLINK || error == ENOENT || error == EOPNOTSUPP;
}

static int add_copy(struct shelf_folder *folder, unsigned file, int fd,
                    struct sm_error *err)
{
    AUTO_CLOSE int to = -1;
    int rc = shelf_add_new(folder, file, &to, err);

    if (!rc)
        rc = file_copy(fd, to, err);
    return rc ? wrap(err, rc, "snapshot") : 0;
}

int shelf_add(struct shelf_folder *folder, unsigned file, int fd,
              struct sm_error *err)
{
    char name[SNAPSHOT_FILE_NAME_MAX];
    char open_file[64];

    snapshot_file_name(file, name);
    snprintf(open_file, sizeof open_file, "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, open_file, folder->fd, name, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (wants_copy(errno))
        return add_copy(folder, file, fd, err);
    return fail_os(err, "snapshot: link its %s", name);
}

/* ---- finishing ---- */

static int note_sizes(const struct shelf_folder *folder,
                      struct snapshot_manifest *manifest, struct sm_error *err)
{
    struct stat st;

    for (unsigned file = 0; file < SNAPSHOT_FILES; file++) {
        char name[SNAPSHOT_FILE_NAME_MAX];

        manifest->bytes[file] = 0;
        if (!snapshot_has_file(manifest, file))
            continue;
        snapshot_file_name(file, name);
        if (fstatat(folder->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            return errno == ENOENT
                       ? fail(err, SM_EIMAGE, "snapshot: has no %s", name)
                       : fail_os(err, "snapshot: %s", name);
        manifest->bytes[file] = (uint64_t)st.st_size;
    }
    return 0;
}

static int write_manifest(const struct shelf_folder *folder,
                          const struct snapshot_manifest *manifest,
                          struct sm_error *err)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(snapshot_manifest_done) struct snapshot_manifest again = {0};
    AUTO_CLOSE int fd = -1;
    int rc;

    buf_init(&text, SNAPSHOT_MANIFEST_MAX);
    snapshot_manifest_write(&text, manifest);
    if (text.failed)
        return buf_refuse(&text, err, "snapshot: its manifest");
    /* What nobody could read is not to be kept. */
    rc = snapshot_manifest_read(text.data, text.size, &again, err);
    if (rc)
        return wrap(err, rc, "snapshot: its manifest");
    fd = openat(folder->fd, SHELF_MANIFEST,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_os(err, "snapshot: make its manifest");
    return file_write_at(fd, text.data, text.size, 0, err);
}

static int sync_one(const struct shelf_folder *folder, const char *name,
                    struct sm_error *err)
{
    AUTO_CLOSE int fd =
        openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return fail_os(err, "snapshot: %s", name);
    rc = file_sync(fd, err);
    return rc ? wrap(err, rc, "snapshot: %s", name) : 0;
}

/* What came by a link and is on the disk already costs nothing. */
static int sync_all(const struct shelf_folder *folder,
                    const struct snapshot_manifest *manifest,
                    struct sm_error *err)
{
    int rc = sync_one(folder, SHELF_MANIFEST, err);

    for (unsigned file = 0; file < SNAPSHOT_FILES && !rc; file++) {
        char name[SNAPSHOT_FILE_NAME_MAX];

        if (!snapshot_has_file(manifest, file))
            continue;
        snapshot_file_name(file, name);
        rc = sync_one(folder, name, err);
    }
    return rc ? rc : file_sync(folder->fd, err);
}

/* The one of that name becomes the one to be removed, in one step. */
static int exchange(struct shelf_folder *folder, const char *name)
{
    if (renameat2(folder->root, folder->name, folder->root, name,
                  RENAME_EXCHANGE) == 0)
        return 0;
    /* None of that name; or a file system that cannot: then in two steps. */
    if (errno == EINVAL) {
        char old[SHELF_NAME_MAX + 1];

        if (shelf_make_name(SHELF_OLD, old, NULL) == 0 &&
            renameat(folder->root, name, folder->root, old) == 0)
            shelf_clear(folder->root, old);
    }
    return renameat(folder->root, folder->name, folder->root, name);
}

/* Let it be seen. A folder that has files is never replaced by rename(2). */
static int give_name(struct shelf_folder *folder,
                     const struct shelf_finish *finish, const char *name,
                     struct sm_error *err)
{
    int rc = finish->replace
                 ? exchange(folder, name)
                 : renameat(folder->root, folder->name, folder->root, name);

    if (rc == 0) {
        folder->finished = true;
        /* The one that was exchanged. */
        if (finish->replace)
            shelf_clear(folder->root, folder->name);
        return 0;
    }
    if (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR)
        return fail(err, SM_EEXIST,
                    "snapshot %s: there is one of that name: remove it, or "
                    "have it replaced",
                    name);
    return fail_os(err, "snapshot %s", name);
}

int shelf_finish(struct shelf_folder *folder,
                 struct snapshot_manifest *manifest,
                 const struct shelf_finish *finish,
                 char ret_name[SHELF_NAME_MAX + 1], struct sm_error *err)
{
    char name[SHELF_NAME_MAX + 1];
    int rc = 0;

    if (!finish->name)
        rc = shelf_make_name(SHELF_TEMPORARY, name, err);
    else
        rc = shelf_check_name(finish->name, err);
    if (rc)
        return rc;
    if (finish->name)
        snprintf(name, sizeof name, "%s", finish->name);
    rc = note_sizes(folder, manifest, err);
    if (!rc)
        rc = write_manifest(folder, manifest, err);
    if (!rc && finish->name)
        rc = sync_all(folder, manifest, err);
    if (!rc)
        rc = give_name(folder, finish, name, err);
    if (!rc && finish->name)
        rc = file_sync(folder->root, err);
    if (!rc)
        memcpy(ret_name, name, strlen(name) + 1);
    return rc;
}

void shelf_free(struct shelf_folder *folder)
{
    if (!folder)
        return;
    if (folder->name[0] && !folder->finished)
        shelf_clear(folder->root, folder->name);
    if (folder->fd >= 0)
        close(folder->fd);
    if (folder->root >= 0)
        close(folder->root);
    free(folder);
}
