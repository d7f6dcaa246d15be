/* sweep.c: blobs that nothing refers to; see sweep.h. */
#include "oci/sweep.h"

#include "base/bytes.h"
#include "oci/lease.h"
#include "oci/reach.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* One folder of blobs, while it is swept. */
struct sweeping {
    const struct sweep *sweep;
    struct digest_set keep;
    struct digest_set only; /* a copy that may be sorted */
    int folder;
    const char *algorithm;
};

/* ---- what stays ---- */

struct marking {
    const struct store *store;
    struct digest_set *keep;
};

static int mark_tag(void *context, const char *name,
                    const struct oci_descriptor *descriptor, int rc,
                    const struct sm_error *why, struct sm_error *err)
{
    const struct marking *marking = context;

    if (rc) {
        fail(err, rc, "%s", why->message);
    } else {
        rc = reach_walk(marking->store, descriptor, reach_add_blobs,
                        marking->keep, err);
        if (rc == SM_ENOENT)
            return 0;
    }
    return rc ? wrap(err, rc, "%s", name) : 0;
}

static int mark(const struct store *store, struct digest_set *keep,
                struct sm_error *err)
{
    struct marking marking = {.store = store, .keep = keep};
    int rc = store_tags_walk(store, mark_tag, &marking, err);

    if (rc)
        return wrap(err, rc,
                    "the store is damaged: supermachine store verify --repair");
    return lease_gather(store_folder(store), keep, err);
}

/* ---- what goes ---- */

static int remove_file(const struct sweeping *sweeping, const char *name,
                       const char *what, struct sm_error *err)
{
    struct stat st = {0};

    if (fstatat(sweeping->folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        unlinkat(sweeping->folder, name, 0) != 0)
        return errno == ENOENT ? 0 : fail_os(err, "remove %s", name);
    if (sweeping->sweep->removed)
        sweeping->sweep->removed(sweeping->sweep->context, what,
                                 (uint64_t)st.st_blocks * 512);
    return 0;
}

/* A part that somebody is at stays his: he has a lease, or at least its lock.
 */
static int remove_part(const struct sweeping *sweeping, const char *name,
                       struct sm_error *err)
{
    AUTO_CLOSE int fd =
        openat(sweeping->folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0)
        return 0;
    return remove_file(sweeping, name, name, err);
}

static int sweep_file(struct sweeping *sweeping, const char *name,
                      struct sm_error *err)
{
    char text[DIGEST_TEXT_MAX + sizeof ".part"];
    struct digest digest;
    char *dot;
    bool is_part;

    if ((size_t)snprintf(text, sizeof text, "%s:%s", sweeping->algorithm,
                         name) >= sizeof text)
        return 0;
    dot = strchr(text, '.');
    is_part = dot && strcmp(dot, ".part") == 0;
    if (is_part)
        *dot = '\0';
    /* What is none of ours is left alone. */
    if (digest_parse(text, &digest, NULL) != 0 ||
        digest_set_has(&sweeping->keep, &digest))
        return 0;
    if (sweeping->sweep->only)
        return !is_part && digest_set_has(&sweeping->only, &digest)
                   ? remove_file(sweeping, name, text, err)
                   : 0;
    return is_part ? remove_part(sweeping, name, err)
                   : remove_file(sweeping, name, text, err);
}

static int sweep_folder(struct sweeping *sweeping, const struct store *store,
                        enum digest_kind kind, struct sm_error *err)
{
    char path[32];
    struct dirent *entry;
    DIR *folder;
    int rc = 0;
    int fd;

    sweeping->algorithm = digest_name(kind);
    snprintf(path, sizeof path, "blobs/%s", sweeping->algorithm);
    fd = openat(store_folder(store), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder)
        return fail_os(err, "open %s/%s", store_path(store), path);
    sweeping->folder = fd;
    while (!rc && (entry = readdir(folder)) != NULL)
        rc = sweep_file(sweeping, entry->d_name, err);
    closedir(folder);
    return rc;
}

/* Names that were being written when their writer died: whoever writes one
 * has passed the gate, and we hold it. */
static int sweep_tags(struct sweeping *sweeping, const struct store *store,
                      struct sm_error *err)
{
    int fd =
        openat(store_folder(store), "tags", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int rc = 0;

    if (!folder)
        return fail_os(err, "open %s/tags", store_path(store));
    sweeping->folder = fd;
    while (!rc && (entry = readdir(folder)) != NULL) {
        const char *dot = strrchr(entry->d_name, '.');

        if (dot && strcmp(dot, ".tmp") == 0)
            rc = remove_file(sweeping, entry->d_name, entry->d_name, err);
    }
    closedir(folder);
    return rc;
}

int sweep_blobs(const struct store *store, const struct sweep *sweep,
                struct sm_error *err)
{
    static const enum digest_kind kinds[] = {DIGEST_SHA256, DIGEST_SHA512};
    struct sweeping sweeping = {.sweep = sweep};
    int rc = mark(store, &sweeping.keep, err);

    for (size_t i = 0; !rc && sweep->only && i < sweep->only->count; i++)
        rc = digest_set_add(&sweeping.only, &sweep->only->items[i], err);
    for (size_t i = 0; !rc && i < ARRAY_LEN(kinds); i++)
        rc = sweep_folder(&sweeping, store, kinds[i], err);
    if (!rc && !sweep->only)
        rc = sweep_tags(&sweeping, store, err);
    digest_set_done(&sweeping.keep);
    digest_set_done(&sweeping.only);
    return rc;
}
