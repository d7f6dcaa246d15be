/* times.h: points in time and spans before now, as users write them. */
#ifndef SM_CLI_TIMES_H
#define SM_CLI_TIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TIMES_MAX = 40 };

/* RFC 3339 in UTC with nanoseconds: "2026-11-22T10:00:00.123456789Z". (to) has
 * TIMES_MAX bytes; (ns) counts from 1970. */
void times_text(int64_t ns, char *to);
/* The same, with any number of decimals or none, backwards. */
bool times_parse(const char *text, size_t length, int64_t *ret);
/* A point in time as an option names it: RFC 3339, a date alone, seconds since
 * 1970, or a span before (now_ns): "90s", "10m", "1h30m", "2d". */
bool times_parse_point(const char *text, int64_t now_ns, int64_t *ret);
#endif
