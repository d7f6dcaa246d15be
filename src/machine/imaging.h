/* imaging.h: an image reference -> a root file system that is ready.
 *
 * The work is done by supermachine-image, a program of its own: hostile bytes
 * are not parsed in this process. An image that was prepared before is found
 * without starting it (proto/resolved.h).
 */
#ifndef SM_MACHINE_IMAGING_H
#define SM_MACHINE_IMAGING_H

#include "proto/image.h"

/* Where things are. Strings stay the caller's. */
struct machine_paths {
    const char *home;        /* images and root file systems  */
    const char *runtime_dir; /* programs, kernel, initramfs   */
    char *const *image_env;  /* environment of image work: "NAME=value", NULL
                                at the end; NULL: none */
};

typedef void imaging_progress_fn(void *context,
                                 const struct sm_progress *progress);

/* What is wanted. Strings stay the caller's. */
struct imaging_request {
    const char *reference;
    const char *platform;          /* NULL: the host's                     */
    bool refresh;                  /* ask its registry, whatever is known  */
    const char *const *insecure;   /* registries, NULL at the end; or NULL */
    imaging_progress_fn *progress; /* or NULL */
    void *context;
};

/*
 * Prepare what (request) names. Blocks.
 * Returns 0 and *ret, for image_result_done(), or what the program says.
 */
int imaging_prepare(const struct machine_paths *paths,
                    const struct imaging_request *request,
                    struct image_result *ret, struct sm_error *err);

#endif
