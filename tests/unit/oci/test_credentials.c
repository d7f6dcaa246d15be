/* test_credentials.c: what Docker's config.json knows of a registry, and the
 * programs that it leaves that to. */
#include "stand.h"

#include "oci/credentials.h"

#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder with a config.json, and programs on a PATH that is the folder. */
struct stand {
    char folder[STAND_PATH_MAX];
    char config[STAND_PATH_MAX];
    char path[STAND_PATH_MAX + 64];
    char *env[3];
};

static int set_up(void **state)
{
    struct stand *stand = calloc(1, sizeof *stand);

    stand_folder(stand->folder);
    stand_join(stand->config, stand->folder, "config.json");
    snprintf(stand->path, sizeof stand->path, "PATH=relative::%s:/usr/bin:/bin",
             stand->folder);
    stand->env[0] = strdup("MARK=seen");
    stand->env[1] = stand->path;
    *state = stand;
    return 0;
}

static int tear_down(void **state)
{
    struct stand *stand = *state;

    stand_remove(stand->folder);
    free(stand->env[0]);
    free(stand);
    return 0;
}

/* docker-credential-(name): a script; what it was called with and what it read
 * are in FOLDER/asked. */
static void put_helper(const struct stand *stand, const char *name,
                       const char *rest)
{
    char file[64];
    char path[STAND_PATH_MAX];

    snprintf(file, sizeof file, "docker-credential-%s", name);
    stand_print(stand->folder, file,
                "#!/bin/sh\necho \"$# $1 $(cat) $MARK\" >%s/asked\n%s\n",
                stand->folder, rest);
    stand_join(path, stand->folder, file);
    assert_int_equal(chmod(path, 0755), 0);
}

static void expect_asked(const struct stand *stand, const char *wanted)
{
    char path[STAND_PATH_MAX];
    char got[128] = "";
    FILE *file;

    stand_join(path, stand->folder, "asked");
    file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(got, sizeof got, file));
    fclose(file);
    got[strcspn(got, "\n")] = '\0';
    assert_string_equal(got, wanted);
    assert_int_equal(unlink(path), 0);
}

static void expect_not_asked(const struct stand *stand)
{
    char path[STAND_PATH_MAX];

    stand_join(path, stand->folder, "asked");
    assert_int_not_equal(access(path, F_OK), 0);
}

/* What is found for (registry); NULL: nothing of that kind. */
static void expect(const struct stand *stand, const char *registry,
                   const char *basic, const char *token)
{
    struct credentials got;
    struct sm_error err = {0};

    if (credentials_load(stand->config, stand->env, registry, &got, &err))
        print_error("%s: %s\n", registry, err.message);
    assert_int_equal(err.code, 0);
    if (basic)
        assert_string_equal(got.basic, basic);
    else
        assert_null(got.basic);
    if (token)
        assert_string_equal(got.refresh_token, token);
    else
        assert_null(got.refresh_token);
    credentials_done(&got);
}

/* The failure's message has (words). */
static void expect_failure(const struct stand *stand, const char *registry,
                           int code, const char *words)
{
    struct credentials got;
    struct sm_error err = {0};

    assert_int_equal(
        credentials_load(stand->config, stand->env, registry, &got, &err),
        code);
    if (!strstr(err.message, words))
        fail_msg("\"%s\" has no \"%s\"", err.message, words);
    assert_null(got.basic);
    assert_null(got.refresh_token);
}

static void test_credentials_are_found_as_docker_keeps_them(void **state)
{
    static const char config[] =
        "{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"ZG9jazpl\"},"
        "\"host:5000\":{\"username\":\"user\",\"password\":\"secret\"},"
        "\"evil\":{\"auth\":\"a\\r\\nX: y\"},"
        "\"given.io\":{\"auth\":\"MDA6\",\"registrytoken\":\"tok.en\"},"
        "\"cloud.io\":{\"auth\":\"MDA6\",\"identitytoken\":\"abc.def\"}}}";
    struct stand *stand = *state;
    struct credentials got;

    expect(stand, "host:5000", NULL, NULL); /* no file */
    stand_print(stand->folder, "config.json", "%s", config);
    expect(stand, "docker.io", "Basic ZG9jazpl", NULL);
    expect(stand, "host:5000", "Basic dXNlcjpzZWNyZXQ=", NULL);
    expect(stand, "host", NULL, NULL);
    expect(stand, "cloud.io", NULL, "abc.def");
    assert_int_equal(
        credentials_load(stand->config, NULL, "given.io", &got, NULL), 0);
    assert_string_equal(got.bearer, "Bearer tok.en");
    assert_null(got.basic);
    credentials_done(&got);
    expect_failure(stand, "evil", SM_EINVAL, "odd characters");
    stand_print(stand->folder, "config.json", "{");
    expect_failure(stand, "x", SM_EINVAL, "config.json");
}

static void test_credentials_of_a_helper_are_asked_for(void **state)
{
    struct stand *stand = *state;

    put_helper(stand, "own",
               "echo '{\"ServerURL\":\"x\",\"Username\":\"user\","
               "\"Secret\":\"secret\"}'");
    put_helper(stand, "all",
               "echo '{\"Username\":\"<token>\",\"Secret\":\"abc.def\"}'");
    stand_print(stand->folder, "config.json",
                "{\"auths\":{\"own.io\":{\"auth\":\"ZG9jazpl\"},"
                "\"file.io\":{\"auth\":\"ZG9jazpl\"}},"
                "\"credHelpers\":{\"own.io\":\"own\"},\"credsStore\":\"all\"}");
    expect(stand, "own.io", "Basic dXNlcjpzZWNyZXQ=", NULL);
    expect_asked(stand, "1 get own.io seen");
    expect(stand, "other.io", NULL, "abc.def");
    expect_asked(stand, "1 get other.io seen");
    expect(stand, "docker.io", NULL, "abc.def");
    expect_asked(stand, "1 get https://index.docker.io/v1/ seen");
    expect(stand, "file.io", "Basic ZG9jazpl", NULL);
    expect_not_asked(stand);
}

static void test_credentials_that_a_helper_lacks_are_none(void **state)
{
    struct stand *stand = *state;

    put_helper(stand, "all",
               "echo 'credentials not found in native keychain'; exit 1");
    stand_print(stand->folder, "config.json", "{\"credsStore\":\"all\"}");
    expect(stand, "x.io", NULL, NULL);
    expect_asked(stand, "1 get x.io seen");
}

static void test_credentials_need_the_helper_that_was_used(void **state)
{
    struct stand *stand = *state;

    stand_print(stand->folder, "config.json",
                "{\"auths\":{\"used.io\":{}},\"credsStore\":\"gone\","
                "\"credHelpers\":{\"own.io\":\"../own\"}}");
    expect(stand, "never.io", NULL, NULL);
    expect_failure(stand, "used.io", SM_EACCES,
                   "docker-credential-gone, which is not in PATH");
    expect_failure(stand, "own.io", SM_EINVAL, "is no name of a program");
}

static void test_credentials_of_a_helper_that_fails_are_an_error(void **state)
{
    static const struct {
        const char *rest;
        int code;
        const char *words;
    } table[] = {
        {"echo; echo ' the keyring is locked '; echo more; exit 1", SM_EACCES,
         "docker-credential-own: the keyring is locked"},
        {"exit 3", SM_EACCES, "docker-credential-own: no"},
        {"kill -9 $$", SM_EACCES, "docker-credential-own: no"},
        {"echo hello", SM_EPROTO, "docker-credential-own: invalid JSON"},
        {"echo '{\"Username\":\"user\"}'", SM_EPROTO, "\"Secret\" is missing"},
        {"echo '{\"Username\":1,\"Secret\":\"x\"}'", SM_EPROTO, "a string"},
        {"exec cat /dev/zero", SM_ELIMIT, "more than 65536 bytes"},
    };
    struct stand *stand = *state;

    stand_print(stand->folder, "config.json",
                "{\"credHelpers\":{\"own.io\":\"own\"}}");
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        put_helper(stand, "own", table[i].rest);
        expect_failure(stand, "own.io", table[i].code, table[i].words);
    }
}

static void test_credentials_without_environment_start_nothing(void **state)
{
    struct stand *stand = *state;
    struct credentials got;

    put_helper(stand, "all", "");
    stand_print(stand->folder, "config.json", "{\"credsStore\":\"all\"}");
    assert_int_equal(credentials_load(stand->config, NULL, "x.io", &got, NULL),
                     0);
    assert_null(got.basic);
    expect_not_asked(stand);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_credentials_are_found_as_docker_keeps_them),
        TEST(test_credentials_of_a_helper_are_asked_for),
        TEST(test_credentials_that_a_helper_lacks_are_none),
        TEST(test_credentials_need_the_helper_that_was_used),
        TEST(test_credentials_of_a_helper_that_fails_are_an_error),
        TEST(test_credentials_without_environment_start_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
