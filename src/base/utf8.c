/* utf8.c: characters as UTF-8 has them; see utf8.h. */
#include "base/utf8.h"

/* RFC 3629, 4: the ranges keep out what is too long, surrogates and what is
 * beyond U+10FFFF. */
size_t utf8_length(const uint8_t *text, size_t count)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t length;

    if (!count)
        return 0;
    if (text[0] < 0x80)
        return 1;
    if (text[0] < 0xc2 || text[0] > 0xf4)
        return 0;
    length = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
    if (text[0] == 0xe0)
        low = 0xa0;
    else if (text[0] == 0xed)
        high = 0x9f;
    else if (text[0] == 0xf0)
        low = 0x90;
    else if (text[0] == 0xf4)
        high = 0x8f;
    if (count < length || text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (text[i] < 0x80 || text[i] > 0xbf)
            return 0;
    return length;
}

size_t utf8_put(uint32_t character, char *to)
{
    static const uint8_t heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t count = character < 0x80      ? 1
                   : character < 0x800   ? 2
                   : character < 0x10000 ? 3
                                         : 4;

    if (count == 1) {
        *to = (char)character;
        return 1;
    }
    for (size_t i = count - 1; i > 0; i--) {
        to[i] = (char)(0x80 | (character & 0x3f));
        character >>= 6;
    }
    *to = (char)(heads[count] | character);
    return count;
}
