/* storing.h: work on what is kept, done by supermachine-image: images listed,
 * named, removed, checked, loaded and saved. */
#ifndef SM_MACHINE_STORING_H
#define SM_MACHINE_STORING_H

#include "machine/imaging.h"

typedef void storing_stored_fn(void *context,
                               const struct sm_stored_image *image);
typedef void storing_change_fn(void *context,
                               const struct sm_store_change *change);

/* What is wanted. Strings stay the caller's. */
struct storing_request {
    const char *const *arguments;  /* of the program, from its verb on; NULL at
                                      the end                                 */
    int file;                      /* "--file=4" of the arguments; -1: none   */
    storing_stored_fn *stored;     /* or NULL                                 */
    storing_change_fn *change;     /* or NULL                                 */
    imaging_progress_fn *progress; /* or NULL                                */
    void *context;
};

/*
 * Have it done. Blocks.
 * Returns 0 and *ret_text, for free(), which may be ""; or what the program
 * says.
 */
int storing_ask(const struct machine_paths *paths,
                const struct storing_request *request, char **ret_text,
                struct sm_error *err);

#endif
