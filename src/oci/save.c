/* save.c: from the store into an archive; see save.h. */
#include "oci/save.h"

#include "base/bytes.h"
#include "oci/digests.h"
#include "oci/json.h"
#include "oci/reach.h"
#include "oci/spool.h"
#include "oci/tar_write.h"
#include "platform/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

OWN_DEFINE(struct blob, blob_close)

enum { NAME_BYTES = 32 + DIGEST_HEX_MAX, CHUNK = 128 << 10 };

struct saving {
    const char *home;
    struct store *store;
    const struct save_item *items;
    size_t count;
    struct tar_writer *tar;
    struct digest_set written;         /* what two images share is there once */
    const struct catalog_entry *entry; /* that is being written */
    uint8_t *chunk;
};

/* ---- as an OCI image layout ---- */

static int put_blob(struct saving *saving,
                    const struct oci_descriptor *descriptor,
                    struct sm_error *err)
{
    AUTO(blob_closep) struct blob *blob = NULL;
    char hex[DIGEST_HEX_MAX];
    char name[NAME_BYTES];
    const uint8_t *bytes;
    size_t count = 1;
    int rc;

    if (digest_set_has(&saving->written, &descriptor->digest))
        return 0;
    digest_hex(&descriptor->digest, hex);
    snprintf(name, sizeof name, "blobs/%s/%s",
             digest_name(descriptor->digest.kind), hex);
    rc = digest_set_add(&saving->written, &descriptor->digest, err);
    if (!rc)
        rc = store_blob_open(saving->store, descriptor, &blob, err);
    if (!rc)
        rc = tar_write_file(saving->tar, name, descriptor->bytes, err);
    while (!rc && count) {
        rc = blob_read(blob, &bytes, &count, err);
        if (!rc && count)
            rc = tar_write_bytes(saving->tar, bytes, count, err);
    }
    return rc ? wrap(err, rc, "blob %s", hex) : 0;
}

static int put_oci_image(void *context, const struct oci_descriptor *at,
                         const struct oci_manifest *manifest,
                         struct sm_error *err)
{
    struct saving *saving = context;
    int rc = put_blob(saving, at, err);

    if (!rc)
        rc = put_blob(saving, &manifest->config, err);
    for (size_t i = 0; !rc && i < manifest->layer_count; i++)
        rc = put_blob(saving, &manifest->layers[i], err);
    return rc;
}

static json_t *index_entry(const struct save_item *item)
{
    const struct catalog_entry *entry = item->entry;
    char digest[DIGEST_TEXT_MAX];
    json_t *json;

    digest_text(&entry->manifest.digest, digest);
    json = json_pack(
        "{ss ss sI s{ss ss}}", "mediaType", entry->manifest.media_type,
        "digest", digest, "size", (json_int_t)entry->manifest.bytes, "platform",
        "os", entry->platform.os, "architecture", entry->platform.architecture);
    if (json && entry->platform.variant[0])
        json_object_set_new(json_object_get(json, "platform"), "variant",
                            json_string(entry->platform.variant));
    if (json && item->named)
        json_object_set_new(json, "annotations",
                            json_pack("{ss}",
                                      "org.opencontainers.image.ref.name",
                                      entry->familiar));
    return json;
}

static int save_oci(struct saving *saving, struct sm_error *err)
{
    json_t *manifests = json_array();
    int rc = tar_write_text(saving->tar, "oci-layout",
                            "{\"imageLayoutVersion\":\"1.0.0\"}", err);

    for (size_t i = 0; manifests && i < saving->count; i++)
        json_array_append_new(manifests, index_entry(&saving->items[i]));
    if (rc)
        json_decref(manifests);
    else
        rc = tar_write_json(saving->tar, "index.json",
                            json_pack("{si ss so}", "schemaVersion", 2,
                                      "mediaType",
                                      "application/vnd.oci.image.index.v1+json",
                                      "manifests", manifests),
                            err);
    for (size_t i = 0; !rc && i < saving->count; i++)
        rc = reach_walk(saving->store, &saving->items[i].entry->manifest,
                        put_oci_image, saving, err);
    return rc;
}

/* ---- as docker save does ---- */

static void layer_name(const struct digest *diff_id, char to[NAME_BYTES])
{
    char hex[DIGEST_HEX_MAX];

    digest_hex(diff_id, hex);
    snprintf(to, NAME_BYTES, "%s.tar", hex);
}

/* The whole file (fd), whose bytes must hash to (digest). */
static int put_file(const struct saving *saving, const char *name, int fd,
                    const struct digest *digest, struct sm_error *err)
{
    struct hasher hasher = {0};
    struct digest got;
    uint64_t bytes = 0;
    uint64_t done = 0;
    int rc = file_size(fd, &bytes, err);

    if (!rc)
        rc = hasher_init(&hasher, digest->kind, err);
    if (!rc)
        rc = tar_write_file(saving->tar, name, bytes, err);
    while (!rc && done < bytes) {
        size_t count = (size_t)min_u64(bytes - done, CHUNK);

        rc = file_read_at(fd, saving->chunk, count, done, err);
        if (!rc)
            hasher_add(&hasher, saving->chunk, count);
        if (!rc)
            rc = tar_write_bytes(saving->tar, saving->chunk, count, err);
        done += count;
    }
    if (!rc) {
        hasher_end(&hasher, &got);
        if (!digest_equal(&got, digest))
            rc = fail(err, SM_EDIGEST, "%s: is not what its config says", name);
    }
    hasher_done(&hasher);
    return rc;
}

static int put_layer(struct saving *saving,
                     const struct oci_descriptor *descriptor,
                     const struct digest *diff_id, struct sm_error *err)
{
    AUTO_CLOSE int packed = -1;
    AUTO_CLOSE int plain = -1;
    char name[NAME_BYTES];
    int rc;

    if (digest_set_has(&saving->written, diff_id))
        return 0;
    layer_name(diff_id, name);
    rc = digest_set_add(&saving->written, diff_id, err);
    if (!rc)
        rc = store_blob_file(saving->store, descriptor, &packed, err);
    if (!rc && !spool_is_plain(packed))
        rc = spool_stream(packed, saving->home, &plain, err);
    return rc ? rc
              : put_file(saving, name, plain < 0 ? packed : plain, diff_id,
                         err);
}

static int put_docker_image(void *context, const struct oci_descriptor *at,
                            const struct oci_manifest *manifest,
                            struct sm_error *err)
{
    struct saving *saving = context;
    const struct catalog_entry *entry = saving->entry;
    char hex[DIGEST_HEX_MAX];
    char name[NAME_BYTES];
    int rc = 0;

    (void)at;
    if (manifest->layer_count != entry->layer_count)
        return fail(err, SM_EIMAGE, "has %zu layers, its config says %zu",
                    manifest->layer_count, entry->layer_count);
    for (size_t i = 0; !rc && i < manifest->layer_count; i++)
        rc = put_layer(saving, &manifest->layers[i], &entry->diff_ids[i], err);
    if (rc || digest_set_has(&saving->written, &entry->id))
        return rc;
    digest_hex(&entry->id, hex);
    snprintf(name, sizeof name, "%s.json", hex);
    rc = digest_set_add(&saving->written, &entry->id, err);
    return rc ? rc : tar_write_text(saving->tar, name, entry->config, err);
}

static json_t *docker_entry(const struct save_item *item)
{
    const struct catalog_entry *entry = item->entry;
    json_t *layers = json_array();
    char hex[DIGEST_HEX_MAX];
    char name[NAME_BYTES];

    for (size_t i = 0; layers && i < entry->layer_count; i++) {
        layer_name(&entry->diff_ids[i], name);
        json_array_append_new(layers, json_string(name));
    }
    digest_hex(&entry->id, hex);
    snprintf(name, sizeof name, "%s.json", hex);
    return json_pack("{ss so so}", "Config", name, "RepoTags",
                     item->named ? json_pack("[s]", entry->familiar)
                                 : json_null(),
                     "Layers", layers);
}

static int save_docker(struct saving *saving, struct sm_error *err)
{
    json_t *list = json_array();
    int rc;

    for (size_t i = 0; list && i < saving->count; i++)
        json_array_append_new(list, docker_entry(&saving->items[i]));
    rc = tar_write_json(saving->tar, "manifest.json", list, err);
    for (size_t i = 0; !rc && i < saving->count; i++) {
        saving->entry = saving->items[i].entry;
        rc = reach_walk(saving->store, &saving->entry->manifest,
                        put_docker_image, saving, err);
    }
    return rc;
}

int save_archive(const char *home, const struct save_item *items, size_t count,
                 enum save_format format, int fd, struct sm_error *err)
{
    AUTO(store_closep) struct store *store = NULL;
    struct saving saving = {.home = home, .items = items, .count = count};
    int rc = store_open(home, &store, err);

    saving.store = store;
    saving.chunk = malloc(CHUNK);
    if (!rc && !saving.chunk)
        rc = fail(err, SM_ENOMEM, "out of memory");
    if (!rc)
        rc = tar_writer_open(fd, &saving.tar, err);
    if (!rc)
        rc = format == SAVE_OCI ? save_oci(&saving, err)
                                : save_docker(&saving, err);
    if (!rc)
        rc = tar_writer_end(saving.tar, err);
    tar_writer_free(saving.tar);
    digest_set_done(&saving.written);
    free(saving.chunk);
    return rc;
}
