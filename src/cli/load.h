/* load.h: what an archive holds, taken into the store. */
#ifndef SM_CLI_LOAD_H
#define SM_CLI_LOAD_H

struct load_request {
    const char *verb;  /* for messages               */
    const char *input; /* NULL: standard input       */
    const char *name;  /* as of sm_store_load()      */
};

/* Returns the exit status; what was loaded, or a message, was printed. */
int cli_load(const struct load_request *request);

#endif
