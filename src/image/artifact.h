/* artifact.h: a snapshot as an OCI artifact (image specification 1.1,
 * manifest.md, "Guidelines for Artifact Usage"; docs/FORMAT.md), and back.
 *
 * How it works
 *   The artifact's config is the snapshot's manifest, its layers are the
 *   snapshot's files (holes.h), each named by an annotation. What it is for one
 *   installation only, the paths of its programs, does not go along; nor does
 *   what lies behind the memory in a template's file.
 *
 *   On the way back nothing of it names a file here: annotations are compared
 *   with the names that there are. All of it is in a folder that nobody sees
 *   yet, and verified, before it gets its name.
 */
#ifndef SM_IMAGE_ARTIFACT_H
#define SM_IMAGE_ARTIFACT_H

#include "oci/blob.h"
#include "oci/manifest.h"
#include "shelf/shelf.h"

#define ARTIFACT_MANIFEST "application/vnd.oci.image.manifest.v1+json"

enum { ARTIFACT_BLOBS_MAX = SNAPSHOT_FILES + 1 };

/* One blob: a document, or a file that is packed. */
struct artifact_blob {
    struct digest digest;
    uint64_t bytes;
    int fd; /* where it is, from its beginning */
};

struct artifact {
    char *text; /* the OCI manifest */
    struct digest digest;
    struct artifact_blob blobs[ARTIFACT_BLOBS_MAX]; /* the config first */
    unsigned blob_count;
};

/* Make one of the snapshot (name) of (home), in nameless files there. Errors as
 * shelf_open(), and SM_ENOSPC. */
int artifact_pack(const char *home, const char *name, struct artifact *ret,
                  struct sm_error *err);
void artifact_done(struct artifact *artifact);

/* The bytes that (descriptor) names, to be verified while they are read. */
typedef int artifact_open_fn(void *context,
                             const struct oci_descriptor *descriptor,
                             struct blob **ret, struct sm_error *err);

struct artifact_unpack {
    const char *home;
    const char *name; /* what it is to be called; "": as it says itself */
    const void *text; /* its OCI manifest, verified */
    size_t count;
    artifact_open_fn *open;
    void *context;
};

/*
 * Make a snapshot of an artifact. (ret_name): what it is called.
 * Returns 0, SM_EEXIST, SM_EIMAGE (no snapshot, or a damaged one), SM_ENOTSUP
 * (of another version), SM_EDIGEST, SM_EINVAL (name), SM_ELIMIT, SM_ENOSPC,
 * SM_ENOMEM, SM_EIO, or what (open) says. On failure nothing is left behind.
 */
int artifact_unpack(const struct artifact_unpack *unpack,
                    char ret_name[SHELF_NAME_MAX + 1], struct sm_error *err);

#endif
