/* reference.h: how a user names an image, taken apart.
 *
 *     oci:DIR[:TAG]              an OCI image layout in folder DIR
 *     oci-archive:FILE[:TAG]     the same in a tar
 *     docker-archive:FILE[:TAG]  a tar as `docker save` writes it
 *     dir:DIR                    a root file system in a folder
 *     -                          a tar on standard input: either archive, or a
 *                                root file system
 *     NAME[:TAG][@DIGEST]        an image of a registry, as Docker names it:
 *                                "nginx" is docker.io/library/nginx:latest,
 *                                "user/app" is on docker.io as well, and
 *                                "host:5000/a/b" on host:5000
 *
 * DIR and FILE end at the first colon, as elsewhere (in dir: they may hold
 * some); TAG is the value of the annotation org.opencontainers.image.ref.name,
 * or one of Docker's RepoTags, and may hold further ones.
 */
#ifndef SM_OCI_REFERENCE_H
#define SM_OCI_REFERENCE_H

#include "oci/digest.h"

enum reference_kind {
    REFERENCE_OCI,
    REFERENCE_OCI_ARCHIVE,
    REFERENCE_DOCKER_ARCHIVE,
    REFERENCE_DIR,
    REFERENCE_INPUT,
    REFERENCE_REGISTRY
};

struct reference {
    enum reference_kind kind;
    char *path; /* the folder or file, else NULL       */
    char *tag;  /* NULL if none was given; never empty */
    /* Of a registry; there, (tag) or (digest) is set, or both. */
    char *registry;   /* "docker.io", "host:5000" */
    char *repository; /* "library/nginx"          */
    bool has_digest;
    struct digest digest;
};

/* Returns 0, SM_EINVAL (malformed), SM_ENOTSUP (an unknown
 * digest), SM_ENOMEM. */
int reference_parse(const char *text, struct reference *ret,
                    struct sm_error *err);
void reference_done(struct reference *reference);

/* The whole name of an image of a registry, with nothing left out:
 * "docker.io/library/nginx:latest". NULL if memory is out. */
char *reference_canonical(const struct reference *reference);

/* 0 if (tag) may stand as a tag (OCI image specification, annotations.md:
 * letters, digits and -._:@/+), else SM_EINVAL. */
int reference_check_tag(const char *tag, struct sm_error *err);

#endif
