/* reference.c: image references; see reference.h. */
#include "oci/reference.h"

#include "base/bytes.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { TAG_MAX = 512, REFERENCE_MAX = 8192 };

int reference_check_tag(const char *tag, struct sm_error *err)
{
    size_t length = strlen(tag);

    if (length == 0 || length > TAG_MAX)
        return fail(err, SM_EINVAL, "tag of %zu bytes: must have 1 to %d",
                    length, TAG_MAX);
    for (const char *c = tag; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-._:@/+", *c))
            return fail(err, SM_EINVAL,
                        "tag \"%s\": only letters, digits and -._:@/+", tag);
    return 0;
}

static int parse_oci(const char *text, struct reference *ret,
                     struct sm_error *err)
{
    const char *colon = strchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : strlen(text);
    int rc;

    if (length == 0)
        return fail(err, SM_EINVAL, "image \"oci:%s\": no folder is named",
                    text);
    if (colon) {
        rc = reference_check_tag(colon + 1, err);
        if (rc)
            return wrap(err, rc, "image \"oci:%.256s\"", text);
        ret->tag = strdup(colon + 1);
    }
    ret->kind = REFERENCE_OCI;
    ret->path = strndup(text, length);
    if (!ret->path || (colon && !ret->tag))
        return fail(err, SM_ENOMEM, "image reference: out of memory");
    return 0;
}

int reference_parse(const char *text, struct reference *ret,
                    struct sm_error *err)
{
    int rc;

    *ret = (struct reference){0};
    if (strlen(text) > REFERENCE_MAX)
        return fail(err, SM_EINVAL, "image reference of %zu bytes: at most %d",
                    strlen(text), REFERENCE_MAX);
    if (strncmp(text, "oci:", 4) != 0)
        return fail(err, text[0] ? SM_ENOTSUP : SM_EINVAL,
                    "image \"%.256s\": only oci:DIR[:TAG], an OCI layout "
                    "folder, is supported so far",
                    text);
    rc = parse_oci(text + 4, ret, err);
    if (rc)
        reference_done(ret);
    return rc;
}

void reference_done(struct reference *reference)
{
    free(reference->path);
    free(reference->tag);
    *reference = (struct reference){0};
}
