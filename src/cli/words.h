/* words.h: command lines whose options may stand among the words. */
#ifndef SM_CLI_WORDS_H
#define SM_CLI_WORDS_H

#include "options.h"

/*
 * As options_parse(), for verbs that run nothing: "save IMAGE -o FILE" is what
 * people write. What is no option goes to (words), for option_list_done();
 * behind "--" everything does.
 */
enum options_result words_parse(const struct verb *verb, char **arguments,
                                void *values, struct option_list *words);

#endif
