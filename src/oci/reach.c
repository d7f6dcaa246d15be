/* reach.c: from a name to its blobs; see reach.h. */
#include "oci/reach.h"

#include "oci/digests.h"
#include "oci/json.h"

OWN_DEFINE(struct blob, blob_close)

struct walk {
    const struct store *store;
    reach_fn *fn;
    void *context;
    struct digest_set seen; /* a hostile index may name one a thousand times */
};

static int visit(struct walk *walk, const struct oci_descriptor *at, int depth,
                 struct sm_error *err);

static int visit_manifest(struct walk *walk, const struct oci_descriptor *at,
                          const struct buf *text, struct sm_error *err)
{
    AUTO(oci_manifest_done) struct oci_manifest manifest = {0};
    int rc = oci_manifest_parse(text->data, text->size, &manifest, err);

    return rc ? rc : walk->fn(walk->context, at, &manifest, err);
}

static int visit_index(struct walk *walk, const struct oci_descriptor *at,
                       const struct buf *text, int depth, struct sm_error *err)
{
    AUTO(oci_index_done) struct oci_index index = {0};
    int rc = oci_index_parse(text->data, text->size, &index, err);

    if (!rc && depth > OCI_INDEX_DEPTH_MAX)
        rc = fail(err, SM_ELIMIT, "indexes nested deeper than %d",
                  OCI_INDEX_DEPTH_MAX);
    if (!rc)
        rc = walk->fn(walk->context, at, NULL, err);
    for (size_t i = 0; !rc && i < index.count; i++) {
        if (!store_has(walk->store, &index.items[i]))
            continue;
        rc = visit(walk, &index.items[i], depth + 1, err);
        /* An attestation or the like: nothing that is kept. */
        if (rc == SM_ENOTSUP)
            rc = 0;
    }
    return rc;
}

static int visit(struct walk *walk, const struct oci_descriptor *at, int depth,
                 struct sm_error *err)
{
    AUTO(blob_closep) struct blob *blob = NULL;
    AUTO(buf_done) struct buf text = {0};
    char name[DIGEST_TEXT_MAX];
    int rc;

    if ((at->media != MEDIA_INDEX && at->media != MEDIA_MANIFEST) ||
        digest_set_has(&walk->seen, &at->digest))
        return 0;
    buf_init(&text, JSON_DOCUMENT_MAX);
    rc = digest_set_add(&walk->seen, &at->digest, err);
    if (!rc)
        rc = store_blob_open(walk->store, at, &blob, err);
    if (!rc)
        rc = blob_read_all(blob, &text, err);
    if (!rc)
        rc = at->media == MEDIA_INDEX ? visit_index(walk, at, &text, depth, err)
                                      : visit_manifest(walk, at, &text, err);
    if (!rc)
        return 0;
    digest_text(&at->digest, name);
    return depth ? rc : wrap(err, rc, "%s", name);
}

int reach_walk(const struct store *store, const struct oci_descriptor *top,
               reach_fn *fn, void *context, struct sm_error *err)
{
    struct walk walk = {.store = store, .fn = fn, .context = context};
    int rc = visit(&walk, top, 0, err);

    digest_set_done(&walk.seen);
    return rc;
}

int reach_add_blobs(void *context, const struct oci_descriptor *at,
                    const struct oci_manifest *manifest, struct sm_error *err)
{
    int rc = digest_set_add(context, &at->digest, err);

    if (!rc && manifest)
        rc = digest_set_add(context, &manifest->config.digest, err);
    for (size_t i = 0; !rc && manifest && i < manifest->layer_count; i++)
        rc = digest_set_add(context, &manifest->layers[i].digest, err);
    return rc;
}
