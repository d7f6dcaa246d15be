/* manifest_read.c: the manifest of a snapshot out of a text; see manifest.h. */
#include "shelf/manifest_fields.h"

#include "base/bytes.h"
#include "base/json_view.h"
#include "base/own.h"

#include <string.h>

static int get_kind(struct json_view object, const char *key,
                    enum json_kind kind, struct json_view *ret,
                    struct sm_error *err)
{
    *ret = json_field(object, key);
    if (!ret->at)
        return fail(err, SM_EIMAGE, "field \"%s\" is missing", key);
    if (json_kind_of(*ret) != kind)
        return fail(err, SM_EIMAGE, "field \"%s\" is of another type", key);
    return 0;
}

static bool is_digest(const char *text)
{
    enum { DIGITS = 64 };
    static const char head[] = "sha256:";
    const char *digits = text + strlen(head);

    return strncmp(text, head, strlen(head)) == 0 && strlen(digits) == DIGITS &&
           strspn(digits, "0123456789abcdef") == DIGITS;
}

static int get_text(struct json_view object, const struct snapshot_field *field,
                    struct snapshot_manifest *ret, struct sm_error *err)
{
    char **to = snapshot_member(ret, field);
    struct json_view text;
    int rc = get_kind(object, field->key, JSON_IS_STRING, &text, err);

    if (rc)
        return rc;
    *to = json_copy_string(text);
    if (!*to)
        return fail(err, SM_ENOMEM, "out of memory");
    if (strlen(*to) > field->max)
        return fail(err, SM_ELIMIT, "field \"%s\": at most %llu bytes",
                    field->key, (unsigned long long)field->max);
    if (field->kind == DIGEST && **to && !is_digest(*to))
        return fail(err, SM_EIMAGE, "field \"%s\": not a digest", field->key);
    return 0;
}

static int get_item(struct json_view item, const struct snapshot_field *field,
                    struct image_strings *to, struct sm_error *err)
{
    AUTO_FREE char *text = NULL;

    if (json_kind_of(item) != JSON_IS_STRING)
        return fail(err, SM_EIMAGE, "field \"%s\": entry %u is no string",
                    field->key, to->count);
    text = json_copy_string(item);
    if (text && strlen(text) > field->max)
        return fail(err, SM_ELIMIT, "field \"%s\": entry %u is too long",
                    field->key, to->count);
    return text && image_strings_add(to, text)
               ? 0
               : fail(err, SM_ENOMEM, "out of memory");
}

static int get_texts(struct json_view object,
                     const struct snapshot_field *field,
                     struct snapshot_manifest *ret, struct sm_error *err)
{
    struct image_strings *to = snapshot_member(ret, field);
    struct json_view item = {0};
    struct json_view list;
    int rc = get_kind(object, field->key, JSON_IS_ARRAY, &list, err);

    while (!rc && (item = json_item_after(list, item)).at) {
        if (to->count == SNAPSHOT_STRINGS_MAX)
            return fail(err, SM_ELIMIT, "field \"%s\": at most %d entries",
                        field->key, SNAPSHOT_STRINGS_MAX);
        rc = get_item(item, field, to, err);
    }
    return rc;
}

static int get_whole(struct json_view object, const char *key, uint64_t min,
                     uint64_t max, uint64_t *ret, struct sm_error *err)
{
    struct json_view view;
    int64_t number;
    int rc = get_kind(object, key, JSON_IS_NUMBER, &view, err);

    if (rc)
        return rc;
    if (!json_get_whole(view, &number) || number < 0 ||
        (uint64_t)number < min || (uint64_t)number > max)
        return fail(err, SM_EIMAGE, "field \"%s\": not %llu to %llu", key,
                    (unsigned long long)min, (unsigned long long)max);
    *ret = (uint64_t)number;
    return 0;
}

static int get_number(struct json_view object,
                      const struct snapshot_field *field,
                      struct snapshot_manifest *ret, struct sm_error *err)
{
    uint64_t number;
    int rc =
        get_whole(object, field->key, field->min, field->max, &number, err);

    if (rc)
        return rc;
    if (field->kind == NUMBER32)
        *(uint32_t *)snapshot_member(ret, field) = (uint32_t)number;
    else
        *(uint64_t *)snapshot_member(ret, field) = number;
    return 0;
}

static int get_truth(struct json_view object,
                     const struct snapshot_field *field,
                     struct snapshot_manifest *ret, struct sm_error *err)
{
    enum json_kind kind = json_kind_of(json_field(object, field->key));

    if (kind != JSON_IS_TRUE && kind != JSON_IS_FALSE)
        return fail(err, SM_EIMAGE, "field \"%s\" is not true or false",
                    field->key);
    *(bool *)snapshot_member(ret, field) = kind == JSON_IS_TRUE;
    return 0;
}

static int get_field(struct json_view object,
                     const struct snapshot_field *field,
                     struct snapshot_manifest *ret, struct sm_error *err)
{
    switch (field->kind) {
    case TEXT:
    case DIGEST:
        return get_text(object, field, ret, err);
    case TEXTS:
        return get_texts(object, field, ret, err);
    case NUMBER32:
    case NUMBER64:
        return get_number(object, field, ret, err);
    case TRUTH:
    default:
        return get_truth(object, field, ret, err);
    }
}

static int check_count(struct json_view object, size_t count, const char *what,
                       struct sm_error *err)
{
    return json_count(object) == count
               ? 0
               : fail(err, SM_EIMAGE, "%s: has unknown fields", what);
}

static int get_part(struct json_view root, const struct snapshot_part *part,
                    struct snapshot_manifest *ret, struct sm_error *err)
{
    struct json_view object;
    int rc = get_kind(root, part->key, JSON_IS_OBJECT, &object, err);

    if (rc)
        return rc;
    for (size_t i = 0; i < part->count && !rc; i++)
        rc = get_field(object, &part->fields[i], ret, err);
    if (!rc)
        rc = check_count(object, part->count, part->key, err);
    return rc ? wrap(err, rc, "%s", part->key) : 0;
}

static bool get_limit(struct json_view from, struct agent_rlimit *to)
{
    int64_t numbers[3];
    struct json_view at = {0};

    if (json_count(from) != ARRAY_LEN(numbers))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        at = json_item_after(from, at);
        if (!json_get_whole(at, &numbers[i]) || numbers[i] < -1)
            return false;
    }
    *to = (struct agent_rlimit){(uint32_t)numbers[0], (uint64_t)numbers[1],
                                (uint64_t)numbers[2]};
    return numbers[0] >= 0 && numbers[0] < SNAPSHOT_LIMITS_MAX &&
           to->soft <= to->hard;
}

static int get_limits(struct json_view root, struct snapshot_manifest *ret,
                      struct sm_error *err)
{
    struct json_view item = {0};
    struct json_view list;
    int rc = get_kind(root, "limits", JSON_IS_ARRAY, &list, err);

    if (rc)
        return rc;
    while ((item = json_item_after(list, item)).at) {
        if (ret->limit_count == SNAPSHOT_LIMITS_MAX)
            return fail(err, SM_ELIMIT, "limits: at most %d",
                        SNAPSHOT_LIMITS_MAX);
        if (!get_limit(item, &ret->limits[ret->limit_count]))
            return fail(err, SM_EIMAGE, "limits: entry %u is none",
                        ret->limit_count);
        ret->limit_count++;
    }
    return 0;
}

static bool has_key(struct json_view object, unsigned file)
{
    char name[SNAPSHOT_FILE_NAME_MAX];

    snapshot_file_name(file, name);
    return json_field(object, name).at != NULL;
}

static int get_files(struct json_view root, struct snapshot_manifest *ret,
                     struct sm_error *err)
{
    struct json_view sizes;
    size_t count = 0;
    int rc = get_kind(root, "files", JSON_IS_OBJECT, &sizes, err);

    if (rc)
        return rc;
    ret->differential = has_key(sizes, SNAPSHOT_DIFFERENTIAL);
    while (ret->layer_count < SNAPSHOT_LAYERS_MAX &&
           has_key(sizes, SNAPSHOT_DISK + ret->layer_count))
        ret->layer_count++;
    for (unsigned file = 0; file < SNAPSHOT_FILES && !rc; file++) {
        char name[SNAPSHOT_FILE_NAME_MAX];

        if (!snapshot_has_file(ret, file))
            continue;
        snapshot_file_name(file, name);
        rc = get_whole(sizes, name, 1, INT64_MAX, &ret->bytes[file], err);
        count++;
    }
    if (!rc)
        rc = check_count(sizes, count, "files", err);
    return rc ? wrap(err, rc, "files") : 0;
}

/* What must hold between fields. */
static int check_sizes(const struct snapshot_manifest *manifest,
                       struct sm_error *err)
{
    const uint64_t *bytes = manifest->bytes;

    if (!is_aligned(manifest->memory_bytes, 2 * MIB))
        return fail(err, SM_EIMAGE, "memory_bytes: not a multiple of 2 MiB");
    if (bytes[SNAPSHOT_STATE] == 0 || bytes[SNAPSHOT_STATE] > STATE_MAX)
        return fail(err, SM_EIMAGE, "state of %llu bytes: 1 to %llu",
                    (unsigned long long)bytes[SNAPSHOT_STATE],
                    (unsigned long long)STATE_MAX);
    /* A template's file goes on behind the memory. */
    if (bytes[SNAPSHOT_MEMORY] < manifest->memory_bytes ||
        bytes[SNAPSHOT_MEMORY] > manifest->memory_bytes + STATE_MAX)
        return fail(err, SM_EIMAGE, "memory of %llu bytes: not its machine's",
                    (unsigned long long)bytes[SNAPSHOT_MEMORY]);
    if (bytes[SNAPSHOT_DIFFERENTIAL] > manifest->memory_bytes)
        return fail(err, SM_EIMAGE, "differential is longer than the memory");
    if (bytes[SNAPSHOT_ROOTFS] != manifest->disk_bytes)
        return fail(err, SM_EIMAGE, "rootfs is not of the disk's size");
    for (unsigned i = 0; i < manifest->layer_count; i++)
        if (bytes[SNAPSHOT_DISK + i] == 0 ||
            bytes[SNAPSHOT_DISK + i] > DISK_MAX)
            return fail(err, SM_EIMAGE, "disk.%u of %llu bytes", i,
                        (unsigned long long)bytes[SNAPSHOT_DISK + i]);
    return 0;
}

static int check_words(const struct snapshot_manifest *manifest,
                       struct sm_error *err)
{
    const char *workdir = manifest->defaults.workdir;

    if (workdir[0] && workdir[0] != '/')
        return fail(err, SM_EIMAGE, "workdir: not absolute");
    for (uint32_t i = 0; i < manifest->labels.count; i++)
        if (strchr("=", manifest->labels.items[i][0]))
            return fail(err, SM_EIMAGE, "label %u: without a name", i);
    return 0;
}

static int get_all(struct json_view root, struct snapshot_manifest *ret,
                   struct sm_error *err)
{
    enum { MORE = 3 }; /* version, limits, files */
    uint64_t version;
    int rc = get_whole(root, "version", 0, INT64_MAX, &version, err);

    if (rc)
        return rc;
    if (version != SNAPSHOT_MANIFEST_VERSION)
        return fail(err, SM_ENOTSUP, "of version %llu: this is for version %d",
                    (unsigned long long)version, SNAPSHOT_MANIFEST_VERSION);
    for (size_t i = 0; i < SNAPSHOT_PARTS && !rc; i++)
        rc = get_part(root, &snapshot_parts[i], ret, err);
    if (!rc)
        rc = get_limits(root, ret, err);
    if (!rc)
        rc = get_files(root, ret, err);
    if (!rc)
        rc = check_count(root, SNAPSHOT_PARTS + MORE, "manifest", err);
    if (!rc)
        rc = check_sizes(ret, err);
    return rc ? rc : check_words(ret, err);
}

int snapshot_manifest_read(const void *text, size_t count,
                           struct snapshot_manifest *ret, struct sm_error *err)
{
    struct snapshot_manifest manifest = {0};
    struct json_view root;
    int rc;

    if (count > SNAPSHOT_MANIFEST_MAX)
        return fail(err, SM_ELIMIT, "of %zu bytes: at most %d", count,
                    SNAPSHOT_MANIFEST_MAX);
    rc = json_check(text, count, &root, err);
    if (!rc)
        rc = get_all(root, &manifest, err);
    if (rc) {
        snapshot_manifest_done(&manifest);
        return rc;
    }
    *ret = manifest;
    return 0;
}
