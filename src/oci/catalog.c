/* catalog.c: images by name and by ID; see catalog.h. */
#include "oci/catalog.h"

#include "base/bytes.h"
#include "oci/config.h"
#include "oci/json.h"
#include "oci/reach.h"

#include <string.h>

OWN_DEFINE(struct blob, blob_close)

enum { NEAR_MAX = 3 };

static void entry_done(struct catalog_entry *entry)
{
    free(entry->name);
    free(entry->familiar);
    free(entry->created);
    free(entry->config);
    free(entry->diff_ids);
}

void catalog_done(struct catalog *catalog)
{
    for (size_t i = 0; i < catalog->count; i++)
        entry_done(&catalog->items[i]);
    free(catalog->items);
    *catalog = (struct catalog){0};
}

const char *catalog_familiar(const char *name)
{
    static const char *const usual[] = {"docker.io/library/", "docker.io/"};

    for (size_t i = 0; i < ARRAY_LEN(usual); i++)
        if (strncmp(name, usual[i], strlen(usual[i])) == 0)
            return name + strlen(usual[i]);
    return name;
}

/* ---- loading ---- */

struct loading {
    const struct store *store;
    struct catalog *catalog;
    const char *name; /* of the tag that is looked at */
    const struct oci_descriptor *top;
};

/* What the config says beside what machines need of it. */
static char *read_created(const char *text)
{
    AUTO(json_unref) json_t *json = NULL;
    const char *created = NULL;

    if (json_parse(text, strlen(text), &json, NULL) == 0)
        (void)json_string_of(json, "created", false, &created, NULL);
    return strdup(created ? created : "");
}

static int read_config(const struct store *store,
                       const struct oci_manifest *manifest,
                       struct catalog_entry *entry, struct sm_error *err)
{
    AUTO(blob_closep) struct blob *blob = NULL;
    AUTO(oci_config_done) struct oci_config config = {0};
    AUTO(buf_done) struct buf text = {0};
    int rc = store_blob_open(store, &manifest->config, &blob, err);

    buf_init(&text, JSON_DOCUMENT_MAX);
    if (!rc)
        rc = blob_read_all(blob, &text, err);
    if (!rc)
        rc = oci_config_parse(text.data, text.size, &config, err);
    if (rc)
        return rc;
    entry->platform = config.platform;
    entry->layer_count = config.diff_id_count;
    entry->diff_ids = own_take(config.diff_ids);
    entry->config = buf_take_string(&text);
    entry->created = entry->config ? read_created(entry->config) : NULL;
    return entry->created ? 0 : fail(err, SM_ENOMEM, "out of memory");
}

static int fill_entry(const struct loading *loading,
                      const struct oci_descriptor *at,
                      const struct oci_manifest *manifest,
                      struct catalog_entry *entry, struct sm_error *err)
{
    entry->name = strdup(loading->name);
    entry->familiar = strdup(catalog_familiar(loading->name));
    if (!entry->name || !entry->familiar)
        return fail(err, SM_ENOMEM, "out of memory");
    entry->top = *loading->top;
    entry->manifest = oci_descriptor_plain(at);
    entry->id = manifest->config.digest;
    entry->blob_bytes = at->bytes + manifest->config.bytes;
    for (size_t i = 0; i < manifest->layer_count; i++)
        if (!add_u64(entry->blob_bytes, manifest->layers[i].bytes,
                     &entry->blob_bytes))
            entry->blob_bytes = UINT64_MAX;
    return read_config(loading->store, manifest, entry, err);
}

static int add_image(void *context, const struct oci_descriptor *at,
                     const struct oci_manifest *manifest, struct sm_error *err)
{
    const struct loading *loading = context;
    struct catalog *catalog = loading->catalog;
    struct catalog_entry *entry;
    int rc;

    if (!manifest)
        return 0;
    if (catalog->count == catalog->room) {
        size_t room = catalog->room ? 2 * catalog->room : 16;

        entry = reallocarray(catalog->items, room, sizeof *entry);
        if (!entry)
            return fail(err, SM_ENOMEM, "out of memory");
        catalog->items = entry;
        catalog->room = room;
    }
    entry = &catalog->items[catalog->count];
    *entry = (struct catalog_entry){0};
    rc = fill_entry(loading, at, manifest, entry, err);
    if (!rc)
        catalog->count++;
    else
        entry_done(entry);
    return rc == SM_ENOMEM ? rc : 0;
}

static int add_tag(void *context, const char *name,
                   const struct oci_descriptor *descriptor, int rc,
                   const struct sm_error *why, struct sm_error *err)
{
    struct loading *loading = context;

    (void)why;
    if (rc)
        return 0;
    loading->name = name;
    loading->top = descriptor;
    rc = reach_walk(loading->store, descriptor, add_image, loading, err);
    return rc == SM_ENOMEM ? rc : 0;
}

static int compare(const void *left, const void *right)
{
    const struct catalog_entry *a = left;
    const struct catalog_entry *b = right;
    int names = strcmp(a->familiar, b->familiar);

    return names ? names
                 : strcmp(a->platform.architecture, b->platform.architecture);
}

int catalog_load(const struct store *store, struct catalog *ret,
                 struct sm_error *err)
{
    struct loading loading = {.store = store, .catalog = ret};
    int rc;

    *ret = (struct catalog){0};
    rc = store_tags_walk(store, add_tag, &loading, err);
    if (rc)
        catalog_done(ret);
    else if (ret->count)
        qsort(ret->items, ret->count, sizeof *ret->items, compare);
    return rc;
}

/* ---- finding ---- */

static const char sha256_prefix[] = "sha256:";

/* The hex digits of what may be an ID. */
static const char *id_digits(const char *text)
{
    size_t prefix = sizeof sha256_prefix - 1;

    return strncmp(text, sha256_prefix, prefix) == 0 ? text + prefix : text;
}

bool catalog_is_id(const char *text)
{
    const char *digits = id_digits(text);
    size_t count = strspn(digits, "0123456789abcdef");

    return !digits[count] && count >= CATALOG_ID_MIN && count <= 64;
}

static int find_id(const struct catalog *catalog, const char *text,
                   struct oci_descriptor *ret, struct sm_error *err)
{
    const char *digits = id_digits(text);
    const struct catalog_entry *found = NULL;

    for (size_t i = 0; i < catalog->count; i++) {
        const struct catalog_entry *entry = &catalog->items[i];
        char hex[DIGEST_HEX_MAX];

        digest_hex(&entry->id, hex);
        if (strncmp(hex, digits, strlen(digits)) != 0)
            continue;
        if (found && !digest_equal(&found->id, &entry->id))
            return fail(err, SM_EINVAL,
                        "image ID %s: is the beginning of several: give more "
                        "digits",
                        text);
        found = entry;
    }
    if (!found)
        return fail(err, SM_ENOENT, "no image with the ID %s", text);
    *ret = found->manifest;
    return 0;
}

/* How many letters differ, roughly: those in front and behind that are equal
 * do not count. */
static size_t distance(const char *a, const char *b)
{
    size_t end_a = strlen(a);
    size_t end_b = strlen(b);
    size_t from = 0;

    while (a[from] && a[from] == b[from])
        from++;
    while (end_a > from && end_b > from && a[end_a - 1] == b[end_b - 1]) {
        end_a--;
        end_b--;
    }
    return (end_a > end_b ? end_a : end_b) - from;
}

/* Near enough for a slip of the fingers, or another tag of the same. */
static bool is_near(const char *wanted, const char *have)
{
    size_t length = strcspn(wanted, "@");
    const char *colon = strrchr(wanted, ':');

    if (colon && !strchr(colon, '/'))
        length = (size_t)(colon - wanted);
    if (strncmp(wanted, have, length) == 0 && strchr(":@", have[length]))
        return true;
    return distance(wanted, have) <= 1 + length / 4;
}

static int no_such_name(const struct catalog *catalog, const char *name,
                        struct sm_error *err)
{
    const char *familiar = catalog_familiar(name);
    const char *last = NULL;
    AUTO(buf_done) struct buf near = {0};
    int shown = 0;

    buf_init(&near, 768);
    for (size_t i = 0; i < catalog->count && shown < NEAR_MAX; i++) {
        const char *have = catalog->items[i].familiar;

        if (!is_near(familiar, have) || (last && strcmp(last, have) == 0))
            continue;
        buf_print(&near, "%s%.200s", shown++ ? ", " : "", have);
        last = have;
    }
    if (shown)
        return fail(err, SM_ENOENT, "no image %s; near it: %.*s", familiar,
                    (int)near.size, (char *)near.data);
    return fail(err, SM_ENOENT, "no image %s: supermachine images lists them",
                familiar);
}

static int find_name(const struct catalog *catalog, const char *text,
                     char **ret_name, struct oci_descriptor *ret,
                     struct sm_error *err)
{
    AUTO(reference_done) struct reference reference = {0};
    AUTO_FREE char *name = NULL;
    int rc = reference_parse(text, &reference, err);

    if (rc)
        return rc;
    if (reference.kind != REFERENCE_REGISTRY)
        return fail(err, SM_EINVAL,
                    "%s: is no image of the store: give its name or ID", text);
    name = reference_canonical(&reference);
    if (!name)
        return fail(err, SM_ENOMEM, "out of memory");
    for (size_t i = 0; i < catalog->count; i++) {
        if (strcmp(catalog->items[i].name, name) != 0)
            continue;
        *ret = catalog->items[i].top;
        *ret_name = own_take(name);
        return 0;
    }
    return no_such_name(catalog, name, err);
}

int catalog_find(const struct catalog *catalog, const char *text,
                 char **ret_name, struct oci_descriptor *ret,
                 struct sm_error *err)
{
    int rc;

    *ret_name = NULL;
    if (!catalog_is_id(text))
        return find_name(catalog, text, ret_name, ret, err);
    rc = find_name(catalog, text, ret_name, ret, NULL);
    return rc ? find_id(catalog, text, ret, err) : 0;
}
