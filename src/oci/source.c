/* source.c: which kind of source a reference asks for; see source.h. */
#include "oci/source.h"

#include "oci/layout.h"

int oci_source_open(const struct reference *reference, struct oci_source **ret,
                    struct sm_error *err)
{
    switch (reference->kind) {
    case REFERENCE_OCI:
        return layout_open(reference->path, ret, err);
    }
    return fail(err, SM_ENOTSUP, "this kind of image reference");
}

void oci_source_close(struct oci_source *source)
{
    if (source)
        source->ops->close(source);
}
