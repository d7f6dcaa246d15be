/* image.c: images that are ready to run. */
#include "api/inside.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void sm_image_config_init(struct sm_image_config *config)
{
    *config = (struct sm_image_config){.size = sizeof *config};
}

int sm_image_prepare(struct sm_host *host, const char *reference,
                     const struct sm_image_config *given, struct sm_image **ret,
                     struct sm_error *err)
{
    struct machine_paths paths = host_paths(host);
    struct sm_image_config config;
    struct imaging_request request;
    struct sm_image *image;
    int rc = 0;

    sm_image_config_init(&config);
    if (given)
        rc = config_copy(&config, sizeof config, given, "sm_image_config", err);
    if (rc)
        return rc;
    image = calloc(1, sizeof *image);
    if (!image)
        return fail(err, SM_ENOMEM, "image %s: out of memory", reference);
    request = (struct imaging_request){
        .reference = reference,
        .platform = config.platform,
        .refresh = config.refresh != 0,
        .insecure = config.insecure,
        .progress = config.progress,
        .context = config.context,
    };
    image->name = strdup(reference);
    rc = image->name ? imaging_prepare(&paths, &request, &image->result,
                                       &image->rootfs_fd, err)
                     : fail(err, SM_ENOMEM, "image: out of memory");
    if (rc) {
        free(image->name);
        free(image);
        return rc;
    }
    *ret = image;
    return 0;
}

int sm_image_open(struct sm_host *host, const char *reference,
                  void (*progress)(void *context,
                                   const struct sm_progress *progress),
                  void *context, struct sm_image **ret, struct sm_error *err)
{
    struct sm_image_config config;

    sm_image_config_init(&config);
    config.progress = progress;
    config.context = context;
    return sm_image_prepare(host, reference, &config, ret, err);
}

void sm_image_free(struct sm_image *image)
{
    if (!image)
        return;
    image_result_done(&image->result);
    close(image->rootfs_fd);
    free(image->name);
    free(image);
}

const char *sm_image_digest(const struct sm_image *image)
{
    return image->result.digest;
}
