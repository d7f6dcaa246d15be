/* oci_reference.c: fuzzes image references, platforms, digests. */
#include "oci/digest.h"
#include "oci/platform.h"
#include "oci/reference.h"
#include "proto/resolved.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char *text = malloc(count + 1);
    char again[DIGEST_TEXT_MAX];
    struct oci_platform platform;
    struct reference reference;
    struct digest digest;
    struct sm_error err;
    char *absolute = NULL;

    if (!text)
        return 0;
    memcpy(text, bytes, count);
    text[count] = '\0';
    if (reference_parse(text, &reference, &err) == 0) {
        if (!reference.path[0] || (reference.tag && !reference.tag[0]))
            abort();
        reference_done(&reference);
    }
    if (reference_absolute(text, "/cwd", &absolute, &err) == 0)
        free(absolute);
    (void)platform_parse(text, &platform, &err);
    if (digest_parse(text, &digest, &err) == 0) {
        digest_text(&digest, again);
        if (strcmp(text, again) != 0)
            abort();
    }
    free(text);
    return 0;
}
