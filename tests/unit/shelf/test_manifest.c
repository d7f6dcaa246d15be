/* test_manifest.c: manifests of snapshots: what is written is read, and every
 * field that is wrong is refused. */
#include "base/bytes.h"
#include "failing_alloc.h"
#include "stand.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text of a manifest with something in every field; for free(). */
static char *make_text(void)
{
    struct snapshot_manifest manifest;
    struct buf text;

    assert_true(stand_manifest(&manifest));
    buf_init(&text, SNAPSHOT_MANIFEST_MAX);
    snapshot_manifest_write(&text, &manifest);
    snapshot_manifest_done(&manifest);
    return buf_take_string(&text);
}

static int read_text(const char *text, struct sm_error *err)
{
    struct snapshot_manifest manifest;
    int rc = snapshot_manifest_read(text, strlen(text), &manifest, err);

    if (!rc)
        snapshot_manifest_done(&manifest);
    return rc;
}

static void test_manifest_is_read_as_it_was_written(void **state)
{
    struct snapshot_manifest manifest;
    struct sm_error err;
    char *text = make_text();
    char *again;
    struct buf copy;

    (void)state;
    assert_int_equal(
        snapshot_manifest_read(text, strlen(text), &manifest, &err), 0);
    assert_string_equal(manifest.defaults.cmd.items[1],
                        "-g\tdaemon \"off\";\\\n");
    assert_string_equal(manifest.program.argv.items[1], "");
    assert_int_equal(manifest.limits[1].hard, UINT64_MAX);
    assert_int_equal(manifest.layer_count, 2);
    assert_true(manifest.differential && manifest.program.tty);
    buf_init(&copy, SNAPSHOT_MANIFEST_MAX);
    snapshot_manifest_write(&copy, &manifest);
    again = buf_take_string(&copy);
    assert_string_equal(again, text);
    snapshot_manifest_done(&manifest);
    free(again);
    free(text);
}

static void test_manifest_is_copied_whole(void **state)
{
    struct snapshot_manifest manifest;
    struct snapshot_manifest copy;
    char *text = make_text();
    char *again;
    struct buf out;

    (void)state;
    assert_true(stand_manifest(&manifest));
    assert_int_equal(snapshot_manifest_copy(&copy, &manifest, NULL), 0);
    snapshot_manifest_done(&manifest);
    buf_init(&out, SNAPSHOT_MANIFEST_MAX);
    snapshot_manifest_write(&out, &copy);
    again = buf_take_string(&out);
    assert_string_equal(again, text);
    snapshot_manifest_done(&copy);
    free(again);
    free(text);
}

/* (text) with the first (from) replaced by (to). */
static char *with(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    char *changed;

    if (!at)
        print_error("not in the manifest: %s\n", from);
    assert_non_null(at);
    assert_true(asprintf(&changed, "%.*s%s%s", (int)(at - text), text, to,
                         at + strlen(from)) > 0);
    return changed;
}

/* A change, what it is refused with, and a word of why. */
struct wrong {
    const char *from;
    const char *to;
    int code;
    const char *why;
};

static const struct wrong wrongs[] = {
    {"\"version\": 1", "\"version\": 2", SM_ENOTSUP, "version 2"},
    {"\"version\": 1", "\"version\": -1", SM_EIMAGE, "version"},
    {"\"version\": 1", "\"version\": 1.0", SM_EIMAGE, "version"},
    {"\"version\": 1", "\"version\": \"1\"", SM_EIMAGE, "version"},
    {"\"version\": 1,", "", SM_EIMAGE, "version"},
    {"\"version\": 1", "\"version\": 1, \"more\": 1", SM_EIMAGE, "unknown"},
    {"\"version\": 1", "\"version\": 1, \"version\": 1", SM_EIMAGE, "JSON"},
    {"\"snapshot\": {", "\"snapshot\": [{}], \"x\": {", SM_EIMAGE, "snapshot"},
    {"1764000000", "18446744073709551616", SM_EIMAGE, "created_s"},
    {"1764000000", "null", SM_EIMAGE, "created_s"},
    {"\"supermachine 0.1.0\"", "7", SM_EIMAGE, "writer"},
    {"\"supermachine 0.1.0\"", "\"a\\u0000b\"", SM_EIMAGE, "JSON"},
    {"\"supermachine 0.1.0\"", "\"a\xff\"", SM_EIMAGE, "JSON"},
    {"\"supermachine 0.1.0\"", "\"\\ud800\"", SM_EIMAGE, "JSON"},
    {"\"sha256:aaaa", "\"sha256:aaaA", SM_EIMAGE, "digest"},
    {"\"sha256:aaaa", "\"sha256:aaa", SM_EIMAGE, "digest"},
    {"\"sha256:bbbb", "\"sha512:bbbb", SM_EIMAGE, "kernel"},
    {"\"sha256:cccc", "\"../../cccc", SM_EIMAGE, "agent"},
    {"\"memory_bytes\": 33554432", "\"memory_bytes\": 33554431", SM_EIMAGE,
     "memory_bytes"},
    {"\"memory_bytes\": 33554432", "\"memory_bytes\": 33554433", SM_EIMAGE,
     "2 MiB"},
    {"\"memory_bytes\": 33554432", "\"memory_bytes\": 1099511627777", SM_EIMAGE,
     "memory_bytes"},
    {"\"vcpus\": 2", "\"vcpus\": 0", SM_EIMAGE, "vcpus"},
    {"\"vcpus\": 2", "\"vcpus\": 65", SM_EIMAGE, "vcpus"},
    {"\"vcpus\": 2", "\"vcpus\": 4294967298", SM_EIMAGE, "vcpus"},
    {"\"vcpus\": 2", "\"vcpus\": 2e0", SM_EIMAGE, "vcpus"},
    {"\"disk_bytes\": 1048576", "\"disk_bytes\": 1048577", SM_EIMAGE, "rootfs"},
    {"\"tier=web\"", "\"=web\"", SM_EIMAGE, "label 0"},
    {"\"tier=web\"", "\"\"", SM_EIMAGE, "label 0"},
    {"\"tier=web\"", "5", SM_EIMAGE, "labels"},
    {"[\"tier=web\"]", "{}", SM_EIMAGE, "labels"},
    {"\"processes_max\": 100", "\"processes_max\": 4194305", SM_EIMAGE,
     "processes_max"},
    {"\"/srv\"", "\"srv\"", SM_EIMAGE, "workdir"},
    {"\"workdir\"", "\"werkdir\"", SM_EIMAGE, "workdir"},
    {"\"channel\": 3", "\"channel\": 2147483648", SM_EIMAGE, "channel"},
    {"\"tty\": true", "\"tty\": 1", SM_EIMAGE, "tty"},
    {"\"own_kernel\": true", "\"own_kernel\": \"yes\"", SM_EIMAGE,
     "own_kernel"},
    {"[7, 1024, 2048]", "[16, 1024, 2048]", SM_EIMAGE, "limits"},
    {"[7, 1024, 2048]", "[-1, 1024, 2048]", SM_EIMAGE, "limits"},
    {"[7, 1024, 2048]", "[7, 2049, 2048]", SM_EIMAGE, "limits"},
    {"[7, 1024, 2048]", "[7, 1024]", SM_EIMAGE, "limits"},
    {"[7, 1024, 2048]", "[7, 1024, 2048, 1]", SM_EIMAGE, "limits"},
    {"[7, 1024, 2048]", "{}", SM_EIMAGE, "limits"},
    {"\"state\": 100", "\"state\": 0", SM_EIMAGE, "state"},
    {"\"state\": 100", "\"state\": 268435457", SM_EIMAGE, "state"},
    {"\"memory\": 33554432", "\"memory\": 33554431", SM_EIMAGE, "memory"},
    {"\"memory\": 33554432", "\"memory\": 301989889", SM_EIMAGE, "memory"},
    {"\"memory\": 33554432, ", "", SM_EIMAGE, "memory"},
    {"\"differential\": 33554432", "\"differential\": 33554433", SM_EIMAGE,
     "differential"},
    {"\"rootfs\": 1048576", "\"rootfs\": 1048064", SM_EIMAGE, "rootfs"},
    {"\"disk.0\": 4096", "\"disk.0\": 0", SM_EIMAGE, "disk.0"},
    {"\"disk.1\": 4096", "\"disk.1\": 70368744177665", SM_EIMAGE, "disk.1"},
    {"\"disk.1\"", "\"disk.2\"", SM_EIMAGE, "files"},
    {"\"disk.1\"", "\"../disk\"", SM_EIMAGE, "files"},
    {"\"disk.0\": 4096, ", "", SM_EIMAGE, "files"},
};

static void test_manifest_every_wrong_field_is_refused(void **state)
{
    char *text = make_text();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
        const struct wrong *wrong = &wrongs[i];
        char *changed = with(text, wrong->from, wrong->to);
        struct sm_error err = {0};
        int rc = read_text(changed, &err);

        if (rc != wrong->code || !strstr(err.message, wrong->why))
            print_error("%s -> %s: %d %s\n", wrong->from, wrong->to, rc,
                        err.message);
        assert_int_equal(rc, wrong->code);
        assert_non_null(strstr(err.message, wrong->why));
        free(changed);
    }
    free(text);
}

/* Cut off anywhere, or with any byte lost, it is no JSON or lacks something. */
static void test_manifest_every_piece_is_needed(void **state)
{
    char *text = make_text();
    size_t count = strlen(text);
    struct snapshot_manifest manifest;

    (void)state;
    for (size_t i = 0; i < count - 1; i++)
        assert_int_not_equal(snapshot_manifest_read(text, i, &manifest, NULL),
                             0);
    for (const char *at = text; (at = strchr(at, '"')); at++) {
        char *changed = strdup(text);

        changed[at - text] = ' ';
        assert_int_not_equal(read_text(changed, NULL), 0);
        free(changed);
    }
    free(text);
}

static void test_manifest_has_bounds(void **state)
{
    enum { MANY = SNAPSHOT_STRINGS_MAX + 1 };
    char *text = make_text();
    char *list = malloc(4 * MANY + 16);
    char *deep = malloc(4096);
    char *changed;
    char *at = list;
    struct sm_error err;

    (void)state;
    *at++ = '[';
    for (int i = 0; i < MANY; i++)
        at += snprintf(at, 8, "%s\"\"", i ? "," : "");
    memcpy(at, "]", 2);
    changed = with(text, "[\"/start\"]", list);
    assert_int_equal(read_text(changed, &err), SM_ELIMIT);
    free(changed);

    /* No depth of a text is a depth of our stack. */
    memset(deep, '[', 4094);
    deep[4094] = '\0';
    assert_int_equal(read_text(deep, &err), SM_EIMAGE);
    free(deep);

    changed = malloc(SNAPSHOT_MANIFEST_MAX + 2);
    memset(changed, ' ', SNAPSHOT_MANIFEST_MAX + 1);
    changed[SNAPSHOT_MANIFEST_MAX + 1] = '\0';
    assert_int_equal(read_text(changed, &err), SM_ELIMIT);
    free(changed);
    free(list);
    free(text);
}

static int try_read(void *context, struct sm_error *err)
{
    return read_text(context, err);
}

static int try_copy(void *context, struct sm_error *err)
{
    struct snapshot_manifest copy;
    int rc = snapshot_manifest_copy(&copy, context, err);

    if (!rc)
        snapshot_manifest_done(&copy);
    return rc;
}

static void test_manifest_without_memory_is_an_error(void **state)
{
    struct snapshot_manifest manifest;
    char *text = make_text();

    (void)state;
    assert_true(stand_manifest(&manifest));
    assert_true(alloc_each_fails(try_read, text, 40));
    assert_true(alloc_each_fails(try_copy, &manifest, 20));
    snapshot_manifest_done(&manifest);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifest_is_read_as_it_was_written),
        cmocka_unit_test(test_manifest_is_copied_whole),
        cmocka_unit_test(test_manifest_every_wrong_field_is_refused),
        cmocka_unit_test(test_manifest_every_piece_is_needed),
        cmocka_unit_test(test_manifest_has_bounds),
        cmocka_unit_test(test_manifest_without_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
