/* test_sha256.c: SHA-256 gives what FIPS 180-4 says. */
#include "cli/sha256.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static const char *digest_of(const void *bytes, size_t count)
{
    static char text[SHA256_DIGITS + 1];

    sha256_text(bytes, count, text);
    return text;
}

/* The examples that NIST publishes with the standard. */
static void test_sha256_is_as_published(void **state)
{
    static const char long_one[] =
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";

    (void)state;
    assert_string_equal(
        digest_of("", 0),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_string_equal(
        digest_of("abc", 3),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(
        digest_of(long_one, strlen(long_one)),
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_sha256_takes_many_blocks(void **state)
{
    enum { COUNT = 1000000 };
    char *bytes = test_malloc(COUNT);

    (void)state;
    memset(bytes, 'a', COUNT);
    assert_string_equal(
        digest_of(bytes, COUNT),
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    test_free(bytes);
}

/* Around the place where padding needs a block more: 55 and 56 bytes, 64. */
static void test_sha256_pads_at_every_length(void **state)
{
    static const struct {
        size_t count;
        const char *text;
    } rows[] = {
        {55,
         "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
        {56,
         "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
        {63,
         "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
        {64,
         "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
    };
    char bytes[64];

    (void)state;
    memset(bytes, 'a', sizeof bytes);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(digest_of(bytes, rows[i].count), rows[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_is_as_published),
        cmocka_unit_test(test_sha256_takes_many_blocks),
        cmocka_unit_test(test_sha256_pads_at_every_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
