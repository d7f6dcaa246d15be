/* registry.c: pulling; see registry.h. client.h asks, store.h keeps. */
#include "oci/registry.h"

#include "base/bytes.h"
#include "oci/client.h"
#include "oci/image.h"
#include "oci/json.h"
#include "oci/store.h"

#include <stdio.h>
#include <string.h>

static const char manifest_types[] =
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json";

struct registry {
    struct oci_source source;
    struct oci_place place;
    struct store *store;
    struct client *client; /* NULL: nothing was asked yet */
    char *name;            /* the whole one               */
    char *registry;
    char *repository;
    char *tag; /* or NULL */
    bool has_digest;
    struct digest digest;
    struct oci_descriptor found;
    bool is_new; /* (found) is not in the store under (name) yet */
};

static struct registry *registry_of(struct oci_source *source)
{
    return (struct registry *)source;
}

static void close_registry(struct oci_source *source)
{
    struct registry *registry = registry_of(source);

    image_witnesses_done(&registry->source.witnesses);
    client_free(registry->client);
    store_close(registry->store);
    free(registry->name);
    free(registry->registry);
    free(registry->repository);
    free(registry->tag);
    free(registry);
}

static int connect_client(struct registry *registry, struct sm_error *err)
{
    if (registry->client)
        return 0;
    return client_new(&registry->place, registry->registry,
                      registry->repository, &registry->client, err);
}

/* ---- the manifest ---- */

/* What a document is: its Content-Type says, or else it itself. */
static void set_type(struct oci_descriptor *descriptor, const char *type,
                     const struct buf *text)
{
    AUTO(json_unref) json_t *json = NULL;
    const char *own = NULL;

    snprintf(descriptor->media_type, sizeof descriptor->media_type, "%.*s",
             (int)strcspn(type, "; "), type);
    descriptor->media = oci_media_of(descriptor->media_type);
    if (descriptor->media != MEDIA_OTHER ||
        json_parse(text->data, text->size, &json, NULL) != 0 ||
        json_string_of(json, "mediaType", false, &own, NULL) != 0)
        return;
    if (!own)
        own = json_object_get(json, "manifests")
                  ? "application/vnd.oci.image.index.v1+json"
                  : "application/vnd.oci.image.manifest.v1+json";
    snprintf(descriptor->media_type, sizeof descriptor->media_type, "%s", own);
    descriptor->media = oci_media_of(own);
}

static int hash_text(const struct buf *text, enum digest_kind kind,
                     struct digest *ret, struct sm_error *err)
{
    struct hasher hasher = {0};
    int rc = hasher_init(&hasher, kind, err);

    if (rc)
        return rc;
    hasher_add(&hasher, text->data, text->size);
    hasher_end(&hasher, ret);
    hasher_done(&hasher);
    return 0;
}

/* The digest that the user has asked for, if he has. */
static int check_digest(const struct registry *registry,
                        const struct digest *got, struct sm_error *err)
{
    char wanted[DIGEST_TEXT_MAX];
    char text[DIGEST_TEXT_MAX];

    if (!registry->has_digest || digest_equal(&registry->digest, got))
        return 0;
    digest_text(&registry->digest, wanted);
    digest_text(got, text);
    return fail(err, SM_EDIGEST,
                "manifest: digest mismatch: expected %s, got %s", wanted, text);
}

static int ask_for_manifest(struct registry *registry, struct sm_error *err)
{
    AUTO(buf_done) struct buf text = {0};
    struct oci_descriptor *found = &registry->found;
    char digest[DIGEST_TEXT_MAX];
    char type[128];
    int rc = connect_client(registry, err);

    if (rc)
        return rc;
    digest_text(&registry->digest, digest);
    buf_init(&text, JSON_DOCUMENT_MAX);
    rc = client_get(registry->client,
                    &(struct client_query){
                        .kind = "manifests",
                        .name = registry->has_digest ? digest : registry->tag,
                        .accept = manifest_types,
                        .type = type},
                    &text, err);
    if (rc == SM_ENOENT && !registry->has_digest)
        return client_no_such_tag(registry->client, registry->tag, err);
    if (!rc)
        rc = hash_text(
            &text, registry->has_digest ? registry->digest.kind : DIGEST_SHA256,
            &found->digest, err);
    if (!rc)
        rc = check_digest(registry, &found->digest, err);
    if (rc)
        return rc;
    found->bytes = text.size;
    set_type(found, type, &text);
    registry->is_new = true;
    return store_add(registry->store, &found->digest, text.data, text.size,
                     err);
}

static int find(struct oci_source *source, const char *tag,
                const struct oci_platform *platform, struct oci_descriptor *ret,
                struct sm_error *err)
{
    struct registry *registry = registry_of(source);
    int rc = SM_ENOENT;

    (void)tag;
    (void)platform;
    if (!registry->place.refresh)
        rc = store_tag_load(registry->store, registry->name, &registry->found,
                            &source->witnesses, NULL);
    if (rc)
        rc = ask_for_manifest(registry, err);
    if (!rc)
        *ret = registry->found;
    return rc;
}

/* ---- blobs ---- */

/* One blob on its way into the store. */
struct fetch {
    struct registry *registry;
    const struct oci_descriptor *descriptor;
    struct store_part *part;
    bool wait; /* for another process that is at it; the last attempt */
    bool resumed;
    uint64_t done;
    struct fetching *all;
};

struct fetching {
    struct fetch *items;
    struct http_job *jobs;
    char **urls;
    size_t count;
    bool is_told; /* how far they are */
};

static void tell_progress(const struct fetch *fetch)
{
    const struct oci_place *place = &fetch->registry->place;
    const struct fetching *all = fetch->all;
    const struct oci_progress progress = {
        .layer = fetch->descriptor,
        .number = (size_t)(fetch - all->items) + 1,
        .count = all->count,
        .done_bytes = fetch->done,
    };

    if (all->is_told && place->progress)
        place->progress(place->context, &progress);
}

/* A failure of what came, with the name of what it was to be. */
static int wrong_fetch(const struct fetch *fetch, int rc, struct sm_error *err)
{
    char digest[DIGEST_TEXT_MAX];

    if (fetch->all->is_told)
        return wrap(err, rc, "layer %zu of %zu",
                    (size_t)(fetch - fetch->all->items) + 1, fetch->all->count);
    digest_text(&fetch->descriptor->digest, digest);
    return wrap(err, rc, "blob %s", digest);
}

static int begin_fetch(void *context, uint64_t *offset, struct sm_error *err)
{
    struct fetch *fetch = context;
    int rc;

    store_part_close(own_take(fetch->part));
    rc = store_part_open(fetch->registry->store, fetch->descriptor, fetch->wait,
                         &fetch->part, offset, err);
    if (rc == SM_EEXIST)
        fetch->done = fetch->descriptor->bytes;
    else if (!rc)
        fetch->done = *offset;
    fetch->resumed = !rc && *offset;
    tell_progress(fetch);
    return rc;
}

static int write_fetched(void *context, uint64_t offset, const void *bytes,
                         size_t count, struct sm_error *err)
{
    struct fetch *fetch = context;
    int rc = store_part_write(fetch->part, offset, bytes, count, err);

    fetch->done = offset + count;
    tell_progress(fetch);
    return rc ? wrong_fetch(fetch, rc, err) : 0;
}

static int end_fetch(void *context, struct sm_error *err)
{
    struct fetch *fetch = context;
    int rc = store_part_finish(fetch->part, err);

    store_part_close(own_take(fetch->part));
    /* Perhaps what an earlier pull left was wrong: once more, from its start,
     * after the others. */
    if (rc == SM_EDIGEST && fetch->resumed && !fetch->wait)
        return SM_EBUSY;
    return rc ? wrong_fetch(fetch, rc, err) : 0;
}

static void fetching_done(struct fetching *all)
{
    for (size_t i = 0; i < all->count; i++) {
        store_part_close(all->items[i].part);
        free(all->urls[i]);
    }
    free(all->items);
    free(all->jobs);
    free(all->urls);
}

/* On failure (all) is fit for fetching_done(). */
static int fetching_init(struct fetching *all, struct registry *registry,
                         const struct oci_descriptor *const *list, size_t count,
                         struct sm_error *err)
{
    *all = (struct fetching){
        .items = calloc(count + 1, sizeof *all->items),
        .jobs = calloc(count + 1, sizeof *all->jobs),
        .urls = calloc(count + 1, sizeof *all->urls),
    };
    if (!all->items || !all->jobs || !all->urls)
        return fail(err, SM_ENOMEM, "out of memory");
    for (; all->count < count; all->count++) {
        size_t i = all->count;
        char digest[DIGEST_TEXT_MAX];

        digest_text(&list[i]->digest, digest);
        all->items[i] = (struct fetch){
            .registry = registry, .descriptor = list[i], .all = all};
        all->urls[i] = client_url(registry->client, list[i], digest);
        if (!all->urls[i])
            return fail(err, SM_ENOMEM, "out of memory");
        all->jobs[i] = (struct http_job){
            .url = all->urls[i],
            .begin = begin_fetch,
            .body = write_fetched,
            .end = end_fetch,
            .context = &all->items[i],
        };
        if (list[i]->media == MEDIA_INDEX || list[i]->media == MEDIA_MANIFEST)
            all->jobs[i].accept = manifest_types;
    }
    return 0;
}

/*
 * First what nobody else is fetching, at once; then, one by one and holding no
 * other lock, what is left: most of what somebody else was fetching is there
 * by now.
 */
static int fetch_all(struct registry *registry, struct fetching *all,
                     struct sm_error *err)
{
    int rc = client_run(registry->client, all->jobs, all->count, err);

    for (size_t i = 0; !rc && i < all->count; i++) {
        if (all->jobs[i].rc != SM_EBUSY)
            continue;
        all->items[i].wait = true;
        rc = client_run(registry->client, &all->jobs[i], 1, err);
    }
    return rc;
}

static int fetch_list(struct registry *registry,
                      const struct oci_descriptor *const *list, size_t count,
                      bool is_told, struct sm_error *err)
{
    AUTO(fetching_done) struct fetching all = {0};
    int rc = connect_client(registry, err);

    if (rc)
        return rc;
    rc = fetching_init(&all, registry, list, count, err);
    all.is_told = is_told;
    if (!rc)
        rc = fetch_all(registry, &all, err);
    if (rc == SM_ENOSPC)
        return wrap(err, rc,
                    "no room for the image in %s: free some, or choose another "
                    "folder with SUPERMACHINE_HOME",
                    registry->place.home);
    return rc;
}

static int open_blob(struct oci_source *source,
                     const struct oci_descriptor *descriptor, struct blob **ret,
                     struct sm_error *err)
{
    struct registry *registry = registry_of(source);
    int rc = 0;

    if (!store_has(registry->store, descriptor))
        rc = fetch_list(registry, &descriptor, 1, false, err);
    return rc ? rc : store_blob_open(registry->store, descriptor, ret, err);
}

static int fetch(struct oci_source *source, const struct oci_image *image,
                 struct sm_error *err)
{
    struct registry *registry = registry_of(source);
    AUTO_FREE const struct oci_descriptor **list =
        calloc(image->layer_count + 1, sizeof *list);
    bool is_whole = true;
    int rc = 0;

    if (!list)
        return fail(err, SM_ENOMEM, "out of memory");
    for (size_t i = 0; i < image->layer_count; i++) {
        list[i] = &image->layers[i].blob;
        is_whole = is_whole && store_has(registry->store, list[i]);
    }
    /* What is there already ends at once, and is told of, too. */
    if (!is_whole)
        rc = fetch_list(registry, list, image->layer_count, true, err);
    if (rc || !registry->is_new)
        return rc;
    rc = store_tag_save(registry->store, registry->name, &registry->found, err);
    if (!rc)
        rc = store_tag_load(registry->store, registry->name, &registry->found,
                            &source->witnesses, err);
    return rc;
}

static const struct oci_source_ops registry_ops = {
    .find = find,
    .blob_open = open_blob,
    .fetch = fetch,
    .close = close_registry,
};

int registry_open(const struct reference *reference,
                  const struct oci_place *place, struct oci_source **ret,
                  struct sm_error *err)
{
    AUTO(oci_source_closep) struct oci_source *source = NULL;
    struct registry *registry = calloc(1, sizeof *registry);
    int rc;

    if (!registry)
        return fail(err, SM_ENOMEM, "out of memory");
    source = &registry->source;
    source->ops = &registry_ops;
    registry->place = *place;
    registry->name = reference_canonical(reference);
    registry->registry = strdup(reference->registry);
    registry->repository = strdup(reference->repository);
    if (reference->tag)
        registry->tag = strdup(reference->tag);
    registry->has_digest = reference->has_digest;
    registry->digest = reference->digest;
    if (!registry->name || !registry->registry || !registry->repository ||
        (reference->tag && !registry->tag))
        return fail(err, SM_ENOMEM, "out of memory");
    rc = store_open(place->home, &registry->store, err);
    if (!rc)
        *ret = own_take(source);
    return rc;
}
