/* pax_number.h: numbers in headers and extra records; for pax_read.c. */
#ifndef SM_FILES_PAX_NUMBER_H
#define SM_FILES_PAX_NUMBER_H

#include "files/pax.h"

/* A field of a header: octal digits, or with the top bit set a big-endian
 * number (GNU), which alone may be negative. False: it is neither. */
bool pax_field(const char *field, size_t length, int64_t *ret);

/* (count) decimal digits and nothing else, up to (most). */
bool pax_decimal(const char *text, size_t count, uint64_t most, uint64_t *ret);

/* "-1.25": *ret_ns counts up from *seconds, here -2 and 750 000 000; digits
 * behind the ninth are dropped. */
bool pax_time(const char *text, size_t count, int64_t *seconds,
              uint32_t *ret_ns);

#endif
