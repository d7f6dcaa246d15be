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
static int make_key(const struct oci_image *image, uint64_t disk_bytes,
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
    for (size_t i = 0; i < image->layer_count; i++) {
        char text[DIGEST_TEXT_MAX];

        digest_text(&image->layers[i].diff_id, text);
        hasher_add(&hasher, text, strlen(text) + 1);
    }
    hasher_end(&hasher, ret);
    hasher_done(&hasher);
    return 0;
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

/* KEY.tmp and KEY.lock go, unless somebody is making KEY. */
static void sweep_key(const char *folder, const char *key)
{
    AUTO_FREE char *temp = join(folder, key, ".tmp");
    AUTO_FREE char *lock = join(folder, key, ".lock");
    int fd;

    if (!temp || !lock || take_lock(lock, LOCK_NB, &fd, NULL))
        return;
    unlink(temp);
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

        if (!dot || (strcmp(dot, ".tmp") != 0 && strcmp(dot, ".lock") != 0))
            continue;
        *dot = '\0';
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
    int rc = make_key(image, options->disk_bytes, &key, err);

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
