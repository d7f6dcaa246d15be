/* pack.c: a tree as a stream of entries; see pack.h. */
#include "files/pack.h"

#include "base/bytes.h"
#include "base/own.h"
#include "base/wire.h"
#include "files/inodes.h"
#include "files/paths.h"
#include "platform/beneath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { KERNEL_FOLDERS = 3, ATTRIBUTES_MAX = 1 << 20 };

/* A folder that is being read. */
struct level {
    DIR *entries;
    dev_t device;
    size_t length; /* of its name in `path` */
};

struct packing {
    const struct pack_config *config;
    struct pax_writer writer;
    struct inodes inodes;
    struct level levels[PACK_DEPTH_MAX];
    size_t depth;
    char path[PAX_NAME_MAX + 1]; /* of the entry, in the stream; "" is "." */
    dev_t kernel[KERNEL_FOLDERS];
    size_t kernel_count;
    struct buf xattrs; /* of the entry, as struct pax_entry has them */
    struct buf names;
    struct buf value;
    struct buf pieces;
    uint64_t bytes;
};

/* An entry: what the stream says of it, and where it is. */
struct found {
    int folder;
    const char *name;
    int fd; /* regular files and folders; else -1 */
    struct stat st;
    struct pax_entry entry;
};

/* What errors call the entry: the root as the caller does. */
static const char *shown(const struct packing *pack)
{
    return pack->depth > 0 ? pack->path : pack->config->path;
}

/* ---- attributes ---- */

/* What means something on the system that it comes from alone. */
static bool is_local(const char *attribute)
{
    static const char *const local[] = {"security.selinux", "security.ima",
                                        "security.evm", "security.SMACK64"};

    for (size_t i = 0; i < ARRAY_LEN(local); i++)
        if (strcmp(attribute, local[i]) == 0)
            return true;
    return strncmp(attribute, "trusted.overlay.", 16) == 0;
}

static int add_xattr(struct packing *pack, const struct xattr_place *place,
                     const char *attribute, struct sm_error *err)
{
    buf_clear(&pack->value);
    if (xattr_get(place, attribute, &pack->value)) {
        /* Gone meanwhile, or nothing of ours. */
        if (errno == ENODATA || errno == EPERM || errno == EACCES)
            return 0;
        return fail_os(err, "%s: attribute %s", shown(pack), attribute);
    }
    wire_put_string(&pack->xattrs, attribute);
    wire_put_blob(&pack->xattrs, pack->value.data, pack->value.size);
    return pack->xattrs.failed
               ? fail(err, SM_ELIMIT, "%s: attributes of more than %d bytes",
                      shown(pack), ATTRIBUTES_MAX)
               : 0;
}

static int gather_xattrs(struct packing *pack, struct found *found,
                         struct sm_error *err)
{
    const struct xattr_place place = {found->fd, found->folder, found->name};
    const char *at;
    const char *end;
    int rc = 0;

    buf_clear(&pack->xattrs);
    buf_clear(&pack->names);
    if (xattr_list(&place, &pack->names)) {
        if (errno == ENOTSUP || errno == EACCES || errno == EPERM ||
            errno == ENOENT || errno == ENAMETOOLONG)
            return 0;
        return fail_os(err, "%s: its attributes", shown(pack));
    }
    at = (const char *)pack->names.data;
    end = at + pack->names.size;
    for (; !rc && at < end; at += strlen(at) + 1)
        if (!is_local(at))
            rc = add_xattr(pack, &place, at, err);
    found->entry.xattrs = pack->xattrs.data;
    found->entry.xattrs_count = pack->xattrs.size;
    return rc;
}

/* ---- content ---- */

/* Where the data is; too many pieces become one at the end. */
static int find_pieces(struct packing *pack, struct found *found,
                       struct sm_error *err)
{
    const off_t size = found->st.st_size;
    struct pax_piece last = {.offset = (uint64_t)size};
    size_t count = 0;
    off_t at = 0;

    buf_clear(&pack->pieces);
    while (at < size && count < PAX_PIECES_MAX - 1) {
        off_t begin = lseek(found->fd, at, SEEK_DATA);
        off_t end = begin < 0 ? -1 : lseek(found->fd, begin, SEEK_HOLE);
        struct pax_piece piece;

        if (begin < 0 && errno == ENXIO)
            break;
        if (begin < 0 || end < 0)
            return fail_os(err, "%s: its holes", shown(pack));
        if (begin >= size)
            break;
        at = end < size && count < PAX_PIECES_MAX - 2 ? end : size;
        piece.offset = (uint64_t)begin;
        piece.count = (uint64_t)(at - begin);
        if (!buf_append(&pack->pieces, &piece, sizeof piece))
            return fail(err, SM_ENOMEM, "%s: out of memory", shown(pack));
        count++;
    }
    /* GNU tar ends the list so. */
    if (!buf_append(&pack->pieces, &last, sizeof last))
        return fail(err, SM_ENOMEM, "%s: out of memory", shown(pack));
    found->entry.pieces = (const void *)pack->pieces.data;
    found->entry.piece_count = count + 1;
    return 0;
}

static int copy_piece(struct packing *pack, int fd,
                      const struct pax_piece *piece, struct sm_error *err)
{
    uint64_t done = 0;
    int rc = 0;

    while (!rc && done < piece->count) {
        size_t room;
        uint8_t *to = pax_room(&pack->writer, &room);
        ssize_t count = pread(fd, to, min_u64(room, piece->count - done),
                              (off_t)(piece->offset + done));

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return fail_os(err, "%s", shown(pack));
        if (count == 0)
            return fail(err, SM_EBUSY,
                        "%s: it became shorter while it was read", shown(pack));
        done += (uint64_t)count;
        pack->bytes += (uint64_t)count;
        rc = pax_added(&pack->writer, (size_t)count, err);
    }
    return rc;
}

static int copy_content(struct packing *pack, const struct found *found,
                        struct sm_error *err)
{
    const struct pax_entry *entry = &found->entry;
    const struct pax_piece all = {.count = entry->size};
    int rc = 0;

    if (!entry->pieces)
        return copy_piece(pack, found->fd, &all, err);
    for (size_t i = 0; !rc && i < entry->piece_count; i++)
        rc = copy_piece(pack, found->fd, &entry->pieces[i], err);
    return rc;
}

/* ---- one entry ---- */

static bool take_type(struct pax_entry *entry, const struct stat *st)
{
    switch (st->st_mode & S_IFMT) {
    case S_IFREG:
        entry->type = PAX_FILE;
        entry->size = (uint64_t)st->st_size;
        return true;
    case S_IFDIR:
        entry->type = PAX_FOLDER;
        return true;
    case S_IFLNK:
        entry->type = PAX_SYMLINK;
        return true;
    case S_IFIFO:
        entry->type = PAX_FIFO;
        return true;
    case S_IFCHR:
    case S_IFBLK:
        entry->type = S_ISCHR(st->st_mode) ? PAX_CHAR : PAX_BLOCK;
        entry->major = major(st->st_rdev);
        entry->minor = minor(st->st_rdev);
        return true;
    default:
        return false;
    }
}

/* Only files and folders are opened: a FIFO would wait, a device might act. */
static int open_found(struct found *found, bool follow)
{
    const int how = follow ? 0 : O_NOFOLLOW;

    if (fstatat(found->folder, found->name, &found->st,
                follow ? 0 : AT_SYMLINK_NOFOLLOW))
        return -1;
    if (!S_ISREG(found->st.st_mode) && !S_ISDIR(found->st.st_mode))
        return 0;
    found->fd = openat(found->folder, found->name,
                       O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | how);
    return found->fd < 0 ? -1 : fstat(found->fd, &found->st);
}

static int read_link(struct packing *pack, struct found *found, char *to,
                     struct sm_error *err)
{
    ssize_t length =
        readlinkat(found->folder, found->name, to, PAX_NAME_MAX + 1);

    if (length < 0)
        return fail_os(err, "%s", shown(pack));
    if (length > PAX_NAME_MAX)
        return fail(err, SM_ELIMIT, "%s: its target is too long", shown(pack));
    to[length] = '\0';
    found->entry.link = to;
    return 0;
}

/* A file that has other names may have been seen under one of them. */
static int find_link(struct packing *pack, struct found *found,
                     struct sm_error *err)
{
    const struct stat *st = &found->st;
    const char *first;
    bool failed;

    if (st->st_nlink < 2 || found->entry.type == PAX_FOLDER)
        return 0;
    first = inodes_seen(&pack->inodes, st->st_dev, st->st_ino,
                        found->entry.name, &failed);
    if (failed)
        return fail(err, SM_ENOMEM, "%s: out of memory", shown(pack));
    if (first) {
        found->entry.type = PAX_LINK;
        found->entry.link = first;
        found->entry.size = 0;
    }
    return 0;
}

static int describe(struct packing *pack, struct found *found, char *link,
                    struct sm_error *err)
{
    const struct stat *st = &found->st;
    struct pax_entry *entry = &found->entry;
    int rc = 0;

    entry->mode = st->st_mode & 07777;
    entry->uid = st->st_uid;
    entry->gid = st->st_gid;
    entry->mtime_s = st->st_mtim.tv_sec;
    entry->mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
    if (entry->type == PAX_SYMLINK)
        rc = read_link(pack, found, link, err);
    if (!rc && !pack->config->header_only)
        rc = find_link(pack, found, err);
    if (!rc && entry->type != PAX_LINK)
        rc = gather_xattrs(pack, found, err);
    if (!rc && entry->type == PAX_FILE && !pack->config->header_only &&
        st->st_blocks < st->st_size / 512)
        rc = find_pieces(pack, found, err);
    return rc;
}

/* Folders end with a slash, as all tars have it. */
static int name_entry(const struct packing *pack, struct found *found,
                      char *name, struct sm_error *err)
{
    size_t length = strlen(pack->path);
    bool slash = found->entry.type == PAX_FOLDER;

    if (length + slash > PAX_NAME_MAX)
        return fail(err, SM_ELIMIT, "%.200s...: a name of more than %d bytes",
                    pack->path, PAX_NAME_MAX);
    memcpy(name, length ? pack->path : ".", length ? length : 1);
    if (!length)
        length = 1;
    if (slash)
        name[length++] = '/';
    name[length] = '\0';
    found->entry.name = name;
    return 0;
}

static int put_found(struct packing *pack, struct found *found,
                     struct sm_error *err)
{
    bool content = !pack->config->header_only;
    char name[PAX_NAME_MAX + 1];
    char link[PAX_NAME_MAX + 2];
    int rc = name_entry(pack, found, name, err);

    if (!rc)
        rc = describe(pack, found, link, err);
    if (!rc)
        rc = pax_put(&pack->writer, &found->entry, content, err);
    if (!rc && content && found->entry.type == PAX_FILE)
        rc = copy_content(pack, found, err);
    return rc;
}

/* ---- the tree ---- */

/* /proc and the like: they are named, and not looked into. */
static bool is_kernels(const struct packing *pack, const struct stat *st)
{
    dev_t above = pack->depth ? pack->levels[pack->depth - 1].device : 0;

    if (pack->depth == 0 || above == st->st_dev)
        return false;
    for (size_t i = 0; i < pack->kernel_count; i++)
        if (pack->kernel[i] == st->st_dev)
            return true;
    return false;
}

static void note_kernels(struct packing *pack)
{
    static const char *const folders[KERNEL_FOLDERS] = {"/proc", "/sys",
                                                        "/dev"};
    struct stat root, st;

    if (!pack->config->whole_system || stat("/", &root))
        return;
    for (size_t i = 0; i < KERNEL_FOLDERS; i++)
        if (stat(folders[i], &st) == 0 && st.st_dev != root.st_dev)
            pack->kernel[pack->kernel_count++] = st.st_dev;
}

/* Takes the descriptor of (found). */
static int enter(struct packing *pack, struct found *found,
                 struct sm_error *err)
{
    struct level *level = &pack->levels[pack->depth];

    if (pack->depth == PACK_DEPTH_MAX)
        return fail(err, SM_ELIMIT, "%.200s...: more than %d folders deep",
                    pack->path, PACK_DEPTH_MAX);
    level->entries = fdopendir(found->fd);
    if (!level->entries)
        return fail_os(err, "%s", shown(pack));
    found->fd = -1;
    level->device = found->st.st_dev;
    level->length = strlen(pack->path);
    pack->depth++;
    return 0;
}

/* One entry, and for a folder a level more. */
static int visit(struct packing *pack, int folder, const char *name,
                 bool follow, struct sm_error *err)
{
    struct found found = {
        .folder = folder, .name = name, .fd = -1, .entry.link = ""};
    int rc;

    if (open_found(&found, follow)) {
        /* Gone since its folder was read. */
        if (errno == ENOENT && pack->depth > 0)
            return 0;
        return fail_os(err, "%s", shown(pack));
    }
    rc = take_type(&found.entry, &found.st) ? put_found(pack, &found, err)
         : pack->depth > 0                  ? 0
                           : fail(err, SM_ENOTSUP, "%s: a socket", shown(pack));
    if (!rc && found.entry.type == PAX_FOLDER && !pack->config->header_only &&
        !is_kernels(pack, &found.st))
        rc = enter(pack, &found, err);
    if (found.fd >= 0)
        close(found.fd);
    return rc;
}

/* The next entry of the deepest folder, or its end. */
static int step(struct packing *pack, struct sm_error *err)
{
    struct level *level = &pack->levels[pack->depth - 1];
    const struct dirent *next;
    size_t length;

    pack->path[level->length] = '\0';
    errno = 0;
    next = readdir(level->entries);
    if (!next && errno)
        return fail_os(err, "%s", shown(pack));
    if (!next) {
        closedir(level->entries);
        pack->depth--;
        return 0;
    }
    if (strcmp(next->d_name, ".") == 0 || strcmp(next->d_name, "..") == 0)
        return 0;
    length = strlen(next->d_name);
    if (level->length + 1 + length > PAX_NAME_MAX)
        return fail(err, SM_ELIMIT, "%.200s...: a name of more than %d bytes",
                    pack->path, PAX_NAME_MAX);
    if (level->length > 0)
        pack->path[level->length] = '/';
    memcpy(pack->path + level->length + (level->length > 0), next->d_name,
           length + 1);
    return visit(pack, dirfd(level->entries), next->d_name, false, err);
}

static int pack_tree(struct packing *pack, struct sm_error *err)
{
    struct path_parts parts;
    AUTO_CLOSE int folder = -1;
    int rc = path_split(pack->config->path, &parts, err);

    if (rc)
        return rc;
    folder = open(parts.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        rc = fail_os(err, "%s", parts.folder);
    } else if (strcmp(parts.name, ".") != 0) {
        /* As the kernel has it: "link/" is what the link leads to. */
        snprintf(pack->path, sizeof pack->path, "%s", parts.name);
        rc = visit(pack, folder, parts.name,
                   pack->config->follow || parts.is_folder, err);
        if (!rc && parts.is_folder && pack->depth == 0 &&
            !pack->config->header_only)
            rc = fail(err, SM_EINVAL, "%s: not a folder", pack->config->path);
    } else {
        rc = visit(pack, folder, ".", false, err);
    }
    path_parts_done(&parts);
    while (!rc && pack->depth > 0)
        rc = step(pack, err);
    return rc ? rc : pax_put_end(&pack->writer, err);
}

int pack(const struct pack_config *config, const struct pax_output *to,
         uint64_t *ret_bytes, struct sm_error *err)
{
    struct packing *pack = calloc(1, sizeof *pack);
    int rc;

    if (!pack)
        return fail(err, SM_ENOMEM, "%s: out of memory", config->path);
    pack->config = config;
    inodes_init(&pack->inodes);
    buf_init(&pack->xattrs, ATTRIBUTES_MAX);
    buf_init(&pack->names, ATTRIBUTES_MAX);
    buf_init(&pack->value, ATTRIBUTES_MAX);
    buf_init(&pack->pieces, PAX_PIECES_MAX * sizeof(struct pax_piece));
    note_kernels(pack);
    rc = pax_writer_init(&pack->writer, to, err);
    if (!rc)
        rc = pack_tree(pack, err);
    if (!rc && ret_bytes)
        *ret_bytes = pack->bytes;
    while (pack->depth > 0)
        closedir(pack->levels[--pack->depth].entries);
    pax_writer_done(&pack->writer);
    inodes_done(&pack->inodes);
    buf_done(&pack->xattrs);
    buf_done(&pack->names);
    buf_done(&pack->value);
    buf_done(&pack->pieces);
    free(pack);
    return rc;
}
