/* reference.h: how a user names an image, taken apart.
 *
 *     oci:DIR[:TAG]              an OCI image layout in folder DIR
 *     oci-archive:FILE[:TAG]     the same in a tar
 *     docker-archive:FILE[:TAG]  a tar as `docker save` writes it
 *     dir:DIR                    a root file system in a folder
 *     -                          a tar on standard input: either archive, or a
 *                                root file system
 *
 * DIR and FILE end at the first colon, as elsewhere (in dir: they may hold
 * some); TAG is the value of the annotation org.opencontainers.image.ref.name,
 * or one of Docker's RepoTags, and may hold further ones.
 */
#ifndef SM_OCI_REFERENCE_H
#define SM_OCI_REFERENCE_H

#include "base/error.h"

enum reference_kind {
    REFERENCE_OCI,
    REFERENCE_OCI_ARCHIVE,
    REFERENCE_DOCKER_ARCHIVE,
    REFERENCE_DIR,
    REFERENCE_INPUT
};

struct reference {
    enum reference_kind kind;
    char *path; /* the folder or file; NULL for input  */
    char *tag;  /* NULL if none was given; never empty */
};

/* Returns 0, SM_EINVAL (malformed), SM_ENOTSUP (a kind that is not there yet),
 * SM_ENOMEM. */
int reference_parse(const char *text, struct reference *ret,
                    struct sm_error *err);
void reference_done(struct reference *reference);

/* 0 if (tag) may stand as a tag (OCI image specification, annotations.md:
 * letters, digits and -._:@/+), else SM_EINVAL. */
int reference_check_tag(const char *tag, struct sm_error *err);

#endif
