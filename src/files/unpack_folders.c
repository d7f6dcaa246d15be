/* unpack_folders.c: the folders that entries go into; see unpack.h.
 *
 * Streams come in the order of a walk: most entries are in the folder of the
 * one before, which is kept open.
 */
#include "files/unpacking.h"

#include "base/own.h"
#include "base/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { NEW_FOLDER = 0755 };

static int open_folder(const struct unpacking *unpack, const char *name)
{
    return beneath_open(unpack->target, name[0] ? name : ".", unpack->links,
                        O_RDONLY | O_DIRECTORY);
}

/* Each folder of (name) that is missing, then (name) itself. A descriptor, or
 * -1 and errno. */
static int make_folder(const struct unpacking *unpack, const char *name)
{
    AUTO_CLOSE int above = open_folder(unpack, "");
    char part[PAX_NAME_MAX + 1];
    const char *at = name;

    while (above >= 0) {
        size_t length = strcspn(at, "/");
        size_t whole = (size_t)(at - name) + length;
        int next;

        memcpy(part, name, whole);
        part[whole] = '\0';
        next = open_folder(unpack, part);
        if (next < 0 && errno == ENOENT &&
            mkdirat(above, part + (at - name), NEW_FOLDER) == 0)
            next = open_folder(unpack, part);
        if (next < 0 || !at[length])
            return next;
        close(above);
        above = next;
        at += length + 1;
    }
    return -1;
}

static int fail_folder(const char *name, struct sm_error *err)
{
    switch (errno) {
    case ELOOP:
        return fail(err, SM_EACCES, "entry %.400s: through a symbolic link",
                    name);
    case EXDEV:
        return fail(err, SM_EACCES,
                    "entry %.400s: a symbolic link on the way leads out of the "
                    "target",
                    name);
    case ENOTDIR:
        return fail(err, SM_EEXIST, "entry %.400s: its folder is none", name);
    default:
        return fail_os(err, "folder of %.400s", name);
    }
}

int unpack_folder_of(struct unpacking *unpack, const char *name,
                     const char **base, struct sm_error *err)
{
    const char *slash = strrchr(name, '/');
    size_t length = slash ? (size_t)(slash - name) : 0;
    char folder[PAX_NAME_MAX + 1];
    int fd;

    *base = slash ? slash + 1 : name;
    memcpy(folder, name, length);
    folder[length] = '\0';
    if (unpack->folder >= 0 && strcmp(folder, unpack->folder_name) == 0)
        return unpack->folder;
    fd = open_folder(unpack, folder);
    if (fd < 0 && errno == ENOENT)
        fd = make_folder(unpack, folder);
    if (fd < 0) {
        fail_folder(name, err);
        return -1;
    }
    if (unpack->folder >= 0)
        close(unpack->folder);
    unpack->folder = fd;
    memcpy(unpack->folder_name, folder, length + 1);
    return fd;
}

int unpack_later(struct unpacking *unpack, const struct pax_entry *entry,
                 struct sm_error *err)
{
    struct buf *later = &unpack->later;

    wire_put_string(later, unpack->name);
    wire_put_u32(later, entry->mode);
    wire_put_u32(later, entry->uid);
    wire_put_u32(later, entry->gid);
    wire_put_u64(later, (uint64_t)entry->mtime_s);
    wire_put_u32(later, entry->mtime_ns);
    wire_put_blob(later, entry->xattrs, entry->xattrs_count);
    return later->failed
               ? fail(err, SM_ELIMIT, "folders of more than %d MiB of names",
                      UNPACK_LATER_MAX >> 20)
               : 0;
}

static int finish_one(struct unpacking *unpack, struct wire_reader *from,
                      struct sm_error *err)
{
    AUTO_FREE char *name = wire_string(from);
    AUTO_CLOSE int fd = -1;
    struct pax_entry entry = {.type = PAX_FOLDER, .name = name, .link = ""};

    entry.mode = wire_u32(from);
    entry.uid = wire_u32(from);
    entry.gid = wire_u32(from);
    entry.mtime_s = (int64_t)wire_u64(from);
    entry.mtime_ns = wire_u32(from);
    entry.xattrs = wire_blob(from, &entry.xattrs_count);
    if (!wire_ok(from))
        return fail(err, SM_ENOMEM, "out of memory");
    fd = beneath_open(unpack->target, name, unpack->links,
                      O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    /* Something else has taken its place since. */
    if (fd < 0)
        return 0;
    return unpack_dress(unpack, &(struct xattr_place){.fd = fd}, &entry, err);
}

/* A record is as valid as any, and the last of a folder counts. Modes may shut
 * others out, so what was made first, which is further up, comes last. */
int unpack_finish_folders(struct unpacking *unpack, struct sm_error *err)
{
    struct wire_reader from;
    struct buf places;
    int rc = 0;

    buf_init(&places, UNPACK_LATER_MAX);
    wire_read(&from, unpack->later.data, unpack->later.size);
    while (from.left > 0 && wire_ok(&from)) {
        size_t place = unpack->later.size - from.left;
        size_t skipped;

        buf_append(&places, &place, sizeof place);
        wire_blob(&from, &skipped);
        wire_u64(&from);
        wire_u32(&from);
        wire_u64(&from);
        wire_u32(&from);
        wire_blob(&from, &skipped);
    }
    if (places.failed || !wire_ok(&from))
        rc = fail(err, SM_ENOMEM, "out of memory");
    while (!rc && places.size > 0) {
        size_t place;

        places.size -= sizeof place;
        memcpy(&place, places.data + places.size, sizeof place);
        wire_read(&from, unpack->later.data + place,
                  unpack->later.size - place);
        rc = finish_one(unpack, &from, err);
    }
    buf_done(&places);
    return rc;
}
