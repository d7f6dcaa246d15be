/* manifest.c: the manifest of a snapshot in memory, and as text; see
 * manifest.h. */
#include "shelf/manifest_fields.h"

#include "base/json_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- files ---- */

void snapshot_file_name(unsigned file, char to[SNAPSHOT_FILE_NAME_MAX])
{
    static const char *const names[] = {
        [SNAPSHOT_STATE] = "state",
        [SNAPSHOT_MEMORY] = "memory",
        [SNAPSHOT_DIFFERENTIAL] = "differential",
        [SNAPSHOT_ROOTFS] = "rootfs",
    };

    if (file < SNAPSHOT_DISK)
        snprintf(to, SNAPSHOT_FILE_NAME_MAX, "%s", names[file]);
    else
        snprintf(to, SNAPSHOT_FILE_NAME_MAX, "disk.%u", file - SNAPSHOT_DISK);
}

bool snapshot_has_file(const struct snapshot_manifest *manifest, unsigned file)
{
    if (file == SNAPSHOT_DIFFERENTIAL)
        return manifest->differential;
    return file < SNAPSHOT_DISK + manifest->layer_count;
}

/* ---- in memory ---- */

static void field_done(struct snapshot_manifest *manifest,
                       const struct snapshot_field *field)
{
    void *at = snapshot_member(manifest, field);

    if (field->kind == TEXTS) {
        image_strings_done(at);
    } else if (field->kind == TEXT || field->kind == DIGEST) {
        free(*(char **)at);
        *(char **)at = NULL;
    }
}

void snapshot_manifest_done(struct snapshot_manifest *manifest)
{
    for (size_t i = 0; i < SNAPSHOT_PARTS; i++)
        for (size_t j = 0; j < snapshot_parts[i].count; j++)
            field_done(manifest, &snapshot_parts[i].fields[j]);
}

static bool copy_field(struct snapshot_manifest *to,
                       const struct snapshot_manifest *from,
                       const struct snapshot_field *field)
{
    const struct image_strings *list = snapshot_member(from, field);
    char *const *text = snapshot_member(from, field);
    char **copy = snapshot_member(to, field);
    bool fine = true;

    if (field->kind == TEXTS) {
        *(struct image_strings *)snapshot_member(to, field) =
            (struct image_strings){0};
        for (uint32_t i = 0; i < list->count && fine; i++)
            fine =
                image_strings_add(snapshot_member(to, field), list->items[i]);
    } else if (field->kind == TEXT || field->kind == DIGEST) {
        *copy = strdup(*text ? *text : "");
        fine = *copy != NULL;
    }
    return fine;
}

int snapshot_manifest_copy(struct snapshot_manifest *to,
                           const struct snapshot_manifest *from,
                           struct sm_error *err)
{
    bool fine = true;

    *to = *from;
    for (size_t i = 0; i < SNAPSHOT_PARTS; i++)
        for (size_t j = 0; j < snapshot_parts[i].count; j++)
            fine &= copy_field(to, from, &snapshot_parts[i].fields[j]);
    if (fine)
        return 0;
    snapshot_manifest_done(to);
    return fail(err, SM_ENOMEM, "snapshot: out of memory");
}

/* ---- writing ---- */

static void put_strings(struct buf *to, const struct image_strings *list)
{
    buf_print(to, "[");
    for (uint32_t i = 0; i < list->count; i++) {
        buf_print(to, i ? ", " : "");
        json_put_string(to, list->items[i]);
    }
    buf_print(to, "]");
}

static void put_field(struct buf *to, const struct snapshot_manifest *manifest,
                      const struct snapshot_field *field)
{
    const void *at = snapshot_member(manifest, field);

    buf_print(to, "\"%s\": ", field->key);
    switch (field->kind) {
    case TEXT:
    case DIGEST:
        json_put_string(to, *(char *const *)at ? *(char *const *)at : "");
        break;
    case TEXTS:
        put_strings(to, at);
        break;
    case NUMBER32:
        buf_print(to, "%u", *(const uint32_t *)at);
        break;
    case NUMBER64:
        buf_print(to, "%llu", (unsigned long long)*(const uint64_t *)at);
        break;
    case TRUTH:
        buf_print(to, *(const bool *)at ? "true" : "false");
        break;
    }
}

/* JSON's numbers of ours have 63 bits; what is beyond is no limit. */
static long long limit_number(uint64_t limit)
{
    return limit > INT64_MAX ? -1 : (long long)limit;
}

static void put_limits(struct buf *to, const struct snapshot_manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->limit_count; i++) {
        const struct agent_rlimit *limit = &manifest->limits[i];

        buf_print(to, "%s[%u, %lld, %lld]", i ? ", " : "", limit->resource,
                  limit_number(limit->soft), limit_number(limit->hard));
    }
}

static void put_files(struct buf *to, const struct snapshot_manifest *manifest)
{
    bool some = false;

    for (unsigned file = 0; file < SNAPSHOT_FILES; file++) {
        char name[SNAPSHOT_FILE_NAME_MAX];

        if (!snapshot_has_file(manifest, file))
            continue;
        snapshot_file_name(file, name);
        buf_print(to, "%s\"%s\": %llu", some ? ", " : "", name,
                  (unsigned long long)manifest->bytes[file]);
        some = true;
    }
}

void snapshot_manifest_write(struct buf *to,
                             const struct snapshot_manifest *manifest)
{
    buf_print(to, "{\"version\": %d", SNAPSHOT_MANIFEST_VERSION);
    for (size_t i = 0; i < SNAPSHOT_PARTS; i++) {
        buf_print(to, ",\n \"%s\": {", snapshot_parts[i].key);
        for (size_t j = 0; j < snapshot_parts[i].count; j++) {
            buf_print(to, j ? ",\n  " : "\n  ");
            put_field(to, manifest, &snapshot_parts[i].fields[j]);
        }
        buf_print(to, "}");
    }
    buf_print(to, ",\n \"limits\": [");
    put_limits(to, manifest);
    buf_print(to, "],\n \"files\": {");
    put_files(to, manifest);
    buf_print(to, "}}\n");
}
