/* layout.c: OCI image layouts; see layout.h. */
#include "oci/layout.h"

#include "base/own.h"
#include "oci/find.h"
#include "oci/json.h"
#include "platform/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct layout {
    struct oci_source source;
    char *path;
    int fd;        /* of the folder, or of the archive         */
    bool archived; /* then (tar) says where its files are      */
    struct tar tar;
    struct oci_index index;
};

/* A file of the layout: a whole one of the folder, a piece of the archive. */
struct piece {
    int fd; /* the caller's */
    uint64_t offset;
    uint64_t bytes;
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
    tar_done(&layout->tar);
    if (layout->fd >= 0)
        close(layout->fd);
    free(layout->path);
    free(layout);
}

/* Open a regular file of the folder; a FIFO must not make us wait. */
static int open_in_folder(const struct layout *layout, const char *name,
                          struct piece *ret, struct sm_error *err)
{
    struct stat st;
    AUTO_CLOSE int fd =
        openat(layout->fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return fail_os(err, "open %s/%s", layout->path, name);
    if (fstat(fd, &st) != 0)
        return fail_os(err, "stat %s/%s", layout->path, name);
    if (!S_ISREG(st.st_mode))
        return fail(err, SM_EIMAGE, "%s/%s: is no regular file", layout->path,
                    name);
    *ret = (struct piece){own_take_fd(&fd), 0, (uint64_t)st.st_size};
    return 0;
}

static int open_in_archive(const struct layout *layout, const char *name,
                           struct piece *ret, struct sm_error *err)
{
    const struct tar_member *member = tar_find(&layout->tar, name);
    int fd;

    if (!member)
        return fail(err, SM_ENOENT, "%s: has no file %s", layout->path, name);
    fd = fcntl(layout->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return fail_os(err, "open %s in %s", name, layout->path);
    *ret = (struct piece){fd, member->offset, member->bytes};
    return 0;
}

static int open_file(const struct layout *layout, const char *name,
                     struct piece *ret, struct sm_error *err)
{
    return layout->archived ? open_in_archive(layout, name, ret, err)
                            : open_in_folder(layout, name, ret, err);
}

/* A small file as it is now; of a folder, its identity as a witness. */
static int read_file(struct layout *layout, const char *name, struct buf *to,
                     struct sm_error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_CLOSE int fd = -1;
    struct piece piece;
    uint8_t *room;
    int rc = open_file(layout, name, &piece, err);

    if (rc)
        return rc;
    fd = piece.fd;
    if (asprintf(&path, "%s/%s", layout->path, name) < 0) {
        path = NULL;
        return fail(err, SM_ENOMEM, "out of memory");
    }
    if (!layout->archived)
        rc = image_witness_add(&layout->source.witnesses, fd, path, err);
    if (rc)
        return rc;
    if (piece.bytes >= to->cap)
        return fail(err, SM_ELIMIT, "%s: %llu bytes: must be less than %zu",
                    path, (unsigned long long)piece.bytes, to->cap);
    room = buf_room(to, (size_t)piece.bytes + 1);
    if (!room)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = file_read_at(fd, room, (size_t)piece.bytes, piece.offset, err);
    if (rc)
        return wrap(err, rc, "%s", path);
    buf_added(to, (size_t)piece.bytes);
    return 0;
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

static int find(struct oci_source *source, const char *tag,
                const struct oci_platform *platform, struct oci_descriptor *ret,
                struct sm_error *err)
{
    struct layout *layout = layout_of(source);

    return oci_index_find(&layout->index, layout->path, tag, platform, ret,
                          err);
}

static int open_blob(struct oci_source *source,
                     const struct oci_descriptor *descriptor, struct blob **ret,
                     struct sm_error *err)
{
    char hex[DIGEST_HEX_MAX];
    char name[16 + DIGEST_HEX_MAX];
    struct piece piece;
    int rc;

    digest_hex(&descriptor->digest, hex);
    snprintf(name, sizeof name, "blobs/%s/%s",
             digest_name(descriptor->digest.kind), hex);
    rc = open_file(layout_of(source), name, &piece, err);
    if (rc)
        return rc;
    if (piece.bytes != descriptor->bytes) {
        close(piece.fd);
        return fail(err, SM_EIMAGE,
                    "blob %s: has %llu bytes, its descriptor says %llu", hex,
                    (unsigned long long)piece.bytes,
                    (unsigned long long)descriptor->bytes);
    }
    return blob_open(piece.fd, piece.offset, piece.bytes, &descriptor->digest,
                     ret, err);
}

static const struct oci_source_ops layout_ops = {
    .find = find,
    .blob_open = open_blob,
    .close = close_layout,
};

/* Takes (layout) over, also on failure. */
static int finish_open(struct layout *layout, struct oci_source **ret,
                       struct sm_error *err)
{
    AUTO(oci_source_closep) struct oci_source *source = &layout->source;
    int rc = check_version(layout, err);

    if (!rc)
        rc = read_index(layout, err);
    if (!rc)
        *ret = own_take(source);
    return rc;
}

const struct oci_index *layout_index(const struct oci_source *source)
{
    return &((const struct layout *)source)->index;
}

static struct layout *new_layout(const char *path)
{
    struct layout *layout = calloc(1, sizeof *layout);

    if (!layout)
        return NULL;
    layout->source.ops = &layout_ops;
    layout->fd = -1;
    layout->path = strdup(path);
    if (layout->path)
        return layout;
    free(layout);
    return NULL;
}

int layout_open(const char *folder, struct oci_source **ret,
                struct sm_error *err)
{
    AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct layout *layout;

    if (fd < 0)
        return errno == ENOTDIR
                   ? fail(err, SM_EIMAGE, "%s: is no folder", folder)
                   : fail_os(err, "open OCI layout %s", folder);
    layout = new_layout(folder);
    if (!layout)
        return fail(err, SM_ENOMEM, "out of memory");
    layout->fd = own_take_fd(&fd);
    return finish_open(layout, ret, err);
}

int layout_open_tar(int fd, const char *name, struct tar *tar,
                    struct oci_source **ret, struct sm_error *err)
{
    struct layout *layout = new_layout(name);

    if (!layout) {
        tar_done(tar);
        return fail(err, SM_ENOMEM, "out of memory");
    }
    layout->archived = true;
    layout->tar = *tar;
    *tar = (struct tar){0};
    layout->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (layout->fd < 0) {
        int rc = fail_os(err, "open %s", name);

        close_layout(&layout->source);
        return rc;
    }
    return finish_open(layout, ret, err);
}
