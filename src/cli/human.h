/* human.h: numbers as people read them, in Docker's words. */
#ifndef SM_CLI_HUMAN_H
#define SM_CLI_HUMAN_H

#include <stddef.h>
#include <stdint.h>

/* Room for every answer, its end included. */
enum { HUMAN_MAX = 32 };

/* "512B", "13.3MB", "1.21GB": three digits, units of 1000. Returns (ret). */
const char *human_bytes(char ret[HUMAN_MAX], uint64_t bytes);

/* "Less than a second", "5 minutes", "About an hour", "3 days". Negative
 * counts as 0. Returns (ret). */
const char *human_duration(char ret[HUMAN_MAX], int64_t seconds);

#endif
