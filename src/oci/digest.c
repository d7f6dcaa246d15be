/* digest.c: content digests; see digest.h. */
#include "oci/digest.h"

#include "base/bytes.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} kinds[] = {
    [DIGEST_SHA256] = {"sha256", 32},
    [DIGEST_SHA512] = {"sha512", 64},
};

const char *digest_name(enum digest_kind kind)
{
    return kinds[kind].name;
}

/* The value of a hex digit in lower case, or -1. */
static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hex(const char *hex, uint8_t *to, size_t bytes)
{
    if (strlen(hex) != 2 * bytes)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        int high = nibble(hex[2 * i]);
        int low = nibble(hex[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

int digest_parse(const char *text, struct digest *ret, struct sm_error *err)
{
    const char *colon = strchr(text, ':');

    if (!colon)
        return fail(err, SM_EIMAGE, "digest \"%.80s\": must be like sha256:…",
                    text);
    *ret = (struct digest){0};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t length = strlen(kinds[i].name);

        if ((size_t)(colon - text) != length ||
            strncmp(text, kinds[i].name, length) != 0)
            continue;
        ret->kind = (enum digest_kind)i;
        if (!parse_hex(colon + 1, ret->bytes, kinds[i].bytes))
            return fail(err, SM_EIMAGE,
                        "digest \"%.160s\": must have %zu hex digits in lower "
                        "case",
                        text, 2 * kinds[i].bytes);
        return 0;
    }
    return fail(err, SM_ENOTSUP,
                "digest \"%.80s\": only sha256 and sha512 are known", text);
}

void digest_hex(const struct digest *digest, char to[DIGEST_HEX_MAX])
{
    static const char digits[] = "0123456789abcdef";
    size_t bytes = kinds[digest->kind].bytes;

    for (size_t i = 0; i < bytes; i++) {
        to[2 * i] = digits[digest->bytes[i] >> 4];
        to[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    to[2 * bytes] = '\0';
}

void digest_text(const struct digest *digest, char to[DIGEST_TEXT_MAX])
{
    size_t length = strlen(kinds[digest->kind].name);

    memcpy(to, kinds[digest->kind].name, length);
    to[length] = ':';
    digest_hex(digest, to + length + 1);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return a->kind == b->kind &&
           memcmp(a->bytes, b->bytes, kinds[a->kind].bytes) == 0;
}

int hasher_init(struct hasher *hasher, enum digest_kind kind,
                struct sm_error *err)
{
    const EVP_MD *md = kind == DIGEST_SHA256 ? EVP_sha256() : EVP_sha512();

    hasher->kind = kind;
    hasher->context = EVP_MD_CTX_new();
    if (!hasher->context || !EVP_DigestInit_ex(hasher->context, md, NULL))
        return fail(err, SM_ENOMEM, "%s: cannot start the hash",
                    digest_name(kind));
    return 0;
}

void hasher_done(struct hasher *hasher)
{
    EVP_MD_CTX_free(hasher->context);
    hasher->context = NULL;
}

void hasher_add(struct hasher *hasher, const void *bytes, size_t count)
{
    int ok = EVP_DigestUpdate(hasher->context, bytes, count);

    assert(ok);
    (void)ok;
}

void hasher_end(struct hasher *hasher, struct digest *ret)
{
    unsigned length = 0;
    int ok;

    *ret = (struct digest){.kind = hasher->kind};
    ok = EVP_DigestFinal_ex(hasher->context, ret->bytes, &length);
    assert(ok && length == kinds[hasher->kind].bytes);
    (void)ok;
}
