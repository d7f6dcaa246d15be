/* reference.c: image references; see reference.h. */
#include "oci/reference.h"

#include "base/bytes.h"
#include "base/own.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAG_MAX = 512, REFERENCE_MAX = 8192, NAME_LENGTH_MAX = 255 };

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

/* ---- names of registries ---- */

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* [a-z0-9]+ ((. | _ | __ | -+) [a-z0-9]+)*, up to (end). */
static bool check_component(const char *at, const char *end)
{
    for (;;) {
        const char *separator;

        if (at == end || !is_lower_alnum(*at))
            return false;
        while (at < end && is_lower_alnum(*at))
            at++;
        if (at == end)
            return true;
        separator = at;
        while (at < end && (*at == '.' || *at == '_' || *at == '-'))
            at++;
        if (at - separator > 1 &&
            strspn(separator, "-") < (size_t)(at - separator) &&
            !(at - separator == 2 && memcmp(separator, "__", 2) == 0))
            return false;
    }
}

static int check_repository(const char *name, struct sm_error *err)
{
    const char *at = name;

    if (strlen(name) > NAME_LENGTH_MAX)
        return fail(err, SM_EINVAL, "name of %zu bytes: at most %d",
                    strlen(name), NAME_LENGTH_MAX);
    for (;;) {
        size_t length = strcspn(at, "/");

        if (!check_component(at, at + length))
            return fail(err, SM_EINVAL,
                        "name \"%s\": must be lower-case letters and digits, "
                        "with . _ - or / between them",
                        name);
        if (!at[length])
            return 0;
        at += length + 1;
    }
}

/* HOST[:PORT], [IPV6][:PORT] */
static int check_registry(const char *name, struct sm_error *err)
{
    const char *at = name;
    size_t length;

    if (at[0] == '[') {
        length = strspn(at + 1, "0123456789abcdefABCDEF:");
        at += length + 1;
        if (!length || *at++ != ']')
            return fail(err, SM_EINVAL, "registry \"%s\": no address", name);
    } else {
        length = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-");
        at += length;
        if (!length || name[0] == '.' || name[0] == '-')
            return fail(err, SM_EINVAL, "registry \"%s\": no host name", name);
    }
    length = *at == ':' ? strspn(at + 1, "0123456789") : 0;
    if (*at == ':' && length && length <= 5)
        at += length + 1;
    return *at ? fail(err, SM_EINVAL, "registry \"%s\": must be HOST[:PORT]",
                      name)
               : 0;
}

static int check_name_tag(const char *tag, struct sm_error *err)
{
    size_t length = strlen(tag);

    if (!length || length > 128 || tag[0] == '.' || tag[0] == '-')
        return fail(err, SM_EINVAL,
                    "tag \"%.160s\": must have 1 to 128 bytes and begin with "
                    "a letter, a digit or _",
                    tag);
    for (const char *c = tag; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-._", *c))
            return fail(err, SM_EINVAL,
                        "tag \"%s\": only letters, digits "
                        "and -._",
                        tag);
    return 0;
}

/* Whether what is in front of the first slash, (length) bytes, is a host. */
static bool is_registry(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] == '.' || text[i] == ':' || isupper((unsigned char)text[i]))
            return true;
    return length == 9 && memcmp(text, "localhost", 9) == 0;
}

/* REGISTRY/REPOSITORY with neither tag nor digest, either part defaulted. */
static int split_name(const char *text, struct reference *ret,
                      struct sm_error *err)
{
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : 0;
    int made;

    if (slash && is_registry(text, length)) {
        ret->registry = strndup(text, length);
        text = slash + 1;
    } else {
        ret->registry = strdup("docker.io");
    }
    if (!ret->registry)
        return fail(err, SM_ENOMEM, "image reference: out of memory");
    if (strcmp(ret->registry, "index.docker.io") == 0)
        memmove(ret->registry, "docker.io", sizeof "docker.io");
    made =
        asprintf(&ret->repository, "%s%s",
                 strcmp(ret->registry, "docker.io") == 0 && !strchr(text, '/')
                     ? "library/"
                     : "",
                 text);
    if (made < 0) {
        ret->repository = NULL;
        return fail(err, SM_ENOMEM, "image reference: out of memory");
    }
    made = check_registry(ret->registry, err);
    return made ? made : check_repository(ret->repository, err);
}

/* Cut (text), scratch, into its parts from behind. */
static int parse_parts(char *text, struct reference *ret, struct sm_error *err)
{
    char *at = strchr(text, '@');
    char *slash;
    char *colon;
    int rc = 0;

    if (at) {
        *at = '\0';
        rc = digest_parse(at + 1, &ret->digest, err);
        ret->has_digest = !rc;
    }
    slash = strrchr(text, '/');
    colon = strchr(slash ? slash : text, ':');
    if (!rc && colon) {
        *colon = '\0';
        rc = check_name_tag(colon + 1, err);
    }
    if (!rc && (colon || !at)) {
        ret->tag = strdup(colon ? colon + 1 : "latest");
        if (!ret->tag)
            return fail(err, SM_ENOMEM, "image reference: out of memory");
    }
    return rc ? rc : split_name(text, ret, err);
}

static int parse_name(const char *text, struct reference *ret,
                      struct sm_error *err)
{
    AUTO_FREE char *scratch = strdup(text);
    int rc;

    if (!scratch)
        return fail(err, SM_ENOMEM, "image reference: out of memory");
    ret->kind = REFERENCE_REGISTRY;
    rc = parse_parts(scratch, ret, err);
    if (rc == SM_EIMAGE)
        rc = SM_EINVAL; /* a digest that a user has mistyped */
    return rc ? wrap(err, rc, "image \"%.256s\"", text) : 0;
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
    rc = kind ? parse_path(kind, text + strlen(kind->prefix), ret, err)
              : parse_name(text, ret, err);
    if (rc)
        reference_done(ret);
    return rc;
}

char *reference_canonical(const struct reference *reference)
{
    char digest[DIGEST_TEXT_MAX] = "";
    const char *tag = reference->tag;
    char *name;

    if (reference->has_digest)
        digest_text(&reference->digest, digest);
    if (asprintf(&name, "%s/%s%s%s%s%s", reference->registry,
                 reference->repository, tag ? ":" : "", tag ? tag : "",
                 digest[0] ? "@" : "", digest) < 0)
        return NULL;
    return name;
}

void reference_done(struct reference *reference)
{
    free(reference->path);
    free(reference->tag);
    free(reference->registry);
    free(reference->repository);
    *reference = (struct reference){0};
}
