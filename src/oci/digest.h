/* digest.h: content digests as images name them ("sha256:4bc4..."), and the
 * running hash that checks them (OCI image specification, descriptor.md). */
#ifndef SM_OCI_DIGEST_H
#define SM_OCI_DIGEST_H

#include "base/error.h"

#include <stdbool.h>

enum digest_kind { DIGEST_SHA256, DIGEST_SHA512 };

enum {
    DIGEST_BYTES_MAX = 64,
    DIGEST_HEX_MAX = 2 * DIGEST_BYTES_MAX + 1,
    DIGEST_TEXT_MAX = 7 + DIGEST_HEX_MAX /* with its NUL */
};

struct digest {
    enum digest_kind kind;
    uint8_t bytes[DIGEST_BYTES_MAX]; /* the rest is zero */
};

/* Returns 0, SM_EIMAGE (not hex in lower case, wrong length), SM_ENOTSUP (an
 * algorithm that is not sha256 or sha512). */
int digest_parse(const char *text, struct digest *ret, struct sm_error *err);
/* "sha256:4bc4..." */
void digest_text(const struct digest *digest, char to[DIGEST_TEXT_MAX]);
/* "4bc4..." */
void digest_hex(const struct digest *digest, char to[DIGEST_HEX_MAX]);
/* "sha256" */
const char *digest_name(enum digest_kind kind);
bool digest_equal(const struct digest *a, const struct digest *b);

/* A digest in the making. hasher_done() is fine on a zeroed one. */
struct hasher {
    void *context; /* of libcrypto */
    enum digest_kind kind;
};

int hasher_init(struct hasher *hasher, enum digest_kind kind,
                struct sm_error *err);
void hasher_done(struct hasher *hasher);
void hasher_add(struct hasher *hasher, const void *bytes, size_t count);
/* The digest of all that was added; nothing can be added any more. */
void hasher_end(struct hasher *hasher, struct digest *ret);

#endif
