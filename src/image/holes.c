/* holes.c: files with holes as blobs, and back; see holes.h. */
#include "image/holes.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

enum { CHUNK = 256 << 10, RUN_BYTES = 16 };

static const char magic[8] = "SMHOLES";

/* ---- packing ---- */

/* Where the compressed bytes go. */
struct packing {
    struct archive *archive;
    struct hasher hasher;
    int to;
    uint64_t done;
    struct sm_error error; /* of a write */
    uint8_t *chunk;
};

static la_ssize_t on_packed(struct archive *archive, void *context,
                            const void *bytes, size_t count)
{
    struct packing *packing = context;

    if (file_write_at(packing->to, bytes, count, packing->done,
                      &packing->error) != 0) {
        archive_set_error(archive, EIO, "write");
        return -1;
    }
    hasher_add(&packing->hasher, bytes, count);
    packing->done += count;
    return (la_ssize_t)count;
}

static int packing_failed(const struct packing *packing, struct sm_error *err)
{
    const char *why = archive_error_string(packing->archive);

    if (packing->error.code) {
        if (err)
            *err = packing->error;
        return packing->error.code;
    }
    if (archive_errno(packing->archive) == ENOMEM)
        return fail(err, SM_ENOMEM, "out of memory");
    return fail(err, SM_EIO, "%s", why ? why : "compress");
}

static int begin_packing(struct packing *packing, struct sm_error *err)
{
    struct archive_entry *entry = archive_entry_new();
    int rc = 0;

    packing->archive = archive_write_new();
    packing->chunk = malloc(CHUNK);
    if (!entry || !packing->archive || !packing->chunk) {
        archive_entry_free(entry);
        return fail(err, SM_ENOMEM, "out of memory");
    }
    archive_entry_set_pathname(entry, "data");
    archive_entry_set_filetype(entry, AE_IFREG);
    if (archive_write_set_format_raw(packing->archive) != ARCHIVE_OK ||
        archive_write_add_filter_zstd(packing->archive) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(packing->archive, 0) != ARCHIVE_OK ||
        archive_write_open(packing->archive, packing, NULL, on_packed, NULL) !=
            ARCHIVE_OK ||
        archive_write_header(packing->archive, entry) != ARCHIVE_OK)
        rc = packing_failed(packing, err);
    archive_entry_free(entry);
    return rc;
}

static int put(struct packing *packing, const void *bytes, size_t count,
               struct sm_error *err)
{
    return archive_write_data(packing->archive, bytes, count) ==
                   (la_ssize_t)count
               ? 0
               : packing_failed(packing, err);
}

static int put_run(struct packing *packing, uint64_t at, uint64_t count,
                   struct sm_error *err)
{
    uint8_t head[RUN_BYTES];

    store_le64(head, at);
    store_le64(head + 8, count);
    return put(packing, head, sizeof head, err);
}

static int put_data(struct packing *packing, int fd, uint64_t at, uint64_t end,
                    struct sm_error *err)
{
    int rc = put_run(packing, at, end - at, err);

    while (!rc && at < end) {
        size_t count = (size_t)min_u64(end - at, CHUNK);

        rc = file_read_at(fd, packing->chunk, count, at, err);
        if (!rc)
            rc = put(packing, packing->chunk, count, err);
        at += count;
    }
    return rc;
}

static int put_all(struct packing *packing, int fd, uint64_t bytes,
                   struct sm_error *err)
{
    uint8_t head[sizeof magic + 8];
    uint64_t at = 0;
    uint64_t end;
    int rc;

    memcpy(head, magic, sizeof magic);
    store_le64(head + sizeof magic, bytes);
    rc = put(packing, head, sizeof head, err);
    while (!rc && at < bytes) {
        rc = file_next_data(fd, &at, &end, err);
        if (rc || !end || at >= bytes)
            break;
        end = min_u64(end, bytes);
        rc = put_data(packing, fd, at, end, err);
        at = end;
    }
    if (!rc)
        rc = put_run(packing, bytes, 0, err);
    if (!rc && archive_write_close(packing->archive) != ARCHIVE_OK)
        rc = packing_failed(packing, err);
    return rc;
}

int holes_pack(int fd, uint64_t bytes, const char *home, int *ret_fd,
               struct digest *ret_digest, uint64_t *ret_bytes,
               struct sm_error *err)
{
    struct packing packing = {.to = -1};
    int rc = file_unnamed(home, &packing.to, err);

    if (!rc)
        rc = hasher_init(&packing.hasher, DIGEST_SHA256, err);
    if (!rc)
        rc = begin_packing(&packing, err);
    if (!rc)
        rc = put_all(&packing, fd, bytes, err);
    if (!rc) {
        hasher_end(&packing.hasher, ret_digest);
        *ret_bytes = packing.done;
        *ret_fd = own_take_fd(&packing.to);
    }
    archive_write_free(packing.archive);
    hasher_done(&packing.hasher);
    free(packing.chunk);
    own_close(&packing.to);
    return rc;
}

/* ---- unpacking ---- */

/* Where the compressed bytes come from. */
struct unpacking {
    struct archive *archive;
    struct blob *blob;
    struct sm_error error; /* of a read */
    uint8_t *chunk;
};

static la_ssize_t on_wanted(struct archive *archive, void *context,
                            const void **ret)
{
    struct unpacking *unpacking = context;
    const uint8_t *bytes;
    size_t count;

    if (blob_read(unpacking->blob, &bytes, &count, &unpacking->error) != 0) {
        archive_set_error(archive, EIO, "read");
        return -1;
    }
    *ret = bytes;
    return (la_ssize_t)count;
}

static int unpacking_failed(const struct unpacking *unpacking,
                            struct sm_error *err)
{
    const char *why = archive_error_string(unpacking->archive);

    if (unpacking->error.code) {
        if (err)
            *err = unpacking->error;
        return unpacking->error.code;
    }
    if (archive_errno(unpacking->archive) == ENOMEM)
        return fail(err, SM_ENOMEM, "out of memory");
    return fail(err, SM_EIMAGE, "%s", why ? why : "not what zstd makes");
}

static int begin_unpacking(struct unpacking *unpacking, struct sm_error *err)
{
    struct archive_entry *entry;

    unpacking->archive = archive_read_new();
    unpacking->chunk = malloc(CHUNK);
    if (!unpacking->archive || !unpacking->chunk)
        return fail(err, SM_ENOMEM, "out of memory");
    if (archive_read_support_filter_zstd(unpacking->archive) != ARCHIVE_OK ||
        archive_read_support_format_raw(unpacking->archive) != ARCHIVE_OK ||
        archive_read_open(unpacking->archive, unpacking, NULL, on_wanted,
                          NULL) != ARCHIVE_OK ||
        archive_read_next_header(unpacking->archive, &entry) != ARCHIVE_OK)
        return unpacking_failed(unpacking, err);
    return 0;
}

static int get(struct unpacking *unpacking, void *to, size_t count,
               struct sm_error *err)
{
    la_ssize_t got = archive_read_data(unpacking->archive, to, count);

    if (got < 0)
        return unpacking_failed(unpacking, err);
    return (size_t)got == count ? 0 : fail(err, SM_EIMAGE, "is cut off");
}

static int get_data(struct unpacking *unpacking, int fd, uint64_t at,
                    uint64_t end, struct sm_error *err)
{
    int rc = 0;

    while (!rc && at < end) {
        size_t count = (size_t)min_u64(end - at, CHUNK);

        rc = get(unpacking, unpacking->chunk, count, err);
        if (!rc)
            rc = file_write_at(fd, unpacking->chunk, count, at, err);
        at += count;
    }
    return rc;
}

/* One run. *done: the file is known up to there; (bytes): to its end. */
static int get_run(struct unpacking *unpacking, int fd, uint64_t bytes,
                   uint64_t *done, bool *last, struct sm_error *err)
{
    uint8_t head[RUN_BYTES];
    uint64_t at;
    uint64_t count;
    uint64_t end;
    int rc = get(unpacking, head, sizeof head, err);

    if (rc)
        return rc;
    at = load_le64(head);
    count = load_le64(head + 8);
    *last = count == 0;
    if (!add_u64(at, count, &end) || at < *done || end > bytes ||
        (*last && at != bytes))
        return fail(err, SM_EIMAGE, "run of %llu bytes at %llu: not there",
                    (unsigned long long)count, (unsigned long long)at);
    *done = end;
    return get_data(unpacking, fd, at, end, err);
}

static int get_all(struct unpacking *unpacking, int fd, uint64_t bytes,
                   struct sm_error *err)
{
    uint8_t head[sizeof magic + 8];
    uint64_t done = 0;
    bool last = false;
    int rc = get(unpacking, head, sizeof head, err);

    if (rc)
        return rc;
    if (memcmp(head, magic, sizeof magic) != 0)
        return fail(err, SM_EIMAGE, "is no file of a snapshot");
    if (load_le64(head + sizeof magic) != bytes)
        return fail(err, SM_EIMAGE, "is of %llu bytes: must be %llu",
                    (unsigned long long)load_le64(head + sizeof magic),
                    (unsigned long long)bytes);
    rc = file_set_size(fd, bytes, err);
    while (!rc && !last)
        rc = get_run(unpacking, fd, bytes, &done, &last, err);
    return rc ? rc : blob_finish(unpacking->blob, err);
}

int holes_unpack(struct blob *blob, int fd, uint64_t bytes,
                 struct sm_error *err)
{
    struct unpacking unpacking = {.blob = blob};
    int rc = begin_unpacking(&unpacking, err);

    if (!rc)
        rc = get_all(&unpacking, fd, bytes, err);
    archive_read_free(unpacking.archive);
    free(unpacking.chunk);
    return rc;
}
