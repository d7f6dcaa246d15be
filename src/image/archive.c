/* archive.c: images loaded and saved; see keep.h. */
#include "image/keep.h"

#include "base/own.h"
#include "oci/load.h"
#include "oci/save.h"
#include "platform/file.h"

#include <string.h>

/* ---- load ---- */

struct telling {
    struct reporter *reporter;
    struct sm_error untold; /* the first report that failed */
};

static void on_loaded(void *context, const char *name)
{
    struct telling *telling = context;
    const struct image_change change = {
        .kind = SM_STORE_LOADED,
        .what = (char *)(uintptr_t)catalog_familiar(name),
        .why = (char *)(uintptr_t) "",
    };

    if (!telling->untold.code)
        (void)report_change(telling->reporter, &change, &telling->untold);
}

int keep_load(const struct keep_request *request, struct reporter *reporter,
              struct sm_error *err)
{
    struct telling telling = {.reporter = reporter};
    int rc;

    if (keep_snapshot_name(request->name))
        return keep_snapshot_load(request, reporter, err);
    rc = folder_make(request->home, err);
    if (!rc)
        rc = load_archive(&(struct load_request){.home = request->home,
                                                 .fd = request->file,
                                                 .name = request->name,
                                                 .loaded = on_loaded,
                                                 .context = &telling},
                          err);
    return rc ? rc : report_text(reporter, "", err);
}

/* ---- save ---- */

static int parse_format(const char *text, enum save_format *ret,
                        struct sm_error *err)
{
    if (!text || strcmp(text, "oci-archive") == 0)
        *ret = SAVE_OCI;
    else if (strcmp(text, "docker-archive") == 0)
        *ret = SAVE_DOCKER;
    else
        return fail(err, SM_EINVAL,
                    "format %s: must be oci-archive or docker-archive", text);
    return 0;
}

int keep_save(const struct keep_request *request, struct reporter *reporter,
              struct sm_error *err)
{
    AUTO_FREE struct save_item *items = calloc(request->count, sizeof *items);
    AUTO(catalog_done) struct catalog catalog = {0};
    AUTO(store_closep) struct store *store = NULL;
    enum save_format format = SAVE_OCI;
    int rc;

    if (keep_snapshot_name(request->words[0]))
        return keep_snapshot_save(request, reporter, err);
    rc = parse_format(request->format, &format, err);
    if (!items)
        return fail(err, SM_ENOMEM, "out of memory");
    if (!rc)
        rc = keep_view(request, &store, err);
    if (!rc)
        rc = catalog_load(store, &catalog, err);
    for (unsigned i = 0; !rc && i < request->count; i++)
        rc = keep_choose(&catalog, request->words[i], request->platform,
                         &items[i].entry, &items[i].named, err);
    if (!rc)
        rc = save_archive(request->home, items, request->count, format,
                          request->file, err);
    return rc ? rc : report_text(reporter, "", err);
}
