/* use.c: snapshots are opened, looked at and listed; see shelf.h. */
#include "shelf/inside.h"

#include "base/near.h"
#include "base/own.h"
#include "platform/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- names ---- */

struct names {
    char **items;
    size_t count;
};

static void names_done(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
}

static bool names_add(struct names *names, const char *name)
{
    char **items =
        realloc(names->items, (names->count + 1) * sizeof *names->items);

    if (!items)
        return false;
    names->items = items;
    items[names->count] = strdup(name);
    return items[names->count] && ++names->count;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Those that may be snapshots, in order. */
static int names_read(int root, struct names *ret, struct sm_error *err)
{
    int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    bool fine = true;

    if (!list) {
        if (fd >= 0)
            close(fd);
        return fail_os(err, "snapshots");
    }
    while (fine && (entry = readdir(list)) != NULL)
        if (shelf_check_name(entry->d_name, NULL) == 0)
            fine = names_add(ret, entry->d_name);
    closedir(list);
    if (!fine)
        return fail(err, SM_ENOMEM, "snapshots: out of memory");
    if (ret->count)
        qsort(ret->items, ret->count, sizeof *ret->items, compare);
    return 0;
}

int shelf_none(int root, const char *name, struct sm_error *err)
{
    AUTO(names_done) struct names names = {0};
    char text[NEAR_TEXT_MAX];
    struct near near;

    if (root >= 0)
        names_read(root, &names, NULL);
    near_init(&near, name);
    for (size_t i = 0; i < names.count; i++)
        near_add(&near, names.items[i]);
    near_text(&near, text);
    return fail(err, SM_ENOENT, "no snapshot %s%s%s", name,
                text[0] ? "; near it: " : "", text);
}

/* ---- one ---- */

/* Whoever may write into the folder could put a FIFO there, or a link. */
static int open_file(int folder, const char *name, int *ret, uint64_t *bytes,
                     struct sm_error *err)
{
    AUTO_CLOSE int fd =
        openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && errno == ELOOP)
        return fail(err, SM_EIMAGE, "%s: is a link", name);
    if (fd < 0 || fstat(fd, &st) != 0)
        return fail_os(err, "%s", name);
    if (!S_ISREG(st.st_mode))
        return fail(err, SM_EIMAGE, "%s: not a regular file", name);
    *bytes = (uint64_t)st.st_size;
    *ret = own_take_fd(&fd);
    return 0;
}

static int read_manifest(int folder, struct snapshot_manifest *ret,
                         struct sm_error *err)
{
    AUTO_CLOSE int fd = -1;
    AUTO_FREE char *text = NULL;
    uint64_t bytes;
    int rc = open_file(folder, SHELF_MANIFEST, &fd, &bytes, err);

    if (rc)
        return rc;
    if (bytes > SNAPSHOT_MANIFEST_MAX)
        return fail(err, SM_ELIMIT, "%s of %llu bytes: at most %d",
                    SHELF_MANIFEST, (unsigned long long)bytes,
                    SNAPSHOT_MANIFEST_MAX);
    text = malloc((size_t)bytes + 1);
    if (!text)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = file_read_at(fd, text, (size_t)bytes, 0, err);
    if (!rc)
        rc = snapshot_manifest_read(text, (size_t)bytes, ret, err);
    return rc ? wrap(err, rc, "%s", SHELF_MANIFEST) : 0;
}

static int open_files(int folder, struct shelf_snapshot *snapshot,
                      struct sm_error *err)
{
    const struct snapshot_manifest *manifest = &snapshot->manifest;
    int rc = 0;

    for (unsigned file = 0; file < SNAPSHOT_FILES && !rc; file++) {
        char name[SNAPSHOT_FILE_NAME_MAX];
        uint64_t bytes;

        if (!snapshot_has_file(manifest, file))
            continue;
        snapshot_file_name(file, name);
        rc = open_file(folder, name, &snapshot->fds[file], &bytes, err);
        if (!rc && bytes != manifest->bytes[file])
            rc = fail(err, SM_EIMAGE, "%s of %llu bytes: must have %llu", name,
                      (unsigned long long)bytes,
                      (unsigned long long)manifest->bytes[file]);
    }
    /* The image's store may know it by another name: rootfs/store.h. */
    return rc ? rc : file_hold(snapshot->fds[SNAPSHOT_ROOTFS], err);
}

/* SM_ENOENT: it is not there; or it is, and lacks something. */
static int open_folder(int root, const char *name, int *ret,
                       struct sm_error *err)
{
    int rc = shelf_is_temporary(name) ? 0 : shelf_check_name(name, err);

    if (rc)
        return rc;
    *ret = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*ret >= 0)
        return 0;
    return errno == ENOENT ? shelf_none(root, name, err)
                           : fail_os(err, "snapshot %s", name);
}

/* The folder of that name is still the one that was opened. */
static bool is_current(int root, const char *name, int folder)
{
    struct stat ours;
    struct stat named;

    return fstat(folder, &ours) == 0 &&
           fstatat(root, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

int shelf_open(const char *home, const char *name, struct shelf_snapshot *ret,
               struct sm_error *err)
{
    AUTO_CLOSE int root = -1;
    int rc = shelf_root_open(home, false, &root, err);

    if (rc)
        return rc == SM_ENOENT ? shelf_none(-1, name, err) : rc;
    for (;;) {
        AUTO_CLOSE int folder = -1;

        shelf_snapshot_init(ret);
        rc = open_folder(root, name, &folder, err);
        if (rc)
            return rc;
        rc = read_manifest(folder, &ret->manifest, err);
        if (!rc)
            rc = open_files(folder, ret, err);
        if (!rc)
            return 0;
        shelf_snapshot_done(ret);
        /* It was removed or replaced meanwhile: look again. */
        if (is_current(root, name, folder))
            return wrap(err, rc == SM_ENOENT ? SM_EIMAGE : rc, "snapshot %s",
                        name);
    }
}

/* ---- sizes ---- */

static void measure(int folder, struct shelf_item *item)
{
    struct stat st;

    for (unsigned file = 0; file < SNAPSHOT_FILES; file++) {
        char name[SNAPSHOT_FILE_NAME_MAX];

        snapshot_file_name(file, name);
        if (snapshot_has_file(item->manifest, file) &&
            fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            shelf_count(&st, &item->own_bytes, &item->shared_bytes);
    }
    if (fstatat(folder, SHELF_MANIFEST, &st, AT_SYMLINK_NOFOLLOW) == 0)
        shelf_count(&st, &item->own_bytes, &item->shared_bytes);
}

static int look(int root, const char *name, shelf_item_fn *fn, void *context,
                struct sm_error *err)
{
    AUTO(snapshot_manifest_done) struct snapshot_manifest manifest = {0};
    struct shelf_item item = {.name = name, .manifest = &manifest};
    AUTO_CLOSE int folder = -1;
    int rc = open_folder(root, name, &folder, err);

    if (rc)
        return rc;
    rc = read_manifest(folder, &manifest, err);
    if (rc && !is_current(root, name, folder))
        return shelf_none(root, name, err);
    if (rc)
        return wrap(err, rc == SM_ENOENT ? SM_EIMAGE : rc, "snapshot %s", name);
    measure(folder, &item);
    return fn(context, &item, err);
}

int shelf_look(const char *home, const char *name, shelf_item_fn *fn,
               void *context, struct sm_error *err)
{
    AUTO_CLOSE int root = -1;
    int rc = shelf_root_open(home, false, &root, err);

    if (rc)
        return rc == SM_ENOENT ? shelf_none(-1, name, err) : rc;
    return look(root, name, fn, context, err);
}

/* What the walk is to end with, apart from what is wrong with one. */
struct walk {
    shelf_item_fn *fn;
    void *context;
    int rc;
};

static int visit(void *context, const struct shelf_item *item,
                 struct sm_error *err)
{
    struct walk *walk = context;

    walk->rc = walk->fn(walk->context, item, err);
    return walk->rc;
}

int shelf_walk(const char *home, shelf_item_fn *fn, void *context,
               struct sm_error *err)
{
    AUTO(names_done) struct names names = {0};
    struct walk walk = {.fn = fn, .context = context};
    AUTO_CLOSE int root = -1;
    int rc = shelf_root_open(home, false, &root, err);

    if (rc)
        return rc == SM_ENOENT ? 0 : rc;
    rc = names_read(root, &names, err);
    for (size_t i = 0; i < names.count && !rc && !walk.rc; i++)
        /* Damaged, or gone by now: not listed. */
        if (look(root, names.items[i], visit, &walk, err) == SM_ENOMEM)
            rc = SM_ENOMEM;
    return rc ? rc : walk.rc;
}

/* ---- notes ---- */

static int write_note(int folder, const struct snapshot_manifest *manifest,
                      const char *name)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO_CLOSE int fd =
        openat(folder, name,
               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return -1;
    buf_init(&text, SNAPSHOT_MANIFEST_MAX);
    snapshot_manifest_write(&text, manifest);
    return text.failed ||
                   file_write_at(fd, text.data, text.size, 0, NULL) != 0 ||
                   file_sync(fd, NULL) != 0
               ? -1
               : 0;
}

/* The folder is the one whose state was opened. */
static bool is_of(int folder, const struct shelf_snapshot *snapshot)
{
    struct stat ours;
    struct stat named;

    return fstat(snapshot->fds[SNAPSHOT_STATE], &ours) == 0 &&
           fstatat(folder, "state", &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

void shelf_note_programs(const char *home, const char *name,
                         const struct shelf_snapshot *snapshot)
{
    char fresh[SHELF_NAME_MAX + 1];
    AUTO_CLOSE int root = -1;
    AUTO_CLOSE int folder = -1;

    if (shelf_root_open(home, false, &root, NULL) != 0 ||
        open_folder(root, name, &folder, NULL) != 0 ||
        !is_of(folder, snapshot) ||
        shelf_make_name(SHELF_NEW, fresh, NULL) != 0)
        return;
    if (write_note(folder, &snapshot->manifest, fresh) != 0 ||
        renameat(folder, fresh, folder, SHELF_MANIFEST) != 0)
        unlinkat(folder, fresh, 0);
}

bool shelf_has(const char *home, const char *name)
{
    AUTO_CLOSE int root = -1;
    struct stat st;

    return shelf_root_open(home, false, &root, NULL) == 0 &&
           fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}
