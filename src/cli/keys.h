/* keys.h: a few keys in a row that mean something else than themselves. */
#ifndef SM_CLI_KEYS_H
#define SM_CLI_KEYS_H

#include <stdbool.h>
#include <stddef.h>

enum { KEYS_MAX = 16 };

struct keys {
    char key[KEYS_MAX];
    size_t count;
    size_t matched; /* of these came last */
};

/* "ctrl-p,ctrl-q", "a,b,ctrl-]". False: it is no such thing. */
bool keys_parse(const char *text, struct keys *ret);

/*
 * Look for the keys in what was typed. (kept), of (count) + KEYS_MAX bytes,
 * gets what is not part of them: a beginning of them is held back until it is
 * known whether the rest follows. True: they were typed; what is behind is
 * dropped.
 */
bool keys_sift(struct keys *keys, const char *typed, size_t count, char *kept,
               size_t *kept_count);

#endif
