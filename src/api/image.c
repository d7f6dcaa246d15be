/* image.c: images that are ready to run. */
#include "api/inside.h"

#include <stdlib.h>

int sm_image_open(struct sm_host *host, const char *reference,
                  void (*progress)(void *context,
                                   const struct sm_progress *progress),
                  void *context, struct sm_image **ret, struct sm_error *err)
{
    struct machine_paths paths = host_paths(host);
    struct sm_image *image = calloc(1, sizeof *image);
    int rc;

    if (!image)
        return fail(err, SM_ENOMEM, "image %s: out of memory", reference);
    rc = imaging_prepare(&paths, reference, progress, context, &image->result,
                         err);
    if (rc) {
        free(image);
        return rc;
    }
    *ret = image;
    return 0;
}

void sm_image_free(struct sm_image *image)
{
    if (!image)
        return;
    image_result_done(&image->result);
    free(image);
}

const char *sm_image_digest(const struct sm_image *image)
{
    return image->result.digest;
}
