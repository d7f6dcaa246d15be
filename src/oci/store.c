/* store.c: pulled blobs and names; see store.h. */
#include "oci/store.h"

#include "base/bytes.h"
#include "oci/json.h"
#include "oci/lease.h"
#include "platform/file.h"
#include "platform/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { NAME_MAX_BYTES = 32 + DIGEST_HEX_MAX, TAG_FILE_MAX = 16 << 10 };

struct store {
    int home;
    char *path;
    struct lease *lease; /* NULL: it is a view */
};

struct store_part {
    int fd; /* locked */
    int home;
    char name[NAME_MAX_BYTES]; /* of the blob, below home */
    char part[NAME_MAX_BYTES]; /* of the part             */
    struct digest digest;
    uint64_t bytes; /* that it must have */
    uint64_t done;
    struct hasher hasher;
    uint8_t chunk[128 << 10];
};

static int make_folder(const struct store *store, const char *name,
                       struct sm_error *err)
{
    if (mkdirat(store->home, name, 0700) != 0 && errno != EEXIST)
        return fail_os(err, "make folder %s/%s", store->path, name);
    return 0;
}

int store_view(const char *home, struct store **ret, struct sm_error *err)
{
    static const char *const folders[] = {"blobs", "blobs/sha256",
                                          "blobs/sha512", "tags", "leases"};
    AUTO(store_closep) struct store *store = calloc(1, sizeof *store);
    int rc = 0;

    if (!store)
        return fail(err, SM_ENOMEM, "out of memory");
    store->home = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->home < 0)
        return fail_os(err, "open %s", home);
    store->path = strdup(home);
    if (!store->path)
        return fail(err, SM_ENOMEM, "out of memory");
    for (size_t i = 0; !rc && i < ARRAY_LEN(folders); i++)
        rc = make_folder(store, folders[i], err);
    if (!rc)
        *ret = own_take(store);
    return rc;
}

int store_open(const char *home, struct store **ret, struct sm_error *err)
{
    AUTO(store_closep) struct store *store = NULL;
    int rc = store_view(home, &store, err);

    if (!rc)
        rc = lease_open(store->home, &store->lease, err);
    if (!rc)
        *ret = own_take(store);
    return rc;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    lease_close(store->lease);
    if (store->home >= 0)
        close(store->home);
    free(store->path);
    free(store);
}

int store_folder(const struct store *store)
{
    return store->home;
}

const char *store_path(const struct store *store)
{
    return store->path;
}

/* ---- blobs ---- */

/* From now on the blob stays, if it is there. */
static int hold(const struct store *store, const struct digest *digest,
                struct sm_error *err)
{
    return store->lease ? lease_add(store->lease, digest, err) : 0;
}

static void blob_name(const struct digest *digest, char to[NAME_MAX_BYTES])
{
    char hex[DIGEST_HEX_MAX];

    digest_hex(digest, hex);
    snprintf(to, NAME_MAX_BYTES, "blobs/%s/%s", digest_name(digest->kind), hex);
}

bool store_has(const struct store *store,
               const struct oci_descriptor *descriptor)
{
    char name[NAME_MAX_BYTES];
    struct stat st;

    if (hold(store, &descriptor->digest, NULL))
        return false;
    blob_name(&descriptor->digest, name);
    return fstatat(store->home, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(st.st_mode) && (uint64_t)st.st_size == descriptor->bytes;
}

int store_blob_file(const struct store *store,
                    const struct oci_descriptor *descriptor, int *ret_fd,
                    struct sm_error *err)
{
    char name[NAME_MAX_BYTES];
    int rc = hold(store, &descriptor->digest, err);

    if (rc)
        return rc;
    blob_name(&descriptor->digest, name);
    *ret_fd = openat(store->home, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return *ret_fd < 0 ? fail_os(err, "open %s/%s", store->path, name) : 0;
}

int store_blob_open(const struct store *store,
                    const struct oci_descriptor *descriptor, struct blob **ret,
                    struct sm_error *err)
{
    int fd = -1;
    int rc = store_blob_file(store, descriptor, &fd, err);

    return rc ? rc
              : blob_open(fd, 0, descriptor->bytes, &descriptor->digest, ret,
                          err);
}

int store_add(const struct store *store, const struct digest *digest,
              const void *bytes, size_t count, struct sm_error *err)
{
    const struct oci_descriptor descriptor = {.digest = *digest,
                                              .bytes = count};
    AUTO(store_part_closep) struct store_part *part = NULL;
    uint64_t done;
    int rc = store_part_open(store, &descriptor, true, &part, &done, err);

    if (rc == SM_EEXIST)
        return 0;
    if (!rc)
        rc = store_part_write(part, 0, bytes, count, err);
    return rc ? rc : store_part_finish(part, err);
}

/* ---- parts ---- */

/* The locked file is still the one of that name. */
static bool is_current(const struct store_part *part)
{
    struct stat ours;
    struct stat named;

    return fstat(part->fd, &ours) == 0 &&
           fstatat(part->home, part->part, &named, 0) == 0 &&
           ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

static int take_lock(struct store_part *part, bool wait, struct sm_error *err)
{
    for (;;) {
        part->fd = openat(part->home, part->part,
                          O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (part->fd < 0)
            return fail_os(err, "create %s", part->part);
        while (flock(part->fd, LOCK_EX | (wait ? 0 : LOCK_NB)) != 0) {
            if (errno == EWOULDBLOCK)
                return fail(err, SM_EBUSY, "%s: locked", part->part);
            if (errno != EINTR)
                return fail_os(err, "lock %s", part->part);
        }
        if (is_current(part))
            return 0;
        close(own_take_fd(&part->fd));
    }
}

static int begin_anew(struct store_part *part, struct sm_error *err)
{
    part->done = 0;
    hasher_done(&part->hasher);
    part->hasher = (struct hasher){0};
    if (ftruncate(part->fd, 0) != 0)
        return fail_os(err, "write %s", part->part);
    return hasher_init(&part->hasher, part->digest.kind, err);
}

/* Hash what an earlier process has left; too much of it is none. */
static int go_on(struct store_part *part, struct sm_error *err)
{
    uint64_t there = 0;
    int rc = file_size(part->fd, &there, err);

    if (!rc && there > part->bytes)
        return begin_anew(part, err);
    if (!rc)
        rc = hasher_init(&part->hasher, part->digest.kind, err);
    while (!rc && part->done < there) {
        size_t count = (size_t)min_u64(there - part->done, sizeof part->chunk);

        rc = file_read_at(part->fd, part->chunk, count, part->done, err);
        if (!rc)
            hasher_add(&part->hasher, part->chunk, count);
        part->done += count;
    }
    return rc;
}

int store_part_open(const struct store *store,
                    const struct oci_descriptor *descriptor, bool wait,
                    struct store_part **ret, uint64_t *ret_done,
                    struct sm_error *err)
{
    AUTO(store_part_closep) struct store_part *part = calloc(1, sizeof *part);
    int rc;

    if (!part)
        return fail(err, SM_ENOMEM, "out of memory");
    part->fd = -1;
    part->home = store->home;
    part->digest = descriptor->digest;
    part->bytes = descriptor->bytes;
    blob_name(&part->digest, part->name);
    snprintf(part->part, sizeof part->part, "%.150s.part", part->name);
    rc = hold(store, &part->digest, err);
    if (!rc)
        rc = take_lock(part, wait, err);
    if (rc)
        return rc;
    if (store_has(store, descriptor)) {
        unlinkat(part->home, part->part, 0);
        return SM_EEXIST;
    }
    rc = go_on(part, err);
    if (!rc && part->done && part->done == part->bytes) {
        /* Died between the last byte and the new name. */
        rc = store_part_finish(part, NULL);
        if (!rc)
            return SM_EEXIST;
        rc = begin_anew(part, err);
    }
    if (rc)
        return rc;
    *ret_done = part->done;
    *ret = own_take(part);
    return 0;
}

void store_part_close(struct store_part *part)
{
    if (!part)
        return;
    if (part->fd >= 0)
        close(part->fd);
    hasher_done(&part->hasher);
    free(part);
}

int store_part_write(struct store_part *part, uint64_t offset,
                     const void *bytes, size_t count, struct sm_error *err)
{
    int rc = 0;

    if (offset != part->done)
        rc = begin_anew(part, err);
    if (rc)
        return rc;
    if (offset != part->done || count > part->bytes - part->done) {
        (void)begin_anew(part, NULL);
        return fail(err, SM_EDIGEST,
                    "more than the %llu bytes that its "
                    "descriptor says",
                    (unsigned long long)part->bytes);
    }
    rc = file_write_at(part->fd, bytes, count, part->done, err);
    if (rc)
        return rc;
    hasher_add(&part->hasher, bytes, count);
    part->done += count;
    return 0;
}

/* Bytes first, then the name, then the folder that holds it. */
static int publish(const struct store_part *part, struct sm_error *err)
{
    AUTO_CLOSE int folder = -1;
    char *name = strdup(part->name);
    char *slash = name ? strrchr(name, '/') : NULL;

    if (slash) {
        *slash = '\0';
        folder = openat(part->home, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    free(name);
    if (folder < 0)
        return fail_os(err, "open the folder of %s", part->name);
    if (fchmod(part->fd, 0444) != 0 || fsync(part->fd) != 0)
        return fail_os(err, "write %s", part->part);
    if (renameat(part->home, part->part, part->home, part->name) != 0)
        return fail_os(err, "rename %s", part->part);
    if (fsync(folder) != 0)
        return fail_os(err, "write the folder of %s", part->name);
    return 0;
}

int store_part_finish(struct store_part *part, struct sm_error *err)
{
    char wanted[DIGEST_TEXT_MAX];
    char got[DIGEST_TEXT_MAX];
    struct digest digest;

    if (part->done != part->bytes)
        return fail(err, SM_EIMAGE, "has %llu bytes, its descriptor says %llu",
                    (unsigned long long)part->done,
                    (unsigned long long)part->bytes);
    hasher_end(&part->hasher, &digest);
    if (digest_equal(&digest, &part->digest))
        return publish(part, err);
    (void)begin_anew(part, NULL);
    digest_text(&part->digest, wanted);
    digest_text(&digest, got);
    return fail(err, SM_EDIGEST, "digest mismatch: expected %s, got %s", wanted,
                got);
}

/* ---- names ---- */

static int tag_file(const char *name, char to[NAME_MAX_BYTES],
                    struct sm_error *err)
{
    struct hasher hasher = {0};
    char hex[DIGEST_HEX_MAX];
    struct digest digest;
    int rc = hasher_init(&hasher, DIGEST_SHA256, err);

    if (rc)
        return rc;
    hasher_add(&hasher, name, strlen(name));
    hasher_end(&hasher, &digest);
    hasher_done(&hasher);
    digest_hex(&digest, hex);
    snprintf(to, NAME_MAX_BYTES, "tags/%s", hex);
    return 0;
}

/* A tag file is an index of one entry, tagged with the whole name: *ret_name,
 * which the caller frees. */
static int parse_tag(const void *bytes, size_t count, char **ret_name,
                     struct oci_descriptor *ret, struct sm_error *err)
{
    AUTO(oci_index_done) struct oci_index index = {0};
    int rc = oci_index_parse(bytes, count, &index, err);

    if (rc)
        return rc;
    if (index.count != 1 || !index.items[0].tag)
        return fail(err, SM_EIMAGE, "is no name of an image");
    *ret_name = own_take(index.items[0].tag);
    *ret = index.items[0];
    return 0;
}

static int read_tag(int fd, char **ret_name, struct oci_descriptor *ret,
                    struct sm_error *err)
{
    AUTO_FREE char *text = malloc(TAG_FILE_MAX);
    uint64_t bytes = 0;
    int rc = file_size(fd, &bytes, err);

    if (rc)
        return rc;
    if (!text)
        return fail(err, SM_ENOMEM, "out of memory");
    if (bytes > TAG_FILE_MAX)
        return fail(err, SM_EIMAGE, "has %llu bytes",
                    (unsigned long long)bytes);
    rc = file_read_at(fd, text, (size_t)bytes, 0, err);
    return rc ? rc : parse_tag(text, (size_t)bytes, ret_name, ret, err);
}

int store_tag_load(const struct store *store, const char *name,
                   struct oci_descriptor *ret,
                   struct image_witnesses *witnesses, struct sm_error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_FREE char *found = NULL;
    AUTO_CLOSE int fd = -1;
    char file[NAME_MAX_BYTES];
    int rc = tag_file(name, file, err);

    if (rc)
        return rc;
    fd = openat(store->home, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return fail_os(err, "image %s", name);
    if (asprintf(&path, "%s/%s", store->path, file) < 0) {
        path = NULL;
        return fail(err, SM_ENOMEM, "out of memory");
    }
    if (witnesses)
        rc = image_witness_add(witnesses, fd, path, err);
    if (!rc)
        rc = read_tag(fd, &found, ret, err);
    if (!rc && strcmp(found, name) != 0)
        rc = fail(err, SM_ENOENT, "is for another image");
    if (!rc)
        return 0;
    if (witnesses)
        image_witnesses_done(witnesses);
    return wrap(err, rc, "%s", path);
}

/* (file) is that of the name which it holds. */
static int check_tag_file(const char *name, const char *file,
                          struct sm_error *err)
{
    char wanted[NAME_MAX_BYTES];
    int rc = tag_file(name, wanted, err);

    if (!rc && strcmp(wanted, file) != 0)
        rc = fail(err, SM_EIMAGE, "is not the file of %s", name);
    return rc;
}

static int walk_tag(const struct store *store, const char *file,
                    store_tag_fn *fn, void *context, struct sm_error *err)
{
    AUTO_FREE char *name = NULL;
    AUTO_CLOSE int fd =
        openat(store->home, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct oci_descriptor descriptor;
    struct sm_error why = {0};
    int rc;

    if (fd < 0 && errno == ENOENT)
        return 0;
    rc =
        fd < 0 ? fail_os(&why, "open") : read_tag(fd, &name, &descriptor, &why);
    if (!rc)
        rc = check_tag_file(name, file, &why);
    /* That says nothing of the file. */
    if (rc == SM_ENOMEM)
        return fail(err, rc, "%s: %s", file, why.message);
    return rc ? fn(context, file, NULL, rc, &why, err)
              : fn(context, name, &descriptor, 0, NULL, err);
}

int store_tags_walk(const struct store *store, store_tag_fn *fn, void *context,
                    struct sm_error *err)
{
    AUTO_CLOSE int fd =
        openat(store->home, "tags", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int rc = 0;

    if (!folder)
        return fail_os(err, "open %s/tags", store->path);
    own_take_fd(&fd);
    while (!rc && (entry = readdir(folder)) != NULL) {
        char file[NAME_MAX_BYTES];

        /* The others are being written. */
        if (strlen(entry->d_name) != 64)
            continue;
        snprintf(file, sizeof file, "tags/%.64s", entry->d_name);
        rc = walk_tag(store, file, fn, context, err);
    }
    closedir(folder);
    return rc;
}

static char *tag_text(const char *name, const struct oci_descriptor *descriptor)
{
    AUTO(json_unref) json_t *json = NULL;
    char digest[DIGEST_TEXT_MAX];

    digest_text(&descriptor->digest, digest);
    json = json_pack("{si s[{ss ss sI s{ss}}]}", "schemaVersion", 2,
                     "manifests", "mediaType", descriptor->media_type, "digest",
                     digest, "size", (json_int_t)descriptor->bytes,
                     "annotations", "org.opencontainers.image.ref.name", name);
    return json ? json_dumps(json, JSON_COMPACT) : NULL;
}

int store_tag_save(const struct store *store, const char *name,
                   const struct oci_descriptor *descriptor,
                   struct sm_error *err)
{
    AUTO_FREE char *text = tag_text(name, descriptor);
    AUTO_CLOSE int gate = -1;
    AUTO_CLOSE int fd = -1;
    char file[NAME_MAX_BYTES];
    char temp[NAME_MAX_BYTES + 32];
    uint64_t unique;
    int rc = tag_file(name, file, err);

    if (!rc)
        rc = random_bytes(&unique, sizeof unique, err);
    if (!rc)
        rc = gate_lock(store->home, false, &gate, err);
    if (rc)
        return rc;
    if (!text)
        return fail(err, SM_ENOMEM, "out of memory");
    snprintf(temp, sizeof temp, "%s.%016llx.tmp", file,
             (unsigned long long)unique);
    fd = openat(store->home, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                0600);
    if (fd < 0)
        return fail_os(err, "create %s", temp);
    rc = file_write_at(fd, text, strlen(text), 0, err);
    if (!rc && fsync(fd) != 0)
        rc = fail_os(err, "write");
    if (!rc && renameat(store->home, temp, store->home, file) != 0)
        rc = fail_os(err, "rename");
    if (!rc)
        return 0;
    unlinkat(store->home, temp, 0);
    return wrap(err, rc, "%s", temp);
}

int store_tag_remove(const struct store *store, const char *name,
                     struct sm_error *err)
{
    AUTO_CLOSE int folder = -1;
    char file[NAME_MAX_BYTES];
    int rc = tag_file(name, file, err);

    if (rc)
        return rc;
    folder = openat(store->home, "tags", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || unlinkat(store->home, file, 0) != 0 || fsync(folder) != 0)
        return fail_os(err, "remove the name %s", name);
    return 0;
}
