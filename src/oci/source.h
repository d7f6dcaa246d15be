/* source.h: where images come from.
 *
 * How it works
 *   A source finds what a reference names and opens blobs by descriptor; it
 *   knows nothing of what they mean. Layouts are one kind (layout.h), parts
 *   without a manifest another (bundle.h); archives become one of them
 *   (archived.h). A registry (registry.h) fills the store (store.h) first, and
 *   opens blobs there. image.h makes an image out of any.
 */
#ifndef SM_OCI_SOURCE_H
#define SM_OCI_SOURCE_H

#include "base/own.h"
#include "oci/blob.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "proto/resolved.h"

struct oci_source;
struct oci_image;

struct oci_source_ops {
    /* The manifest or index that (tag) names, or the only sensible one if it
     * is NULL. SM_ENOENT with the tags that are there. */
    int (*find)(struct oci_source *source, const char *tag,
                const struct oci_platform *platform, struct oci_descriptor *ret,
                struct sm_error *err);
    /* Size and digest are those of the descriptor, or reading ends with an
     * error. */
    int (*blob_open)(struct oci_source *source,
                     const struct oci_descriptor *descriptor, struct blob **ret,
                     struct sm_error *err);
    /* Get all of (image) that is not there yet, many at once, and remember
     * what the reference stands for. NULL: all is there. */
    int (*fetch)(struct oci_source *source, const struct oci_image *image,
                 struct sm_error *err);
    void (*close)(struct oci_source *source);
};

/* How far one layer of an image is. */
struct oci_progress {
    const struct oci_descriptor *layer;
    size_t number; /* from 1 */
    size_t count;
    uint64_t done_bytes; /* of layer->bytes */
};

typedef void oci_progress_fn(void *context,
                             const struct oci_progress *progress);

/* What a source may use. Strings stay the caller's. */
struct oci_place {
    const char *home; /* an existing folder, for what must be a file */
    int input_fd;     /* what "-" reads; -1: nothing                 */
    /* For registries. */
    bool refresh;                /* ask, even if the name is known           */
    const char *ca_file;         /* certificates to trust; NULL: the system's */
    const char *ca_folder;       /* the same, by hash; NULL: the system's    */
    const char *docker_config;   /* Docker's config.json; NULL: none         */
    char *const *helper_env;     /* environment of the programs that keep
                                    credentials; NULL: none is run           */
    const char *const *insecure; /* registries that need not prove who they
                                    are, NULL at the end; may be NULL        */
    oci_progress_fn *progress;   /* of fetch(); may be NULL                  */
    void *context;
};

/* One kind embeds this as its first field. One thread at a time. */
struct oci_source {
    const struct oci_source_ops *ops;
    /* The files that decided what find() returned. None: only finding it
     * again can tell. */
    struct image_witnesses witnesses;
};

/* Opens whatever (reference) names. */
int oci_source_open(const struct reference *reference,
                    const struct oci_place *place, struct oci_source **ret,
                    struct sm_error *err);
/* NULL is fine. */
void oci_source_close(struct oci_source *source);

OWN_DEFINE(struct oci_source, oci_source_close)

#endif
