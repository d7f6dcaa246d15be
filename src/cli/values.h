/* values.h: what people write for sizes, numbers, times and signals. */
#ifndef SM_CLI_VALUES_H
#define SM_CLI_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each takes the whole of (text), in ASCII, and nothing around it; false: it
 * is no such thing, or too large, and *ret is as before. */

/* "512m", "2GiB" in bytes: b, k, m, g, t or p, of 1024 each. */
bool value_bytes(const char *text, uint64_t *ret);

/* Digits. */
bool value_count(const char *text, uint32_t *ret);

/* "10", "1.5" (seconds), "1m30s", "500ms", "1h", "2d" in milliseconds, rounded
 * down; what Docker calls a duration, and days. */
bool value_duration(const char *text, uint64_t *ret_ms);

/* "SIGTERM", "TERM", "term", "15", "RTMIN+3": Linux's number, 1 to 64, which
 * is not the host's everywhere. */
bool value_signal(const char *text, uint32_t *ret);

/* The names of Linux's signals without "SIG"; NULL for numbers without one,
 * and at and above SIGNAL_NAMES. */
enum { SIGNAL_NAMES = 32, SIGNAL_MAX = 64 };
const char *value_signal_name(uint32_t number);

#endif
