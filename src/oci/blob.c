/* blob.c: verified reading of blobs; see blob.h. */
#include "oci/blob.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/file.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { BLOB_CHUNK = 256 << 10 };

struct blob {
    int fd;
    uint64_t at;   /* in the file          */
    uint64_t done; /* of the blob          */
    uint64_t bytes;
    bool verified; /* the end was reached  */
    struct digest wanted;
    struct hasher hasher;
    uint8_t chunk[BLOB_CHUNK];
};

OWN_DEFINE(struct blob, blob_close)

/* The file is there, regular and long enough. */
static int check_file(int fd, uint64_t offset, uint64_t bytes,
                      struct sm_error *err)
{
    struct stat st;
    uint64_t end;

    if (fstat(fd, &st) != 0)
        return fail_os(err, "stat");
    if (!S_ISREG(st.st_mode))
        return fail(err, SM_EIMAGE, "is no regular file");
    if (!add_u64(offset, bytes, &end) || end > (uint64_t)st.st_size)
        return fail(err, SM_EIMAGE, "has %llu bytes, its descriptor says %llu",
                    (unsigned long long)st.st_size, (unsigned long long)bytes);
    return 0;
}

int blob_open(int fd, uint64_t offset, uint64_t bytes,
              const struct digest *digest, struct blob **ret,
              struct sm_error *err)
{
    AUTO_CLOSE int owned = fd;
    AUTO(blob_closep) struct blob *blob = NULL;
    int rc = check_file(fd, offset, bytes, err);

    if (rc)
        return rc;
    blob = calloc(1, sizeof *blob);
    if (!blob)
        return fail(err, SM_ENOMEM, "out of memory");
    blob->fd = own_take_fd(&owned);
    blob->at = offset;
    blob->bytes = bytes;
    blob->wanted = *digest;
    rc = hasher_init(&blob->hasher, digest->kind, err);
    if (rc)
        return rc;
    (void)posix_fadvise(blob->fd, (off_t)offset, (off_t)bytes,
                        POSIX_FADV_SEQUENTIAL);
    *ret = own_take(blob);
    return 0;
}

void blob_close(struct blob *blob)
{
    if (!blob)
        return;
    close(blob->fd);
    hasher_done(&blob->hasher);
    free(blob);
}

static int verify(struct blob *blob, struct sm_error *err)
{
    char wanted[DIGEST_TEXT_MAX];
    char got[DIGEST_TEXT_MAX];
    struct digest digest;

    if (blob->verified)
        return 0;
    hasher_end(&blob->hasher, &digest);
    if (!digest_equal(&digest, &blob->wanted)) {
        digest_text(&blob->wanted, wanted);
        digest_text(&digest, got);
        return fail(err, SM_EDIGEST, "digest mismatch: expected %s, got %s",
                    wanted, got);
    }
    blob->verified = true;
    return 0;
}

int blob_read(struct blob *blob, const uint8_t **bytes, size_t *count,
              struct sm_error *err)
{
    size_t want = (size_t)min_u64(blob->bytes - blob->done, BLOB_CHUNK);
    int rc;

    *bytes = blob->chunk;
    *count = 0;
    if (want == 0)
        return verify(blob, err);
    rc = file_read_at(blob->fd, blob->chunk, want, blob->at, err);
    if (rc)
        return rc;
    hasher_add(&blob->hasher, blob->chunk, want);
    blob->at += want;
    blob->done += want;
    *count = want;
    return 0;
}

int blob_finish(struct blob *blob, struct sm_error *err)
{
    const uint8_t *bytes;
    size_t count;
    int rc;

    do {
        rc = blob_read(blob, &bytes, &count, err);
    } while (!rc && count);
    return rc;
}

uint64_t blob_done_bytes(const struct blob *blob)
{
    return blob->done;
}

uint64_t blob_bytes(const struct blob *blob)
{
    return blob->bytes;
}

int blob_read_all(struct blob *blob, struct buf *to, struct sm_error *err)
{
    const uint8_t *bytes;
    size_t count;
    int rc;

    if (blob->bytes > to->cap - to->size)
        return fail(err, SM_ELIMIT, "has %llu bytes, at most %zu are read",
                    (unsigned long long)blob->bytes, to->cap - to->size);
    for (;;) {
        rc = blob_read(blob, &bytes, &count, err);
        if (rc || !count)
            return rc;
        if (!buf_append(to, bytes, count))
            return fail(err, SM_ENOMEM, "out of memory");
    }
}
