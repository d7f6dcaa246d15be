/* layout.c: OCI image layouts; see layout.h. */
#include "oci/layout.h"

#include "base/own.h"
#include "oci/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { TAGS_SHOWN_MAX = 10 };

struct layout {
    struct oci_source source;
    char *path;
    int folder;
    struct oci_index index;
};

static struct layout *layout_of(struct oci_source *source)
{
    return (struct layout *)source;
}

static void close_layout(struct oci_source *source)
{
    struct layout *layout = layout_of(source);

    oci_index_done(&layout->index);
    image_witnesses_done(&layout->source.witnesses);
    if (layout->folder >= 0)
        close(layout->folder);
    free(layout->path);
    free(layout);
}

/* Open a regular file of the layout; a FIFO must not make us wait. */
static int open_file(const struct layout *layout, const char *name, int *ret_fd,
                     struct sm_error *err)
{
    struct stat st;
    AUTO_CLOSE int fd =
        openat(layout->folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return fail_os(err, "open %s/%s", layout->path, name);
    if (fstat(fd, &st) != 0)
        return fail_os(err, "stat %s/%s", layout->path, name);
    if (!S_ISREG(st.st_mode))
        return fail(err, SM_EIMAGE, "%s/%s: is no regular file", layout->path,
                    name);
    *ret_fd = own_take_fd(&fd);
    return 0;
}

/* A small file as it is now, and its identity as a witness. */
static int read_file(struct layout *layout, const char *name, struct buf *to,
                     struct sm_error *err)
{
    AUTO_CLOSE int fd = -1;
    AUTO_FREE char *path = NULL;
    int rc = open_file(layout, name, &fd, err);

    if (rc)
        return rc;
    if (asprintf(&path, "%s/%s", layout->path, name) < 0) {
        path = NULL;
        return fail(err, SM_ENOMEM, "out of memory");
    }
    rc = image_witness_add(&layout->source.witnesses, fd, path, err);
    while (!rc) {
        uint8_t *room = buf_room(to, 16 << 10);
        ssize_t got = room ? read(fd, room, 16 << 10) : 0;

        if (!room)
            return fail(err, SM_ELIMIT, "%s: longer than %zu bytes", path,
                        to->cap);
        if (got < 0 && errno != EINTR)
            return fail_os(err, "read %s", path);
        if (got == 0)
            break;
        if (got > 0)
            buf_added(to, (size_t)got);
    }
    return rc;
}

static int check_version(struct layout *layout, struct sm_error *err)
{
    AUTO(json_unref) json_t *json = NULL;
    AUTO(buf_done) struct buf text = {0};
    const char *version;
    int rc;

    buf_init(&text, 64 << 10);
    rc = read_file(layout, "oci-layout", &text, err);
    if (rc == SM_ENOENT)
        return fail(err, SM_EIMAGE,
                    "%s: is no OCI layout: it has no file oci-layout",
                    layout->path);
    if (rc)
        return rc;
    rc = json_parse(text.data, text.size, &json, err);
    if (!rc)
        rc = json_string_of(json, "imageLayoutVersion", true, &version, err);
    if (rc)
        return wrap(err, rc, "%s/oci-layout", layout->path);
    if (strncmp(version, "1.", 2) != 0)
        return fail(err, SM_ENOTSUP,
                    "%s: OCI layout of version \"%.32s\": must be 1.x",
                    layout->path, version);
    return 0;
}

static int read_index(struct layout *layout, struct sm_error *err)
{
    AUTO(buf_done) struct buf text = {0};
    int rc;

    buf_init(&text, JSON_DOCUMENT_MAX);
    rc = read_file(layout, "index.json", &text, err);
    if (rc)
        return rc;
    rc = oci_index_parse(text.data, text.size, &layout->index, err);
    return rc ? wrap(err, rc, "%s/index.json", layout->path) : 0;
}

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

static int no_such_tag(const struct layout *layout, const char *tag,
                       struct sm_error *err)
{
    char tags[512];

    list_tags(&layout->index, tags, sizeof tags);
    if (!tags[0])
        return fail(err, SM_ENOENT, "%s: no tag \"%s\": nothing is tagged",
                    layout->path, tag);
    return fail(err, SM_ENOENT, "%s: no tag \"%s\": there is %s", layout->path,
                tag, tags);
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
static int find_entries(const struct layout *layout, const char *tag,
                        struct oci_descriptor *room, struct oci_index *ret,
                        struct sm_error *err)
{
    const struct oci_index *index = &layout->index;
    char tags[512];

    if (index->count == 0)
        return fail(err, SM_ENOENT, "%s: the layout has no image",
                    layout->path);
    *ret = filter_by_tag(index, tag ? tag : "latest", room);
    if (tag && !ret->count)
        return no_such_tag(layout, tag, err);
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
                layout->path, tags);
}

static int find(struct oci_source *source, const char *tag,
                const struct oci_platform *platform, struct oci_descriptor *ret,
                struct sm_error *err)
{
    struct layout *layout = layout_of(source);
    AUTO_FREE struct oci_descriptor *room =
        calloc(layout->index.count + 1, sizeof *room);
    const struct oci_descriptor *chosen;
    struct oci_index found;
    char text[PLATFORM_TEXT_MAX];
    int rc;

    if (!room)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = find_entries(layout, tag, room, &found, err);
    if (rc)
        return rc;
    chosen = oci_index_choose(&found, platform);
    if (chosen) {
        *ret = oci_descriptor_plain(chosen);
        return 0;
    }
    if (found.items[0].media == MEDIA_OTHER)
        return fail(err, SM_ENOTSUP,
                    "%s: media type \"%s\" is no image: nothing to run",
                    layout->path, found.items[0].media_type);
    platform_text(platform, text);
    return fail(err, SM_ENOENT, "%s: no image for platform %s", layout->path,
                text);
}

static int open_blob(struct oci_source *source,
                     const struct oci_descriptor *descriptor, struct blob **ret,
                     struct sm_error *err)
{
    struct layout *layout = layout_of(source);
    char hex[DIGEST_HEX_MAX];
    char name[16 + DIGEST_HEX_MAX];
    AUTO_CLOSE int fd = -1;
    struct stat st;
    int rc;

    digest_hex(&descriptor->digest, hex);
    snprintf(name, sizeof name, "blobs/%s/%s",
             digest_name(descriptor->digest.kind), hex);
    rc = open_file(layout, name, &fd, err);
    if (rc)
        return rc;
    if (fstat(fd, &st) != 0)
        return fail_os(err, "stat %s/%s", layout->path, name);
    if ((uint64_t)st.st_size != descriptor->bytes)
        return fail(err, SM_EIMAGE,
                    "blob %s: has %llu bytes, its descriptor says %llu", hex,
                    (unsigned long long)st.st_size,
                    (unsigned long long)descriptor->bytes);
    return blob_open(own_take_fd(&fd), 0, descriptor->bytes,
                     &descriptor->digest, ret, err);
}

static const struct oci_source_ops layout_ops = {
    .find = find,
    .blob_open = open_blob,
    .close = close_layout,
};

int layout_open(const char *folder, struct oci_source **ret,
                struct sm_error *err)
{
    AUTO(oci_source_closep) struct oci_source *source = NULL;
    struct layout *layout = calloc(1, sizeof *layout);
    int rc;

    if (!layout)
        return fail(err, SM_ENOMEM, "out of memory");
    source = &layout->source;
    source->ops = &layout_ops;
    layout->path = strdup(folder);
    layout->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (layout->folder < 0)
        return errno == ENOTDIR
                   ? fail(err, SM_EIMAGE, "%s: is no folder", folder)
                   : fail_os(err, "open OCI layout %s", folder);
    if (!layout->path)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = check_version(layout, err);
    if (!rc)
        rc = read_index(layout, err);
    if (!rc)
        *ret = own_take(source);
    return rc;
}
