/* keep.c: images listed, looked at and named; see keep.h. */
#include "image/keep.h"

#include "base/bytes.h"
#include "oci/json.h"
#include "oci/lease.h"
#include "platform/file.h"
#include "rootfs/store.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *name;
    unsigned least;
    unsigned most;
    keep_fn *fn;
} verbs[] = {
    {"images", 0, 0, keep_images}, {"inspect", 1, 1, keep_inspect},
    {"tag", 2, 2, keep_tag},       {"remove", 1, 1, keep_remove},
    {"prune", 0, 0, keep_prune},   {"verify", 0, 0, keep_verify},
    {"load", 0, 0, keep_load},     {"save", 1, 256, keep_save},
    {"digest", 0, 0, keep_digest}, {"copy", 2, 2, keep_copy},
};

bool keep_knows(const char *verb, const struct keep_request *request)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(verb, verbs[i].name) == 0)
            return request->count >= verbs[i].least &&
                   request->count <= verbs[i].most;
    return false;
}

int keep_serve(const char *verb, const struct keep_request *request,
               struct reporter *reporter, struct sm_error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(verb, verbs[i].name) == 0)
            return verbs[i].fn(request, reporter, err);
    return fail(err, SM_EINVAL, "unknown verb %s", verb);
}

int keep_view(const struct keep_request *request, struct store **ret,
              struct sm_error *err)
{
    int rc = folder_make(request->home, err);

    return rc ? rc : store_view(request->home, ret, err);
}

bool keep_split(const char *familiar, char **repository, char **tag)
{
    size_t name = strcspn(familiar, "@");
    const char *slash = memrchr(familiar, '/', name);
    const char *from = slash ? slash : familiar;
    const char *colon = memchr(from, ':', (size_t)(familiar + name - from));

    *repository = strndup(familiar, colon ? (size_t)(colon - familiar) : name);
    *tag = colon ? strndup(colon + 1, (size_t)(familiar + name - colon - 1))
                 : strdup("");
    return *repository && *tag;
}

/* ---- images ---- */

/* Seconds since 1970 of a date as RFC 3339 has it; 0 if it is none. */
static uint64_t parse_time(const char *text)
{
    struct tm tm = {0};
    int hours = 0;
    int minutes = 0;
    const char *zone;
    time_t time;

    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon,
               &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    time = timegm(&tm);
    zone = strpbrk(text + strcspn(text, "T"), "+-");
    if (zone && sscanf(zone + 1, "%2d:%2d", &hours, &minutes) == 2)
        time -= (*zone == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return time > 0 ? (uint64_t)time : 0;
}

/* The root file systems of one image. */
struct measuring {
    const struct catalog_entry *entry;
    uint64_t bytes;
};

static int measure_rootfs(void *context, const struct rootfs_kept *kept,
                          struct sm_error *err)
{
    struct measuring *measuring = context;
    struct digest key;
    int rc =
        rootfs_key(measuring->entry->diff_ids, measuring->entry->layer_count,
                   kept->disk_bytes, &key, err);

    if (!rc && digest_equal(&key, &kept->key))
        measuring->bytes += kept->used_bytes;
    return rc;
}

/* On failure (ret) is fit for image_stored_done(). */
static int describe(const struct catalog_entry *entry, uint64_t rootfs_bytes,
                    struct image_stored *ret, struct sm_error *err)
{
    AUTO(json_unref) json_t *json = NULL;
    char id[DIGEST_TEXT_MAX];
    char digest[DIGEST_TEXT_MAX];
    char platform[PLATFORM_TEXT_MAX];

    digest_text(&entry->id, id);
    digest_text(&entry->manifest.digest, digest);
    platform_text(&entry->platform, platform);
    ret->id = strdup(id);
    ret->digest = strdup(digest);
    ret->platform = strdup(platform);
    ret->created_s = parse_time(entry->created);
    ret->blob_bytes = entry->blob_bytes;
    ret->rootfs_bytes = rootfs_bytes;
    if (!keep_split(entry->familiar, &ret->repository, &ret->tag) || !ret->id ||
        !ret->digest || !ret->platform)
        return fail(err, SM_ENOMEM, "out of memory");
    json =
        json_pack("{ss ss ss ss ss ss ss sI sI}", "name", entry->familiar,
                  "repository", ret->repository, "tag", ret->tag, "id", id,
                  "digest", digest, "platform", platform, "created",
                  entry->created, "blob_bytes", (json_int_t)entry->blob_bytes,
                  "rootfs_bytes", (json_int_t)rootfs_bytes);
    ret->json = json ? json_dumps(json, JSON_COMPACT) : NULL;
    return ret->json ? 0 : fail(err, SM_ENOMEM, "out of memory");
}

static int tell_image(const char *home, const struct catalog_entry *entry,
                      struct reporter *reporter, struct sm_error *err)
{
    AUTO(image_stored_done) struct image_stored stored = {0};
    struct measuring measuring = {.entry = entry};
    int rc = rootfs_walk(home, measure_rootfs, &measuring, err);

    if (!rc)
        rc = describe(entry, measuring.bytes, &stored, err);
    return rc ? rc : report_stored(reporter, &stored, err);
}

int keep_images(const struct keep_request *request, struct reporter *reporter,
                struct sm_error *err)
{
    AUTO(catalog_done) struct catalog catalog = {0};
    AUTO(store_closep) struct store *store = NULL;
    int rc = keep_view(request, &store, err);

    if (!rc)
        rc = catalog_load(store, &catalog, err);
    for (size_t i = 0; !rc && i < catalog.count; i++)
        rc = tell_image(request->home, &catalog.items[i], reporter, err);
    return rc ? rc : report_text(reporter, "", err);
}

/* ---- inspect ---- */

int keep_choose(const struct catalog *catalog, const char *text,
                const char *platform, const struct catalog_entry **ret,
                bool *ret_named, struct sm_error *err)
{
    AUTO_FREE char *name = NULL;
    struct oci_descriptor found;
    struct oci_platform wish;
    int best = -1;
    int rc = platform_parse(platform, &wish, err);

    if (!rc)
        rc = catalog_find(catalog, text, &name, &found, err);
    *ret_named = name != NULL;
    for (size_t i = 0; !rc && i < catalog->count; i++) {
        const struct catalog_entry *entry = &catalog->items[i];
        int fit = platform_fit(&wish, &entry->platform);

        if (name ? strcmp(name, entry->name) != 0
                 : !digest_equal(&found.digest, &entry->manifest.digest))
            continue;
        if (fit > best)
            *ret = entry;
        best = fit > best ? fit : best;
    }
    return rc;
}

/* Every name of the same image: "nginx:1.25" and "nginx@sha256:...". */
static int add_names(const struct catalog *catalog,
                     const struct catalog_entry *chosen, json_t *tags,
                     json_t *digests, struct sm_error *err)
{
    for (size_t i = 0; i < catalog->count; i++) {
        const struct catalog_entry *entry = &catalog->items[i];
        AUTO_FREE char *repository = NULL;
        AUTO_FREE char *tag = NULL;
        char digest[DIGEST_TEXT_MAX];

        if (!digest_equal(&entry->id, &chosen->id))
            continue;
        digest_text(&entry->top.digest, digest);
        if (!keep_split(entry->familiar, &repository, &tag))
            return fail(err, SM_ENOMEM, "out of memory");
        if (tag[0])
            json_array_append_new(tags, json_sprintf("%s:%s", repository, tag));
        json_array_append_new(digests,
                              json_sprintf("%s@%s", repository, digest));
    }
    return 0;
}

static json_t *copy_of(const json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);

    return value ? json_incref(value) : json_null();
}

static json_t *describe_whole(const struct catalog_entry *entry,
                              const json_t *config, uint64_t rootfs_bytes)
{
    const json_t *rootfs = json_object_get(config, "rootfs");
    char id[DIGEST_TEXT_MAX];
    char digest[DIGEST_TEXT_MAX];

    digest_text(&entry->id, id);
    digest_text(&entry->manifest.digest, digest);
    return json_pack(
        "{ss ss so so ss ss ss so s{so so} sI sI}", "Id", id, "Digest", digest,
        "RepoTags", json_array(), "RepoDigests", json_array(), "Created",
        entry->created, "Architecture", entry->platform.architecture, "Os",
        entry->platform.os, "Config", copy_of(config, "config"), "RootFS",
        "Type", copy_of(rootfs, "type"), "Layers", copy_of(rootfs, "diff_ids"),
        "Size", (json_int_t)entry->blob_bytes, "RootfsSize",
        (json_int_t)rootfs_bytes);
}

static int inspect(const struct catalog *catalog,
                   const struct catalog_entry *entry, uint64_t rootfs_bytes,
                   char **ret, struct sm_error *err)
{
    AUTO(json_unref) json_t *config = NULL;
    AUTO(json_unref) json_t *json = NULL;
    int rc = json_parse(entry->config, strlen(entry->config), &config, err);

    if (rc)
        return rc;
    json = describe_whole(entry, config, rootfs_bytes);
    if (!json)
        return fail(err, SM_ENOMEM, "out of memory");
    if (entry->platform.variant[0])
        json_object_set_new(json, "Variant",
                            json_string(entry->platform.variant));
    rc = add_names(catalog, entry, json_object_get(json, "RepoTags"),
                   json_object_get(json, "RepoDigests"), err);
    if (rc)
        return rc;
    *ret = json_dumps(json, JSON_INDENT(4));
    return *ret ? 0 : fail(err, SM_ENOMEM, "out of memory");
}

int keep_inspect(const struct keep_request *request, struct reporter *reporter,
                 struct sm_error *err)
{
    AUTO(catalog_done) struct catalog catalog = {0};
    AUTO(store_closep) struct store *store = NULL;
    AUTO_FREE char *text = NULL;
    struct measuring measuring = {0};
    bool named;
    int rc = keep_view(request, &store, err);

    if (!rc)
        rc = catalog_load(store, &catalog, err);
    if (!rc)
        rc = keep_choose(&catalog, request->words[0], request->platform,
                         &measuring.entry, &named, err);
    if (!rc)
        rc = rootfs_walk(request->home, measure_rootfs, &measuring, err);
    if (!rc)
        rc = inspect(&catalog, measuring.entry, measuring.bytes, &text, err);
    return rc ? rc : report_text(reporter, text, err);
}

/* ---- tag ---- */

/* A name that can be given: of a registry's image, and without a digest. */
static int parse_target(const char *text, char **ret, struct sm_error *err)
{
    AUTO(reference_done) struct reference reference = {0};
    int rc = reference_parse(text, &reference, err);

    if (rc)
        return rc;
    if (reference.kind != REFERENCE_REGISTRY || reference.has_digest)
        return fail(err, SM_EINVAL, "%s: is no name that can be given", text);
    *ret = reference_canonical(&reference);
    return *ret ? 0 : fail(err, SM_ENOMEM, "out of memory");
}

/* The gate keeps what is looked up from being removed before it has its
 * second name. */
int keep_tag(const struct keep_request *request, struct reporter *reporter,
             struct sm_error *err)
{
    AUTO(catalog_done) struct catalog catalog = {0};
    AUTO(store_closep) struct store *store = NULL;
    AUTO_FREE char *target = NULL;
    AUTO_FREE char *name = NULL;
    AUTO_CLOSE int gate = -1;
    struct oci_descriptor found;
    int rc = parse_target(request->words[1], &target, err);

    if (!rc)
        rc = keep_view(request, &store, err);
    if (!rc)
        rc = gate_lock(store_folder(store), false, &gate, err);
    if (!rc)
        rc = catalog_load(store, &catalog, err);
    if (!rc)
        rc = catalog_find(&catalog, request->words[0], &name, &found, err);
    if (!rc)
        rc = store_tag_save(store, target, &found, err);
    return rc ? rc : report_text(reporter, "", err);
}
