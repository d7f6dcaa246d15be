/* platform.h: which of an image's variants is meant (OCI image specification,
 * image-index.md, "platform"). */
#ifndef SM_OCI_PLATFORM_H
#define SM_OCI_PLATFORM_H

#include "base/error.h"

enum { PLATFORM_FIELD_MAX = 32, PLATFORM_TEXT_MAX = 3 * PLATFORM_FIELD_MAX };

/* Strings with a NUL; an empty variant means "any" in a wish and "none" in an
 * index. */
struct oci_platform {
    char os[PLATFORM_FIELD_MAX];
    char architecture[PLATFORM_FIELD_MAX];
    char variant[PLATFORM_FIELD_MAX];
};

/* "os/arch[/variant]"; "" is linux on the architecture of this host, as is
 * what it leaves out: "amd64" alone is refused. Returns 0 or SM_EINVAL. */
int platform_parse(const char *text, struct oci_platform *ret,
                   struct sm_error *err);
void platform_text(const struct oci_platform *platform,
                   char to[PLATFORM_TEXT_MAX]);
/* How well (offer) fits (wish): 0 not at all, 1 runs, 2 what a wish without a
 * variant usually means, 3 exactly. */
int platform_fit(const struct oci_platform *wish,
                 const struct oci_platform *offer);

#endif
