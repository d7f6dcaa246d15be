/* sha256.h: SHA-256 (FIPS 180-4), for names that say what they stand for. */
#ifndef SM_CLI_SHA256_H
#define SM_CLI_SHA256_H

#include <stddef.h>

enum { SHA256_DIGITS = 64 };

/* The digest of (count) bytes as lower-case hexadecimal digits, with a NUL. */
void sha256_text(const void *bytes, size_t count, char to[SHA256_DIGITS + 1]);

#endif
