/* words.c: options among words; see words.h. */
#include "words.h"

#include "text.h"

#include <string.h>

static enum options_result add_word(const struct verb *verb,
                                    struct option_list *words, const char *word)
{
    if (option_list_add(words, word))
        return OPTIONS_OK;
    complain("%s: out of memory", verb->name);
    return OPTIONS_WRONG;
}

enum options_result words_parse(const struct verb *verb, char **arguments,
                                void *values, struct option_list *words)
{
    enum options_result result = OPTIONS_OK;
    char **rest = arguments;
    bool ended = false;

    while (result == OPTIONS_OK && *rest) {
        char **from = rest;

        if (!ended) {
            result = options_parse(verb, from, values, &rest);
            if (result != OPTIONS_OK)
                break;
            ended = rest > from && strcmp(rest[-1], "--") == 0;
        }
        if (*rest)
            result = add_word(verb, words, *rest++);
    }
    return result;
}
