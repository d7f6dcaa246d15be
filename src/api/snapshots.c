/* snapshots.c: snapshots that are kept, as the public header has them. */
#include "api/inside.h"

#include "api/kept.h"
#include "base/json_text.h"
#include "base/own.h"
#include "shelf/shelf.h"

#include <string.h>

enum {
    INSPECTION_MAX = SNAPSHOT_MANIFEST_MAX + (1 << 20),
    LINE_MAX_BYTES = 4 << 20
};

/* ---- as a user sees it ---- */

/* The command that goes on, as it would be typed. */
static void put_command(struct buf *to, const struct snapshot_manifest *of)
{
    for (uint32_t i = 0; i < of->program.argv.count; i++)
        buf_print(to, "%s%s", i ? " " : "", of->program.argv.items[i]);
}

static void put_line(struct buf *to, const struct shelf_item *item,
                     const char *command)
{
    const struct snapshot_manifest *manifest = item->manifest;

    buf_print(to, "{\"name\":");
    json_put_string(to, item->name);
    buf_print(to, ",\"image\":");
    json_put_string(to, manifest->image);
    buf_print(to, ",\"command\":");
    json_put_string(to, command);
    buf_print(to, ",\"created\":%llu,\"memory_bytes\":%llu,\"vcpus\":%u",
              (unsigned long long)manifest->created_s,
              (unsigned long long)manifest->memory_bytes, manifest->vcpus);
    buf_print(to, ",\"own_bytes\":%llu,\"shared_bytes\":%llu,\"parent\":",
              (unsigned long long)item->own_bytes,
              (unsigned long long)item->shared_bytes);
    json_put_string(to, manifest->parent);
}

/* ---- list ---- */

struct listing {
    void (*report)(void *context, const struct sm_stored_snapshot *snapshot);
    void *context;
};

static int report_item(void *context, const struct shelf_item *item,
                       struct sm_error *err)
{
    const struct listing *listing = context;
    const struct snapshot_manifest *manifest = item->manifest;
    AUTO_FREE char *command = NULL;
    AUTO_FREE char *json = NULL;
    struct buf text;

    buf_init(&text, LINE_MAX_BYTES);
    put_command(&text, manifest);
    command = buf_take_string(&text);
    buf_init(&text, LINE_MAX_BYTES);
    put_line(&text, item, command ? command : "");
    buf_print(&text, "}");
    json = buf_take_string(&text);
    if (!command || !json)
        return fail(err, SM_ENOMEM, "snapshots: out of memory");
    listing->report(listing->context,
                    &(struct sm_stored_snapshot){
                        .name = item->name,
                        .image = manifest->image,
                        .command = command,
                        .json = json,
                        .created_s = manifest->created_s,
                        .memory_bytes = manifest->memory_bytes,
                        .vcpus = manifest->vcpus,
                        .own_bytes = item->own_bytes,
                        .shared_bytes = item->shared_bytes,
                    });
    return 0;
}

int sm_snapshot_list(struct sm_host *host,
                     void (*report)(void *context,
                                    const struct sm_stored_snapshot *snapshot),
                     void *context, struct sm_error *err)
{
    struct listing listing = {.report = report, .context = context};

    return shelf_walk(host->home, report_item, &listing, err);
}

/* ---- "snapshot:NAME" ---- */

const char *kept_snapshot(const char *name)
{
    static const char prefix[] = "snapshot:";

    return strncmp(name, prefix, strlen(prefix)) == 0 ? name + strlen(prefix)
                                                      : NULL;
}

static int inspect_item(void *context, const struct shelf_item *item,
                        struct sm_error *err)
{
    char **ret = context;
    AUTO_FREE char *command = NULL;
    struct buf text;

    buf_init(&text, LINE_MAX_BYTES);
    put_command(&text, item->manifest);
    command = buf_take_string(&text);
    buf_init(&text, INSPECTION_MAX);
    put_line(&text, item, command ? command : "");
    buf_print(&text, ",\"manifest\":");
    snapshot_manifest_write(&text, item->manifest);
    buf_print(&text, "}");
    *ret = buf_take_string(&text);
    return *ret && command ? 0
                           : fail(err, SM_ENOMEM, "snapshot: out of memory");
}

int kept_inspect(struct sm_host *host, const char *snapshot, char **ret,
                 struct sm_error *err)
{
    char *text = NULL;
    int rc = shelf_look(host->home, snapshot, inspect_item, &text, err);

    if (rc)
        free(text);
    else
        *ret = text;
    return rc;
}

int kept_remove(struct sm_host *host, const char *snapshot, kept_change_fn *fn,
                void *context, struct sm_error *err)
{
    uint64_t bytes = 0;
    int rc = shelf_remove(host->home, snapshot, &bytes, err);

    if (!rc && fn)
        fn(context, &(struct sm_store_change){.kind = SM_STORE_DELETED,
                                              .what = snapshot,
                                              .why = "",
                                              .bytes = bytes});
    return rc;
}
