/* oci_reference.c: fuzzes image references, platforms, digests, and what
 * registries want of authorization. */
#include "oci/auth.h"
#include "oci/digest.h"
#include "oci/platform.h"
#include "oci/reference.h"
#include "proto/resolved.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* What was understood has its parts, and its whole name means the same. */
static void check_reference(const struct reference *reference)
{
    struct reference again;
    char *name;

    if ((reference->tag && !reference->tag[0]) ||
        (reference->path && !reference->path[0]))
        abort();
    if (reference->kind != REFERENCE_REGISTRY)
        return;
    name = reference_canonical(reference);
    if (!name || reference_parse(name, &again, NULL) != 0)
        abort();
    if (strcmp(again.registry, reference->registry) != 0 ||
        strcmp(again.repository, reference->repository) != 0)
        abort();
    reference_done(&again);
    free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char *text = malloc(count + 1);
    char again[DIGEST_TEXT_MAX];
    struct oci_platform platform;
    struct reference reference;
    struct auth_challenge challenge;
    struct digest digest;
    struct sm_error err;
    char *absolute = NULL;

    if (!text)
        return 0;
    memcpy(text, bytes, count);
    text[count] = '\0';
    if (reference_parse(text, &reference, &err) == 0) {
        check_reference(&reference);
        reference_done(&reference);
    }
    if (reference_absolute(text, "/cwd", &absolute, &err) == 0)
        free(absolute);
    (void)platform_parse(text, &platform, &err);
    (void)auth_parse_challenge(text, &challenge);
    if (digest_parse(text, &digest, &err) == 0) {
        digest_text(&digest, again);
        if (strcmp(text, again) != 0)
            abort();
    }
    free(text);
    return 0;
}
