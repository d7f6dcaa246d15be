/* snapshots.c: snapshots saved, loaded, pushed and pulled; see keep.h. */
#include "image/artifact.h"
#include "image/keep.h"

#include "base/bytes.h"
#include "base/own.h"
#include "oci/archived.h"
#include "oci/layout.h"
#include "oci/tar_write.h"
#include "platform/file.h"

#include <stdio.h>
#include <string.h>

OWN_DEFINE(struct blob, blob_close)
OWN_DEFINE(struct tar_writer, tar_writer_free)

enum { CHUNK = 256 << 10, BLOB_NAME_MAX = 32 + DIGEST_HEX_MAX };

const char *keep_snapshot_name(const char *word)
{
    static const char prefix[] = "snapshot:";

    return word && strncmp(word, prefix, strlen(prefix)) == 0
               ? word + strlen(prefix)
               : NULL;
}

/* ---- save ---- */

static void blob_name(const struct digest *digest, char to[BLOB_NAME_MAX])
{
    char hex[DIGEST_HEX_MAX];

    digest_hex(digest, hex);
    snprintf(to, BLOB_NAME_MAX, "blobs/%s/%s", digest_name(digest->kind), hex);
}

static int write_blob(struct tar_writer *tar, const struct artifact_blob *blob,
                      struct sm_error *err)
{
    AUTO_FREE char *chunk = malloc(CHUNK);
    char name[BLOB_NAME_MAX];
    uint64_t done = 0;
    int rc;

    if (!chunk)
        return fail(err, SM_ENOMEM, "out of memory");
    blob_name(&blob->digest, name);
    rc = tar_write_file(tar, name, blob->bytes, err);
    while (!rc && done < blob->bytes) {
        size_t count = (size_t)min_u64(blob->bytes - done, CHUNK);

        rc = file_read_at(blob->fd, chunk, count, done, err);
        if (!rc)
            rc = tar_write_bytes(tar, chunk, count, err);
        done += count;
    }
    return rc;
}

static json_t *index_json(const struct artifact *artifact, const char *name)
{
    char digest[DIGEST_TEXT_MAX];

    digest_text(&artifact->digest, digest);
    return json_pack("{si ss s[{ss ss sI s{ss}}]}", "schemaVersion", 2,
                     "mediaType", "application/vnd.oci.image.index.v1+json",
                     "manifests", "mediaType", ARTIFACT_MANIFEST, "digest",
                     digest, "size", (json_int_t)strlen(artifact->text),
                     "annotations", "org.opencontainers.image.ref.name", name);
}

static int write_archive(const struct artifact *artifact, const char *name,
                         int fd, struct sm_error *err)
{
    AUTO(tar_writer_freep) struct tar_writer *tar = NULL;
    char manifest[BLOB_NAME_MAX];
    int rc = tar_writer_open(fd, &tar, err);

    blob_name(&artifact->digest, manifest);
    if (!rc)
        rc = tar_write_text(tar, "oci-layout",
                            "{\"imageLayoutVersion\":\"1.0.0\"}", err);
    if (!rc)
        rc = tar_write_json(tar, "index.json", index_json(artifact, name), err);
    if (!rc)
        rc = tar_write_text(tar, manifest, artifact->text, err);
    for (unsigned i = 0; i < artifact->blob_count && !rc; i++)
        rc = write_blob(tar, &artifact->blobs[i], err);
    return rc ? rc : tar_writer_end(tar, err);
}

int keep_snapshot_save(const struct keep_request *request,
                       struct reporter *reporter, struct sm_error *err)
{
    const char *name = keep_snapshot_name(request->words[0]);
    AUTO(artifact_done) struct artifact artifact = {0};
    int rc = 0;

    if (request->count != 1)
        return fail(err, SM_EINVAL, "snapshot %s: goes alone", name);
    if (request->format && strcmp(request->format, "oci-archive") != 0)
        return fail(err, SM_EINVAL, "format %s: of a snapshot oci-archive",
                    request->format);
    rc = artifact_pack(request->home, name, &artifact, err);
    if (!rc)
        rc = write_archive(&artifact, name, request->file, err);
    return rc ? rc : report_text(reporter, "", err);
}

/* ---- load ---- */

static int open_in_source(void *context,
                          const struct oci_descriptor *descriptor,
                          struct blob **ret, struct sm_error *err)
{
    struct oci_source *source = context;

    return source->ops->blob_open(source, descriptor, ret, err);
}

static int read_document(struct oci_source *source,
                         const struct oci_descriptor *descriptor,
                         struct buf *to, struct sm_error *err)
{
    AUTO(blob_closep) struct blob *blob = NULL;
    int rc = source->ops->blob_open(source, descriptor, &blob, err);

    return rc ? rc : blob_read_all(blob, to, err);
}

int keep_snapshot_tell(struct reporter *reporter, const char *name,
                       struct sm_error *err)
{
    char what[SHELF_NAME_MAX + 16];

    snprintf(what, sizeof what, "snapshot:%s", name);
    return report_change(reporter,
                         &(struct image_change){.kind = SM_STORE_LOADED,
                                                .what = what,
                                                .why = (char *)(uintptr_t) ""},
                         err);
}

static int load_from(const struct keep_request *request,
                     struct oci_source *source, char *ret_name,
                     struct sm_error *err)
{
    const struct oci_index *index = layout_index(source);
    AUTO(buf_done) struct buf text = {0};
    int rc;

    if (index->count != 1)
        return fail(err, SM_EIMAGE, "has %zu things in it, not a snapshot",
                    index->count);
    buf_init(&text, JSON_DOCUMENT_MAX);
    rc = read_document(source, &index->items[0], &text, err);
    return rc ? rc
              : artifact_unpack(
                    &(struct artifact_unpack){
                        .home = request->home,
                        .name = keep_snapshot_name(request->name),
                        .text = text.data,
                        .count = text.size,
                        .open = open_in_source,
                        .context = source,
                    },
                    ret_name, err);
}

int keep_snapshot_load(const struct keep_request *request,
                       struct reporter *reporter, struct sm_error *err)
{
    AUTO(oci_source_closep) struct oci_source *source = NULL;
    AUTO(tar_done) struct tar tar = {0};
    AUTO_CLOSE int plain = -1;
    char name[SHELF_NAME_MAX + 1];
    int rc = folder_make(request->home, err);

    if (!rc)
        rc = archived_make_plain(request->file, request->home, &plain, err);
    if (!rc)
        rc = tar_read(plain, &tar, err);
    if (!rc)
        rc = layout_open_tar(plain, "archive", &tar, &source, err);
    if (!rc)
        rc = load_from(request, source, name, err);
    if (!rc)
        rc = keep_snapshot_tell(reporter, name, err);
    return rc ? rc : report_text(reporter, "", err);
}
