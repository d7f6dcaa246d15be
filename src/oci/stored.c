/* stored.c: images by ID; see stored.h. */
#include "oci/stored.h"

#include "oci/catalog.h"

#include <fcntl.h>
#include <stdio.h>

struct stored {
    struct oci_source source;
    struct store *store;
    struct oci_descriptor manifest;
};

static int find(struct oci_source *source, const char *tag,
                const struct oci_platform *platform, struct oci_descriptor *ret,
                struct sm_error *err)
{
    (void)tag;
    (void)platform;
    (void)err;
    *ret = ((struct stored *)source)->manifest;
    return 0;
}

static int open_blob(struct oci_source *source,
                     const struct oci_descriptor *descriptor, struct blob **ret,
                     struct sm_error *err)
{
    return store_blob_open(((struct stored *)source)->store, descriptor, ret,
                           err);
}

static void close_stored(struct oci_source *source)
{
    struct stored *stored = (struct stored *)source;

    image_witnesses_done(&source->witnesses);
    store_close(stored->store);
    free(stored);
}

static const struct oci_source_ops stored_ops = {
    .find = find,
    .blob_open = open_blob,
    .close = close_stored,
};

/* Whatever name comes or goes may change what a beginning of an ID means. */
static int add_witness(struct stored *stored, struct sm_error *err)
{
    AUTO_CLOSE int fd = openat(store_folder(stored->store), "tags",
                               O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_FREE char *path = NULL;

    if (fd < 0)
        return fail_os(err, "open the names of the store");
    if (asprintf(&path, "%s/tags", store_path(stored->store)) < 0) {
        path = NULL;
        return fail(err, SM_ENOMEM, "out of memory");
    }
    return image_witness_add(&stored->source.witnesses, fd, path, err);
}

/* Looked up in a view: only what is meant in the end is to be held. */
static int look_up(const char *home, const char *text,
                   struct oci_descriptor *ret, struct sm_error *err)
{
    AUTO(catalog_done) struct catalog catalog = {0};
    AUTO(store_closep) struct store *view = NULL;
    AUTO_FREE char *name = NULL;
    int rc = store_view(home, &view, err);

    if (!rc)
        rc = catalog_load(view, &catalog, err);
    if (!rc)
        rc = catalog_find(&catalog, text, &name, ret, err);
    if (!rc && name)
        rc = fail(err, SM_ENOENT, "%s: is the name of an image", text);
    return rc;
}

int stored_open(const char *home, const char *text, struct oci_source **ret,
                struct sm_error *err)
{
    AUTO(oci_source_closep) struct oci_source *source = NULL;
    struct stored *stored = calloc(1, sizeof *stored);
    int rc;

    if (!stored)
        return fail(err, SM_ENOMEM, "out of memory");
    source = &stored->source;
    source->ops = &stored_ops;
    rc = store_open(home, &stored->store, err);
    if (!rc)
        rc = add_witness(stored, err);
    if (!rc)
        rc = look_up(home, text, &stored->manifest, err);
    if (!rc)
        *ret = own_take(source);
    return rc;
}
