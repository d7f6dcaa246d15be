/* measure.h: sizes and ages in words. */
#ifndef SM_CLI_MEASURE_H
#define SM_CLI_MEASURE_H

#include <stdint.h>

enum { MEASURE_MAX = 32 };

/* "0B", "512B", "1.5kB", "12.3MB", "123MB": three digits, decimal units. */
void measure_bytes(char to[MEASURE_MAX], uint64_t bytes);

/* "3 weeks ago", at (now_s) of what was at (then_s), both in seconds since
 * 1970; "-" for 0. */
void measure_age(char to[MEASURE_MAX], uint64_t then_s, uint64_t now_s);

#endif
