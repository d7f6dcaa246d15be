/* collect.c: names dropped, and what nothing leads to removed; see keep.h. */
#include "image/keep.h"

#include "oci/lease.h"
#include "oci/reach.h"
#include "oci/sweep.h"
#include "proto/resolved.h"
#include "rootfs/store.h"

#include <string.h>

/* What is going on, for the callbacks of those who remove. */
struct collecting {
    const struct keep_request *request;
    struct reporter *reporter;
    struct sm_error untold;       /* the first report that failed */
    struct image_strings records; /* paths of root file systems that are
                                     still asked for by a reference */
    struct catalog before;        /* for `remove`: what is dropped        */
    struct catalog after;         /* what stays                           */
    bool in_use;                  /* see check_use()                      */
};

static void collecting_done(struct collecting *collecting)
{
    image_strings_done(&collecting->records);
    catalog_done(&collecting->before);
    catalog_done(&collecting->after);
}

static void tell(struct collecting *collecting, enum sm_store_change_kind kind,
                 const char *what, const char *why, uint64_t bytes)
{
    const struct image_change change = {
        .kind = (uint8_t)kind,
        .what = (char *)(uintptr_t)what,
        .why = (char *)(uintptr_t)why,
        .bytes = bytes,
    };

    if (!collecting->untold.code)
        (void)report_change(collecting->reporter, &change, &collecting->untold);
}

static void on_removed(void *context, const char *what, uint64_t bytes)
{
    tell(context, SM_STORE_DELETED, what, "", bytes);
}

/* ---- root file systems ---- */

static int note_record(void *context, const char *rootfs, struct sm_error *err)
{
    struct collecting *collecting = context;

    if (rootfs && !image_strings_add(&collecting->records, rootfs))
        return fail(err, SM_ENOMEM, "%s: out of memory", rootfs);
    return 0;
}

static bool is_recorded(const struct collecting *collecting, const char *path)
{
    for (uint32_t i = 0; i < collecting->records.count; i++)
        if (strcmp(collecting->records.items[i], path) == 0)
            return true;
    return false;
}

static bool is_of(const struct catalog *catalog, const struct rootfs_kept *kept)
{
    for (size_t i = 0; i < catalog->count; i++) {
        const struct catalog_entry *entry = &catalog->items[i];
        struct digest key;

        if (rootfs_key(entry->diff_ids, entry->layer_count, kept->disk_bytes,
                       &key, NULL) == 0 &&
            digest_equal(&key, &kept->key))
            return true;
    }
    return false;
}

static int remove_rootfs(struct collecting *collecting,
                         const struct rootfs_kept *kept, struct sm_error *err)
{
    int rc = rootfs_remove(collecting->request->home, &kept->key, err);

    if (rc == SM_EBUSY)
        tell(collecting, SM_STORE_KEPT, kept->path, "a machine runs on it", 0);
    else if (!rc)
        tell(collecting, SM_STORE_DELETED, kept->path, "", kept->freed_bytes);
    return rc == SM_EBUSY ? 0 : rc;
}

/* For `prune`. */
static int prune_rootfs(void *context, const struct rootfs_kept *kept,
                        struct sm_error *err)
{
    struct collecting *collecting = context;

    if (!collecting->request->all && (is_of(&collecting->after, kept) ||
                                      is_recorded(collecting, kept->path)))
        return 0;
    return remove_rootfs(collecting, kept, err);
}

/* For `remove`: of what is dropped, and of nothing that stays. */
static int drop_rootfs(void *context, const struct rootfs_kept *kept,
                       struct sm_error *err)
{
    struct collecting *collecting = context;

    if (!is_of(&collecting->before, kept) || is_of(&collecting->after, kept) ||
        is_recorded(collecting, kept->path))
        return 0;
    return remove_rootfs(collecting, kept, err);
}

/* ---- prune ---- */

static int prune(struct collecting *collecting, const struct store *store,
                 struct sm_error *err)
{
    const struct sweep sweep = {.removed = on_removed, .context = collecting};
    const char *home = collecting->request->home;
    int rc = sweep_blobs(store, &sweep, err);

    if (!rc)
        rc = catalog_load(store, &collecting->after, err);
    if (!rc)
        rc = resolved_walk(home, note_record, collecting, err);
    if (rc)
        return rc;
    rootfs_sweep(home);
    return rootfs_walk(home, prune_rootfs, collecting, err);
}

int keep_prune(const struct keep_request *request, struct reporter *reporter,
               struct sm_error *err)
{
    AUTO(collecting_done)
    struct collecting collecting = {.request = request, .reporter = reporter};
    AUTO(store_closep) struct store *store = NULL;
    AUTO_CLOSE int gate = -1;
    int rc = keep_view(request, &store, err);

    if (!rc)
        rc = gate_lock(store_folder(store), true, &gate, err);
    if (!rc)
        rc = prune(&collecting, store, err);
    return rc ? rc : report_text(reporter, "", err);
}

/* ---- remove ---- */

/* What is dropped, and what it leads to. */
struct dropping {
    struct image_strings names;
    struct digest_set blobs;
};

static void dropping_done(struct dropping *dropping)
{
    image_strings_done(&dropping->names);
    digest_set_done(&dropping->blobs);
}

/* A name leads somewhere even if nothing that it leads to can be read: then
 * it can be dropped all the same. */
static int drop_name(const struct store *store, const char *name,
                     struct dropping *dropping, struct sm_error *err)
{
    struct oci_descriptor top;
    int rc = store_tag_load(store, name, &top, NULL, err);

    if (rc)
        return rc;
    if (!image_strings_add(&dropping->names, name))
        return fail(err, SM_ENOMEM, "out of memory");
    rc = reach_walk(store, &top, reach_add_blobs, &dropping->blobs, err);
    return rc == SM_ENOMEM ? rc : 0;
}

/* Every name of the image whose manifest is (found). */
static int drop_names(const struct store *store, const struct catalog *catalog,
                      const struct oci_descriptor *found,
                      struct dropping *dropping, struct sm_error *err)
{
    const char *last = "";
    int rc = 0;

    for (size_t i = 0; !rc && i < catalog->count; i++) {
        const struct catalog_entry *entry = &catalog->items[i];

        if (!digest_equal(&entry->manifest.digest, &found->digest) ||
            strcmp(entry->name, last) == 0)
            continue;
        last = entry->name;
        rc = drop_name(store, entry->name, dropping, err);
    }
    return rc;
}

/* A name that the catalog does not know, but the store does: damaged. */
static int drop_damaged(const struct store *store, const char *text,
                        struct dropping *dropping, struct sm_error *why)
{
    AUTO(reference_done) struct reference reference = {0};
    AUTO_FREE char *name = NULL;

    if (reference_parse(text, &reference, NULL) != 0 ||
        reference.kind != REFERENCE_REGISTRY)
        return why->code;
    name = reference_canonical(&reference);
    return name && drop_name(store, name, dropping, NULL) == 0 ? 0 : why->code;
}

static int choose(const struct store *store, const struct catalog *catalog,
                  const struct keep_request *request, struct dropping *dropping,
                  struct sm_error *err)
{
    struct sm_error why = {0};
    AUTO_FREE char *name = NULL;
    struct oci_descriptor found;
    int rc = catalog_find(catalog, request->words[0], &name, &found, &why);

    if (rc == SM_ENOENT)
        rc = drop_damaged(store, request->words[0], dropping, &why);
    else if (!rc && name)
        return drop_name(store, name, dropping, err);
    else if (!rc)
        rc = drop_names(store, catalog, &found, dropping, &why);
    if (rc)
        return fail(err, rc, "%s", why.message);
    if (dropping->names.count > 1 && !request->force)
        return fail(err, SM_EBUSY,
                    "image %s has %u names: drop them one by one, or all with "
                    "--force",
                    request->words[0], dropping->names.count);
    return 0;
}

/* The catalog without what is dropped moves to (after), the rest to (before).
 */
static void part_catalog(struct collecting *collecting, struct catalog *all,
                         const struct dropping *dropping)
{
    for (size_t i = 0; i < all->count; i++) {
        struct catalog *to = &collecting->after;

        for (uint32_t k = 0; k < dropping->names.count; k++)
            if (strcmp(all->items[i].name, dropping->names.items[k]) == 0)
                to = &collecting->before;
        to->items[to->count++] = all->items[i];
    }
    all->count = 0;
}

static int check_use(void *context, const struct rootfs_kept *kept,
                     struct sm_error *err)
{
    struct collecting *collecting = context;

    (void)err;
    collecting->in_use |= is_of(&collecting->before, kept) &&
                          !is_of(&collecting->after, kept) &&
                          rootfs_in_use(kept->path);
    return 0;
}

static int plan(struct collecting *collecting, const struct store *store,
                struct dropping *dropping, struct sm_error *err)
{
    const struct keep_request *request = collecting->request;
    AUTO(catalog_done) struct catalog all = {0};
    int rc = catalog_load(store, &all, err);

    if (!rc)
        rc = choose(store, &all, request, dropping, err);
    if (rc)
        return rc;
    collecting->before.items = calloc(all.count + 1, sizeof *all.items);
    collecting->after.items = calloc(all.count + 1, sizeof *all.items);
    if (!collecting->before.items || !collecting->after.items)
        return fail(err, SM_ENOMEM, "out of memory");
    part_catalog(collecting, &all, dropping);
    rc = rootfs_walk(request->home, check_use, collecting, err);
    if (!rc && collecting->in_use && !request->force)
        rc = fail(err, SM_EBUSY,
                  "image %s: a machine runs on it: end that first, or drop the "
                  "name alone with --force",
                  request->words[0]);
    return rc;
}

static int drop(struct collecting *collecting, const struct store *store,
                const struct dropping *dropping, struct sm_error *err)
{
    const struct sweep sweep = {
        .only = &dropping->blobs, .removed = on_removed, .context = collecting};
    const char *home = collecting->request->home;
    int rc = 0;

    for (uint32_t i = 0; !rc && i < dropping->names.count; i++) {
        const char *name = dropping->names.items[i];

        rc = store_tag_remove(store, name, err);
        if (!rc)
            tell(collecting, SM_STORE_UNTAGGED, catalog_familiar(name), "", 0);
    }
    if (!rc)
        rc = sweep_blobs(store, &sweep, err);
    if (!rc)
        rc = resolved_walk(home, note_record, collecting, err);
    return rc ? rc : rootfs_walk(home, drop_rootfs, collecting, err);
}

int keep_remove(const struct keep_request *request, struct reporter *reporter,
                struct sm_error *err)
{
    AUTO(collecting_done)
    struct collecting collecting = {.request = request, .reporter = reporter};
    AUTO(dropping_done) struct dropping dropping = {0};
    AUTO(store_closep) struct store *store = NULL;
    AUTO_CLOSE int gate = -1;
    int rc = keep_view(request, &store, err);

    if (!rc)
        rc = gate_lock(store_folder(store), true, &gate, err);
    if (!rc)
        rc = plan(&collecting, store, &dropping, err);
    if (!rc)
        rc = drop(&collecting, store, &dropping, err);
    return rc ? rc : report_text(reporter, "", err);
}
