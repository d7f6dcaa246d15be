/* test_place.c: where trees go: the rules of docker cp, row by row. */
#include "stand.h"

#include <stdio.h>

/* pack (from) -> unpack (to), as cp does it. */
static int copy(const char *from, const char *root, const char *to,
                struct sm_error *err)
{
    const struct unpack_config config = {
        .path = to, .place = true, .root = root, .links = BENEATH_INSIDE};
    struct tape tape;
    struct pax_input in;
    int rc;

    tape_init(&tape);
    in = tape_input(&tape);
    tape_pack(&tape, from);
    rc = unpack(&config, &in, NULL, err);
    tape_done(&tape);
    return rc;
}

static void expect(const char *from, const char *root, const char *to,
                   const char *check)
{
    struct sm_error err;

    if (copy(from, root, to, &err))
        fail_msg("%s", err.message);
    shell(check);
}

static void expect_error(const char *from, const char *to, int code)
{
    struct sm_error err = {0};

    assert_int_equal(copy(from, NULL, to, &err), code);
    assert_int_equal(err.code, code);
}

static void test_file_to_nothing_makes_that_file(void **state)
{
    (void)state;
    shell("echo 1 >a; mkdir d");
    expect("a", "a", "d/b", "cmp a d/b; test $(ls d) = b");
}

static void test_file_to_nothing_with_a_slash_is_refused(void **state)
{
    (void)state;
    shell("echo 1 >a");
    expect_error("a", "b/", SM_ENOENT);
    expect_error("a", "b/c", SM_ENOENT);
    shell("test ! -e b");
}

static void test_file_to_a_file_replaces_it(void **state)
{
    (void)state;
    shell("echo 1 >a; echo 2 >b; ln b c");
    expect("a", "a", "b", "cmp a b; test $(cat c) = 2");
}

static void test_file_to_a_folder_goes_into_it(void **state)
{
    (void)state;
    shell("echo 1 >a; mkdir d");
    expect("a", "a", "d", "cmp a d/a");
    expect("a", "a", "d/", "cmp a d/a");
}

static void test_folder_to_nothing_becomes_it(void **state)
{
    (void)state;
    shell("mkdir s; echo 1 >s/a; chmod 751 s");
    expect("s", "s", "d", "diff -r s d; test $(stat -c %a d) = 751");
    expect("s", "s", "e/", "diff -r s e");
    expect("s/.", ".", "f", "diff -r s f");
    expect_error("s", "g/h", SM_ENOENT);
}

static void test_folder_to_a_file_is_refused(void **state)
{
    (void)state;
    shell("mkdir s; echo 1 >a");
    expect_error("s", "a", SM_EEXIST);
    expect_error("s/.", "a", SM_EEXIST);
}

static void test_folder_to_a_folder_goes_into_it(void **state)
{
    (void)state;
    shell("mkdir -p s/u d/s; echo 1 >s/u/a; echo 2 >d/s/b");
    expect("s", "s", "d", "cmp s/u/a d/s/u/a; test -e d/s/b");
    expect("s/", "s", "d/", "cmp s/u/a d/s/u/a");
}

static void test_what_is_in_a_folder_goes_into_a_folder(void **state)
{
    (void)state;
    shell("mkdir -p s/u d; echo 1 >s/u/a; chmod 700 d");
    expect("s/.", ".", "d",
           "cmp s/u/a d/u/a; test ! -e d/s; test $(stat -c %a d) = 700");
}

static void test_link_is_copied_as_one(void **state)
{
    (void)state;
    shell("mkdir -p s d e; echo 1 >s/a; ln -s s l; ln -s s/a m");
    expect("l", "l", "d", "test $(readlink d/l) = s");
    expect("l/", "l", "e", "cmp s/a e/l/a; test ! -L e/l");
    expect("l/.", ".", "e", "cmp s/a e/a");
}

static void test_target_that_is_a_link_is_followed(void **state)
{
    (void)state;
    shell("mkdir -p s d; echo 1 >a; echo 2 >d/b; ln -s d l; ln -s d/b m;"
          "ln -s d/new n; ln -s o o");
    expect("a", "a", "l", "cmp a d/a; test -L l");
    expect("a", "a", "m", "cmp a d/b; test -L m");
    expect("a", "a", "n", "cmp a d/new; test -L n");
    expect_error("a", "o", SM_EIO);
}

static void test_folder_and_file_do_not_replace_each_other(void **state)
{
    (void)state;
    shell("mkdir -p s/x d/s t/s e/t/s; echo 1 >d/s/x; echo 2 >t/s/y;"
          "mkdir e/t/s/y");
    expect_error("s", "d", SM_EEXIST);
    expect_error("t", "e", SM_EEXIST);
    shell("test -f d/s/x; test -d e/t/s/y");
}

static void test_another_root_than_asked_for_is_refused(void **state)
{
    struct sm_error err;

    (void)state;
    shell("mkdir s d; echo 1 >s/.bashrc");
    assert_int_equal(copy("s", "t", "d", &err), SM_EPROTO);
    assert_int_equal(copy("s/.", "s", "d", &err), SM_EPROTO);
    assert_int_equal(copy("s/.bashrc", "t", "d", &err), SM_EPROTO);
    shell("test -z \"$(ls -A d)\"");
}

static void test_missing_source_is_said(void **state)
{
    const struct pack_config config = {.path = "none"};
    struct tape tape;
    struct pax_output out;
    struct sm_error err;

    (void)state;
    tape_init(&tape);
    out = tape_output(&tape);
    assert_int_equal(pack(&config, &out, NULL, &err), SM_ENOENT);
    assert_string_equal(err.message, "none: No such file or directory");
    shell("echo >none");
    assert_int_equal(
        pack(&(struct pack_config){.path = "none/"}, &out, NULL, &err),
        SM_EINVAL);
    tape_done(&tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROW(name)                                                              \
    cmocka_unit_test_setup_teardown(name, stand_set_up, stand_tear_down)
        ROW(test_file_to_nothing_makes_that_file),
        ROW(test_file_to_nothing_with_a_slash_is_refused),
        ROW(test_file_to_a_file_replaces_it),
        ROW(test_file_to_a_folder_goes_into_it),
        ROW(test_folder_to_nothing_becomes_it),
        ROW(test_folder_to_a_file_is_refused),
        ROW(test_folder_to_a_folder_goes_into_it),
        ROW(test_what_is_in_a_folder_goes_into_a_folder),
        ROW(test_link_is_copied_as_one),
        ROW(test_target_that_is_a_link_is_followed),
        ROW(test_folder_and_file_do_not_replace_each_other),
        ROW(test_another_root_than_asked_for_is_refused),
        ROW(test_missing_source_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
