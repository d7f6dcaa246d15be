/* reference.h: how a user names an image, taken apart.
 *
 *     oci:DIR[:TAG]    an OCI image layout in folder DIR
 *
 * DIR ends at the first colon, as elsewhere; TAG is the value of the
 * annotation org.opencontainers.image.ref.name and may hold further ones.
 */
#ifndef SM_OCI_REFERENCE_H
#define SM_OCI_REFERENCE_H

#include "base/error.h"

enum reference_kind { REFERENCE_OCI };

struct reference {
    enum reference_kind kind;
    char *path; /* the folder                          */
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
