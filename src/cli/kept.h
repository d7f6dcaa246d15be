/* kept.h: what `run` wants to know of a snapshot. */
#ifndef SM_CLI_KEPT_H
#define SM_CLI_KEPT_H

#include <supermachine.h>

#include <stdbool.h>

struct kept {
    char *image;   /* as it was named                              */
    char *command; /* that goes on; NULL: nothing was looked up    */
    uint64_t memory_bytes;
    uint32_t vcpus;
    bool tty; /* the command has a terminal */
};

/* Of the snapshot (name). Errors as sm_store_inspect(). */
int kept_look(struct sm_host *host, const char *name, struct kept *ret,
              struct sm_error *err);
void kept_done(struct kept *kept);

#endif
