/* bundle.c: images out of parts; see bundle.h. */
#include "oci/bundle.h"

#include "base/bytes.h"
#include "oci/json.h"
#include "platform/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Manifest, config, layers. */
enum {
    PART_MANIFEST,
    PART_CONFIG,
    PART_LAYER,
    PARTS_MAX = PART_LAYER + OCI_LAYERS_MAX,
    HASH_CHUNK = 128 << 10
};

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"

/* Where parts lie: in the file of the caller, or in ones made here. */
enum { FILE_GIVEN, FILE_MANIFEST, FILE_CONFIG, FILES };

struct part {
    unsigned file;
    uint64_t offset;
    uint64_t bytes;
    struct digest digest;
};

struct bundle {
    struct oci_source source;
    int files[FILES]; /* -1: not there */
    size_t count;     /* of parts, with the layers there are */
    struct part parts[PARTS_MAX];
    uint8_t chunk[HASH_CHUNK];
};

int bundle_new(int fd, struct bundle **ret, struct sm_error *err)
{
    AUTO(bundle_freep) struct bundle *bundle = calloc(1, sizeof *bundle);

    if (!bundle)
        return fail(err, SM_ENOMEM, "out of memory");
    bundle->count = PART_LAYER;
    bundle->files[FILE_MANIFEST] = -1;
    bundle->files[FILE_CONFIG] = -1;
    bundle->files[FILE_GIVEN] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (bundle->files[FILE_GIVEN] < 0)
        return fail_os(err, "open an image");
    *ret = own_take(bundle);
    return 0;
}

void bundle_free(struct bundle *bundle)
{
    if (!bundle)
        return;
    for (size_t i = 0; i < FILES; i++)
        if (bundle->files[i] >= 0)
            close(bundle->files[i]);
    image_witnesses_done(&bundle->source.witnesses);
    free(bundle);
}

static int hash_part(struct bundle *bundle, struct part *part,
                     struct sm_error *err)
{
    struct hasher hasher = {0};
    uint64_t done = 0;
    int rc = hasher_init(&hasher, DIGEST_SHA256, err);

    while (!rc && done < part->bytes) {
        size_t count = (size_t)min_u64(part->bytes - done, HASH_CHUNK);

        rc = file_read_at(bundle->files[part->file], bundle->chunk, count,
                          part->offset + done, err);
        if (!rc)
            hasher_add(&hasher, bundle->chunk, count);
        done += count;
    }
    if (!rc)
        hasher_end(&hasher, &part->digest);
    hasher_done(&hasher);
    return rc;
}

static int set_part(struct bundle *bundle, size_t which, struct part part,
                    struct sm_error *err)
{
    bundle->parts[which] = part;
    return hash_part(bundle, &bundle->parts[which], err);
}

int bundle_set_config(struct bundle *bundle, uint64_t offset, uint64_t bytes,
                      struct sm_error *err)
{
    return set_part(bundle, PART_CONFIG,
                    (struct part){FILE_GIVEN, offset, bytes, {0}}, err);
}

int bundle_add_layer(struct bundle *bundle, uint64_t offset, uint64_t bytes,
                     struct sm_error *err)
{
    if (bundle->count == PARTS_MAX)
        return fail(err, SM_ELIMIT, "more than %d layers", OCI_LAYERS_MAX);
    return set_part(bundle, bundle->count++,
                    (struct part){FILE_GIVEN, offset, bytes, {0}}, err);
}

/* A JSON document as a part, in a file in memory; takes (json) over. */
static int set_document(struct bundle *bundle, size_t which, unsigned file,
                        json_t *json, struct sm_error *err)
{
    AUTO_FREE char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    struct part part = {.file = file};
    int rc;

    json_decref(json);
    if (!text)
        return fail(err, SM_ENOMEM, "out of memory");
    part.bytes = strlen(text);
    rc = file_in_memory("image", &bundle->files[file], err);
    if (!rc)
        rc = file_write_at(bundle->files[file], text, (size_t)part.bytes, 0,
                           err);
    return rc ? rc : set_part(bundle, which, part, err);
}

int bundle_make_config(struct bundle *bundle, struct sm_error *err)
{
    struct oci_platform host;
    char diff_id[DIGEST_TEXT_MAX];
    int rc = platform_parse("", &host, err);

    if (rc)
        return rc;
    digest_text(&bundle->parts[PART_LAYER].digest, diff_id);
    return set_document(bundle, PART_CONFIG, FILE_CONFIG,
                        json_pack("{ss ss s{} s{ss s[s]}}", "os", host.os,
                                  "architecture", host.architecture, "config",
                                  "rootfs", "type", "layers", "diff_ids",
                                  diff_id),
                        err);
}

static json_t *descriptor_json(const struct part *part, const char *type)
{
    char digest[DIGEST_TEXT_MAX];

    digest_text(&part->digest, digest);
    return json_pack("{ss ss sI}", "mediaType", type, "digest", digest, "size",
                     (json_int_t)part->bytes);
}

static int make_manifest(struct bundle *bundle, struct sm_error *err)
{
    json_t *layers = json_array();

    for (size_t i = PART_LAYER; layers && i < bundle->count; i++)
        json_array_append_new(
            layers, descriptor_json(&bundle->parts[i],
                                    "application/vnd.oci.image.layer.v1.tar"));
    return set_document(
        bundle, PART_MANIFEST, FILE_MANIFEST,
        json_pack("{si ss so so}", "schemaVersion", 2, "mediaType",
                  MANIFEST_TYPE, "config",
                  descriptor_json(&bundle->parts[PART_CONFIG],
                                  "application/vnd.oci.image.config.v1+json"),
                  "layers", layers),
        err);
}

/* ---- as a source ---- */

static int find(struct oci_source *source, const char *tag,
                const struct oci_platform *platform, struct oci_descriptor *ret,
                struct sm_error *err)
{
    const struct bundle *bundle = (const struct bundle *)source;

    (void)tag;
    (void)platform;
    (void)err;
    *ret = (struct oci_descriptor){
        .media = MEDIA_MANIFEST,
        .media_type = MANIFEST_TYPE,
        .digest = bundle->parts[PART_MANIFEST].digest,
        .bytes = bundle->parts[PART_MANIFEST].bytes,
    };
    return 0;
}

static int open_blob(struct oci_source *source,
                     const struct oci_descriptor *descriptor, struct blob **ret,
                     struct sm_error *err)
{
    const struct bundle *bundle = (const struct bundle *)source;

    for (size_t i = 0; i < bundle->count; i++) {
        const struct part *part = &bundle->parts[i];
        int fd;

        if (!digest_equal(&part->digest, &descriptor->digest))
            continue;
        fd = fcntl(bundle->files[part->file], F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
            return fail_os(err, "open a part of the image");
        return blob_open(fd, part->offset, part->bytes, &part->digest, ret,
                         err);
    }
    return fail(err, SM_ENOENT, "no such part of the image");
}

static void close_bundle(struct oci_source *source)
{
    bundle_free((struct bundle *)source);
}

static const struct oci_source_ops bundle_ops = {
    .find = find,
    .blob_open = open_blob,
    .close = close_bundle,
};

int bundle_finish(struct bundle *bundle, struct oci_source **ret,
                  struct sm_error *err)
{
    AUTO(bundle_freep) struct bundle *owned = bundle;
    int rc = make_manifest(bundle, err);

    if (rc)
        return rc;
    bundle->source.ops = &bundle_ops;
    *ret = &own_take(owned)->source;
    return 0;
}
