/* names.h: names for machines that were given none. */
#ifndef SM_CLI_NAMES_H
#define SM_CLI_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* "adjective_noun" by chance. False: no random numbers, or no room. */
bool names_make(char *to, size_t capacity);

#endif
