/* source.c: which kind of source a reference asks for; see source.h. */
#include "oci/source.h"

#include "oci/archived.h"
#include "oci/layout.h"
#include "oci/registry.h"

int oci_source_open(const struct reference *reference,
                    const struct oci_place *place, struct oci_source **ret,
                    struct sm_error *err)
{
    if (reference->kind == REFERENCE_OCI)
        return layout_open(reference->path, ret, err);
    if (reference->kind == REFERENCE_REGISTRY)
        return registry_open(reference, place, ret, err);
    return archived_open(reference, place, ret, err);
}

void oci_source_close(struct oci_source *source)
{
    if (source)
        source->ops->close(source);
}
