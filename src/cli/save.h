/* save.h: images, or a snapshot, as an archive. */
#ifndef SM_CLI_SAVE_H
#define SM_CLI_SAVE_H

#include <sys/types.h>

struct save_request {
    const char *verb;         /* for messages            */
    const char *const *names; /* as of sm_store_save()   */
    const char *format;       /* NULL: the default       */
    const char *output;       /* NULL: standard output   */
    mode_t mode;              /* of a file, umask or not */
};

/* Returns the exit status; a message was printed. */
int cli_save(const struct save_request *request);

#endif
