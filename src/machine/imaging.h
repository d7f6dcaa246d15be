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
 * Returns 0 and *ret, for image_result_done(), and *ret_fd, its root file
 * system, which nobody removes as long as that or a copy of it is open; or
 * what the program says.
 */
int imaging_prepare(const struct machine_paths *paths,
                    const struct imaging_request *request,
                    struct image_result *ret, int *ret_fd,
                    struct sm_error *err);

/* Hand a frame of progress on to (fn), which may be NULL. */
void imaging_tell_progress(imaging_progress_fn *fn, void *context,
                           const struct frame *frame);

/* ---- any work of the program ---- */

/* What the program is started with. Strings stay the caller's. */
struct imaging_call {
    const char *const *arguments; /* from its verb on, NULL at the end      */
    int file;                     /* becomes descriptor 4 there; -1: none   */
};

/* Returns 1 at the last frame, 0 to go on, or an error that ends it. */
typedef int imaging_frame_fn(void *context, const struct frame *frame,
                             struct sm_error *err);

/* Run it, with the options that say where it works and answers added, until
 * (fn) has seen the last frame. Blocks. */
int imaging_run(const struct machine_paths *paths,
                const struct imaging_call *call, imaging_frame_fn *fn,
                void *context, struct sm_error *err);

#endif
