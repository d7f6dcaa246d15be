/* copy.c: snapshots and images on their way to a registry, and snapshots back;
 * see keep.h. */
#include "image/artifact.h"
#include "image/keep.h"

#include "base/own.h"
#include "oci/json.h"
#include "oci/push.h"
#include "oci/reach.h"
#include "platform/file.h"

#include <string.h>

OWN_DEFINE(struct blob, blob_close)

/* ---- names ---- */

/* The registry's name in "docker://NAME"; NULL: something else. */
static const char *remote_name(const char *word)
{
    static const char prefix[] = "docker://";

    return strncmp(word, prefix, strlen(prefix)) == 0 ? word + strlen(prefix)
                                                      : NULL;
}

/* One repository, and a name in it. */
struct remote {
    struct reference reference;
    struct client *client;
};

static void remote_done(struct remote *remote)
{
    client_free(remote->client);
    reference_done(&remote->reference);
}

/* (writing): a digest is no name that can be given. */
static int remote_open(const struct keep_request *request, const char *name,
                       bool writing, struct remote *ret, struct sm_error *err)
{
    int rc = folder_make(request->home, err);

    if (!rc)
        rc = reference_parse(name, &ret->reference, err);
    if (rc)
        return rc;
    if (ret->reference.kind != REFERENCE_REGISTRY)
        return fail(err, SM_EINVAL, "%s: is no name of a registry's", name);
    if (writing && ret->reference.has_digest)
        return fail(err, SM_EINVAL, "%s: a digest cannot be given", name);
    return client_new(request->place, ret->reference.registry,
                      ret->reference.repository, &ret->client, err);
}

/* ---- push ---- */

struct pushing {
    const struct keep_request *request;
    struct reporter *reporter;
    struct client *client;
    struct store *store;
    const char *tag;
    uint32_t number; /* of the blob */
    uint32_t count;
};

static int push_one(struct pushing *pushing, const struct digest *digest,
                    int fd, uint64_t bytes, struct sm_error *err)
{
    char layer[DIGEST_TEXT_MAX];
    struct image_progress progress = {
        .step = (char *)(uintptr_t) "push",
        .total = bytes,
        .layer = layer,
        .number = ++pushing->number,
        .count = pushing->count,
    };
    bool sent;
    int rc;

    digest_text(digest, layer);
    report_progress(pushing->reporter, &progress);
    rc = push_blob(pushing->client, digest, fd, bytes, &sent, err);
    progress.done = bytes;
    if (!rc)
        report_progress(pushing->reporter, &progress);
    return rc;
}

static int push_snapshot(struct pushing *pushing, const char *name,
                         struct sm_error *err)
{
    const char *home = pushing->request->home;
    AUTO(artifact_done) struct artifact artifact = {0};
    int rc = artifact_pack(home, name, &artifact, err);

    pushing->count = artifact.blob_count;
    for (unsigned i = 0; i < artifact.blob_count && !rc; i++)
        rc = push_one(pushing, &artifact.blobs[i].digest, artifact.blobs[i].fd,
                      artifact.blobs[i].bytes, err);
    return rc ? rc
              : push_manifest(pushing->client, pushing->tag, ARTIFACT_MANIFEST,
                              artifact.text, strlen(artifact.text), home, err);
}

static int push_stored(struct pushing *pushing,
                       const struct oci_descriptor *descriptor,
                       struct sm_error *err)
{
    AUTO_CLOSE int fd = -1;
    int rc = store_blob_file(pushing->store, descriptor, &fd, err);

    return rc ? rc
              : push_one(pushing, &descriptor->digest, fd, descriptor->bytes,
                         err);
}

static int push_parts(void *context, const struct oci_descriptor *at,
                      const struct oci_manifest *manifest, struct sm_error *err)
{
    struct pushing *pushing = context;
    int rc;

    (void)at;
    pushing->count = (uint32_t)manifest->layer_count + 1;
    rc = push_stored(pushing, &manifest->config, err);
    for (size_t i = 0; i < manifest->layer_count && !rc; i++)
        rc = push_stored(pushing, &manifest->layers[i], err);
    return rc;
}

static int read_stored(const struct store *store,
                       const struct oci_descriptor *descriptor, struct buf *to,
                       struct sm_error *err)
{
    AUTO(blob_closep) struct blob *blob = NULL;
    int rc = store_blob_open(store, descriptor, &blob, err);

    return rc ? rc : blob_read_all(blob, to, err);
}

static int push_image(struct pushing *pushing, const char *name,
                      struct sm_error *err)
{
    AUTO(catalog_done) struct catalog catalog = {0};
    AUTO(store_closep) struct store *store = NULL;
    AUTO(buf_done) struct buf text = {0};
    const struct catalog_entry *entry = NULL;
    bool named;
    int rc = keep_view(pushing->request, &store, err);

    pushing->store = store;
    if (!rc)
        rc = catalog_load(store, &catalog, err);
    if (!rc)
        rc = keep_choose(&catalog, name, pushing->request->platform, &entry,
                         &named, err);
    if (!rc)
        rc = reach_walk(store, &entry->manifest, push_parts, pushing, err);
    buf_init(&text, JSON_DOCUMENT_MAX);
    if (!rc)
        rc = read_stored(store, &entry->manifest, &text, err);
    return rc ? rc
              : push_manifest(pushing->client, pushing->tag,
                              entry->manifest.media_type, text.data, text.size,
                              pushing->request->home, err);
}

static int push(const struct keep_request *request, const char *name,
                const char *target, struct reporter *reporter,
                struct sm_error *err)
{
    AUTO(remote_done) struct remote remote = {0};
    struct pushing pushing = {.request = request, .reporter = reporter};
    int rc = remote_open(request, target, true, &remote, err);

    if (rc)
        return rc;
    pushing.client = remote.client;
    pushing.tag = remote.reference.tag;
    return keep_snapshot_name(name)
               ? push_snapshot(&pushing, keep_snapshot_name(name), err)
               : push_image(&pushing, name, err);
}

/* ---- pull ---- */

struct pulling {
    const struct keep_request *request;
    struct client *client;
};

static int open_remote(void *context, const struct oci_descriptor *descriptor,
                       struct blob **ret, struct sm_error *err)
{
    struct pulling *pulling = context;

    return pull_blob(pulling->client, descriptor, pulling->request->home, ret,
                     err);
}

/* A digest that was asked for must be the manifest's. */
static int check_digest(const struct reference *reference,
                        const struct buf *text, struct sm_error *err)
{
    AUTO(hasher_done) struct hasher hasher = {0};
    struct digest digest;
    int rc;

    if (!reference->has_digest)
        return 0;
    rc = hasher_init(&hasher, reference->digest.kind, err);
    if (rc)
        return rc;
    hasher_add(&hasher, text->data, text->size);
    hasher_end(&hasher, &digest);
    return digest_equal(&digest, &reference->digest)
               ? 0
               : fail(err, SM_EDIGEST, "manifest: is not of that digest");
}

static int get_manifest(const struct remote *remote, struct buf *to,
                        struct sm_error *err)
{
    /* An image is to be called one, not to be missing. */
    static const char anything[] = ARTIFACT_MANIFEST
        ",application/vnd.oci.image.index.v1+json"
        ",application/vnd.docker.distribution.manifest.v2+json"
        ",application/vnd.docker.distribution.manifest.list.v2+json";
    char digest[DIGEST_TEXT_MAX];
    int rc;

    if (remote->reference.has_digest)
        digest_text(&remote->reference.digest, digest);
    rc = client_get(remote->client,
                    &(struct client_query){
                        .kind = "manifests",
                        .name = remote->reference.has_digest
                                    ? digest
                                    : remote->reference.tag,
                        .accept = anything,
                    },
                    to, err);
    if (rc == SM_ENOENT && !remote->reference.has_digest)
        return client_no_such_tag(remote->client, remote->reference.tag, err);
    return rc ? rc : check_digest(&remote->reference, to, err);
}

static int pull(const struct keep_request *request, const char *from,
                const char *name, struct reporter *reporter,
                struct sm_error *err)
{
    AUTO(remote_done) struct remote remote = {0};
    AUTO(buf_done) struct buf text = {0};
    struct pulling pulling = {.request = request};
    char made[SHELF_NAME_MAX + 1];
    int rc = remote_open(request, from, false, &remote, err);

    buf_init(&text, JSON_DOCUMENT_MAX);
    if (!rc)
        rc = get_manifest(&remote, &text, err);
    if (rc)
        return rc;
    pulling.client = remote.client;
    rc = artifact_unpack(&(struct artifact_unpack){.home = request->home,
                                                   .name = name,
                                                   .text = text.data,
                                                   .count = text.size,
                                                   .open = open_remote,
                                                   .context = &pulling},
                         made, err);
    return rc ? wrap(err, rc, "%s", from)
              : keep_snapshot_tell(reporter, made, err);
}

int keep_copy(const struct keep_request *request, struct reporter *reporter,
              struct sm_error *err)
{
    const char *from = remote_name(request->words[0]);
    const char *to = remote_name(request->words[1]);
    const char *name = keep_snapshot_name(request->words[1]);
    int rc;

    if (!from == !to)
        return fail(err, SM_EINVAL,
                    "copy: one of the two must be a registry's, "
                    "\"docker://NAME\"");
    if (from && !name)
        return fail(err, SM_EINVAL,
                    "copy: %s: an image is pulled, a snapshot is called "
                    "\"snapshot:NAME\"",
                    request->words[1]);
    rc = to ? push(request, request->words[0], to, reporter, err)
            : pull(request, from, name, reporter, err);
    return rc ? rc : report_text(reporter, "", err);
}
