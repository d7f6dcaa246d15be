/* complete.h: what may follow a command line that is being typed.
 *
 * How it works
 *   The completion of every shell (completion/) asks the program itself:
 *   `supermachine __complete WORD...`, the last word being the one that is
 *   typed, maybe empty. So completions are those of the installed program, and
 *   the names of machines and images are those of the moment.
 *
 *   The answer has a line for each candidate: the whole word, and, behind a
 *   tab, its help if there is one. The line ":files" or ":dirs" means paths of
 *   such, which a shell finds better. Nothing else is said, errors neither.
 */
#ifndef SM_CLI_COMPLETE_H
#define SM_CLI_COMPLETE_H

#include "options.h"

/* Print what the last of (words) may become. (table) ends with NULL, (count)
 * is at least 1. */
void complete(const struct verb *const *table, size_t count,
              char *const *words);

#endif
