/* manifest.h: what an image consists of: descriptors, indexes and manifests
 * (OCI image specification: descriptor.md, image-index.md, manifest.md; Docker
 * image manifest version 2, schema 2).
 */
#ifndef SM_OCI_MANIFEST_H
#define SM_OCI_MANIFEST_H

#include "oci/digest.h"
#include "oci/platform.h"

#include <stddef.h>

enum oci_media {
    MEDIA_OTHER, /* nothing that a machine could be made of */
    MEDIA_INDEX,
    MEDIA_MANIFEST,
    MEDIA_CONFIG,
    MEDIA_LAYER
};

enum {
    OCI_MANIFESTS_MAX = 1024, /* entries of one index         */
    OCI_LAYERS_MAX = 1024,    /* layers of one image          */
    OCI_INDEX_DEPTH_MAX = 4,  /* indexes within indexes       */
    OCI_MEDIA_TYPE_MAX = 128  /* longer ones are cut, unknown */
};

/* Names one blob. Nothing in it is to be believed before the blob is read. */
struct oci_descriptor {
    enum oci_media media;
    char media_type[OCI_MEDIA_TYPE_MAX];
    struct digest digest;
    uint64_t bytes;
    bool has_platform;
    struct oci_platform platform;
    char *tag; /* org.opencontainers.image.ref.name or NULL; of index entries */
};

struct oci_index {
    struct oci_descriptor *items;
    size_t count;
};

struct oci_manifest {
    struct oci_descriptor config;
    struct oci_descriptor *layers; /* the lowest first */
    size_t layer_count;
};

enum oci_media oci_media_of(const char *type);

/* SM_EIMAGE: malformed; SM_ENOTSUP: something else than an index or an image;
 * SM_ELIMIT: too long or too many; SM_ENOMEM. */
int oci_index_parse(const void *bytes, size_t count, struct oci_index *ret,
                    struct sm_error *err);
void oci_index_done(struct oci_index *index);
int oci_manifest_parse(const void *bytes, size_t count,
                       struct oci_manifest *ret, struct sm_error *err);
void oci_manifest_done(struct oci_manifest *manifest);

void oci_descriptor_done(struct oci_descriptor *descriptor);
/* A copy without the tag. */
struct oci_descriptor oci_descriptor_plain(const struct oci_descriptor *from);

/* The image or index among the entries that fits (wish) best, the first of
 * equals; one that names no platform runs. NULL if none fits. */
const struct oci_descriptor *oci_index_choose(const struct oci_index *index,
                                              const struct oci_platform *wish);

#endif
