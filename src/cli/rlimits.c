/* rlimits.c: --ulimit, as Docker has it; see rlimits.h. */
#include "rlimits.h"

#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The number that *text begins with, or -1 for none, which moves behind it. */
static bool take_limit(const char **text, uint64_t *ret)
{
    char *end;

    if (strncmp(*text, "-1", 2) == 0) {
        *ret = UINT64_MAX;
        *text += 2;
        return true;
    }
    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    *ret = strtoull(*text, &end, 10);
    *text = end;
    return errno == 0;
}

static bool parse_one(const char *word, struct limits *ret)
{
    size_t length = strcspn(word, "=");
    const char *value = word + length + 1;
    struct sm_limit limit;
    size_t at = 0;

    if (word[length] != '=' || length == 0 || length >= LIMIT_NAME_MAX ||
        !take_limit(&value, &limit.soft))
        return false;
    limit.hard = limit.soft;
    if (*value == ':') {
        value++;
        if (!take_limit(&value, &limit.hard))
            return false;
    }
    if (*value)
        return false;
    while (at < ret->count && (strncmp(ret->name[at], word, length) != 0 ||
                               ret->name[at][length] != '\0'))
        at++;
    if (at == LIMITS_MAX)
        return false;
    memcpy(ret->name[at], word, length);
    ret->name[at][length] = '\0';
    limit.name = ret->name[at];
    ret->item[at] = limit;
    ret->count += at == ret->count;
    return true;
}

bool limits_parse(const struct option_list *words, struct limits *ret)
{
    ret->count = 0;
    for (size_t i = 0; i < words->count; i++) {
        if (parse_one(words->item[i], ret))
            continue;
        complain("run: --ulimit %s: NAME=SOFT[:HARD], as nofile=1024:2048; -1 "
                 "is no limit",
                 words->item[i]);
        return false;
    }
    return true;
}
