/* docker.h: tars as `docker save` writes them (Docker image specification
 * v1.2, "Combined Image JSON + Filesystem Changeset Format"): manifest.json
 * lists images, each with its config, its tags and its layers by path. */
#ifndef SM_OCI_DOCKER_H
#define SM_OCI_DOCKER_H

#include "oci/source.h"
#include "oci/tar.h"

/* (tar), the files of (fd), looks like one. */
bool docker_is_archive(int fd, const struct tar *tar);

/*
 * The image that (tag) names, or the only one if it is NULL. (fd) and (tar)
 * stay the caller's; (name) is for messages.
 * Returns 0, SM_ENOENT (no such tag), SM_EINVAL (which one?), SM_EIMAGE,
 * SM_ELIMIT, SM_ENOMEM, SM_EIO.
 */
int docker_open(int fd, const char *name, const struct tar *tar,
                const char *tag, struct oci_source **ret, struct sm_error *err);

/* An image of the archive, and its names. A result other than 0 ends the
 * walk. */
typedef int docker_fn(void *context, struct oci_source *source,
                      const struct image_strings *names, struct sm_error *err);

/* Call (fn) for each image, with the errors of docker_open(). */
int docker_walk(int fd, const char *name, const struct tar *tar, docker_fn *fn,
                void *context, struct sm_error *err);

#endif
