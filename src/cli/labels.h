/* labels.h: words of the user's that machines carry, "KEY=VALUE" or "KEY". */
#ifndef SM_CLI_LABELS_H
#define SM_CLI_LABELS_H

#include "options.h"

#include <stdbool.h>

/* Whether a record can hold them; if not, (verb) has said why. */
bool labels_check(const char *verb, const struct option_list *labels);

/*
 * Add to (labels) those of (lines), one a line, whose key none of them has:
 * what is given counts, not what is inherited. (lines) is cut into pieces that
 * (labels) refers to from then on. False: out of memory.
 */
bool labels_inherit(struct option_list *labels, char *lines);

#endif
