/* spool.c: streams into nameless files; see spool.h. */
#include "oci/spool.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { STREAM_CHUNK = 64 << 10 };

static void close_reader(struct archive **reader)
{
    archive_read_free(*reader);
}

bool spool_is_plain(int fd)
{
    static const struct {
        size_t count;
        uint8_t bytes[6];
    } magics[] = {
        {2, {0x1f, 0x8b}},                  /* gzip, RFC 1952  */
        {4, {0x28, 0xb5, 0x2f, 0xfd}},      /* zstd, RFC 8878  */
        {6, {0xfd, '7', 'z', 'X', 'Z', 0}}, /* xz              */
        {3, {'B', 'Z', 'h'}},               /* bzip2           */
    };
    uint8_t first[6] = {0};
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    /* What is shorter is no tar either: whoever reads it says so. */
    if (pread(fd, first, sizeof first, 0) != (ssize_t)sizeof first)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(magics); i++)
        if (memcmp(first, magics[i].bytes, magics[i].count) == 0)
            return false;
    return true;
}

static int reader_failed(struct archive *reader, struct sm_error *err)
{
    const char *why = archive_error_string(reader);
    int number = archive_errno(reader);

    if (number == ENOMEM)
        return fail(err, SM_ENOMEM, "out of memory");
    if (number == EIO || number == EISDIR)
        return fail_errno(err, number, "read");
    return fail(err, SM_EIMAGE, "%s", why ? why : "damaged stream");
}

/* Any of the compressions, then anything at all. */
static int open_reader(int fd, struct archive *reader, struct sm_error *err)
{
    struct archive_entry *entry;
    int status;

    if (archive_read_support_filter_gzip(reader) != ARCHIVE_OK ||
        archive_read_support_filter_zstd(reader) != ARCHIVE_OK ||
        archive_read_support_filter_xz(reader) != ARCHIVE_OK ||
        archive_read_support_filter_bzip2(reader) != ARCHIVE_OK ||
        archive_read_support_format_raw(reader) != ARCHIVE_OK ||
        archive_read_support_format_empty(reader) != ARCHIVE_OK ||
        archive_read_open_fd(reader, fd, STREAM_CHUNK) != ARCHIVE_OK)
        return reader_failed(reader, err);
    status = archive_read_next_header(reader, &entry);
    if (status == ARCHIVE_EOF)
        return fail(err, SM_EIMAGE, "nothing came: the stream is empty");
    return status == ARCHIVE_OK ? 0 : reader_failed(reader, err);
}

int spool_stream(int fd, const char *folder, int *ret_fd, struct sm_error *err)
{
    AUTO(close_reader) struct archive *reader = archive_read_new();
    AUTO_CLOSE int to = -1;
    uint64_t done = 0;
    int rc;

    if (!reader)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = file_unnamed(folder, &to, err);
    if (!rc)
        rc = open_reader(fd, reader, err);
    while (!rc) {
        const void *bytes;
        la_int64_t offset;
        size_t count;
        int status = archive_read_data_block(reader, &bytes, &count, &offset);

        if (status == ARCHIVE_EOF)
            break;
        if (status != ARCHIVE_OK)
            return reader_failed(reader, err);
        if (done + count > SPOOL_GIB_MAX * GIB)
            return fail(err, SM_ELIMIT, "more than %d GiB come out of it",
                        SPOOL_GIB_MAX);
        rc = file_write_at(to, bytes, count, done, err);
        if (rc)
            return wrap(err, rc, "%s", folder);
        done += count;
    }
    if (!rc)
        *ret_fd = own_take_fd(&to);
    return rc;
}
