/* env.h: the environment that a command line asks for. */
#ifndef SM_CLI_ENV_H
#define SM_CLI_ENV_H

#include "options.h"

/*
 * What the (files) of --env-file and the (given) --env say, in this order, as
 * "NAME=VALUE" strings for env_done(). NAME alone means the caller's value, or
 * nothing if it has none. In files, empty lines and those that begin with # are
 * skipped, as is the space before a name; values are taken as they stand.
 * Returns false with a message printed.
 */
bool env_gather(struct option_list *ret, const struct option_list *files,
                const struct option_list *given);
void env_done(struct option_list *env);

#endif
