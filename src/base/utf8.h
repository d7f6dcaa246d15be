/* utf8.h: characters as UTF-8 has them (RFC 3629). */
#ifndef SM_BASE_UTF8_H
#define SM_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the character that (text), of (count) bytes, begins with; 0: it is
 * none. */
size_t utf8_length(const uint8_t *text, size_t count);
/* Write (character), of Unicode and no surrogate, to (to), which has room for
 * four bytes. Returns how many it took. */
size_t utf8_put(uint32_t character, char *to);

#endif
