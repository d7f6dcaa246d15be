/* verify.c: blobs and names checked; see verify.h. */
#include "oci/verify.h"

#include "oci/catalog.h"
#include "oci/reach.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

OWN_DEFINE(struct blob, blob_close)

struct verifying {
    const struct store *store;
    const struct verify *verify;
    struct digest_set bad; /* blobs */
    /* Of the name that is looked at. */
    unsigned whole;
    char lacks[DIGEST_TEXT_MAX]; /* of an image that is not; or "" */
};

/* (file), below (folder), is damaged. */
static int tell_damaged(struct verifying *verifying, int folder,
                        const char *file, const char *what, const char *why,
                        struct sm_error *err)
{
    const struct verify *verify = verifying->verify;
    struct stat st = {0};
    uint64_t freed = 0;

    if (verify->repair) {
        if (fstatat(folder, file, &st, AT_SYMLINK_NOFOLLOW) == 0)
            freed = (uint64_t)st.st_blocks * 512;
        if (unlinkat(folder, file, 0) != 0 && errno != ENOENT)
            return fail_os(err, "remove %s", what);
    }
    if (verify->damaged)
        verify->damaged(verify->context, what, why, freed);
    return 0;
}

/* ---- blobs ---- */

/* Why it is damaged, in (why); else 0. Takes (fd) over. */
static int hash_blob(int fd, const struct digest *digest, struct sm_error *why)
{
    AUTO(blob_closep) struct blob *blob = NULL;
    struct stat st;
    int rc;

    if (fstat(fd, &st) != 0 || st.st_size < 0) {
        close(fd);
        return fail(why, SM_EIO, "cannot be looked at");
    }
    rc = blob_open(fd, 0, (uint64_t)st.st_size, digest, &blob, why);
    return rc ? rc : blob_finish(blob, why);
}

static int verify_blob(struct verifying *verifying, int folder,
                       const char *algorithm, const char *name,
                       struct sm_error *err)
{
    struct digest_set *suspects = verifying->verify->suspects;
    char text[DIGEST_TEXT_MAX];
    struct sm_error why = {0};
    struct digest digest;
    int fd;
    int rc;

    /* Parts and what is none of ours. */
    if ((size_t)snprintf(text, sizeof text, "%s:%s", algorithm, name) >=
            sizeof text ||
        digest_parse(text, &digest, NULL) != 0)
        return 0;
    if (suspects && !digest_set_has(suspects, &digest))
        return 0;
    fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        rc = fail_os(&why, "open");
    else
        rc = hash_blob(fd, &digest, &why);
    if (rc == SM_ENOMEM)
        return fail(err, rc, "%s", why.message);
    if (!rc)
        return 0;
    rc = digest_set_add(&verifying->bad, &digest, err);
    return rc ? rc
              : tell_damaged(verifying, folder, name, text, why.message, err);
}

static int verify_folder(struct verifying *verifying, enum digest_kind kind,
                         struct sm_error *err)
{
    char path[32];
    struct dirent *entry;
    DIR *folder;
    int rc = 0;
    int fd;

    snprintf(path, sizeof path, "blobs/%s", digest_name(kind));
    fd = openat(store_folder(verifying->store), path,
                O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder)
        return fail_os(err, "open %s/%s", store_path(verifying->store), path);
    while (!rc && (entry = readdir(folder)) != NULL)
        rc = verify_blob(verifying, fd, digest_name(kind), entry->d_name, err);
    closedir(folder);
    return rc;
}

/* ---- names ---- */

static bool is_there(struct verifying *verifying,
                     const struct oci_descriptor *descriptor)
{
    bool there = store_has(verifying->store, descriptor) &&
                 !digest_set_has(&verifying->bad, &descriptor->digest);

    if (!there)
        digest_text(&descriptor->digest, verifying->lacks);
    return there;
}

static int check_image(void *context, const struct oci_descriptor *at,
                       const struct oci_manifest *manifest,
                       struct sm_error *err)
{
    struct verifying *verifying = context;
    bool whole;

    (void)at;
    (void)err;
    if (!manifest)
        return 0;
    whole = is_there(verifying, &manifest->config);
    for (size_t i = 0; whole && i < manifest->layer_count; i++)
        whole = is_there(verifying, &manifest->layers[i]);
    verifying->whole += whole;
    return 0;
}

/* Why (descriptor) leads to nothing whole, in (why); else 0. */
static int check_name(struct verifying *verifying,
                      const struct oci_descriptor *descriptor,
                      struct sm_error *why)
{
    int rc;

    verifying->whole = 0;
    verifying->lacks[0] = '\0';
    rc = reach_walk(verifying->store, descriptor, check_image, verifying, why);
    if (verifying->whole || rc)
        return verifying->whole ? 0 : rc;
    if (verifying->lacks[0])
        return fail(why, SM_EIMAGE, "lacks %s", verifying->lacks);
    return fail(why, SM_EIMAGE, "leads to no image");
}

static int verify_name(void *context, const char *name,
                       const struct oci_descriptor *descriptor, int rc,
                       const struct sm_error *why, struct sm_error *err)
{
    struct verifying *verifying = context;
    struct sm_error broken = {0};

    if (rc) /* then (name) is that of the file */
        return tell_damaged(verifying, store_folder(verifying->store), name,
                            name, why->message, err);
    rc = check_name(verifying, descriptor, &broken);
    if (rc == SM_ENOMEM)
        return fail(err, rc, "%s", broken.message);
    if (!rc)
        return 0;
    verifying->verify->damaged(verifying->verify->context,
                               catalog_familiar(name), broken.message, 0);
    return verifying->verify->repair
               ? store_tag_remove(verifying->store, name, err)
               : 0;
}

static int verify_blobs(struct verifying *verifying, struct sm_error *err)
{
    int rc = verify_folder(verifying, DIGEST_SHA256, err);

    return rc ? rc : verify_folder(verifying, DIGEST_SHA512, err);
}

int verify_suspects(const struct store *store, struct digest_set *ret,
                    struct sm_error *err)
{
    const struct verify quiet = {0};
    struct verifying verifying = {.store = store, .verify = &quiet};
    int rc = verify_blobs(&verifying, err);

    for (size_t i = 0; !rc && i < verifying.bad.count; i++)
        rc = digest_set_add(ret, &verifying.bad.items[i], err);
    digest_set_done(&verifying.bad);
    return rc;
}

int verify_store(const struct store *store, const struct verify *verify,
                 struct sm_error *err)
{
    struct verifying verifying = {.store = store, .verify = verify};
    int rc = verify_blobs(&verifying, err);

    if (!rc)
        rc = store_tags_walk(store, verify_name, &verifying, err);
    digest_set_done(&verifying.bad);
    return rc;
}
