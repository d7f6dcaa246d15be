/* host.h: what every example but the shortest begins with. */
#ifndef EXAMPLES_HOST_H
#define EXAMPLES_HOST_H

#include <stdio.h>
#include <supermachine.h>

/* The host that the environment describes, and (reference) on it. */
static inline int open_image(const char *reference, struct sm_host **host,
                             struct sm_image **image, struct sm_error *err)
{
    struct sm_host_config config;
    char storage[4096];
    int rc;

    sm_host_config_init(&config);
    rc = sm_host_config_from_environment(&config, storage, sizeof storage, err);
    if (!rc)
        rc = sm_host_new(&config, host, err);
    if (!rc)
        rc = sm_image_open(*host, reference, NULL, NULL, image, err);
    return rc;
}

/* The end of main(): 1 with the error's words, or 0. */
static inline int finish(int rc, const struct sm_error *err)
{
    if (rc)
        fprintf(stderr, "%s\n", err->message);
    return rc != 0;
}

#endif
