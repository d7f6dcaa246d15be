/* man.h: manual pages out of the table of verbs, in the language of man(7). */
#ifndef SM_CLI_MAN_H
#define SM_CLI_MAN_H

#include "options.h"

#include <stdio.h>

/* supermachine(1). (verbs) ends with NULL. */
void man_program(const struct verb *const *verbs, FILE *to);

/* supermachine-VERB(1). */
void man_verb(const struct verb *verb, FILE *to);

#endif
