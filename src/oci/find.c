/* find.c: which entry of a list of images is meant; see find.h. */
#include "oci/find.h"

#include "base/near.h"
#include "base/own.h"

#include <stdio.h>
#include <string.h>

enum { TAGS_SHOWN_MAX = 10 };

/* "a, b, c and 4 more" */
static void list_tags(const struct oci_index *index, char *to, size_t size)
{
    size_t used = 0;
    unsigned shown = 0;
    unsigned more = 0;

    to[0] = '\0';
    for (size_t i = 0; i < index->count; i++) {
        const char *tag = index->items[i].tag;

        if (!tag)
            continue;
        if (shown == TAGS_SHOWN_MAX || used + strlen(tag) + 24 > size) {
            more++;
            continue;
        }
        used += (size_t)snprintf(to + used, size - used, "%s%s",
                                 shown ? ", " : "", tag);
        shown++;
    }
    if (more)
        snprintf(to + used, size - used, " and %u more", more);
}

static int no_such_tag(const struct oci_index *index, const char *where,
                       const char *tag, struct sm_error *err)
{
    char nearest[NEAR_TEXT_MAX];
    char tags[512];
    struct near near;

    list_tags(index, tags, sizeof tags);
    if (!tags[0])
        return fail(err, SM_ENOENT, "%s: no tag \"%s\": nothing is tagged",
                    where, tag);
    if (index->count > TAGS_SHOWN_MAX) {
        near_init(&near, tag);
        for (size_t i = 0; i < index->count; i++)
            if (index->items[i].tag)
                near_add(&near, index->items[i].tag);
        near_text(&near, nearest);
        return fail(err, SM_ENOENT, "%s: no tag \"%s\"; near it: %s", where,
                    tag, nearest);
    }
    return fail(err, SM_ENOENT, "%s: no tag \"%s\": there is %s", where, tag,
                tags);
}

/* Those entries that carry (tag), or no tag at all if it is NULL; they share
 * their memory with (index). */
static struct oci_index filter_by_tag(const struct oci_index *index,
                                      const char *tag,
                                      struct oci_descriptor *room)
{
    struct oci_index found = {.items = room};

    for (size_t i = 0; i < index->count; i++) {
        const char *have = index->items[i].tag;

        if (tag ? have && strcmp(have, tag) == 0 : !have)
            found.items[found.count++] = index->items[i];
    }
    return found;
}

/*
 * Without a tag: the only entry, else what is tagged "latest", else, if none
 * has a tag, all of them as one index over platforms.
 */
static int find_entries(const struct oci_index *index, const char *where,
                        const char *tag, struct oci_descriptor *room,
                        struct oci_index *ret, struct sm_error *err)
{
    char tags[512];

    if (index->count == 0)
        return fail(err, SM_ENOENT, "%s: has no image", where);
    *ret = filter_by_tag(index, tag ? tag : "latest", room);
    if (tag && !ret->count)
        return no_such_tag(index, where, tag, err);
    if (ret->count)
        return 0;
    if (index->count == 1) {
        *ret = *index;
        return 0;
    }
    *ret = filter_by_tag(index, NULL, room);
    if (ret->count == index->count)
        return 0;
    list_tags(index, tags, sizeof tags);
    return fail(err, SM_EINVAL, "%s: which image is meant? It has the tags %s",
                where, tags);
}

int oci_index_find(const struct oci_index *index, const char *where,
                   const char *tag, const struct oci_platform *platform,
                   struct oci_descriptor *ret, struct sm_error *err)
{
    AUTO_FREE struct oci_descriptor *room =
        calloc(index->count + 1, sizeof *room);
    const struct oci_descriptor *chosen;
    struct oci_index found;
    char text[PLATFORM_TEXT_MAX];
    int rc;

    if (!room)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = find_entries(index, where, tag, room, &found, err);
    if (rc)
        return rc;
    chosen = oci_index_choose(&found, platform);
    if (chosen) {
        *ret = oci_descriptor_plain(chosen);
        return 0;
    }
    if (found.items[0].media == MEDIA_OTHER)
        return fail(err, SM_ENOTSUP,
                    "%s: media type \"%s\" is no image: nothing to run", where,
                    found.items[0].media_type);
    platform_text(platform, text);
    return fail(err, SM_ENOENT, "%s: no image for platform %s", where, text);
}
