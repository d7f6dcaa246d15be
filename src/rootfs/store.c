/* store.c: root file systems kept by content; see store.h. */
#include "rootfs/store.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/file.h"
#include "rootfs/build.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* The files of one key. */
struct place {
    char *folder;
    char *image;
    char *temp;
    char *lock;
    char *note;
};

static void place_done(struct place *place)
{
    free(place->folder);
    free(place->image);
    free(place->temp);
    free(place->lock);
    free(place->note);
}

static char *join(const char *folder, const char *name, const char *suffix)
{
    char *path;

    if (asprintf(&path, "%s/%s%s", folder, name, suffix) < 0)
        return NULL;
    return path;
}

/* On failure (place) is fit for place_done(). */
static int place_init(struct place *place, const char *home, const char *key,
                      struct sm_error *err)
{
    *place = (struct place){.folder = join(home, "rootfs", "")};
    if (place->folder) {
        place->image = join(place->folder, key, ".ext4");
        place->temp = join(place->folder, key, ".tmp");
        place->lock = join(place->folder, key, ".lock");
        place->note = join(place->folder, key, ".json");
    }
    if (place->image && place->temp && place->lock && place->note)
        return 0;
    return fail(err, SM_ENOMEM, "out of memory");
}

/* What the file system is made of, and nothing else. */
int rootfs_key(const struct digest *diff_ids, size_t count, uint64_t disk_bytes,
               struct digest *ret, struct sm_error *err)
{
    struct hasher hasher = {0};
    uint8_t head[16] = "rootfs";
    int rc = hasher_init(&hasher, DIGEST_SHA256, err);

    if (rc)
        return rc;
    store_le64(head + 8, disk_bytes);
    head[7] = ROOTFS_FORMAT;
    hasher_add(&hasher, head, sizeof head);
    for (size_t i = 0; i < count; i++) {
        char text[DIGEST_TEXT_MAX];

        digest_text(&diff_ids[i], text);
        hasher_add(&hasher, text, strlen(text) + 1);
    }
    hasher_end(&hasher, ret);
    hasher_done(&hasher);
    return 0;
}

static int key_of_image(const struct oci_image *image, uint64_t disk_bytes,
                        struct digest *ret, struct sm_error *err)
{
    AUTO_FREE struct digest *diff_ids =
        calloc(image->layer_count + 1, sizeof *diff_ids);

    if (!diff_ids)
        return fail(err, SM_ENOMEM, "out of memory");
    for (size_t i = 0; i < image->layer_count; i++)
        diff_ids[i] = image->layers[i].diff_id;
    return rootfs_key(diff_ids, image->layer_count, disk_bytes, ret, err);
}

static bool is_there(const struct place *place)
{
    return access(place->image, F_OK) == 0;
}

/* ---- locks ---- */

/* The file that we have locked is still the one of that name: its last owner
 * may have removed it before we got the lock. */
static bool is_current(int fd, const char *path)
{
    struct stat ours;
    struct stat named;

    return fstat(fd, &ours) == 0 && stat(path, &named) == 0 &&
           ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* Lock (path), waiting for it unless (how) has LOCK_NB. */
static int take_lock(const char *path, int how, int *ret_fd,
                     struct sm_error *err)
{
    for (;;) {
        AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0)
            return fail_os(err, "create %s", path);
        while (flock(fd, LOCK_EX | how) != 0) {
            if (errno == EWOULDBLOCK)
                return fail(err, SM_EBUSY, "%s: locked", path);
            if (errno != EINTR)
                return fail_os(err, "lock %s", path);
        }
        if (is_current(fd, path)) {
            *ret_fd = own_take_fd(&fd);
            return 0;
        }
    }
}

/* Only while the lock is held, so that it is ours to remove. */
static void drop_lock(const char *path, int fd)
{
    unlink(path);
    close(fd);
}

static bool has_image(const char *folder, const char *key)
{
    AUTO_FREE char *image = join(folder, key, ".ext4");

    return !image || access(image, F_OK) == 0;
}

/* KEY.tmp and KEY.lock go, and a KEY.json of nothing, unless somebody is
 * making KEY. */
static void sweep_key(const char *folder, const char *key)
{
    AUTO_FREE char *temp = join(folder, key, ".tmp");
    AUTO_FREE char *lock = join(folder, key, ".lock");
    AUTO_FREE char *note = join(folder, key, ".json");
    int fd;

    if (!temp || !lock || !note || take_lock(lock, LOCK_NB, &fd, NULL))
        return;
    unlink(temp);
    if (!has_image(folder, key))
        unlink(note);
    drop_lock(lock, fd);
}

/* What dead processes left. Called without any lock held. */
static void sweep(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;

    if (!dir)
        return;
    while ((entry = readdir(dir)) != NULL) {
        char *dot = strrchr(entry->d_name, '.');
        bool is_note = dot && strcmp(dot, ".json") == 0;

        if (!dot ||
            (strcmp(dot, ".tmp") != 0 && strcmp(dot, ".lock") != 0 && !is_note))
            continue;
        *dot = '\0';
        if (!is_note || !has_image(folder, entry->d_name))
            sweep_key(folder, entry->d_name);
    }
    closedir(dir);
}

/* ---- making ---- */

static int write_list(int fd, const char *name, const struct oci_image *image,
                      bool diff_ids)
{
    char text[DIGEST_TEXT_MAX];
    int rc = dprintf(fd, ",\n \"%s\": [", name);

    for (size_t i = 0; rc >= 0 && i < image->layer_count; i++) {
        digest_text(diff_ids ? &image->layers[i].diff_id
                             : &image->layers[i].blob.digest,
                    text);
        rc = dprintf(fd, "%s\"%s\"", i ? ", " : "", text);
    }
    return rc < 0 ? rc : dprintf(fd, "]");
}

/* KEY.json. It is for people and for listings, so it need not survive a crash
 * of the host; it comes first, so that no file system is without one. */
static int write_note(const struct place *place, const struct oci_image *image,
                      uint64_t disk_bytes, struct sm_error *err)
{
    AUTO_CLOSE int fd =
        open(place->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        return fail_os(err, "create %s", place->temp);
    if (dprintf(fd, "{\"format\": %d,\n \"disk_bytes\": %llu", ROOTFS_FORMAT,
                (unsigned long long)disk_bytes) < 0 ||
        write_list(fd, "layers", image, false) < 0 ||
        write_list(fd, "diff_ids", image, true) < 0 || dprintf(fd, "}\n") < 0 ||
        fsync(fd) != 0)
        return fail_os(err, "write %s", place->temp);
    if (rename(place->temp, place->note) != 0)
        return fail_os(err, "rename %s", place->temp);
    return 0;
}

/* The temporary file is whole: let it be seen. */
static int publish(const struct place *place, int fd, struct sm_error *err)
{
    AUTO_CLOSE int folder =
        open(place->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (folder < 0)
        return fail_os(err, "open %s", place->folder);
    if (fchmod(fd, 0444) != 0)
        return fail_os(err, "mode of %s", place->temp);
    if (fsync(fd) != 0)
        return fail_os(err, "write %s", place->temp);
    if (rename(place->temp, place->image) != 0)
        return fail_os(err, "rename %s", place->temp);
    if (fsync(folder) != 0)
        return fail_os(err, "write %s", place->folder);
    return 0;
}

static int make(struct oci_source *source, const struct oci_image *image,
                const struct rootfs_options *options, const struct digest *key,
                const struct place *place, struct sm_error *err)
{
    AUTO_CLOSE int fd = -1;
    int rc = write_note(place, image, options->disk_bytes, err);

    if (rc)
        return rc;
    fd = open(place->temp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_os(err, "create %s", place->temp);
    rc = rootfs_build(source, image, options, key, place->temp, err);
    return rc ? rc : publish(place, fd, err);
}

/* With the lock: another process may have made it in the meantime. */
static int make_locked(struct oci_source *source, const struct oci_image *image,
                       const struct rootfs_options *options,
                       const struct digest *key, const struct place *place,
                       bool *ret_reused, struct sm_error *err)
{
    int lock;
    int rc = take_lock(place->lock, 0, &lock, err);

    if (rc)
        return rc;
    *ret_reused = is_there(place);
    if (!*ret_reused)
        rc = make(source, image, options, key, place, err);
    if (rc) {
        unlink(place->temp);
        unlink(place->note);
    }
    drop_lock(place->lock, lock);
    if (rc == SM_ENOSPC)
        return wrap(err, rc,
                    "no room for the root file system in %s: free some, or "
                    "choose another folder with SUPERMACHINE_HOME",
                    place->folder);
    return rc;
}

int rootfs_prepare(struct oci_source *source, const struct oci_image *image,
                   const struct rootfs_options *options, char **ret_path,
                   bool *ret_reused, struct sm_error *err)
{
    AUTO(place_done) struct place place = {0};
    char name[DIGEST_HEX_MAX];
    struct digest key;
    int rc = key_of_image(image, options->disk_bytes, &key, err);

    if (rc)
        return rc;
    digest_hex(&key, name);
    rc = place_init(&place, options->home, name, err);
    if (rc)
        return rc;
    *ret_reused = is_there(&place);
    if (!*ret_reused) {
        rc = folder_make(place.folder, err);
        if (rc)
            return rc;
        sweep(place.folder);
        rc = make_locked(source, image, options, &key, &place, ret_reused, err);
    }
    if (!rc)
        *ret_path = own_take(place.image);
    return rc;
}

/* ---- what is there ---- */

/* NULL if memory is out. */
static char *rootfs_folder(const char *home)
{
    return join(home, "rootfs", "");
}

void rootfs_sweep(const char *home)
{
    AUTO_FREE char *folder = rootfs_folder(home);

    if (folder)
        sweep(folder);
}

static int visit(const char *folder, const char *name, rootfs_kept_fn *fn,
                 void *context, struct sm_error *err)
{
    AUTO_FREE char *path = join(folder, name, "");
    struct rootfs_kept kept = {.path = path};
    char text[DIGEST_TEXT_MAX];
    struct stat st;

    if (!path)
        return fail(err, SM_ENOMEM, "out of memory");
    snprintf(text, sizeof text, "sha256:%.*s", (int)strcspn(name, "."), name);
    /* What is none of ours, or gone by now, is left alone. */
    if (digest_parse(text, &kept.key, NULL) != 0 || lstat(path, &st) != 0 ||
        !S_ISREG(st.st_mode))
        return 0;
    kept.disk_bytes = (uint64_t)st.st_size;
    kept.used_bytes = (uint64_t)st.st_blocks * 512;
    kept.freed_bytes = st.st_nlink > 1 ? 0 : kept.used_bytes;
    return fn(context, &kept, err);
}

int rootfs_walk(const char *home, rootfs_kept_fn *fn, void *context,
                struct sm_error *err)
{
    AUTO_FREE char *path = rootfs_folder(home);
    struct dirent *entry;
    DIR *folder;
    int rc = 0;

    if (!path)
        return fail(err, SM_ENOMEM, "out of memory");
    folder = opendir(path);
    if (!folder)
        return errno == ENOENT ? 0 : fail_os(err, "open %s", path);
    while (!rc && (entry = readdir(folder)) != NULL) {
        const char *dot = strrchr(entry->d_name, '.');

        if (dot && strcmp(dot, ".ext4") == 0)
            rc = visit(path, entry->d_name, fn, context, err);
    }
    closedir(folder);
    return rc;
}

bool rootfs_in_use(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;
}

/* The caller holds the lock of the key. The image goes first: a note without
 * an image is nothing, and whoever sweeps next removes it. */
static int remove_locked(const struct place *place, struct sm_error *err)
{
    AUTO_CLOSE int fd = open(place->image, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 && errno != ENOENT)
        return fail_os(err, "open %s", place->image);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0)
        return fail(err, SM_EBUSY, "%s: in use by a machine", place->image);
    unlink(place->temp);
    if ((unlink(place->image) != 0 && errno != ENOENT) ||
        (unlink(place->note) != 0 && errno != ENOENT))
        return fail_os(err, "remove %s", place->image);
    return 0;
}

int rootfs_remove(const char *home, const struct digest *key,
                  struct sm_error *err)
{
    AUTO(place_done) struct place place = {0};
    char name[DIGEST_HEX_MAX];
    int lock;
    int rc;

    digest_hex(key, name);
    rc = place_init(&place, home, name, err);
    if (!rc)
        rc = take_lock(place.lock, LOCK_NB, &lock, err);
    if (rc)
        return rc;
    rc = remove_locked(&place, err);
    drop_lock(place.lock, lock);
    return rc;
}
