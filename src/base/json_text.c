/* json_text.c: strings as JSON has them; see json_text.h. */
#include "base/json_text.h"

#include <string.h>

/* Bytes of the character that (text), of (count) bytes, begins with (RFC 3629,
 * 4: the ranges keep out what is too long, surrogates and what is beyond
 * U+10FFFF); 0: it is not UTF-8. */
static size_t character(const uint8_t *text, size_t count)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t length;

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

void json_put_text(struct buf *to, const char *text, size_t count)
{
    const uint8_t *at = (const uint8_t *)text;

    buf_append(to, "\"", 1);
    while (count > 0) {
        size_t length = character(at, count);

        if (length == 0)
            buf_print(to, "\\ufffd");
        else if (at[0] == '"' || at[0] == '\\')
            buf_print(to, "\\%c", at[0]);
        else if (at[0] < 0x20 || at[0] == 0x7f)
            buf_print(to, "\\u%04x", at[0]);
        else
            buf_append(to, at, length);
        length = length ? length : 1;
        at += length;
        count -= length;
    }
    buf_append(to, "\"", 1);
}

void json_put_string(struct buf *to, const char *text)
{
    if (text)
        json_put_text(to, text, strlen(text));
    else
        buf_print(to, "null");
}
