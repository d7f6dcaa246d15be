/* tar_write.c: archives of images, written file by file; see tar_write.h. */
#include "oci/tar_write.h"

#include "base/own.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

struct tar_writer {
    struct archive *archive;
};

static int failed(const struct tar_writer *writer, struct sm_error *err)
{
    int os_error = archive_errno(writer->archive);

    return fail_errno(err, os_error > 0 ? os_error : EIO, "write the archive");
}

/* A pipe need not be padded to a tape's block. */
int tar_writer_open(int fd, struct tar_writer **ret, struct sm_error *err)
{
    struct tar_writer *writer = calloc(1, sizeof *writer);
    int rc = 0;

    if (writer)
        writer->archive = archive_write_new();
    if (!writer || !writer->archive) {
        free(writer);
        return fail(err, SM_ENOMEM, "out of memory");
    }
    if (archive_write_set_format_pax_restricted(writer->archive) !=
            ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(writer->archive, 1) !=
            ARCHIVE_OK ||
        archive_write_open_fd(writer->archive, fd) != ARCHIVE_OK)
        rc = failed(writer, err);
    if (rc)
        tar_writer_free(writer);
    else
        *ret = writer;
    return rc;
}

int tar_writer_end(struct tar_writer *writer, struct sm_error *err)
{
    return archive_write_close(writer->archive) == ARCHIVE_OK
               ? 0
               : failed(writer, err);
}

void tar_writer_free(struct tar_writer *writer)
{
    if (!writer)
        return;
    archive_write_free(writer->archive);
    free(writer);
}

int tar_write_file(struct tar_writer *writer, const char *name, uint64_t bytes,
                   struct sm_error *err)
{
    struct archive_entry *entry = archive_entry_new();
    int rc = 0;

    if (!entry)
        return fail(err, SM_ENOMEM, "out of memory");
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (int64_t)bytes);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_mtime(entry, 0, 0);
    if (archive_write_header(writer->archive, entry) != ARCHIVE_OK)
        rc = failed(writer, err);
    archive_entry_free(entry);
    return rc;
}

int tar_write_bytes(struct tar_writer *writer, const void *bytes, size_t count,
                    struct sm_error *err)
{
    if (archive_write_data(writer->archive, bytes, count) != (la_ssize_t)count)
        return failed(writer, err);
    return 0;
}

int tar_write_text(struct tar_writer *writer, const char *name,
                   const char *text, struct sm_error *err)
{
    int rc = tar_write_file(writer, name, strlen(text), err);

    return rc ? rc : tar_write_bytes(writer, text, strlen(text), err);
}

int tar_write_json(struct tar_writer *writer, const char *name, json_t *json,
                   struct sm_error *err)
{
    AUTO_FREE char *text =
        json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

    json_decref(json);
    return text ? tar_write_text(writer, name, text, err)
                : fail(err, SM_ENOMEM, "out of memory");
}
