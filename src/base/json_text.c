/* json_text.c: strings as JSON has them; see json_text.h. */
#include "base/json_text.h"

#include "base/utf8.h"

#include <string.h>

void json_put_text(struct buf *to, const char *text, size_t count)
{
    const uint8_t *at = (const uint8_t *)text;

    buf_append(to, "\"", 1);
    while (count > 0) {
        size_t length = utf8_length(at, count);

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
