/* image.c: from a tag to an image; see image.h. */
#include "oci/image.h"

#include "base/own.h"
#include "oci/json.h"

#include <stdio.h>
#include <string.h>

OWN_DEFINE(struct blob, blob_close)

/* A document by its descriptor, verified, into (to). */
static int read_document(struct oci_source *source,
                         const struct oci_descriptor *descriptor,
                         const char *what, struct buf *to, struct sm_error *err)
{
    AUTO(blob_closep) struct blob *blob = NULL;
    char name[DIGEST_TEXT_MAX];
    int rc = source->ops->blob_open(source, descriptor, &blob, err);

    if (!rc)
        rc = blob_read_all(blob, to, err);
    if (!rc)
        return 0;
    digest_text(&descriptor->digest, name);
    return wrap(err, rc, "%s %s", what, name);
}

/* Replace (at), an index, by the entry of it that fits. */
static int descend(struct oci_source *source,
                   const struct oci_platform *platform,
                   struct oci_descriptor *at, struct sm_error *err)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(oci_index_done) struct oci_index index = {0};
    const struct oci_descriptor *chosen;
    char wanted[PLATFORM_TEXT_MAX];
    int rc;

    buf_init(&text, JSON_DOCUMENT_MAX);
    rc = read_document(source, at, "image index", &text, err);
    if (!rc)
        rc = oci_index_parse(text.data, text.size, &index, err);
    if (rc)
        return rc;
    chosen = oci_index_choose(&index, platform);
    if (!chosen) {
        platform_text(platform, wanted);
        return fail(err, SM_ENOENT, "no image for platform %s in its index",
                    wanted);
    }
    *at = oci_descriptor_plain(chosen);
    return 0;
}

static int find_manifest(struct oci_source *source, const char *tag,
                         const struct oci_platform *platform,
                         struct oci_descriptor *ret, struct sm_error *err)
{
    int rc = source->ops->find(source, tag, platform, ret, err);

    for (int depth = 0; !rc && ret->media == MEDIA_INDEX; depth++) {
        if (depth == OCI_INDEX_DEPTH_MAX)
            return fail(err, SM_ELIMIT, "indexes nested deeper than %d",
                        OCI_INDEX_DEPTH_MAX);
        rc = descend(source, platform, ret, err);
    }
    return rc;
}

/* Pair the layers of the manifest with the diff_ids of the config. */
static int join_layers(const struct oci_manifest *manifest,
                       const struct oci_config *config, struct oci_image *ret,
                       struct sm_error *err)
{
    if (manifest->layer_count != config->diff_id_count)
        return fail(err, SM_EIMAGE,
                    "%zu layers in the manifest, but %zu diff_ids in the "
                    "config",
                    manifest->layer_count, config->diff_id_count);
    ret->layers = calloc(manifest->layer_count + 1, sizeof *ret->layers);
    if (!ret->layers)
        return fail(err, SM_ENOMEM, "out of memory");
    ret->layer_count = manifest->layer_count;
    for (size_t i = 0; i < ret->layer_count; i++) {
        ret->layers[i].blob = oci_descriptor_plain(&manifest->layers[i]);
        ret->layers[i].diff_id = config->diff_ids[i];
    }
    return 0;
}

/* The config must be for what was asked for: an index may be wrong, and a
 * manifest without an index says nothing. */
static int check_platform(const struct oci_platform *wish,
                          const struct oci_platform *have, struct sm_error *err)
{
    char wanted[PLATFORM_TEXT_MAX];
    char got[PLATFORM_TEXT_MAX];

    if (strcmp(wish->os, have->os) == 0 &&
        strcmp(wish->architecture, have->architecture) == 0)
        return 0;
    platform_text(wish, wanted);
    platform_text(have, got);
    return fail(err, SM_ENOENT, "the image is for platform %s, not for %s", got,
                wanted);
}

static int load_config(struct oci_source *source,
                       const struct oci_manifest *manifest,
                       const struct oci_platform *wish, struct oci_image *ret,
                       struct sm_error *err)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(oci_config_done) struct oci_config config = {0};
    int rc;

    buf_init(&text, JSON_DOCUMENT_MAX);
    rc = read_document(source, &manifest->config, "config", &text, err);
    if (rc)
        return rc;
    rc = oci_config_parse(text.data, text.size, &config, err);
    if (rc)
        return wrap(err, rc, "config");
    rc = check_platform(wish, &config.platform, err);
    if (!rc)
        rc = join_layers(manifest, &config, ret, err);
    if (rc)
        return rc;
    ret->config_digest = manifest->config.digest;
    ret->platform = config.platform;
    ret->config = config.image;
    config.image = (struct image_config){0};
    return 0;
}

int oci_image_load(struct oci_source *source, const char *tag,
                   const struct oci_platform *platform, struct oci_image *ret,
                   struct sm_error *err)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(oci_manifest_done) struct oci_manifest manifest = {0};
    struct oci_descriptor at = {0};
    int rc;

    *ret = (struct oci_image){0};
    buf_init(&text, JSON_DOCUMENT_MAX);
    rc = find_manifest(source, tag, platform, &at, err);
    if (!rc)
        rc = read_document(source, &at, "manifest", &text, err);
    if (rc)
        return rc;
    rc = oci_manifest_parse(text.data, text.size, &manifest, err);
    if (rc)
        return wrap(err, rc, "manifest");
    ret->digest = at.digest;
    rc = load_config(source, &manifest, platform, ret, err);
    if (rc)
        oci_image_done(ret);
    return rc;
}

void oci_image_done(struct oci_image *image)
{
    image_config_done(&image->config);
    free(image->layers);
    *image = (struct oci_image){0};
}
