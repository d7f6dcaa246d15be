/* json_text.h: strings as JSON has them (RFC 8259). */
#ifndef SM_BASE_JSON_TEXT_H
#define SM_BASE_JSON_TEXT_H

#include "base/buf.h"

/* Append the (count) bytes of (text) with quotes around. Control characters
 * are escaped; bytes that are not UTF-8 become U+FFFD. */
void json_put_text(struct buf *to, const char *text, size_t count);
/* The same for a C string; NULL: null. */
void json_put_string(struct buf *to, const char *text);

#endif
