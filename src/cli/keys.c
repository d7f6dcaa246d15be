/* keys.c: keys in a row that mean something else; see keys.h. */
#include "keys.h"

#include <string.h>

/* The key that (word), of (length) bytes, names. */
static bool parse_key(const char *word, size_t length, char *ret)
{
    if (length == 1) {
        *ret = *word;
        return true;
    }
    if (length != 6 || strncmp(word, "ctrl-", 5) != 0)
        return false;
    /* Control characters are the 32 below '@' and its row. */
    *ret = (char)(word[5] & 0x1f);
    return (word[5] >= 'a' && word[5] <= 'z') ||
           (word[5] >= '@' && word[5] <= '_');
}

bool keys_parse(const char *text, struct keys *ret)
{
    *ret = (struct keys){0};
    for (;;) {
        size_t length = strcspn(text, ",");

        if (ret->count == KEYS_MAX ||
            !parse_key(text, length, &ret->key[ret->count++]))
            return false;
        if (!text[length])
            return true;
        text += length + 1;
    }
}

bool keys_sift(struct keys *keys, const char *typed, size_t count, char *kept,
               size_t *kept_count)
{
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        if (typed[i] != keys->key[keys->matched] && keys->matched) {
            memcpy(kept + at, keys->key, keys->matched);
            at += keys->matched;
            keys->matched = 0;
        }
        if (typed[i] == keys->key[keys->matched])
            keys->matched++;
        else
            kept[at++] = typed[i];
        if (keys->matched == keys->count) {
            keys->matched = 0;
            *kept_count = at;
            return true;
        }
    }
    *kept_count = at;
    return false;
}
