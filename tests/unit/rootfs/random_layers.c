/* random_layers.c: see random_layers.h. */
#include "random_layers.h"

#include "../oci/stand.h"

#include <stdio.h>
#include <string.h>

enum {
    ENTRY_BYTES = 6,
    SIZE_UNIT = 1000,
    END_OF_LAYER = 0xff,
    TAR_BYTES = 8 << 20
};

static const char *const plain_names[] = {
    "a",
    "b",
    "c",
    "d",
    "a/b",
    "a/c",
    "b/a",
    "b/c",
    "c/a",
    "a/b/c",
    "a/b/c/d",
    "./",
    "/a/d",
    "d/",
    /* Long, so that a directory fills its block sooner. */
    "name-of-a-file-that-is-longer-than-those-of-one-letter",
};
static const char *const wild_names[] = {
    ".wh.a",          ".wh.b",  "a/.wh.b",   "a/.wh..wh..opq", "b/.wh.c",
    ".wh..wh..opq",   "c/.wh.", "../a",      "a/../../b",      "..",
    ".wh..wh.plnk/1", "",       "a/.wh.b/c", "a/../b",         ".",
};

/* One name in ten is a whiteout or worse. */
static const char *pick_name(uint8_t by)
{
    if (by < 230)
        return plain_names[by % (sizeof plain_names / sizeof plain_names[0])];
    return wild_names[by % (sizeof wild_names / sizeof wild_names[0])];
}

static void add_entry(struct buf *tar, const uint8_t bytes[ENTRY_BYTES])
{
    static const char types[] = "0012345S70105555222000";
    struct tar_entry entry = {
        .name = pick_name(bytes[1]),
        .type = types[bytes[0] % (sizeof types - 1)],
        .link = pick_name(bytes[2]),
        .size = (uint64_t)bytes[3] * bytes[3] / 2,
        .mode = bytes[4] * 16U,
        .minor = bytes[5],
        .uid = bytes[5] * 1000000U,
    };
    struct buf pax;

    buf_init(&pax, 64 << 10);
    if (bytes[4] & 1) {
        tar_pax(&pax, "SCHILY.xattr.user.x", tar->data,
                tar->size < 8U * bytes[5] ? tar->size : 8U * bytes[5]);
        entry.pax = &pax;
    }
    if (entry.type != '0' && entry.type != 'S' && entry.type != '7')
        entry.size = 0;
    tar_add(tar, &entry);
    buf_done(&pax);
}

void random_layer(struct buf *tar, const uint8_t **bytes, size_t *count)
{
    while (*count >= ENTRY_BYTES) {
        bool end = **bytes == END_OF_LAYER || tar->size > TAR_BYTES;

        if (!end)
            add_entry(tar, *bytes);
        *bytes += ENTRY_BYTES;
        *count -= ENTRY_BYTES;
        if (end)
            return;
    }
    *count = 0;
}
