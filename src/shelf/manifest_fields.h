/* manifest_fields.h: one table that says which fields a manifest has, of which
 * type, and within which bounds: by the same rows it is freed, copied, written
 * and read. Limits and sizes of files come by hand. */
#ifndef SM_SHELF_MANIFEST_FIELDS_H
#define SM_SHELF_MANIFEST_FIELDS_H

#include "shelf/manifest.h"

enum { SNAPSHOT_PARTS = 6 };

#define DISK_MAX  (UINT64_C(1) << 46)
#define STATE_MAX (UINT64_C(256) << 20)

/* What is in struct snapshot_manifest at (offset). */
enum snapshot_kind {
    TEXT,     /* char *                 */
    DIGEST,   /* the same: "sha256:..." or "" */
    TEXTS,    /* struct image_strings   */
    NUMBER32, /* uint32_t               */
    NUMBER64, /* uint64_t               */
    TRUTH     /* bool                   */
};

struct snapshot_field {
    const char *key;
    enum snapshot_kind kind;
    size_t offset;
    uint64_t min; /* of a number           */
    uint64_t max; /* also: bytes of a text */
};

/* One object. */
struct snapshot_part {
    const char *key;
    const struct snapshot_field *fields;
    size_t count;
};

extern const struct snapshot_part snapshot_parts[SNAPSHOT_PARTS];

static inline void *snapshot_member(const struct snapshot_manifest *manifest,
                                    const struct snapshot_field *field)
{
    return (char *)(uintptr_t)manifest + field->offset;
}

#endif
