/* rlimits.h: --ulimit, as Docker has it. */
#ifndef SM_CLI_RLIMITS_H
#define SM_CLI_RLIMITS_H

#include "options.h"

#include <supermachine.h>

enum { LIMITS_MAX = 16, LIMIT_NAME_MAX = 16 };

struct limits {
    struct sm_limit item[LIMITS_MAX];
    char name[LIMITS_MAX][LIMIT_NAME_MAX];
    size_t count;
};

/* Read (words), "nofile=1024", "nofile=1024:2048" or "core=-1" (none): of a
 * name that is there twice the last one. False: a message was printed. */
bool limits_parse(const struct option_list *words, struct limits *ret);

#endif
