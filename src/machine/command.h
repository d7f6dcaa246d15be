/* command.h: what is run: an image's defaults and what the user wants. */
#ifndef SM_MACHINE_COMMAND_H
#define SM_MACHINE_COMMAND_H

#include "base/error.h"
#include "proto/agent.h"

/* What an image says about its program. Lists end with NULL; strings are
 * never NULL. */
struct command_defaults {
    const char *const *entrypoint;
    const char *const *arguments; /* "Cmd" */
    const char *const *env;
    const char *workdir;
    const char *user;
};

/* A whole command line, environment included. */
struct command {
    char **argv; /* NULL at the end, at least one */
    char **env;  /* "NAME=value", each name once, NULL at the end */
    char *workdir;
    char *user;
    char ***then; /* more command lines */
    uint32_t then_count;
    struct agent_file *files;
    uint32_t file_count;
};

enum {
    /* Arguments and environment together, NULs included; sm_exec_new() tells
     * the number. */
    COMMAND_BYTES_MAX = 1 << 20,
    COMMAND_WORDS_MAX = 65536,
    COMMAND_CHAIN_MAX = 1024,
    COMMAND_FILES_MAX = 1024,
    COMMAND_FILE_BYTES_MAX = 2 << 20, /* paths included */
    COMMAND_VARIABLES_MAX = 8192
};

/*
 * Put (wanted) over (defaults), by Docker's rules: an entrypoint that is given
 * replaces the image's and drops its arguments; arguments that are given
 * replace the image's; a variable that is given replaces the one of that name.
 *
 * Returns 0, SM_EINVAL (nothing to run, a variable without "=" or name, a
 * working directory that is not absolute, a file without path or with a strange
 * mode), SM_ELIMIT (beyond one of the
 * numbers above), SM_ENOMEM. (ret) is not touched on failure.
 */
int command_make(struct command *ret, const struct command_defaults *defaults,
                 const struct sm_exec_config *wanted, struct sm_error *err);
void command_done(struct command *command);

#endif
