/* test_hostile.c: tars that want more than they may have.
 *
 * The target is "out"; beside it stands "outside", which must stay as it is.
 */
#include "stand.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct tape tape;

static int set_up(void **state)
{
    if (stand_set_up(state))
        return -1;
    shell("mkdir out outside; echo kept >outside/file; "
          "ln -s ../outside out/old; find outside -printf '%p %n %T@ %m\\n' "
          ">before");
    tape_init(&tape);
    return 0;
}

static int tear_down(void **state)
{
    shell("find outside -printf '%p %n %T@ %m\\n' | diff before -; "
          "test \"$(cat outside/file)\" = kept");
    tape_done(&tape);
    return stand_tear_down(state);
}

static void add(enum pax_type type, const char *name, const char *link)
{
    struct pax_entry entry = entry_of(type, name, link);

    tape_add(&tape, &entry, type == PAX_FILE ? "evil" : NULL);
}

/* How it ends under each rule for links: (inside) and (none). */
static void expect_both(int inside, int none)
{
    struct unpack_config config = {.path = "out", .links = BENEATH_INSIDE};
    struct pax_input in = tape_input(&tape);
    struct sm_error err = {0};

    tape_add(&tape, NULL, NULL);
    assert_int_equal(unpack(&config, &in, NULL, &err), inside);
    assert_int_equal(err.code, inside);
    shell("rm -rf out; mkdir out; ln -s ../outside out/old");
    tape.at = 0;
    config.links = BENEATH_NO_LINKS;
    assert_int_equal(unpack(&config, &in, NULL, &err), none);
}

static void expect(int code)
{
    expect_both(code, code);
}

static void test_name_with_dots_does_not_lead_out(void **state)
{
    (void)state;
    add(PAX_FILE, "../outside/file", NULL);
    expect(SM_EACCES);
}

static void test_dots_further_in_do_not_lead_out(void **state)
{
    (void)state;
    add(PAX_FOLDER, "a/", NULL);
    add(PAX_FILE, "a/../../outside/file", NULL);
    expect(SM_EACCES);
}

static void test_dots_that_stay_inside_are_fine(void **state)
{
    (void)state;
    add(PAX_FILE, "a/b/../../c", NULL);
    expect(0);
    shell("test -f out/c");
}

static void test_absolute_name_begins_at_the_target(void **state)
{
    (void)state;
    add(PAX_FILE, "/etc/files-test", NULL);
    expect(0);
    shell("test -f out/etc/files-test; test ! -e /etc/files-test");
}

static void test_file_through_a_link_that_was_there(void **state)
{
    (void)state;
    add(PAX_FILE, "old/file", NULL);
    expect(SM_EACCES);
}

static void test_file_through_a_link_of_its_own(void **state)
{
    (void)state;
    add(PAX_SYMLINK, "way", "../outside");
    add(PAX_FILE, "way/file", NULL);
    expect(SM_EACCES);
}

static void test_file_through_an_absolute_link(void **state)
{
    (void)state;
    add(PAX_SYMLINK, "way", "/tmp");
    add(PAX_FILE, "way/files-test", NULL);
    expect(SM_EACCES);
    shell("test ! -e /tmp/files-test");
}

static void test_link_that_stays_inside(void **state)
{
    (void)state;
    add(PAX_FOLDER, "real", NULL);
    add(PAX_SYMLINK, "way", "real");
    add(PAX_FILE, "way/file", NULL);
    expect_both(0, SM_EACCES);
}

static void test_file_replaces_a_link_and_does_not_follow_it(void **state)
{
    (void)state;
    add(PAX_SYMLINK, "way", "../outside/file");
    add(PAX_FILE, "way", NULL);
    expect(0);
    shell("test -f out/way -a ! -L out/way");
}

static void test_folder_is_not_put_over_a_link(void **state)
{
    (void)state;
    add(PAX_FOLDER, "old/", NULL);
    add(PAX_FILE, "old/file", NULL);
    expect(SM_EEXIST);
}

static void test_folder_that_becomes_a_link_is_not_dressed(void **state)
{
    (void)state;
    shell("chmod 700 outside; find outside -printf '%p %n %T@ %m\\n' >before");
    add(PAX_FOLDER, "a/b/", NULL);
    add(PAX_SYMLINK, "a/c", "../../outside");
    expect(0);
    tape_done(&tape);
    tape_init(&tape);
}

static void test_hard_link_does_not_lead_out(void **state)
{
    (void)state;
    add(PAX_LINK, "mine", "../outside/file");
    expect(SM_EACCES);
}

static void test_hard_link_through_a_link_does_not_lead_out(void **state)
{
    (void)state;
    add(PAX_LINK, "mine", "old/file");
    add(PAX_FILE, "mine", NULL);
    expect(SM_EACCES);
}

static void test_hard_link_of_a_link_is_the_link(void **state)
{
    (void)state;
    add(PAX_SYMLINK, "way", "../outside/file");
    add(PAX_LINK, "mine", "way");
    add(PAX_FILE, "mine", NULL);
    expect(0);
    shell("test -L out/way; test -f out/mine -a ! -L out/mine");
}

static void test_hard_link_to_nothing(void **state)
{
    (void)state;
    add(PAX_LINK, "mine", "none");
    expect(SM_ENOENT);
}

static void test_device_is_not_made(void **state)
{
    (void)state;
    add(PAX_CHAR, "null", NULL);
    expect(SM_ENOTSUP);
    shell("test ! -e out/null");
}

static void test_rights_of_others_are_not_given(void **state)
{
    struct pax_entry entry = entry_of(PAX_FILE, "tool", NULL);

    (void)state;
    entry.mode = 06755;
    entry.uid = 4242;
    tape_add(&tape, &entry, "#!");
    entry = entry_of(PAX_FOLDER, "folder", NULL);
    entry.mode = 02775;
    tape_add(&tape, &entry, NULL);
    expect(0);
    shell("test $(stat -c %a out/tool) = 755; test -O out/tool; "
          "test $(stat -c %a out/folder) = 775");
}

static void test_no_more_bytes_than_allowed(void **state)
{
    const struct unpack_config config = {.path = "out", .bytes_max = 7};
    struct pax_input in = tape_input(&tape);

    (void)state;
    add(PAX_FILE, "a", NULL);
    add(PAX_FILE, "b", NULL);
    tape_add(&tape, NULL, NULL);
    assert_int_equal(unpack(&config, &in, NULL, NULL), SM_ELIMIT);
    shell("test -f out/a; test ! -e out/b");
}

/* Every beginning of a tar is cut short, and no file is left that is not
 * whole. */
static void test_cut_short_is_said(void **state)
{
    struct sm_error err;
    size_t whole;

    (void)state;
    add(PAX_FOLDER, "a", NULL);
    add(PAX_FILE, "a/b", NULL);
    add(PAX_FILE, "c", NULL);
    whole = tape.bytes.size;
    for (size_t cut = 0; cut < whole; cut += 61) {
        tape.bytes.size = cut;
        tape.at = 0;
        assert_int_equal(tape_unpack(&tape, &err), SM_ECLOSED);
        shell("find out -type f -size -4c -o -type f -size +4c | "
              "{ ! grep .; }; rm -rf out; mkdir out");
    }
    tape.bytes.size = whole;
}

static void test_name_beyond_all_paths(void **state)
{
    char name[6000];

    (void)state;
    memset(name, 'n', sizeof name);
    for (size_t i = 100; i < sizeof name; i += 100)
        name[i] = '/';
    name[sizeof name - 1] = '\0';
    add(PAX_FILE, name, NULL);
    expect(SM_EINVAL);
}

static void test_component_beyond_all_names(void **state)
{
    char name[400];

    (void)state;
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    add(PAX_FILE, name, NULL);
    expect(SM_EIO);
}

static void test_size_beyond_all_disks(void **state)
{
    struct pax_entry entry = entry_of(PAX_FILE, "a", NULL);
    struct pax_output out = tape_output(&tape);
    struct pax_writer writer;

    (void)state;
    entry.size = INT64_MAX;
    assert_int_equal(pax_writer_init(&writer, &out, NULL), 0);
    assert_int_equal(pax_put(&writer, &entry, false, NULL), 0);
    assert_int_equal(pax_put_end(&writer, NULL), 0);
    pax_writer_done(&writer);
    expect(SM_ECLOSED);
    shell("test ! -e out/a");
}

static void put_raw(const char *text, size_t count)
{
    uint8_t block[PAX_RECORD] = {0};

    memcpy(block, text, count);
    assert_true(buf_append(&tape.bytes, block, sizeof block));
}

static void test_compressed_is_said(void **state)
{
    struct sm_error err;

    (void)state;
    put_raw("\x1f\x8b\x08", 3);
    assert_int_equal(tape_unpack(&tape, &err), SM_ENOTSUP);
    assert_non_null(strstr(err.message, "gzip"));
}

static void test_compressed_and_shorter_than_a_header_is_said(void **state)
{
    struct sm_error err;

    (void)state;
    put_raw("\x1f\x8b\x08", 3);
    tape.bytes.size = 3;
    assert_int_equal(tape_unpack(&tape, &err), SM_ENOTSUP);
    assert_non_null(strstr(err.message, "gzip"));
}

static void test_no_tar_is_said(void **state)
{
    struct sm_error err;

    (void)state;
    put_raw("hello", 5);
    assert_int_equal(tape_unpack(&tape, &err), SM_EINVAL);
}

/* An extra header with (text), made by hand, before a file. */
static void add_extra_bytes(const char *text, size_t count)
{
    struct pax_entry entry = entry_of(PAX_FILE, "x", NULL);

    entry.type = (enum pax_type)'x';
    tape_add(&tape, &entry, NULL);
    /* Its size, and with it the sum. */
    struct pax_header *header =
        (void *)(tape.bytes.data + tape.bytes.size - PAX_RECORD);
    char octal[16];

    snprintf(octal, sizeof octal, "%011o", (unsigned)count);
    memcpy(header->size, octal, 12);
    snprintf(octal, sizeof octal, "%06o", pax_checksum(header));
    memcpy(header->checksum, octal, 7);
    put_raw(text, count);
    add(PAX_FILE, "file", NULL);
}

static void add_extra(const char *text)
{
    add_extra_bytes(text, strlen(text));
}

static void test_malformed_records_are_refused(void **state)
{
    static const char *const records[] = {
        "9 path=a",
        "99 path=a\n",
        "1 path=a\n",
        "x path=a\n",
        "9 path:aa\n",
        "6 path\n",
        "8 path=\n",
        "13 size=-123\n",
        "16 size=99999999999999999999\n",
        "20 uid=99999999999\n",
        "15 mtime=1.2.3\n",
        "14 mtime=abc1\n",
        "9 mtime=\n",
        "20 GNU.sparse.map=1\n",
        "22 GNU.sparse.major=1\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        struct sm_error err;

        buf_clear(&tape.bytes);
        tape.at = 0;
        add_extra(records[i]);
        tape_add(&tape, NULL, NULL);
        if (tape_unpack(&tape, &err) == 0)
            fail_msg("taken: %s", records[i]);
        shell("test ! -e out/file");
    }
}

static void test_nul_in_a_name_is_refused(void **state)
{
    static const struct {
        const char *record;
        size_t count;
    } rows[] = {
        {"14 path=file\0\n", 14},
        {"15 path=file\0x\n", 15},
        {"16 linkpath=a\0b\n", 16},
        {"22 GNU.sparse.name=a\0\n", 22},
        {"27 SCHILY.xattr.user.a\0b=c\n", 27},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sm_error err;

        buf_clear(&tape.bytes);
        tape.at = 0;
        add_extra_bytes(rows[i].record, rows[i].count);
        tape_add(&tape, NULL, NULL);
        assert_int_equal(tape_unpack(&tape, &err), SM_EINVAL);
        assert_non_null(strstr(err.message, "malformed extra header"));
        shell("test ! -e out/file");
    }
}

static void test_hostile_maps_of_holes_are_refused(void **state)
{
    static const char *const maps[] = {
        "1\n0\n99999\n", "2\n5\n1\n0\n1\n",
        "99999999999\n", "1\n9223372036854775807\n9223372036854775807\n",
        "x\n",           "-1\n",
        "1\n0\n",        "",
        "1\n\n5\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        struct pax_entry entry = entry_of(PAX_FILE, "holes", NULL);
        uint8_t *content;
        struct sm_error err;
        char text[PAX_RECORD + 6];

        memset(text, 'e', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        buf_clear(&tape.bytes);
        tape.at = 0;
        add_extra("22 GNU.sparse.major=1\n"
                  "27 GNU.sparse.realsize=100\n");
        tape.bytes.size -= 2 * PAX_RECORD; /* the file that it adds */
        tape_add(&tape, &entry, text);
        content = tape.bytes.data + tape.bytes.size - 2 * PAX_RECORD;
        memset(content, 0, PAX_RECORD);
        memcpy(content, maps[i], strlen(maps[i]));
        tape_add(&tape, NULL, NULL);
        if (tape_unpack(&tape, &err) == 0)
            fail_msg("taken: %s", maps[i]);
        shell("test ! -e out/holes");
    }
}

static void test_endless_end_is_not_followed(void **state)
{
    struct sm_error err;

    (void)state;
    tape_add(&tape, NULL, NULL);
    for (int i = 0; i < 3000; i++)
        put_raw("", 0);
    assert_int_equal(tape_unpack(&tape, &err), SM_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        ROW(test_name_with_dots_does_not_lead_out),
        ROW(test_dots_further_in_do_not_lead_out),
        ROW(test_dots_that_stay_inside_are_fine),
        ROW(test_absolute_name_begins_at_the_target),
        ROW(test_file_through_a_link_that_was_there),
        ROW(test_file_through_a_link_of_its_own),
        ROW(test_file_through_an_absolute_link),
        ROW(test_link_that_stays_inside),
        ROW(test_file_replaces_a_link_and_does_not_follow_it),
        ROW(test_folder_is_not_put_over_a_link),
        ROW(test_folder_that_becomes_a_link_is_not_dressed),
        ROW(test_hard_link_does_not_lead_out),
        ROW(test_hard_link_through_a_link_does_not_lead_out),
        ROW(test_hard_link_of_a_link_is_the_link),
        ROW(test_hard_link_to_nothing),
        ROW(test_device_is_not_made),
        ROW(test_rights_of_others_are_not_given),
        ROW(test_no_more_bytes_than_allowed),
        ROW(test_cut_short_is_said),
        ROW(test_name_beyond_all_paths),
        ROW(test_component_beyond_all_names),
        ROW(test_size_beyond_all_disks),
        ROW(test_compressed_is_said),
        ROW(test_compressed_and_shorter_than_a_header_is_said),
        ROW(test_no_tar_is_said),
        ROW(test_malformed_records_are_refused),
        ROW(test_nul_in_a_name_is_refused),
        ROW(test_hostile_maps_of_holes_are_refused),
        ROW(test_endless_end_is_not_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
