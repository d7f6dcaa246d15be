/* test_error.c: errors and what becomes of them on their way up. */
#include "base/error.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static void test_fail_fills_everything_and_returns_its_code(void **state)
{
    struct sm_error err;

    (void)state;
    memset(&err, 0xff, sizeof err);
    assert_int_equal(fail(&err, SM_EINVAL, "memory of %d MiB", 3), SM_EINVAL);
    assert_int_equal(err.code, SM_EINVAL);
    assert_int_equal(err.os_error, 0);
    assert_string_equal(err.message, "memory of 3 MiB");
}

static void test_errors_need_no_receiver(void **state)
{
    (void)state;
    errno = ENOENT;
    assert_int_equal(fail(NULL, SM_EIO, "x"), SM_EIO);
    assert_int_equal(fail_errno(NULL, ENOSPC, "x"), SM_ENOSPC);
    assert_int_equal(wrap(NULL, SM_EIO, "x"), SM_EIO);
    assert_int_equal(fail_os(NULL, "x"), SM_ENOENT);
}

static void test_fail_os_takes_code_number_and_text_from_errno(void **state)
{
    struct sm_error err;

    (void)state;
    errno = ENOENT;
    assert_int_equal(fail_os(&err, "open %s", "/x"), SM_ENOENT);
    assert_int_equal(err.code, SM_ENOENT);
    assert_int_equal(err.os_error, ENOENT);
    assert_string_equal(err.message, "open /x: No such file or directory");
}

static void test_errno_maps_to_the_code_that_fits(void **state)
{
    static const struct {
        int os_error;
        int code;
    } table[] = {
        {ENOMEM, SM_ENOMEM},      {ENOENT, SM_ENOENT}, {ENOTDIR, SM_ENOENT},
        {EEXIST, SM_EEXIST},      {EACCES, SM_EACCES}, {EPERM, SM_EACCES},
        {EROFS, SM_EACCES},       {ENOSPC, SM_ENOSPC}, {EDQUOT, SM_ENOSPC},
        {EBUSY, SM_EBUSY},        {EPIPE, SM_ECLOSED}, {ECONNRESET, SM_ECLOSED},
        {ETIMEDOUT, SM_ETIMEOUT}, {EINVAL, SM_EINVAL}, {EMFILE, SM_ELIMIT},
        {ENXIO, SM_EIO},          {0, SM_EIO},         {12345, SM_EIO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(error_from_errno(table[i].os_error), table[i].code);
}

static void test_wrap_puts_context_in_front(void **state)
{
    struct sm_error err;

    (void)state;
    fail_errno(&err, EIO, "read");
    assert_int_equal(wrap(&err, SM_EIO, "layer %d of %d", 2, 4), SM_EIO);
    assert_int_equal(wrap(&err, SM_EIO, "unpack"), SM_EIO);
    assert_string_equal(err.message,
                        "unpack: layer 2 of 4: read: Input/output error");
    assert_int_equal(err.os_error, EIO);
}

/* What the caller sees as result and as err->code is the same. */
static void test_wrap_with_another_code_changes_the_code(void **state)
{
    struct sm_error err;

    (void)state;
    fail(&err, SM_EINVAL, "x");
    assert_int_equal(wrap(&err, SM_ENOMEM, "y"), SM_ENOMEM);
    assert_int_equal(err.code, SM_ENOMEM);
}

static void test_error_longer_than_the_message_is_cut(void **state)
{
    char longest[2 * sizeof((struct sm_error *)0)->message];
    struct sm_error err;

    (void)state;
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    fail(&err, SM_EIO, "%s", longest);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    wrap(&err, SM_EIO, "front");
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_memory_equal(err.message, "front: aaa", 10);
    wrap(&err, SM_EIO, "%s", longest);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    fail_errno(&err, EIO, "%s", longest);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
}

/* Cut inside of a character: no half of it is left. */
static void test_error_that_is_cut_stays_utf8(void **state)
{
    char text[sizeof((struct sm_error *)0)->message + 1];
    struct sm_error err;

    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text + sizeof text - 4, "\xe2\x82\xac", 4); /* euro sign */
    fail(&err, SM_EIO, "%s", text);
    assert_string_equal(err.message + strlen(err.message) - 3, "a??");
}

/* Names in an image, words of a guest: the message promises one line. */
static void test_error_is_one_line_of_utf8_whatever_it_names(void **state)
{
    static const struct {
        const char *given;
        const char *shown;
    } table[] = {
        {"a\nb\rc\td", "a?b?c?d"},
        {"\x1b[2J", "?[2J"},
        {"\x7f", "?"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"\xe2\x82\xac\xf0\x9f\x90\x8b", "\xe2\x82\xac\xf0\x9f\x90\x8b"},
        {"\xc2\x9b"
         "31m",
         "??31m"}, /* CSI as a C1 control */
        {"\xc2\xa0", "\xc2\xa0"},
        {"\xc0\xaf", "??"},           /* '/' in two bytes    */
        {"\xe0\x80\xaf", "???"},      /* '/' in three        */
        {"\xf0\x80\x80\xaf", "????"}, /* '/' in four         */
        {"\xed\xa0\x80", "???"},      /* a surrogate         */
        {"\xf4\x90\x80\x80", "????"}, /* beyond U+10FFFF     */
        {"\xf5\x80\x80\x80", "????"},
        {"\xff", "?"},
        {"\xe2\x82", "??"},
        {"\x80x", "?x"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct sm_error err;

        fail(&err, SM_EIO, "%s", table[i].given);
        assert_string_equal(err.message, table[i].shown);
        fail(&err, SM_EIO, "x");
        wrap(&err, SM_EIO, "%s", table[i].given);
        assert_memory_equal(err.message, table[i].shown,
                            strlen(table[i].shown));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_fills_everything_and_returns_its_code),
        cmocka_unit_test(test_errors_need_no_receiver),
        cmocka_unit_test(test_fail_os_takes_code_number_and_text_from_errno),
        cmocka_unit_test(test_errno_maps_to_the_code_that_fits),
        cmocka_unit_test(test_wrap_puts_context_in_front),
        cmocka_unit_test(test_wrap_with_another_code_changes_the_code),
        cmocka_unit_test(test_error_longer_than_the_message_is_cut),
        cmocka_unit_test(test_error_that_is_cut_stays_utf8),
        cmocka_unit_test(test_error_is_one_line_of_utf8_whatever_it_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
