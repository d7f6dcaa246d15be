/* unpack.c: layers into a file system; see unpack.h. */
#include "rootfs/unpack.h"

#include "base/bytes.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define WHITEOUT        ".wh."
#define WHITEOUT_META   ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

int unpack_init(struct unpack *unpack, struct ext4 *image, struct sm_error *err)
{
    *unpack = (struct unpack){.image = image};
    return tree_init(&unpack->tree, EXT4_ROOT_INODE,
                     2 * (size_t)ext4_inode_limit(image), err);
}

void unpack_done(struct unpack *unpack)
{
    tree_done(&unpack->tree);
}

/* ---- removing ---- */

/* Remove (top) and all below it, or only what lower layers made of it; (top)
 * itself only if (also_top). What still has something in it stays. */
static int remove_below(struct unpack *unpack, struct tree_entry *top,
                        bool only_lower, bool also_top, struct sm_error *err)
{
    struct tree_entry *at = tree_deepest(top);
    int rc = 0;

    while (!rc && at) {
        struct tree_entry *next = tree_walk_up(top, at);
        bool keep = at->first || (at == top && !also_top) ||
                    (only_lower && at->layer == unpack->layer);

        if (!keep) {
            rc = ext4_unlink(unpack->image, at->inode, err);
            tree_remove(&unpack->tree, at);
        }
        at = next;
    }
    return rc;
}

int unpack_remove(struct unpack *unpack, struct tree_entry *entry,
                  struct sm_error *err)
{
    return remove_below(unpack, entry, false, true, err);
}

/* The same for lower layers only. Asked a second time for a directory, a layer
 * gets no second search: that would make whiteouts a way to keep us busy. */
static int remove_lower(struct unpack *unpack, struct tree_entry *top,
                        bool also_top, struct sm_error *err)
{
    bool stays = !also_top || top->first || top->layer == unpack->layer;

    if (stays && top->cleared == unpack->layer)
        return 0;
    top->cleared = unpack->layer;
    return remove_below(unpack, top, true, also_top, err);
}

static int apply_whiteout(struct unpack *unpack, const char *path,
                          struct sm_error *err)
{
    struct unpack_place place;
    struct tree_entry *entry;
    int rc =
        unpack_walk(unpack, path, false, (struct ext4_time){0}, &place, err);
    const char *hidden;
    size_t length;

    if (rc || !place.directory)
        return rc;
    if (place.length == strlen(WHITEOUT_OPAQUE) &&
        memcmp(place.name, WHITEOUT_OPAQUE, place.length) == 0)
        return remove_lower(unpack, place.directory, false, err);
    hidden = place.name + strlen(WHITEOUT);
    length = place.length - strlen(WHITEOUT);
    if (length >= 4 && memcmp(hidden, WHITEOUT, 4) == 0)
        return 0;
    if (length == 0 || (length == 1 && hidden[0] == '.') ||
        (length == 2 && memcmp(hidden, "..", 2) == 0))
        return fail(err, SM_EIMAGE, "is a whiteout of nothing");
    entry = tree_find(&unpack->tree, place.directory, hidden, length);
    return entry ? remove_lower(unpack, entry, true, err) : 0;
}

static bool is_whiteout(const char *path)
{
    size_t length = strlen(path);
    const char *name;

    while (length && path[length - 1] == '/')
        length--;
    name = memrchr(path, '/', length);
    name = name ? name + 1 : path;
    return strncmp(name, WHITEOUT, strlen(WHITEOUT)) == 0;
}

/* ---- metadata ---- */

static int fill_ids(struct archive_entry *entry, struct ext4_meta *meta,
                    struct sm_error *err)
{
    int64_t uid = archive_entry_uid(entry);
    int64_t gid = archive_entry_gid(entry);

    /* The last number means "leave it" to chown(2). */
    if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
        return fail(err, SM_EIMAGE, "owner %lld:%lld: must be 0 to %u",
                    (long long)uid, (long long)gid, UINT32_MAX - 1);
    meta->uid = (uint32_t)uid;
    meta->gid = (uint32_t)gid;
    return 0;
}

/* A value of no bytes takes away what was said before (POSIX.1-2001, pax
 * Extended Header), so no attribute can have one. */
static int fill_xattrs(struct unpack *unpack, struct archive_entry *entry,
                       struct ext4_meta *meta, struct sm_error *err)
{
    struct ext4_xattr *xattr = unpack->xattrs;

    if (archive_entry_xattr_count(entry) > UNPACK_XATTRS_MAX)
        return fail(err, SM_EIMAGE, "%d extended attributes: at most %d",
                    archive_entry_xattr_count(entry), UNPACK_XATTRS_MAX);
    archive_entry_xattr_reset(entry);
    while (archive_entry_xattr_next(entry, &xattr->name, &xattr->value,
                                    &xattr->bytes) == ARCHIVE_OK)
        xattr += xattr->bytes > 0;
    meta->xattrs = unpack->xattrs;
    meta->xattr_count = (size_t)(xattr - unpack->xattrs);
    return 0;
}

/* libarchive reads "-1.25" as -1 s and 250 000 000 ns; as it stands, the
 * fraction goes further back. (The sign of "-0.25" is lost to us.) */
static struct ext4_time time_of(int64_t seconds, long ns)
{
    if (ns <= 0 || ns >= (long)NS_PER_S)
        return (struct ext4_time){.seconds = seconds};
    if (seconds < 0 && seconds > INT64_MIN)
        return (struct ext4_time){.seconds = seconds - 1,
                                  .ns = (uint32_t)NS_PER_S - (uint32_t)ns};
    return (struct ext4_time){.seconds = seconds, .ns = (uint32_t)ns};
}

static int fill_meta(struct unpack *unpack, struct archive_entry *entry,
                     struct ext4_meta *meta, struct sm_error *err)
{
    int rc = fill_ids(entry, meta, err);

    if (!rc)
        rc = fill_xattrs(unpack, entry, meta, err);
    meta->mode = (uint16_t)archive_entry_mode(entry);
    meta->mtime =
        time_of(archive_entry_mtime(entry), archive_entry_mtime_nsec(entry));
    meta->atime = meta->mtime;
    if (archive_entry_atime_is_set(entry))
        meta->atime = time_of(archive_entry_atime(entry),
                              archive_entry_atime_nsec(entry));
    return rc;
}

/* Linux has 12 bits for the major and 20 for the minor number. */
static int fill_device(struct archive_entry *entry, struct ext4_meta *meta,
                       struct sm_error *err)
{
    uint64_t major = archive_entry_rdevmajor(entry);
    uint64_t minor = archive_entry_rdevminor(entry);

    if (major >= 1 << 12 || minor >= 1 << 20)
        return fail(err, SM_EIMAGE,
                    "device %llu:%llu: major must be below %d, minor below %d",
                    (unsigned long long)major, (unsigned long long)minor,
                    1 << 12, 1 << 20);
    meta->major = (uint32_t)major;
    meta->minor = (uint32_t)minor;
    return 0;
}

/* ---- entries ---- */

static int make_file(struct unpack *unpack, struct layer *layer,
                     struct archive_entry *entry, const struct ext4_meta *meta,
                     uint32_t *inode, struct sm_error *err)
{
    int64_t bytes = archive_entry_size(entry);
    const void *piece;
    size_t count;
    uint64_t offset;
    uint64_t end;
    int rc = ext4_file_begin(unpack->image, err);

    if (bytes < 0)
        return fail(err, SM_EIMAGE, "size of %lld bytes", (long long)bytes);
    while (!rc) {
        rc = layer_data(layer, &piece, &count, &offset, err);
        if (rc || !count)
            break;
        if (!add_u64(offset, count, &end) || end > (uint64_t)bytes)
            return fail(err, SM_EIMAGE,
                        "has more content than its size of "
                        "%lld bytes",
                        (long long)bytes);
        rc = ext4_file_write(unpack->image, offset, piece, count, err);
    }
    if (rc)
        return rc;
    return ext4_file_end(unpack->image, (uint64_t)bytes, meta, inode, err);
}

/* Of a tar entry that is no hard link. */
static int make_inode(struct unpack *unpack, struct layer *layer,
                      struct archive_entry *entry, struct ext4_meta *meta,
                      enum tree_type *type, uint32_t *inode,
                      struct sm_error *err)
{
    const char *target = archive_entry_symlink(entry);
    int rc = 0;

    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
        *type = TREE_FILE;
        return make_file(unpack, layer, entry, meta, inode, err);
    case AE_IFLNK:
        *type = TREE_SYMLINK;
        return ext4_symlink(unpack->image, meta, target ? target : "", inode,
                            err);
    case AE_IFDIR:
        *type = TREE_DIRECTORY;
        break;
    case AE_IFIFO:
        *type = TREE_FIFO;
        break;
    case AE_IFCHR:
    case AE_IFBLK:
        *type = archive_entry_filetype(entry) == AE_IFCHR ? TREE_CHAR_DEVICE
                                                          : TREE_BLOCK_DEVICE;
        rc = fill_device(entry, meta, err);
        break;
    default:
        return fail(err, SM_EIMAGE, "type 0%o of file is not known",
                    (unsigned)archive_entry_filetype(entry));
    }
    return rc ? rc : ext4_node(unpack->image, meta, inode, err);
}

/* Put a name to (inode), in the place of whatever has it now. */
static int name_inode(struct unpack *unpack, const struct unpack_place *place,
                      enum tree_type type, uint32_t inode, struct sm_error *err)
{
    struct tree_entry *entry =
        tree_find(&unpack->tree, place->directory, place->name, place->length);
    int rc = 0;

    if (entry)
        rc = unpack_remove(unpack, entry, err);
    if (!rc)
        rc = tree_add(&unpack->tree, place->directory, place->name,
                      place->length, type, &entry, err);
    if (rc)
        return rc;
    entry->inode = inode;
    entry->layer = unpack->layer;
    return 0;
}

/*
 * The target gets its further link before the new name is looked up, because
 * making that name may remove the old one.
 */
static int apply_hard_link(struct unpack *unpack, const char *path,
                           const char *target, struct ext4_time when,
                           struct sm_error *err)
{
    struct unpack_place place;
    struct tree_entry *entry = NULL;
    enum tree_type type;
    uint32_t inode;
    int rc = unpack_walk(unpack, target, false, when, &place, err);

    if (rc)
        return wrap(err, rc, "hard link to \"%.200s\"", target);
    if (place.directory && place.length)
        entry =
            tree_find(&unpack->tree, place.directory, place.name, place.length);
    if (!entry || entry->type == TREE_DIRECTORY)
        return fail(err, SM_EIMAGE, "hard link to \"%.200s\": %s", target,
                    entry ? "is a directory" : "there is no such file");
    inode = entry->inode;
    type = entry->type;
    rc = ext4_link(unpack->image, inode, err);
    if (!rc)
        rc = unpack_walk(unpack, path, true, when, &place, err);
    if (!rc && !place.length)
        rc = fail(err, SM_EIMAGE,
                  "is a hard link in the place of a "
                  "directory");
    return rc ? rc : name_inode(unpack, &place, type, inode, err);
}

/* The directory that is there already, if (place) is one. */
static struct tree_entry *present_directory(const struct unpack *unpack,
                                            const struct unpack_place *place)
{
    struct tree_entry *entry = place->directory;

    if (place->length)
        entry = tree_find(&unpack->tree, entry, place->name, place->length);
    return entry && entry->type == TREE_DIRECTORY ? entry : NULL;
}

static int apply_file(struct unpack *unpack, struct layer *layer,
                      struct archive_entry *entry, const char *path,
                      struct sm_error *err)
{
    struct ext4_meta meta = {0};
    struct unpack_place place;
    struct tree_entry *present;
    enum tree_type type = TREE_FILE;
    uint32_t inode;
    int rc = fill_meta(unpack, entry, &meta, err);

    if (!rc)
        rc = unpack_walk(unpack, path, true, meta.mtime, &place, err);
    if (rc)
        return rc;
    present = present_directory(unpack, &place);
    if (present && archive_entry_filetype(entry) == AE_IFDIR) {
        present->layer = unpack->layer;
        return ext4_set_meta(unpack->image, present->inode, &meta, err);
    }
    if (!place.length)
        return fail(err, SM_EIMAGE, "must be a directory");
    rc = make_inode(unpack, layer, entry, &meta, &type, &inode, err);
    return rc ? rc : name_inode(unpack, &place, type, inode, err);
}

static int apply_entry(struct unpack *unpack, struct layer *layer,
                       struct archive_entry *entry, const char *path,
                       struct sm_error *err)
{
    const char *target = archive_entry_hardlink(entry);
    struct ext4_time when = {.seconds = archive_entry_mtime(entry)};

    if (is_whiteout(path))
        return apply_whiteout(unpack, path, err);
    if (target)
        return apply_hard_link(unpack, path, target, when, err);
    return apply_file(unpack, layer, entry, path, err);
}

/* A name fit for a message of one line. */
static void printable(const char *name, char *to, size_t size)
{
    size_t length = 0;

    for (; name[length] && length + 1 < size; length++)
        to[length] = (unsigned char)name[length] < ' ' || name[length] == 127
                         ? '?'
                         : name[length];
    to[length] = '\0';
}

int unpack_layer(struct unpack *unpack, struct layer *layer,
                 unpack_progress_fn *progress, void *context,
                 struct sm_error *err)
{
    struct archive_entry *entry;
    char shown[256];
    int rc;

    unpack->layer++;
    for (;;) {
        const char *path;

        rc = layer_next(layer, &entry, err);
        if (rc || !entry)
            return rc;
        path = archive_entry_pathname(entry);
        if (!path)
            return fail(err, SM_EIMAGE, "tar entry without a name");
        rc = apply_entry(unpack, layer, entry, path, err);
        if (rc) {
            printable(path, shown, sizeof shown);
            return wrap(err, rc, "tar entry \"%s\"", shown);
        }
        if (progress)
            progress(context, layer_done_bytes(layer));
    }
}

/* ---- directories ---- */

static uint8_t type_bits(enum tree_type type)
{
    static const uint16_t modes[] = {
        [TREE_FILE] = S_IFREG,         [TREE_DIRECTORY] = S_IFDIR,
        [TREE_SYMLINK] = S_IFLNK,      [TREE_CHAR_DEVICE] = S_IFCHR,
        [TREE_BLOCK_DEVICE] = S_IFBLK, [TREE_FIFO] = S_IFIFO,
    };

    return (uint8_t)(modes[type] >> 12);
}

/* Room for the entries of the directory that is being written. */
struct listing {
    struct ext4_dirent *entries;
    size_t room;
    size_t count;
    size_t directories;
};

static int list_children(const struct tree_entry *directory,
                         struct listing *list, struct sm_error *err)
{
    list->count = 0;
    list->directories = 0;
    for (struct tree_entry *at = directory->first; at; at = tree_next(at)) {
        if (list->count == list->room) {
            size_t room = list->room ? 2 * list->room : 256;
            struct ext4_dirent *more =
                realloc(list->entries, room * sizeof *more);

            if (!more)
                return fail(err, SM_ENOMEM, "out of memory");
            list->entries = more;
            list->room = room;
        }
        list->entries[list->count++] = (struct ext4_dirent){
            .name = at->name,
            .inode = at->inode,
            .length = at->length,
            .type = type_bits(at->type),
        };
        list->directories += at->type == TREE_DIRECTORY;
    }
    return 0;
}

int unpack_finish(struct unpack *unpack, struct sm_error *err)
{
    struct tree_entry *root = unpack->tree.root;
    struct listing list = {0};
    int rc = 0;

    for (struct tree_entry *at = root; !rc && at; at = tree_walk(root, at)) {
        if (at->type != TREE_DIRECTORY)
            continue;
        rc = list_children(at, &list, err);
        if (!rc)
            rc = ext4_directory_write(unpack->image, at->inode,
                                      at->parent->inode, list.entries,
                                      list.count, list.directories, err);
    }
    free(list.entries);
    return rc;
}
