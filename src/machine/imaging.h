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
};

typedef void imaging_progress_fn(void *context,
                                 const struct sm_progress *progress);

/*
 * Prepare (reference). (progress) may be NULL. Blocks.
 * Returns 0 and *ret, for image_result_done(), or what the program says.
 */
int imaging_prepare(const struct machine_paths *paths, const char *reference,
                    imaging_progress_fn *progress, void *context,
                    struct image_result *ret, struct sm_error *err);

#endif
