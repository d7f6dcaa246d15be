/* folder.c: a folder as a tar; see spool.h. */
#include "oci/spool.h"

#include "base/own.h"
#include "platform/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>
#include <sys/stat.h>

enum { FOLDER_CHUNK = 128 << 10 };

struct packing {
    struct archive *disk; /* reads metadata */
    struct archive *tar;
    struct archive_entry_linkresolver *links;
    struct archive_entry *entry;
    size_t root_length; /* of the path of the folder */
    uint8_t chunk[FOLDER_CHUNK];
};

static void packing_free(struct packing *packing)
{
    if (!packing)
        return;
    archive_entry_linkresolver_free(packing->links);
    archive_entry_free(packing->entry);
    archive_read_free(packing->disk);
    archive_write_free(packing->tar);
    free(packing);
}

OWN_DEFINE(struct packing, packing_free)

static void close_walk(FTS **walk)
{
    if (*walk)
        fts_close(*walk);
}

static int tar_failed(struct archive *archive, const char *path,
                      struct sm_error *err)
{
    const char *why = archive_error_string(archive);
    int number = archive_errno(archive);

    if (number > 0)
        return fail_errno(err, number, "%s", path);
    return fail(err, SM_EIO, "%s: %s", path, why ? why : "cannot be packed");
}

/* Text as it is, not turned into another character set; no ctime or atime,
 * which change without the folder having changed. */
static int packing_new(int to, const char *root, struct packing **ret,
                       struct sm_error *err)
{
    AUTO(packing_freep) struct packing *packing = calloc(1, sizeof *packing);

    if (!packing)
        return fail(err, SM_ENOMEM, "out of memory");
    packing->root_length = strlen(root);
    packing->disk = archive_read_disk_new();
    packing->tar = archive_write_new();
    packing->links = archive_entry_linkresolver_new();
    packing->entry = archive_entry_new();
    if (!packing->disk || !packing->tar || !packing->links || !packing->entry)
        return fail(err, SM_ENOMEM, "out of memory");
    if (archive_read_disk_set_behavior(
            packing->disk, ARCHIVE_READDISK_NO_FFLAGS) != ARCHIVE_OK)
        return tar_failed(packing->disk, root, err);
    if (archive_write_set_format_pax(packing->tar) != ARCHIVE_OK ||
        archive_write_set_options(packing->tar, "hdrcharset=BINARY") !=
            ARCHIVE_OK ||
        archive_write_open_fd(packing->tar, to) != ARCHIVE_OK)
        return tar_failed(packing->tar, root, err);
    archive_entry_linkresolver_set_strategy(packing->links,
                                            ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE);
    *ret = own_take(packing);
    return 0;
}

static int open_content(const FTSENT *found, int *ret_fd, struct sm_error *err)
{
    struct stat st;
    AUTO_CLOSE int fd = open(found->fts_accpath,
                             O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return fail_os(err, "open %s", found->fts_path);
    if (fstat(fd, &st) != 0)
        return fail_os(err, "stat %s", found->fts_path);
    if (!S_ISREG(st.st_mode) || st.st_ino != found->fts_statp->st_ino ||
        st.st_size != found->fts_statp->st_size)
        return fail(err, SM_EBUSY, "%s: changed while it was read",
                    found->fts_path);
    *ret_fd = own_take_fd(&fd);
    return 0;
}

/* The content, holes included: the writer knows where they are. */
static int pack_content(struct packing *packing, const FTSENT *found, int fd,
                        struct sm_error *err)
{
    uint64_t left = (uint64_t)found->fts_statp->st_size;

    while (left) {
        ssize_t got = read(fd, packing->chunk, sizeof packing->chunk);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_os(err, "read %s", found->fts_path);
        if (got == 0 || (uint64_t)got > left)
            return fail(err, SM_EBUSY, "%s: changed while it was read",
                        found->fts_path);
        if (archive_write_data(packing->tar, packing->chunk, (size_t)got) < 0)
            return tar_failed(packing->tar, found->fts_path, err);
        left -= (uint64_t)got;
    }
    return 0;
}

static int pack_one(struct packing *packing, const FTSENT *found,
                    struct sm_error *err)
{
    struct archive_entry *entry = archive_entry_clear(packing->entry);
    struct archive_entry *spare = NULL;
    AUTO_CLOSE int fd = -1;
    const char *name = found->fts_path + packing->root_length;
    int rc = 0;

    while (*name == '/')
        name++;
    archive_entry_copy_pathname(entry, *name ? name : "./");
    archive_entry_copy_sourcepath(entry, found->fts_accpath);
    if (S_ISREG(found->fts_statp->st_mode))
        rc = open_content(found, &fd, err);
    if (rc)
        return rc;
    if (archive_read_disk_entry_from_file(packing->disk, entry, fd,
                                          found->fts_statp) != ARCHIVE_OK)
        return tar_failed(packing->disk, found->fts_path, err);
    archive_entry_unset_atime(entry);
    archive_entry_unset_ctime(entry);
    archive_entry_unset_birthtime(entry);
    if (archive_entry_nlink(entry) > 1)
        archive_entry_linkify(packing->links, &entry, &spare);
    if (archive_write_header(packing->tar, entry) != ARCHIVE_OK)
        return tar_failed(packing->tar, found->fts_path, err);
    if (fd >= 0 && !archive_entry_hardlink(entry))
        rc = pack_content(packing, found, fd, err);
    return rc;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int pack_found(struct packing *packing, const FTSENT *found,
                      struct sm_error *err)
{
    switch (found->fts_info) {
    case FTS_DP:
        return 0; /* a folder, once more, behind what is in it */
    case FTS_ERR:
    case FTS_DNR:
    case FTS_NS:
        return fail_errno(err, found->fts_errno, "read %s", found->fts_path);
    default:
        if (S_ISSOCK(found->fts_statp->st_mode))
            return 0;
        return pack_one(packing, found, err);
    }
}

static int pack_all(struct packing *packing, const char *path,
                    struct sm_error *err)
{
    char *const roots[] = {(char *)(uintptr_t)path, NULL};
    AUTO(close_walk)
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, by_name);
    FTSENT *found;
    int rc = 0;

    if (!walk)
        return fail_os(err, "read %s", path);
    errno = 0;
    while (!rc && (found = fts_read(walk)) != NULL)
        rc = pack_found(packing, found, err);
    if (!rc && errno)
        rc = fail_os(err, "read %s", path);
    if (!rc && archive_write_close(packing->tar) != ARCHIVE_OK)
        rc = tar_failed(packing->tar, path, err);
    return rc;
}

int spool_folder(const char *path, const char *folder, int *ret_fd,
                 struct sm_error *err)
{
    AUTO(packing_freep) struct packing *packing = NULL;
    AUTO_FREE char *real = realpath(path, NULL);
    AUTO_CLOSE int to = -1;
    struct stat st;
    int rc;

    if (!real || stat(real, &st) != 0)
        return fail_os(err, "open folder %s", path);
    if (!S_ISDIR(st.st_mode))
        return fail(err, SM_EIMAGE, "%s: is no folder", path);
    rc = file_unnamed(folder, &to, err);
    if (!rc)
        rc = packing_new(to, real, &packing, err);
    if (!rc)
        rc = pack_all(packing, real, err);
    if (!rc)
        *ret_fd = own_take_fd(&to);
    return rc;
}
