/* test_pull.c: names of images in registries, what registries want, and the
 * store that keeps what was pulled. */
#include "stand.h"

#include "base/near.h"
#include "oci/auth.h"
#include "oci/reference.h"
#include "oci/store.h"

#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* ---- names ---- */

static void test_reference_fills_in_what_docker_would(void **state)
{
    static const struct {
        const char *text;
        const char *whole;
    } names[] = {
        {"nginx", "docker.io/library/nginx:latest"},
        {"nginx:1.25", "docker.io/library/nginx:1.25"},
        {"user/app", "docker.io/user/app:latest"},
        {"docker.io/nginx", "docker.io/library/nginx:latest"},
        {"index.docker.io/a/b:c", "docker.io/a/b:c"},
        {"localhost/x", "localhost/x:latest"},
        {"host:5000/a/b@sha256:" HEX64, "host:5000/a/b@sha256:" HEX64},
        {"quay.io/a/b:t@sha256:" HEX64, "quay.io/a/b:t@sha256:" HEX64},
        {"[::1]:5000/a", "[::1]:5000/a:latest"},
        {"HOST/a", "HOST/a:latest"},
        {"a/b/c_d/e-f/g__h/i.j", "docker.io/a/b/c_d/e-f/g__h/i.j:latest"},
        {"a--b:V1.2_x-y", "docker.io/library/a--b:V1.2_x-y"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct reference reference;
        struct sm_error err = {0};
        char *whole;

        if (reference_parse(names[i].text, &reference, &err))
            print_error("%s\n", err.message);
        assert_int_equal(reference.kind, REFERENCE_REGISTRY);
        whole = reference_canonical(&reference);
        assert_string_equal(whole, names[i].whole);
        free(whole);
        reference_done(&reference);
    }
}

static void test_reference_refuses_names_that_docker_would(void **state)
{
    static const char *const bad[] = {
        "Nginx",
        "a/B",
        "nginx:",
        "nginx:-x",
        "nginx:a b",
        "a//b",
        "/a",
        "a/",
        "-a",
        "a-",
        "a..b",
        "a___b",
        "a_.b",
        "a@",
        "a@sha256:12",
        "a@md5:12",
        "host:x/a",
        "host:123456/a",
        "[::g]/a",
        "http://host/a",
        "a b",
        ":",
        ("@sha256:" HEX64),
        "a.b/c?d",
    };
    char longest[300];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct reference reference;
        int rc = reference_parse(bad[i], &reference, NULL);

        if (rc == 0)
            print_error("%s is taken\n", bad[i]);
        assert_true(rc == SM_EINVAL || rc == SM_ENOTSUP);
        assert_null(reference.repository);
    }
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(reference_parse(longest, &(struct reference){0}, NULL),
                     SM_EINVAL);
}

/* ---- authorization ---- */

static void test_auth_takes_challenges_apart(void **state)
{
    struct auth_challenge got;

    (void)state;
    assert_true(auth_parse_challenge(
        "Bearer realm=\"https://a/t\",service=\"s, t\",scope=\"r:x:pull\"",
        &got));
    assert_int_equal(got.scheme, AUTH_BEARER);
    assert_string_equal(got.realm, "https://a/t");
    assert_string_equal(got.service, "s, t");
    assert_string_equal(got.scope, "r:x:pull");
    assert_true(auth_parse_challenge("bearer  REALM=x , other=\"\\\"\"", &got));
    assert_string_equal(got.realm, "x");
    assert_true(auth_parse_challenge("Basic realm=\"x\"", &got));
    assert_int_equal(got.scheme, AUTH_BASIC);
    assert_false(auth_parse_challenge("Bearer service=\"x\"", &got));
    assert_false(auth_parse_challenge("Bearer realm=\"x", &got));
    assert_false(auth_parse_challenge("Negotiate", &got));
    assert_false(auth_parse_challenge("", &got));
}

static void expect_token(const char *answer, const char *header)
{
    char *got = NULL;
    int rc = auth_parse_token(answer, strlen(answer), &got, NULL);

    if (header)
        assert_string_equal(got, header);
    else
        assert_int_equal(rc, SM_EPROTO);
    free(got);
}

static void test_auth_takes_tokens_of_either_name(void **state)
{
    (void)state;
    expect_token("{\"token\":\"abc\"}", "Bearer abc");
    expect_token("{\"access_token\":\"abc\"}", "Bearer abc");
    expect_token("{\"token\":\"a\\nb\"}", NULL);
    expect_token("{}", NULL);
    expect_token("no", NULL);
}

/* ---- near names ---- */

static void expect_near(const char *wanted, const char *const names[],
                        const char *nearest)
{
    char got[NEAR_TEXT_MAX];
    struct near near;

    near_init(&near, wanted);
    for (; *names; names++)
        near_add(&near, *names);
    near_text(&near, got);
    assert_string_equal(got, nearest);
}

static void test_near_names_come_in_order(void **state)
{
    static const char *const none[] = {NULL};
    static const char *const versions[] = {"latest", "2.0",  "1.26", "1.25.3",
                                           "1.24",   "1.25", "edge", "1.25",
                                           "1.2",    NULL};
    char longest[NEAR_NAME_MAX] = "";
    char longer[400] = "";
    const char *const extremes[] = {longer, NULL};

    (void)state;
    expect_near("x", none, "");
    expect_near("1.52", versions, "1.2, 1.26, 1.24, 1.25, 2.0");
    expect_near("lates", versions, "latest, 2.0, 1.26, 1.24, 1.25");
    memset(longest, 'a', sizeof longest - 1);
    memset(longer, 'a', sizeof longer - 1);
    expect_near("a", extremes, longest);
}

/* ---- the store ---- */

struct stand {
    char folder[STAND_PATH_MAX];
    struct store *store;
    struct oci_descriptor hello; /* "hello world" */
};

static const char text[] = "hello world";

enum { TEXT = sizeof text - 1 };

static int set_up(void **state)
{
    struct stand *stand = calloc(1, sizeof *stand);
    char digest[STAND_DIGEST_MAX];

    stand_folder(stand->folder);
    assert_int_equal(store_open(stand->folder, &stand->store, NULL), 0);
    stand_digest(text, TEXT, digest);
    assert_int_equal(digest_parse(digest, &stand->hello.digest, NULL), 0);
    stand->hello.bytes = TEXT;
    *state = stand;
    return 0;
}

static int tear_down(void **state)
{
    struct stand *stand = *state;

    store_close(stand->store);
    stand_remove(stand->folder);
    free(stand);
    return 0;
}

/* Take the lock; the part that is there has (there) bytes. */
static struct store_part *begin(struct stand *stand, uint64_t there)
{
    struct store_part *part = NULL;
    uint64_t done = 99;

    assert_int_equal(
        store_part_open(stand->store, &stand->hello, false, &part, &done, NULL),
        0);
    assert_int_equal(done, there);
    return part;
}

static void check_there(struct stand *stand)
{
    struct buf bytes;
    struct blob *blob;

    buf_init(&bytes, 100);
    assert_true(store_has(stand->store, &stand->hello));
    assert_int_equal(store_blob_open(stand->store, &stand->hello, &blob, NULL),
                     0);
    assert_int_equal(blob_read_all(blob, &bytes, NULL), 0);
    assert_int_equal(bytes.size, TEXT);
    blob_close(blob);
    buf_done(&bytes);
}

static void test_store_goes_on_where_a_part_ended(void **state)
{
    struct stand *stand = *state;
    struct store_part *part = begin(stand, 0);

    assert_int_equal(store_part_write(part, 0, text, 5, NULL), 0);
    store_part_close(part);
    assert_false(store_has(stand->store, &stand->hello));
    part = begin(stand, 5);
    assert_int_equal(store_part_finish(part, NULL), SM_EIMAGE);
    assert_int_equal(store_part_write(part, 5, text + 5, TEXT - 5, NULL), 0);
    assert_int_equal(store_part_finish(part, NULL), 0);
    store_part_close(part);
    check_there(stand);
}

static void test_store_finishes_what_died_before_its_name(void **state)
{
    struct stand *stand = *state;
    struct store_part *part = begin(stand, 0);
    uint64_t done;

    assert_int_equal(store_part_write(part, 0, text, TEXT, NULL), 0);
    store_part_close(part);
    assert_int_equal(
        store_part_open(stand->store, &stand->hello, false, &part, &done, NULL),
        SM_EEXIST);
    check_there(stand);
}

static void test_store_begins_anew_when_the_other_end_does(void **state)
{
    struct stand *stand = *state;
    struct store_part *part = begin(stand, 0);

    assert_int_equal(store_part_write(part, 0, "hel", 3, NULL), 0);
    assert_int_equal(store_part_write(part, 0, text, TEXT, NULL), 0);
    assert_int_equal(store_part_finish(part, NULL), 0);
    store_part_close(part);
    check_there(stand);
}

static void test_store_keeps_nothing_that_is_wrong(void **state)
{
    struct stand *stand = *state;
    struct store_part *part = begin(stand, 0);

    assert_int_equal(store_part_write(part, 0, "HELLO WORLD", TEXT, NULL), 0);
    assert_int_equal(store_part_finish(part, NULL), SM_EDIGEST);
    store_part_close(part);
    assert_false(store_has(stand->store, &stand->hello));
    part = begin(stand, 0);
    assert_int_equal(store_part_write(part, 0, "hello world!", TEXT + 1, NULL),
                     SM_EDIGEST);
    store_part_close(part);
    part = begin(stand, 0);
    store_part_close(part);
}

static void test_store_lets_one_fetch_and_the_others_wait(void **state)
{
    struct stand *stand = *state;
    struct store_part *part = begin(stand, 0);
    struct store_part *other = NULL;
    uint64_t done;
    int status;
    pid_t pid;

    assert_int_equal(store_part_open(stand->store, &stand->hello, false, &other,
                                     &done, NULL),
                     SM_EBUSY);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        /* Its copy of our lock would be what it waits for. */
        store_part_close(part);
        _exit(store_part_open(stand->store, &stand->hello, true, &other, &done,
                              NULL) != SM_EEXIST);
    }
    assert_int_equal(store_part_write(part, 0, text, TEXT, NULL), 0);
    assert_int_equal(store_part_finish(part, NULL), 0);
    store_part_close(part);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    check_there(stand);
}

static void test_store_keeps_names(void **state)
{
    struct stand *stand = *state;
    struct image_witnesses witnesses = {0};
    struct oci_descriptor got;

    snprintf(stand->hello.media_type, sizeof stand->hello.media_type,
             "application/vnd.oci.image.index.v1+json");
    assert_int_equal(
        store_tag_load(stand->store, "a/b:c", &got, &witnesses, NULL),
        SM_ENOENT);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            store_tag_save(stand->store, "a/b:c", &stand->hello, NULL), 0);
    assert_int_equal(
        store_tag_load(stand->store, "a/b:c", &got, &witnesses, NULL), 0);
    assert_true(digest_equal(&got.digest, &stand->hello.digest));
    assert_int_equal(got.bytes, TEXT);
    assert_int_equal(got.media, MEDIA_INDEX);
    assert_int_equal(witnesses.count, 1);
    image_witnesses_done(&witnesses);
    assert_int_equal(
        store_tag_load(stand->store, "a/b:d", &got, &witnesses, NULL),
        SM_ENOENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_fills_in_what_docker_would),
        cmocka_unit_test(test_reference_refuses_names_that_docker_would),
        cmocka_unit_test(test_auth_takes_challenges_apart),
        cmocka_unit_test(test_auth_takes_tokens_of_either_name),
        cmocka_unit_test(test_near_names_come_in_order),
        TEST(test_store_goes_on_where_a_part_ended),
        TEST(test_store_finishes_what_died_before_its_name),
        TEST(test_store_begins_anew_when_the_other_end_does),
        TEST(test_store_keeps_nothing_that_is_wrong),
        TEST(test_store_lets_one_fetch_and_the_others_wait),
        TEST(test_store_keeps_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
