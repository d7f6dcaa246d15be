/* reference.c: image references; see reference.h. */
#include "oci/reference.h"

#include "base/bytes.h"

#include <ctype.h>
#include <stdbool.h>
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

static const struct kind {
    enum reference_kind kind;
    const char *prefix;
    bool has_tag;
} kinds[] = {
    {REFERENCE_OCI, "oci:", true},
    {REFERENCE_OCI_ARCHIVE, "oci-archive:", true},
    {REFERENCE_DOCKER_ARCHIVE, "docker-archive:", true},
    {REFERENCE_DIR, "dir:", false},
};

/* What follows the prefix of (kind). */
static int parse_path(const struct kind *kind, const char *text,
                      struct reference *ret, struct sm_error *err)
{
    const char *colon = kind->has_tag ? strchr(text, ':') : NULL;
    size_t length = colon ? (size_t)(colon - text) : strlen(text);
    int rc;

    if (length == 0)
        return fail(err, SM_EINVAL, "image \"%s%.256s\": no path is named",
                    kind->prefix, text);
    if (colon) {
        rc = reference_check_tag(colon + 1, err);
        if (rc)
            return wrap(err, rc, "image \"%s%.256s\"", kind->prefix, text);
        ret->tag = strdup(colon + 1);
    }
    ret->kind = kind->kind;
    ret->path = strndup(text, length);
    if (!ret->path || (colon && !ret->tag))
        return fail(err, SM_ENOMEM, "image reference: out of memory");
    return 0;
}

static const struct kind *kind_of(const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strncmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
            return &kinds[i];
    return NULL;
}

int reference_parse(const char *text, struct reference *ret,
                    struct sm_error *err)
{
    const struct kind *kind = kind_of(text);
    int rc;

    *ret = (struct reference){0};
    if (strlen(text) > REFERENCE_MAX)
        return fail(err, SM_EINVAL, "image reference of %zu bytes: at most %d",
                    strlen(text), REFERENCE_MAX);
    if (strcmp(text, "-") == 0) {
        ret->kind = REFERENCE_INPUT;
        return 0;
    }
    if (!kind)
        return fail(err, text[0] ? SM_ENOTSUP : SM_EINVAL,
                    "image \"%.256s\": only oci:DIR[:TAG], "
                    "oci-archive:FILE[:TAG], docker-archive:FILE[:TAG], "
                    "dir:DIR and - are supported so far",
                    text);
    rc = parse_path(kind, text + strlen(kind->prefix), ret, err);
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
