/* unpack_entry.c: one entry as a file, folder, link or device; see unpack.h. */
#include "files/unpacking.h"

#include "base/bytes.h"
#include "base/own.h"
#include "base/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { SETID = S_ISUID | S_ISGID };

/* ---- owner, attributes, mode, times ---- */

static bool wants_xattr(const struct unpacking *unpack, const char *name)
{
    /* Labels belong to the policy of a system. */
    if (strcmp(name, "security.selinux") == 0)
        return false;
    return unpack->config->privileged || strncmp(name, "user.", 5) == 0;
}

static int dress_xattrs(const struct unpacking *unpack,
                        const struct xattr_place *place,
                        const struct pax_entry *entry, struct sm_error *err)
{
    struct wire_reader from;

    wire_read(&from, entry->xattrs, entry->xattrs_count);
    while (from.left > 0 && wire_ok(&from)) {
        AUTO_FREE char *name = wire_string(&from);
        size_t count = 0;
        const uint8_t *value = wire_blob(&from, &count);

        if (!wire_ok(&from))
            return fail(err, SM_ENOMEM, "out of memory");
        /* A file system without attributes is no reason to copy nothing. */
        if (wants_xattr(unpack, name) && xattr_set(place, name, value, count) &&
            errno != ENOTSUP)
            return fail_os(err, "entry %.400s: attribute %s", entry->name,
                           name);
    }
    return 0;
}

static int dress_owner(const struct xattr_place *place,
                       const struct pax_entry *entry)
{
    if (place->fd >= 0)
        return fchown(place->fd, entry->uid, entry->gid);
    return fchownat(place->folder, place->name, entry->uid, entry->gid,
                    AT_SYMLINK_NOFOLLOW);
}

static int dress_mode(const struct xattr_place *place, mode_t mode)
{
    if (place->fd >= 0)
        return fchmod(place->fd, mode);
    return fchmodat(place->folder, place->name, mode, 0);
}

/* A new owner takes setuid bits and capabilities away, so he comes first. */
int unpack_dress(const struct unpacking *unpack,
                 const struct xattr_place *place, const struct pax_entry *entry,
                 struct sm_error *err)
{
    const struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = entry->mtime_s, .tv_nsec = (long)entry->mtime_ns}};
    mode_t mode = (mode_t)entry->mode;
    int rc;

    if (!unpack->config->privileged)
        mode &= (mode_t)~SETID;
    if (unpack->config->owners && dress_owner(place, entry))
        return fail_os(err, "entry %.400s: owner %u:%u", entry->name,
                       entry->uid, entry->gid);
    rc = dress_xattrs(unpack, place, entry, err);
    if (rc)
        return rc;
    if (entry->type != PAX_SYMLINK && dress_mode(place, mode))
        return fail_os(err, "entry %.400s: mode %o", entry->name, mode);
    if (place->fd >= 0
            ? futimens(place->fd, times)
            : utimensat(place->folder, place->name, times, AT_SYMLINK_NOFOLLOW))
        return fail_os(err, "entry %.400s: time", entry->name);
    return 0;
}

/* ---- what is there already ---- */

/* Nothing at all, a folder, or something in use that can be written to only. */
enum there { THERE_NOTHING, THERE_FOLDER, THERE_BUSY };

static int clear_way(int folder, const char *base,
                     const struct pax_entry *entry, enum there *ret,
                     struct sm_error *err)
{
    struct stat st;

    *ret = THERE_NOTHING;
    if (fstatat(folder, base, &st, AT_SYMLINK_NOFOLLOW)) {
        if (errno == ENOENT)
            return 0;
        return fail_os(err, "entry %.400s", entry->name);
    }
    if (S_ISDIR(st.st_mode) && entry->type == PAX_FOLDER) {
        *ret = THERE_FOLDER;
        return 0;
    }
    if (S_ISDIR(st.st_mode) || entry->type == PAX_FOLDER)
        return fail(err, SM_EEXIST,
                    "entry %.400s: a folder and something else do not replace "
                    "each other",
                    entry->name);
    if (unlinkat(folder, base, 0) == 0 || errno == ENOENT)
        return 0;
    /* A file that another is mounted over, like /etc/resolv.conf. */
    if (errno == EBUSY && S_ISREG(st.st_mode) && entry->type == PAX_FILE) {
        *ret = THERE_BUSY;
        return 0;
    }
    return fail_os(err, "entry %.400s", entry->name);
}

/* ---- files ---- */

static int open_file(int folder, const char *base,
                     const struct pax_entry *entry, struct sm_error *err)
{
    const int how = O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY;
    int fd = openat(folder, base, how | O_CREAT | O_EXCL, 0600);
    enum there there;
    int rc;

    if (fd >= 0 || errno != EEXIST)
        return fd >= 0 ? fd : fail_os(err, "entry %.400s", entry->name);
    rc = clear_way(folder, base, entry, &there, err);
    if (rc)
        return rc;
    fd = there == THERE_BUSY
             ? openat(folder, base, how | O_TRUNC)
             : openat(folder, base, how | O_CREAT | O_EXCL, 0600);
    return fd >= 0 ? fd : fail_os(err, "entry %.400s", entry->name);
}

static int write_all(int fd, const uint8_t *bytes, size_t count,
                     uint64_t offset)
{
    while (count > 0) {
        ssize_t done = pwrite(fd, bytes, count, (off_t)offset);

        if (done < 0 && errno != EINTR)
            return -1;
        if (done > 0) {
            bytes += done;
            count -= (size_t)done;
            offset += (uint64_t)done;
        }
    }
    return 0;
}

static int fill_file(struct unpacking *unpack, int fd,
                     const struct pax_entry *entry, struct sm_error *err)
{
    const uint64_t most = unpack->config->bytes_max;
    const uint8_t *bytes;
    uint64_t offset;
    size_t count;
    int rc;

    while ((rc = pax_content(&unpack->reader, &offset, &bytes, &count, err)) >
           0) {
        unpack->bytes += count;
        if (most && unpack->bytes > most)
            return fail(err, SM_ELIMIT, "more than %llu bytes",
                        (unsigned long long)most);
        if (write_all(fd, bytes, count, offset))
            return fail_os(err, "entry %.400s", entry->name);
    }
    if (!rc && entry->pieces && ftruncate(fd, (off_t)entry->size))
        return fail_os(err, "entry %.400s", entry->name);
    return rc;
}

static int make_file(struct unpacking *unpack, int folder, const char *base,
                     const struct pax_entry *entry, struct sm_error *err)
{
    AUTO_CLOSE int fd = open_file(folder, base, entry, err);
    int rc;

    if (fd < 0)
        return fd;
    rc = fill_file(unpack, fd, entry, err);
    if (!rc)
        rc = unpack_dress(unpack, &(struct xattr_place){.fd = fd}, entry, err);
    if (rc)
        unlinkat(folder, base, 0);
    return rc;
}

/* ---- everything else ---- */

static int make_folder(struct unpacking *unpack, int folder, const char *base,
                       const struct pax_entry *entry, struct sm_error *err)
{
    enum there there;
    int rc;

    if (mkdirat(folder, base, 0700)) {
        if (errno != EEXIST)
            return fail_os(err, "entry %.400s", entry->name);
        rc = clear_way(folder, base, entry, &there, err);
        if (rc)
            return rc;
    }
    return unpack_later(unpack, entry, err);
}

/* The file was an entry before, or was there already; never through a link. */
static int make_link(struct unpacking *unpack, int folder, const char *base,
                     const struct pax_entry *entry, struct sm_error *err)
{
    AUTO_CLOSE int here = fcntl(folder, F_DUPFD_CLOEXEC, 0);
    const char *target;
    enum there there;
    struct stat st;
    int from;
    int rc = unpack_rename(unpack, entry->link, unpack->link, err);

    if (rc)
        return wrap(err, rc, "link %.400s", entry->name);
    if (here < 0)
        return fail_os(err, "link %.400s", entry->name);
    from = unpack_folder_of(unpack, unpack->link, &target, err);
    if (from < 0)
        return err->code;
    if (fstatat(from, target, &st, AT_SYMLINK_NOFOLLOW) || S_ISDIR(st.st_mode))
        return fail(err, SM_ENOENT, "link %.400s: %.400s: no such file",
                    entry->name, entry->link);
    if (strcmp(unpack->link, unpack->name) == 0)
        return 0;
    rc = clear_way(here, base, entry, &there, err);
    if (!rc && linkat(from, target, here, base, 0))
        rc = fail_os(err, "link %.400s", entry->name);
    return rc;
}

static int make_node(int folder, const char *base,
                     const struct pax_entry *entry)
{
    dev_t device = makedev(entry->major, entry->minor);

    switch (entry->type) {
    case PAX_SYMLINK:
        return symlinkat(entry->link, folder, base);
    case PAX_CHAR:
        return mknodat(folder, base, S_IFCHR | 0600, device);
    case PAX_BLOCK:
        return mknodat(folder, base, S_IFBLK | 0600, device);
    case PAX_FIFO:
    default:
        return mkfifoat(folder, base, 0600);
    }
}

static int make_other(struct unpacking *unpack, int folder, const char *base,
                      const struct pax_entry *entry, struct sm_error *err)
{
    enum there there;
    int rc;

    if (!unpack->config->privileged &&
        (entry->type == PAX_CHAR || entry->type == PAX_BLOCK))
        return fail(err, SM_ENOTSUP,
                    "entry %.400s: a device, which was not asked for",
                    entry->name);
    rc = clear_way(folder, base, entry, &there, err);
    if (rc)
        return rc;
    if (make_node(folder, base, entry))
        return fail_os(err, "entry %.400s", entry->name);
    return unpack_dress(
        unpack, &(struct xattr_place){.fd = -1, .folder = folder, .name = base},
        entry, err);
}

int unpack_entry(struct unpacking *unpack, const struct pax_entry *entry,
                 struct sm_error *err)
{
    const char *base;
    int folder;
    int rc = unpack_rename(unpack, entry->name, unpack->name, err);

    if (rc)
        return rc;
    /* The target itself is there, and stays as it is. */
    if (!unpack->name[0])
        return entry->type == PAX_FOLDER
                   ? 0
                   : fail(err, SM_EINVAL, "tar: a file without a name");
    folder = unpack_folder_of(unpack, unpack->name, &base, err);
    if (folder < 0)
        return err->code;
    switch (entry->type) {
    case PAX_FILE:
        return make_file(unpack, folder, base, entry, err);
    case PAX_FOLDER:
        return make_folder(unpack, folder, base, entry, err);
    case PAX_LINK:
        return make_link(unpack, folder, base, entry, err);
    default:
        return make_other(unpack, folder, base, entry, err);
    }
}
