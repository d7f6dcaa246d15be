/* test_tree.c: what a tree has is there again after a stream of it. */
#include "stand.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Everything that a tree can have; as root also devices and owners. */
static const char odd_tree[] =
    "umask 022\n"
    "mkdir -p tree/sub/empty tree/shut 'tree/sp ace' tree/\xc3\xbcn\xc3\xaf\n"
    "printf content >tree/file; : >tree/nothing\n"
    "head -c 1000003 /dev/urandom >tree/sub/large\n"
    "printf x >tree/sub/$(printf 'n%.0s' $(seq 200))\n"
    "ln tree/file tree/sub/hard; ln -s ../file tree/sub/soft\n"
    "ln -s /nowhere/at/all tree/dangling\n"
    "ln -s $(printf 'long/%.0s' $(seq 60)) tree/sub/longlink\n"
    "mkfifo tree/fifo; ln tree/fifo tree/fifo2\n"
    "printf data | dd of=tree/holes bs=1 seek=5000000 2>/dev/null\n"
    "truncate -s 9000000 tree/holes; truncate -s 3000000 tree/allhole\n"
    "d=tree/deep; for i in $(seq 80); do d=$d/folder-$i; done; mkdir -p $d\n"
    "echo bottom >$d/bottom\n"
    "touch -d '1969-12-31 23:59:58.25 UTC' tree/sub/large\n"
    "touch -d '2100-01-01 00:00:00.123456789 UTC' tree/nothing\n"
    "if [ $(id -u) = 0 ]; then\n"
    "  mknod tree/null c 1 3; mknod tree/block b 259 1048575\n"
    "  chown 70000:3000000 tree/sub/large; chown -h 7:8 tree/dangling\n"
    "fi\n"
    "chmod 4755 tree/file; chmod 2750 tree/sub; chmod 1777 'tree/sp ace'\n"
    "chmod 000 tree/nothing; touch -h -d '2001-02-03 04:05:06.7' "
    "tree/sub/soft\n"
    "chmod 555 tree/shut; touch -d '2011-11-11 11:11:11.111' tree/shut\n";

/* Names, types, modes, owners, numbers of names, times and targets; content;
 * numbers of devices; which names are of one file. */
static void check_same(const char *one, const char *other)
{
    char script[1024];

    snprintf(script, sizeof script,
             "show() { (cd $1 && find . -printf "
             "'%%p %%y %%m %%U:%%G %%n %%T@ %%l\\n' | sort; "
             "find . -type f -exec sha256sum {} + | sort -k2; "
             "find . \\( -type c -o -type b \\) -exec stat -c '%%n %%t %%T' {} "
             "+ | sort; find . -not -type d -links +1 -printf '%%i %%p\\n' | "
             "sort | awk '{ printf $1 == last ? \" \" $2 : \"\\n\" $2; "
             "last = $1 }' | sort); }\n"
             "show %s >one.list; show %s >other.list; "
             "test $(wc -l <one.list) -gt 10; diff one.list other.list >&2",
             one, other);
    shell(script);
}

/* tree -> tape -> copy/tree, with all rights that this process has. */
static void round_trip(struct tape *tape, size_t step)
{
    const struct unpack_config config = {
        .path = "copy",
        .place = true,
        .root = "tree",
        .owners = geteuid() == 0,
        .privileged = true,
    };
    struct pax_input in = tape_input(tape);
    struct sm_error err;
    uint64_t bytes = 0;

    tape->step = step;
    tape_pack(tape, "tree");
    shell("mkdir copy");
    if (unpack(&config, &in, &bytes, &err))
        fail_msg("%s", err.message);
    assert_true(tape->at == tape->bytes.size);
}

static void test_tree_with_every_oddity_comes_back_the_same(void **state)
{
    struct tape tape;

    (void)state;
    shell(odd_tree);
    tape_init(&tape);
    round_trip(&tape, 0);
    check_same("tree", "copy/tree");
    tape_done(&tape);
}

static void test_tree_comes_back_from_pieces_of_any_size(void **state)
{
    struct tape tape;

    (void)state;
    shell("mkdir tree; seq 50000 >tree/a; seq 10 >tree/b; seq 9 >tree/c;"
          "truncate -s 40000 tree/d; ln tree/a tree/e; ln -s a tree/f;"
          "mkdir tree/g; mkfifo tree/h tree/i tree/j");
    tape_init(&tape);
    round_trip(&tape, 7);
    check_same("tree", "copy/tree");
    tape_done(&tape);
}

static void test_holes_stay_holes(void **state)
{
    struct tape tape;
    struct stat st;

    (void)state;
    shell("mkdir tree; printf a | dd of=tree/file bs=1 seek=70000000 "
          "2>/dev/null; truncate -s 900000000 tree/file");
    tape_init(&tape);
    round_trip(&tape, 0);
    assert_true(tape.bytes.size < 100000);
    assert_int_equal(stat("copy/tree/file", &st), 0);
    assert_int_equal(st.st_size, 900000000);
    assert_true(st.st_blocks < 1000);
    shell("cmp tree/file copy/tree/file");
    tape_done(&tape);
}

static void test_tree_is_what_other_tars_read(void **state)
{
    struct tape tape;
    FILE *file;

    (void)state;
    shell(odd_tree);
    tape_init(&tape);
    tape_pack(&tape, "tree");
    file = fopen("tree.tar", "w");
    assert_int_equal(fwrite(tape.bytes.data, 1, tape.bytes.size, file),
                     tape.bytes.size);
    fclose(file);
    shell("mkdir copy; tar -C copy -xpf tree.tar --numeric-owner");
    check_same("tree", "copy/tree");
    tape_done(&tape);
}

static void unpack_file(const char *path)
{
    const struct unpack_config config = {
        .path = "copy", .owners = geteuid() == 0, .privileged = true};
    struct tape tape;
    struct pax_input in;
    struct sm_error err;
    uint8_t bytes[65536];
    size_t count;
    FILE *file = fopen(path, "r");

    tape_init(&tape);
    while ((count = fread(bytes, 1, sizeof bytes, file)) > 0)
        assert_true(buf_append(&tape.bytes, bytes, count));
    fclose(file);
    in = tape_input(&tape);
    if (unpack(&config, &in, NULL, &err))
        fail_msg("%s: %s", path, err.message);
    tape_done(&tape);
}

static void test_tree_is_read_from_tars_of_others(void **state)
{
    (void)state;
    shell(odd_tree);
    /* GNU tar keeps links of regular files only. */
    shell("rm tree/fifo2; tar -cf pax.tar --format=pax tree;"
          "tar -cSf holes.tar --format=pax tree");
    shell("mkdir copy");
    unpack_file("pax.tar");
    check_same("tree", "copy/tree");
    shell("chmod -R u+rwx copy; rm -rf copy; mkdir copy");
    unpack_file("holes.tar");
    check_same("tree", "copy/tree");
    /* GNU's own format has whole seconds. */
    shell("find tree -exec touch -h -d @1234567890 {} +;"
          "tar -cf gnu.tar --format=gnu tree;"
          "chmod -R u+rwx copy; rm -rf copy; mkdir copy");
    unpack_file("gnu.tar");
    check_same("tree", "copy/tree");
}

static void test_old_tar_is_read(void **state)
{
    (void)state;
    shell("mkdir -p tree/sub; echo 1 >tree/a; echo 2 >tree/sub/b;"
          "find tree -exec touch -d @1234567890 {} +;"
          "tar -cf v7.tar --format=v7 tree; tar -cf u.tar --format=ustar tree;"
          "mkdir copy");
    unpack_file("v7.tar");
    unpack_file("u.tar");
    shell("diff -r tree copy/tree");
}

/* The longest that ext4 takes in an attribute is 4 KiB; a capability needs
 * root, a file system without attributes has none. */
static void test_extended_attributes_come_back(void **state)
{
    static const uint8_t capability[20] = {1, 0, 0, 2, 0, 4};
    char long_value[3000];
    char value[4096];
    struct tape tape;

    (void)state;
    memset(long_value, '\n', sizeof long_value);
    shell("mkdir tree; echo >tree/file");
    if (setxattr("tree/file", "user.plain", "a\0b", 3, 0))
        skip();
    assert_int_equal(
        setxattr("tree/file", "user.long", long_value, sizeof long_value, 0),
        0);
    if (geteuid() == 0)
        assert_int_equal(setxattr("tree/file", "security.capability",
                                  capability, sizeof capability, 0),
                         0);
    tape_init(&tape);
    round_trip(&tape, 0);
    assert_int_equal(getxattr("copy/tree/file", "user.plain", value, 9), 3);
    assert_memory_equal(value, "a\0b", 3);
    assert_int_equal(
        getxattr("copy/tree/file", "user.long", value, sizeof value),
        sizeof long_value);
    assert_memory_equal(value, long_value, sizeof long_value);
    if (geteuid() == 0) {
        assert_int_equal(getxattr("copy/tree/file", "security.capability",
                                  value, sizeof value),
                         sizeof capability);
        assert_memory_equal(value, capability, sizeof capability);
    }
    tape_done(&tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROW(name)                                                              \
    cmocka_unit_test_setup_teardown(name, stand_set_up, stand_tear_down)
        ROW(test_tree_with_every_oddity_comes_back_the_same),
        ROW(test_tree_comes_back_from_pieces_of_any_size),
        ROW(test_holes_stay_holes),
        ROW(test_tree_is_what_other_tars_read),
        ROW(test_tree_is_read_from_tars_of_others),
        ROW(test_old_tar_is_read),
        ROW(test_extended_attributes_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
