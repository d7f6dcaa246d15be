/* manifest.c: descriptors, indexes and manifests; see manifest.h. */
#include "oci/manifest.h"

#include "base/bytes.h"
#include "base/own.h"
#include "oci/json.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *type;
    enum oci_media media;
} media_types[] = {
    {"application/vnd.oci.image.index.v1+json", MEDIA_INDEX},
    {"application/vnd.docker.distribution.manifest.list.v2+json", MEDIA_INDEX},
    {"application/vnd.oci.image.manifest.v1+json", MEDIA_MANIFEST},
    {"application/vnd.docker.distribution.manifest.v2+json", MEDIA_MANIFEST},
    {"application/vnd.oci.image.config.v1+json", MEDIA_CONFIG},
    {"application/vnd.docker.container.image.v1+json", MEDIA_CONFIG},
    {"application/vnd.oci.image.layer.v1.tar", MEDIA_LAYER},
    {"application/vnd.oci.image.layer.v1.tar+gzip", MEDIA_LAYER},
    {"application/vnd.oci.image.layer.v1.tar+zstd", MEDIA_LAYER},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar", MEDIA_LAYER},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
     MEDIA_LAYER},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
     MEDIA_LAYER},
    {"application/vnd.docker.image.rootfs.diff.tar", MEDIA_LAYER},
    {"application/vnd.docker.image.rootfs.diff.tar.gzip", MEDIA_LAYER},
    {"application/vnd.docker.image.rootfs.diff.tar.zstd", MEDIA_LAYER},
    {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", MEDIA_LAYER},
};

enum oci_media oci_media_of(const char *type)
{
    for (size_t i = 0; i < ARRAY_LEN(media_types); i++)
        if (strcmp(type, media_types[i].type) == 0)
            return media_types[i].media;
    return MEDIA_OTHER;
}

void oci_descriptor_done(struct oci_descriptor *descriptor)
{
    free(descriptor->tag);
    descriptor->tag = NULL;
}

struct oci_descriptor oci_descriptor_plain(const struct oci_descriptor *from)
{
    struct oci_descriptor copy = *from;

    copy.tag = NULL;
    return copy;
}

/* A field of a platform; one that is too long fits no wish. */
static int parse_platform_field(const json_t *json, const char *key,
                                char to[PLATFORM_FIELD_MAX],
                                struct sm_error *err)
{
    const char *text;
    int rc = json_string_of(json, key, false, &text, err);

    if (!rc && text)
        snprintf(to, PLATFORM_FIELD_MAX, "%s",
                 strlen(text) < PLATFORM_FIELD_MAX ? text : "?");
    return rc;
}

static int parse_platform(const json_t *json, struct oci_descriptor *ret,
                          struct sm_error *err)
{
    json_t *platform;
    int rc = json_object_of(json, "platform", false, &platform, err);

    if (rc || !platform)
        return rc;
    ret->has_platform = true;
    rc = parse_platform_field(platform, "os", ret->platform.os, err);
    if (!rc)
        rc = parse_platform_field(platform, "architecture",
                                  ret->platform.architecture, err);
    if (!rc)
        rc = parse_platform_field(platform, "variant", ret->platform.variant,
                                  err);
    return rc;
}

static int parse_tag(const json_t *json, struct oci_descriptor *ret,
                     struct sm_error *err)
{
    const char *tag = NULL;
    json_t *annotations;
    int rc = json_object_of(json, "annotations", false, &annotations, err);

    if (!rc && annotations)
        rc = json_string_of(annotations, "org.opencontainers.image.ref.name",
                            false, &tag, err);
    if (rc || !tag)
        return rc;
    ret->tag = strdup(tag);
    return ret->tag ? 0 : fail(err, SM_ENOMEM, "out of memory");
}

/* On failure (ret) is fit for oci_descriptor_done(). */
static int parse_descriptor(const json_t *json, struct oci_descriptor *ret,
                            struct sm_error *err)
{
    const char *type;
    const char *digest;
    int rc;

    *ret = (struct oci_descriptor){0};
    if (!json_is_object(json))
        return fail(err, SM_EIMAGE, "descriptor is no object");
    rc = json_string_of(json, "mediaType", true, &type, err);
    if (!rc)
        rc = json_string_of(json, "digest", true, &digest, err);
    if (!rc)
        rc = json_size_of(json, "size", &ret->bytes, err);
    if (!rc)
        rc = digest_parse(digest, &ret->digest, err);
    if (rc)
        return rc;
    ret->media = oci_media_of(type);
    snprintf(ret->media_type, sizeof ret->media_type, "%s", type);
    rc = parse_platform(json, ret, err);
    return rc ? rc : parse_tag(json, ret, err);
}

/* schemaVersion and, if it is there, mediaType say (wanted). */
static int check_head(const json_t *json, enum oci_media wanted,
                      const char *what, struct sm_error *err)
{
    const json_t *version = json_object_get(json, "schemaVersion");
    const char *type;
    int rc = json_string_of(json, "mediaType", false, &type, err);

    if (rc)
        return rc;
    if (!json_is_integer(version) || json_integer_value(version) != 2)
        return fail(err, SM_ENOTSUP,
                    "%s of another schema version than 2: push the image "
                    "anew with a present tool",
                    what);
    if (type && oci_media_of(type) != wanted)
        return fail(err, SM_ENOTSUP, "media type \"%.128s\" is no %s", type,
                    what);
    return 0;
}

/* All entries of (array) as descriptors. */
static int parse_list(const json_t *array, size_t limit, const char *what,
                      struct oci_descriptor **items, size_t *count,
                      struct sm_error *err)
{
    size_t wanted = json_array_size(array);

    if (wanted > limit)
        return fail(err, SM_ELIMIT, "%zu %ss: at most %zu", wanted, what,
                    limit);
    *items = calloc(wanted + 1, sizeof **items);
    if (!*items)
        return fail(err, SM_ENOMEM, "out of memory");
    while (*count < wanted) {
        int rc = parse_descriptor(json_array_get(array, *count),
                                  &(*items)[*count], err);

        (*count)++;
        if (rc)
            return wrap(err, rc, "%s %zu of %zu", what, *count, wanted);
    }
    return 0;
}

int oci_index_parse(const void *bytes, size_t count, struct oci_index *ret,
                    struct sm_error *err)
{
    AUTO(json_unref) json_t *json = NULL;
    json_t *manifests;
    int rc = json_parse(bytes, count, &json, err);

    *ret = (struct oci_index){0};
    if (!rc)
        rc = check_head(json, MEDIA_INDEX, "image index", err);
    if (!rc)
        rc = json_array_of(json, "manifests", true, &manifests, err);
    if (!rc)
        rc = parse_list(manifests, OCI_MANIFESTS_MAX, "manifest", &ret->items,
                        &ret->count, err);
    if (rc)
        oci_index_done(ret);
    return rc;
}

void oci_index_done(struct oci_index *index)
{
    for (size_t i = 0; i < index->count; i++)
        oci_descriptor_done(&index->items[i]);
    free(index->items);
    *index = (struct oci_index){0};
}

/* It is an image: its config and its layers are an image's. */
static int check_image(const json_t *json, const struct oci_manifest *manifest,
                       struct sm_error *err)
{
    const char *artifact;
    int rc = json_string_of(json, "artifactType", false, &artifact, err);

    if (rc)
        return rc;
    if (manifest->config.media != MEDIA_CONFIG)
        return fail(err, SM_ENOTSUP,
                    "is an artifact of type \"%.128s\", not a container image",
                    artifact ? artifact : manifest->config.media_type);
    for (size_t i = 0; i < manifest->layer_count; i++)
        if (manifest->layers[i].media != MEDIA_LAYER)
            return fail(err, SM_ENOTSUP,
                        "layer %zu of %zu: unknown media type \"%s\"", i + 1,
                        manifest->layer_count, manifest->layers[i].media_type);
    return 0;
}

int oci_manifest_parse(const void *bytes, size_t count,
                       struct oci_manifest *ret, struct sm_error *err)
{
    AUTO(json_unref) json_t *json = NULL;
    json_t *config;
    json_t *layers;
    int rc = json_parse(bytes, count, &json, err);

    *ret = (struct oci_manifest){0};
    if (!rc)
        rc = check_head(json, MEDIA_MANIFEST, "image manifest", err);
    if (!rc)
        rc = json_object_of(json, "config", true, &config, err);
    if (!rc)
        rc = json_array_of(json, "layers", true, &layers, err);
    if (!rc)
        rc = parse_descriptor(config, &ret->config, err);
    if (!rc)
        rc = parse_list(layers, OCI_LAYERS_MAX, "layer", &ret->layers,
                        &ret->layer_count, err);
    if (!rc)
        rc = check_image(json, ret, err);
    if (rc)
        oci_manifest_done(ret);
    return rc;
}

void oci_manifest_done(struct oci_manifest *manifest)
{
    oci_descriptor_done(&manifest->config);
    for (size_t i = 0; i < manifest->layer_count; i++)
        oci_descriptor_done(&manifest->layers[i]);
    free(manifest->layers);
    *manifest = (struct oci_manifest){0};
}

const struct oci_descriptor *oci_index_choose(const struct oci_index *index,
                                              const struct oci_platform *wish)
{
    const struct oci_descriptor *best = NULL;
    int best_fit = 0;

    for (size_t i = 0; i < index->count; i++) {
        const struct oci_descriptor *item = &index->items[i];
        int fit = 1;

        if (item->media != MEDIA_MANIFEST && item->media != MEDIA_INDEX)
            continue;
        if (item->has_platform)
            fit = platform_fit(wish, &item->platform);
        if (fit > best_fit) {
            best = item;
            best_fit = fit;
        }
    }
    return best;
}
