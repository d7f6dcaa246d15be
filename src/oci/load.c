/* load.c: from an archive into the store; see load.h. */
#include "oci/load.h"

#include "oci/archived.h"
#include "oci/config.h"
#include "oci/digests.h"
#include "oci/docker.h"
#include "oci/json.h"
#include "oci/layout.h"
#include "oci/store.h"

#include <string.h>

OWN_DEFINE(struct blob, blob_close)

struct loading {
    const struct load_request *request;
    struct store *store;
    unsigned images;
    struct digest_set seen; /* indexes that were walked */
};

/* ---- blobs ---- */

static int pour(struct blob *blob, struct store_part *part,
                struct sm_error *err)
{
    uint64_t offset = 0;

    for (;;) {
        const uint8_t *bytes;
        size_t count;
        int rc = blob_read(blob, &bytes, &count, err);

        if (rc)
            return rc;
        if (!count)
            return store_part_finish(part, err);
        rc = store_part_write(part, offset, bytes, count, err);
        if (rc)
            return rc;
        offset += count;
    }
}

static int copy_blob(struct loading *loading, struct oci_source *source,
                     const struct oci_descriptor *descriptor,
                     struct sm_error *err)
{
    AUTO(store_part_closep) struct store_part *part = NULL;
    AUTO(blob_closep) struct blob *blob = NULL;
    char name[DIGEST_TEXT_MAX];
    uint64_t done;
    int rc;

    if (store_has(loading->store, descriptor))
        return 0;
    rc = source->ops->blob_open(source, descriptor, &blob, err);
    if (!rc)
        rc = store_part_open(loading->store, descriptor, true, &part, &done,
                             err);
    if (rc == SM_EEXIST)
        return 0;
    if (!rc)
        rc = pour(blob, part, err);
    if (!rc)
        return 0;
    digest_text(&descriptor->digest, name);
    return wrap(err, rc, "blob %s", name);
}

/* ---- images ---- */

static int read_document(struct oci_source *source,
                         const struct oci_descriptor *at, struct buf *to,
                         struct sm_error *err)
{
    AUTO(blob_closep) struct blob *blob = NULL;
    int rc = source->ops->blob_open(source, at, &blob, err);

    buf_init(to, JSON_DOCUMENT_MAX);
    return rc ? rc : blob_read_all(blob, to, err);
}

/* What would fail when it is to run, fails now. */
static int check_config(struct oci_source *source,
                        const struct oci_manifest *manifest,
                        struct sm_error *err)
{
    AUTO(oci_config_done) struct oci_config config = {0};
    AUTO(buf_done) struct buf text = {0};
    int rc = read_document(source, &manifest->config, &text, err);

    if (!rc)
        rc = oci_config_parse(text.data, text.size, &config, err);
    if (!rc && config.diff_id_count != manifest->layer_count)
        rc = fail(err, SM_EIMAGE, "names %zu layers, the manifest has %zu",
                  config.diff_id_count, manifest->layer_count);
    return rc ? wrap(err, rc, "config") : 0;
}

static int copy_manifest(struct loading *loading, struct oci_source *source,
                         const struct oci_descriptor *at,
                         const struct buf *text, struct sm_error *err)
{
    AUTO(oci_manifest_done) struct oci_manifest manifest = {0};
    int rc = oci_manifest_parse(text->data, text->size, &manifest, err);

    if (!rc)
        rc = check_config(source, &manifest, err);
    for (size_t i = 0; !rc && i < manifest.layer_count; i++)
        rc = copy_blob(loading, source, &manifest.layers[i], err);
    if (!rc)
        rc = copy_blob(loading, source, &manifest.config, err);
    return rc ? rc : copy_blob(loading, source, at, err);
}

static int copy_tree(struct loading *loading, struct oci_source *source,
                     const struct oci_descriptor *at, int depth,
                     struct sm_error *err);

/* An archive need not have all that its index names: at least one. */
static int copy_index(struct loading *loading, struct oci_source *source,
                      const struct oci_descriptor *at, const struct buf *text,
                      int depth, struct sm_error *err)
{
    AUTO(oci_index_done) struct oci_index index = {0};
    unsigned copied = 0;
    int rc = oci_index_parse(text->data, text->size, &index, err);

    if (!rc && depth == OCI_INDEX_DEPTH_MAX)
        rc = fail(err, SM_ELIMIT, "indexes nested deeper than %d",
                  OCI_INDEX_DEPTH_MAX);
    for (size_t i = 0; !rc && i < index.count; i++) {
        rc = copy_tree(loading, source, &index.items[i], depth + 1, err);
        /* One that was seen before may have been missing then. */
        copied += rc == 0 && store_has(loading->store, &index.items[i]);
        if (rc == SM_ENOENT || rc == SM_ENOTSUP)
            rc = 0;
    }
    if (!rc && !copied)
        rc = fail(err, SM_ENOENT,
                  "has none of the images that its index "
                  "names");
    return rc ? rc : copy_blob(loading, source, at, err);
}

static int copy_tree(struct loading *loading, struct oci_source *source,
                     const struct oci_descriptor *at, int depth,
                     struct sm_error *err)
{
    AUTO(buf_done) struct buf text = {0};
    int rc;

    if (at->media != MEDIA_INDEX && at->media != MEDIA_MANIFEST)
        return fail(err, SM_ENOTSUP, "media type \"%s\" is no image",
                    at->media_type);
    if (digest_set_has(&loading->seen, &at->digest))
        return 0;
    rc = digest_set_add(&loading->seen, &at->digest, err);
    if (!rc)
        rc = read_document(source, at, &text, err);
    if (rc)
        return rc;
    return at->media == MEDIA_INDEX
               ? copy_index(loading, source, at, &text, depth, err)
               : copy_manifest(loading, source, at, &text, err);
}

/* ---- names ---- */

static int no_name(const char *has, struct sm_error *err)
{
    return fail(
        err, SM_EINVAL, "an image has no name%s%s%s: say one with --name",
        has ? ", only the tag \"" : "", has ? has : "", has ? "\"" : "");
}

static int give_name(struct loading *loading, const char *text,
                     const struct oci_descriptor *top, struct sm_error *err)
{
    const struct load_request *request = loading->request;
    AUTO(reference_done) struct reference reference = {0};
    AUTO_FREE char *name = NULL;
    int rc = reference_parse(text, &reference, err);

    if (!rc && reference.kind != REFERENCE_REGISTRY)
        rc = fail(err, SM_EINVAL, "%s: is no name of an image", text);
    if (rc)
        return rc;
    name = reference_canonical(&reference);
    if (!name)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = store_tag_save(loading->store, name, top, err);
    if (!rc)
        request->loaded(request->context, name);
    return rc;
}

/* The name that was asked for is that of the first and only image. */
static int check_only(struct loading *loading, struct sm_error *err)
{
    if (loading->images++ && loading->request->name)
        return fail(err, SM_EINVAL,
                    "has several images: --name %s can be that of one only",
                    loading->request->name);
    return 0;
}

/* ---- archives ---- */

static int load_docker(void *context, struct oci_source *source,
                       const struct image_strings *names, struct sm_error *err)
{
    struct loading *loading = context;
    const char *name = loading->request->name;
    struct oci_descriptor top;
    int rc = check_only(loading, err);

    if (!rc && !name && !names->count)
        rc = no_name(NULL, err);
    if (!rc)
        rc = source->ops->find(source, NULL, NULL, &top, err);
    if (!rc)
        rc = copy_tree(loading, source, &top, 0, err);
    if (!rc && name)
        return give_name(loading, name, &top, err);
    for (uint32_t i = 0; !rc && i < names->count; i++)
        rc = give_name(loading, names->items[i], &top, err);
    return rc;
}

/* A tag alone, as skopeo writes it, names nothing here. */
static int load_entry(struct loading *loading, struct oci_source *source,
                      const struct oci_descriptor *entry, struct sm_error *err)
{
    const char *name = loading->request->name;
    struct oci_descriptor top = oci_descriptor_plain(entry);
    int rc = check_only(loading, err);

    if (rc)
        return rc;
    if (!name && (!entry->tag || !strpbrk(entry->tag, ":/")))
        return no_name(entry->tag, err);
    if (!name)
        name = entry->tag;
    rc = copy_tree(loading, source, &top, 0, err);
    return rc ? rc : give_name(loading, name, &top, err);
}

static int load_layout(struct loading *loading, int fd, struct tar *tar,
                       struct sm_error *err)
{
    AUTO(oci_source_closep) struct oci_source *source = NULL;
    const struct oci_index *index;
    int rc = layout_open_tar(fd, "archive", tar, &source, err);

    if (rc)
        return rc;
    index = layout_index(source);
    for (size_t i = 0; !rc && i < index->count; i++)
        rc = load_entry(loading, source, &index->items[i], err);
    return rc;
}

/* Docker writes both, since version 25; only there it says whole names. */
static int load_plain(struct loading *loading, int fd, struct sm_error *err)
{
    AUTO(tar_done) struct tar tar = {0};
    int rc = tar_read(fd, &tar, err);

    if (rc)
        return rc;
    if (docker_is_archive(fd, &tar))
        rc = docker_walk(fd, "archive", &tar, load_docker, loading, err);
    else if (tar_find(&tar, "oci-layout") && tar_find(&tar, "index.json"))
        rc = load_layout(loading, fd, &tar, err);
    else
        return fail(err, SM_EIMAGE,
                    "is no archive of images: it has neither index.json nor "
                    "manifest.json");
    if (!rc && !loading->images)
        rc = fail(err, SM_ENOENT, "has no image");
    return rc;
}

int load_archive(const struct load_request *request, struct sm_error *err)
{
    AUTO(store_closep) struct store *store = NULL;
    AUTO_CLOSE int plain = -1;
    struct loading loading = {.request = request};
    int rc = store_open(request->home, &store, err);

    loading.store = store;
    if (!rc)
        rc = archived_make_plain(request->fd, request->home, &plain, err);
    if (!rc)
        rc = load_plain(&loading, plain, err);
    digest_set_done(&loading.seen);
    return rc ? wrap(err, rc, "load") : 0;
}
