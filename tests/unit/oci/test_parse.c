/* test_parse.c: digests, references, platforms, and JSON of images. */
#include "stand.h"

#include "base/bytes.h"
#include "oci/config.h"
#include "oci/manifest.h"
#include "oci/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX64 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define D64   "sha256:" HEX64

/* ---- digests ---- */

static void test_digest_of_nothing_is_known(void **state)
{
    struct hasher hasher = {0};
    struct digest digest;
    struct digest parsed;
    char text[DIGEST_TEXT_MAX];

    (void)state;
    assert_int_equal(hasher_init(&hasher, DIGEST_SHA256, NULL), 0);
    hasher_end(&hasher, &digest);
    hasher_done(&hasher);
    digest_text(&digest, text);
    assert_string_equal(text, D64);
    assert_int_equal(digest_parse(D64, &parsed, NULL), 0);
    assert_true(digest_equal(&digest, &parsed));
}

static void test_digest_sha512_is_not_sha256(void **state)
{
    static const char *const text = "sha512:" HEX64 HEX64;
    struct digest wide;
    struct digest narrow;
    char again[DIGEST_TEXT_MAX];

    (void)state;
    assert_int_equal(digest_parse(text, &wide, NULL), 0);
    digest_text(&wide, again);
    assert_string_equal(again, text);
    assert_int_equal(digest_parse(D64, &narrow, NULL), 0);
    assert_false(digest_equal(&wide, &narrow));
}

static void test_digest_refuses_what_is_none(void **state)
{
    static const struct {
        const char *text;
        int code;
    } bad[] = {
        {"", SM_EIMAGE},
        {HEX64, SM_EIMAGE},
        {"sha256:", SM_EIMAGE},
        {D64 "0", SM_EIMAGE},
        {"sha256:../../../../../../../../../../../../../../../../../../etc/pa",
         SM_EIMAGE},
        {"sha256:E3B0C44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b"
         "855",
         SM_EIMAGE},
        {"md5:d41d8cd98f00b204e9800998ecf8427e", SM_ENOTSUP},
        {"sha25:" HEX64, SM_ENOTSUP},
        {"sha512:" HEX64, SM_EIMAGE},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct digest digest;
        struct sm_error err = {0};

        assert_int_equal(digest_parse(bad[i].text, &digest, &err), bad[i].code);
        assert_true(strlen(err.message) > 10);
    }
}

/* ---- references ---- */

static void check_reference(const char *text, const char *path, const char *tag)
{
    struct reference reference;

    assert_int_equal(reference_parse(text, &reference, NULL), 0);
    assert_string_equal(reference.path, path);
    if (tag)
        assert_string_equal(reference.tag, tag);
    else
        assert_null(reference.tag);
    reference_done(&reference);
}

static void test_reference_splits_folder_and_tag(void **state)
{
    (void)state;
    check_reference("oci:dir", "dir", NULL);
    check_reference("oci:/a/b:latest", "/a/b", "latest");
    check_reference("oci:.:v1.2_x", ".", "v1.2_x");
    check_reference("oci:d:docker.io/library/x:1@2+3", "d",
                    "docker.io/library/x:1@2+3");
}

static void test_reference_refuses_nonsense(void **state)
{
    static const struct {
        const char *text;
        int code;
    } bad[] = {
        {"", SM_EINVAL},          {"oci:", SM_EINVAL},
        {"oci::tag", SM_EINVAL},  {"oci:dir:", SM_EINVAL},
        {"oci:d:a b", SM_EINVAL}, {"oci:d:a\n", SM_EINVAL},
        {"ALPINE", SM_EINVAL},    {"oci-archive:", SM_EINVAL},
        {"dir:", SM_EINVAL},      {"docker-archive::a", SM_EINVAL},
    };
    char *longest = calloc(1, 10000);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct reference reference;

        assert_int_equal(reference_parse(bad[i].text, &reference, NULL),
                         bad[i].code);
        assert_null(reference.path);
    }
    memset(longest, 'x', 9999);
    memcpy(longest, "oci:", 4);
    assert_int_equal(reference_parse(longest, &(struct reference){0}, NULL),
                     SM_EINVAL);
    free(longest);
}

/* ---- platforms ---- */

static void test_platform_prefers_the_exact_variant(void **state)
{
    struct oci_platform wish;
    struct oci_platform v8 = {"linux", "arm64", "v8"};
    struct oci_platform none = {"linux", "arm64", ""};
    struct oci_platform v9 = {"linux", "arm64", "v9"};
    struct oci_platform windows = {"windows", "arm64", ""};

    (void)state;
    assert_int_equal(platform_parse("linux/arm64", &wish, NULL), 0);
    assert_true(platform_fit(&wish, &none) > platform_fit(&wish, &v8));
    assert_true(platform_fit(&wish, &v8) > platform_fit(&wish, &v9));
    assert_true(platform_fit(&wish, &v9) > 0);
    assert_int_equal(platform_fit(&wish, &windows), 0);
    assert_int_equal(platform_parse("linux/arm64/v8", &wish, NULL), 0);
    assert_true(platform_fit(&wish, &v8) > platform_fit(&wish, &none));
    assert_true(platform_fit(&wish, &none) > 0);
    assert_int_equal(platform_fit(&wish, &v9), 0);
}

static void test_platform_refuses_nonsense(void **state)
{
    static const char *const bad[] = {
        "linux",
        "linux/",
        "/amd64",
        "linux/amd64/",
        "linux/amd64/v1/x",
        "linux/a123456789012345678901234567890123456789"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct oci_platform platform;

        assert_int_equal(platform_parse(bad[i], &platform, NULL), SM_EINVAL);
    }
}

/* ---- JSON ---- */

#define INDEX(entries) "{\"schemaVersion\":2,\"manifests\":[" entries "]}"
#define ENTRY(type, more)                                                      \
    "{\"mediaType\":\"" type "\",\"digest\":\"" D64 "\",\"size\":7" more "}"
#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define CONFIG_TYPE   "application/vnd.oci.image.config.v1+json"
#define LAYER_TYPE    "application/vnd.oci.image.layer.v1.tar+gzip"
#define MANIFEST(config, layers)                                               \
    "{\"schemaVersion\":2,\"config\":" config ",\"layers\":[" layers "]}"

static int parse_index(const char *text, struct sm_error *err)
{
    struct oci_index index;
    int rc = oci_index_parse(text, strlen(text), &index, err);

    oci_index_done(&index);
    return rc;
}

static int parse_manifest(const char *text, struct sm_error *err)
{
    struct oci_manifest manifest;
    int rc = oci_manifest_parse(text, strlen(text), &manifest, err);

    oci_manifest_done(&manifest);
    return rc;
}

static int parse_config(const char *text, struct sm_error *err)
{
    struct oci_config config;
    int rc = oci_config_parse(text, strlen(text), &config, err);

    oci_config_done(&config);
    return rc;
}

static void test_index_chooses_by_platform(void **state)
{
    static const char *const text = INDEX(ENTRY(
        MANIFEST_TYPE,
        ",\"platform\":{\"os\":\"unknown\","
        "\"architecture\":\"unknown\"}") "," ENTRY("application/x-else",
                                                   "") "," ENTRY(MANIFEST_TYPE,
                                                                 ",\"platform\""
                                                                 ":{\"os\":"
                                                                 "\"linux\","
                                                                 "\"architectur"
                                                                 "e\":"
                                                                 "\"arm64\"}"));
    struct oci_platform arm = {"linux", "arm64", ""};
    struct oci_platform riscv = {"linux", "riscv64", ""};
    struct oci_index index;

    (void)state;
    assert_int_equal(oci_index_parse(text, strlen(text), &index, NULL), 0);
    assert_int_equal(index.count, 3);
    assert_ptr_equal(oci_index_choose(&index, &arm), &index.items[2]);
    assert_null(oci_index_choose(&index, &riscv));
    oci_index_done(&index);
}

static void test_index_refuses_what_is_none(void **state)
{
    static const struct {
        const char *text;
        int code;
    } bad[] = {
        {"", SM_EIMAGE},
        {"[]", SM_EIMAGE},
        {"{}", SM_ENOTSUP},
        {"{\"schemaVersion\":1,\"manifests\":[]}", SM_ENOTSUP},
        {"{\"schemaVersion\":2}", SM_EIMAGE},
        {"{\"schemaVersion\":2,\"manifests\":{}}", SM_EIMAGE},
        {INDEX("7"), SM_EIMAGE},
        {INDEX("{\"mediaType\":\"x\",\"size\":1}"), SM_EIMAGE},
        {INDEX("{\"mediaType\":\"x\",\"digest\":\"" D64 "\",\"size\":-1}"),
         SM_EIMAGE},
        {INDEX("{\"mediaType\":\"x\",\"digest\":\"" D64 "\",\"size\":1e99}"),
         SM_EIMAGE},
        {INDEX("{\"mediaType\":\"x\",\"mediaType\":\"y\"}"), SM_EIMAGE},
        {INDEX(ENTRY("x", ",\"platform\":7")), SM_EIMAGE},
        {"{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE
         "\",\"manifests\":[]}",
         SM_ENOTSUP},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct sm_error err = {0};

        if (parse_index(bad[i].text, &err) != bad[i].code)
            fail_msg("%s: %d %s", bad[i].text, err.code, err.message);
    }
}

static void test_json_of_10000_levels_is_an_error(void **state)
{
    enum { LEVELS = 10000 };
    struct sm_error err = {0};
    struct buf text;

    (void)state;
    buf_init(&text, MIB);
    buf_print(&text, "{\"manifests\":");
    for (int i = 0; i < LEVELS; i++)
        buf_append(&text, "[", 1);
    for (int i = 0; i < LEVELS; i++)
        buf_append(&text, "]", 1);
    buf_print(&text, "}");
    assert_int_equal(
        oci_index_parse(text.data, text.size, &(struct oci_index){0}, &err),
        SM_EIMAGE);
    assert_non_null(strstr(err.message, "maximum parsing depth"));
    buf_done(&text);
}

static void test_index_of_too_many_manifests_is_refused(void **state)
{
    struct buf text;
    struct sm_error err = {0};

    (void)state;
    buf_init(&text, 8 * MIB);
    buf_print(&text, "{\"schemaVersion\":2,\"manifests\":[0");
    for (int i = 0; i < OCI_MANIFESTS_MAX; i++)
        buf_print(&text, ",0");
    buf_print(&text, "]}");
    assert_int_equal(
        oci_index_parse(text.data, text.size, &(struct oci_index){0}, &err),
        SM_ELIMIT);
    buf_done(&text);
}

static void test_manifest_keeps_the_order_of_layers(void **state)
{
    static const char *const text =
        MANIFEST(ENTRY(CONFIG_TYPE, ""),
                 ENTRY(LAYER_TYPE, "") "," ENTRY(
                     "application/vnd.docker.image.rootfs.diff.tar.gzip",
                     ",\"annotations\":{\"x\":\"y\"}"));
    struct oci_manifest manifest;

    (void)state;
    assert_int_equal(oci_manifest_parse(text, strlen(text), &manifest, NULL),
                     0);
    assert_int_equal(manifest.layer_count, 2);
    assert_string_equal(manifest.layers[0].media_type, LAYER_TYPE);
    assert_int_equal(manifest.layers[1].media, MEDIA_LAYER);
    oci_manifest_done(&manifest);
}

static void test_manifest_refuses_artifacts_by_name(void **state)
{
    struct sm_error err = {0};

    (void)state;
    assert_int_equal(
        parse_manifest(
            MANIFEST(ENTRY("application/vnd.cncf.helm.config.v1+json", ""), ""),
            &err),
        SM_ENOTSUP);
    assert_non_null(strstr(err.message, "artifact of type \"application/"
                                        "vnd.cncf.helm.config.v1+json\""));
    assert_int_equal(
        parse_manifest(
            MANIFEST(ENTRY(CONFIG_TYPE, ""), ENTRY("text/plain", "")), &err),
        SM_ENOTSUP);
    assert_non_null(strstr(err.message, "text/plain"));
}

static void test_manifest_of_100000_layers_is_refused(void **state)
{
    struct buf text;
    struct sm_error err = {0};

    (void)state;
    buf_init(&text, 64 * MIB);
    buf_print(&text, "{\"schemaVersion\":2,\"config\":%s,\"layers\":[0",
              ENTRY(CONFIG_TYPE, ""));
    for (int i = 0; i < 100000; i++)
        buf_print(&text, ",0");
    buf_print(&text, "]}");
    assert_int_equal(oci_manifest_parse(text.data, text.size,
                                        &(struct oci_manifest){0}, &err),
                     SM_ELIMIT);
    assert_non_null(strstr(err.message, "100001 layers"));
    buf_done(&text);
}

#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D64 "\"]}"

static void test_config_keeps_what_the_author_wants(void **state)
{
    static const char *const text =
        "{\"os\":\"linux\",\"architecture\":\"amd64\"," ROOTFS ",\"config\":{"
        "\"Entrypoint\":[\"/e\"],\"Cmd\":[\"a\",\"\"],\"Env\":[\"A=b=c\"],"
        "\"WorkingDir\":\"/w\",\"User\":\"u:g\",\"StopSignal\":\"SIGQUIT\","
        "\"Volumes\":{\"/v\":{}},\"ExposedPorts\":{\"80/tcp\":{}},"
        "\"Labels\":{\"k\":\"v\"},\"Healthcheck\":{\"Test\":[\"NONE\"]},"
        "\"Unknown\":[1,{}]}}";
    struct oci_config config;

    (void)state;
    assert_int_equal(oci_config_parse(text, strlen(text), &config, NULL), 0);
    assert_string_equal(config.image.entrypoint.items[0], "/e");
    assert_int_equal(config.image.cmd.count, 2);
    assert_null(config.image.cmd.items[2]);
    assert_string_equal(config.image.env.items[0], "A=b=c");
    assert_string_equal(config.image.workdir, "/w");
    assert_string_equal(config.image.user, "u:g");
    assert_string_equal(config.image.stop_signal, "SIGQUIT");
    assert_string_equal(config.image.volumes.items[0], "/v");
    assert_string_equal(config.image.ports.items[0], "80/tcp");
    assert_string_equal(config.image.labels.items[0], "k=v");
    assert_string_equal(config.image.healthcheck, "{\"Test\":[\"NONE\"]}");
    assert_int_equal(config.diff_id_count, 1);
    oci_config_done(&config);
}

static void test_config_may_leave_everything_out(void **state)
{
    static const char *const text = "{" ROOTFS ",\"config\":null}";
    struct oci_config config;

    (void)state;
    assert_int_equal(oci_config_parse(text, strlen(text), &config, NULL), 0);
    assert_int_equal(config.image.cmd.count, 0);
    assert_string_equal(config.image.workdir, "");
    assert_string_equal(config.image.healthcheck, "");
    oci_config_done(&config);
}

static void test_config_refuses_what_is_none(void **state)
{
    static const struct {
        const char *text;
        int code;
    } bad[] = {
        {"{}", SM_EIMAGE},
        {"{\"rootfs\":{\"type\":\"other\",\"diff_ids\":[]}}", SM_ENOTSUP},
        {"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[7]}}", SM_EIMAGE},
        {"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"x\"]}}", SM_EIMAGE},
        {"{" ROOTFS ",\"config\":7}", SM_EIMAGE},
        {"{" ROOTFS ",\"config\":{\"Cmd\":\"sh\"}}", SM_EIMAGE},
        {"{" ROOTFS ",\"config\":{\"Cmd\":[\"a\",7]}}", SM_EIMAGE},
        {"{" ROOTFS ",\"config\":{\"Env\":[\"NOVALUE\"]}}", SM_EIMAGE},
        {"{" ROOTFS ",\"config\":{\"Env\":[\"=x\"]}}", SM_EIMAGE},
        {"{" ROOTFS ",\"config\":{\"User\":{}}}", SM_EIMAGE},
        {"{" ROOTFS ",\"config\":{\"Labels\":{\"a\":1}}}", SM_EIMAGE},
        {"{" ROOTFS ",\"config\":{\"User\":\"a\\u0000b\"}}", SM_EIMAGE},
        {"{" ROOTFS ",\"config\":{\"Cmd\":[\"a\\u0000b\"]}}", SM_EIMAGE},
        {"{" ROOTFS ",\"config\":{\"Env\":[\"A=a\\u0000b\"]}}", SM_EIMAGE},
        {"{" ROOTFS ",\"config\":{\"Labels\":{\"a\\u0000b\":\"\"}}}",
         SM_EIMAGE},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct sm_error err = {0};

        if (parse_config(bad[i].text, &err) != bad[i].code)
            fail_msg("%s: %d %s", bad[i].text, err.code, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest_of_nothing_is_known),
        cmocka_unit_test(test_digest_sha512_is_not_sha256),
        cmocka_unit_test(test_digest_refuses_what_is_none),
        cmocka_unit_test(test_reference_splits_folder_and_tag),
        cmocka_unit_test(test_reference_refuses_nonsense),
        cmocka_unit_test(test_platform_prefers_the_exact_variant),
        cmocka_unit_test(test_platform_refuses_nonsense),
        cmocka_unit_test(test_index_chooses_by_platform),
        cmocka_unit_test(test_index_refuses_what_is_none),
        cmocka_unit_test(test_json_of_10000_levels_is_an_error),
        cmocka_unit_test(test_index_of_too_many_manifests_is_refused),
        cmocka_unit_test(test_manifest_keeps_the_order_of_layers),
        cmocka_unit_test(test_manifest_refuses_artifacts_by_name),
        cmocka_unit_test(test_manifest_of_100000_layers_is_refused),
        cmocka_unit_test(test_config_keeps_what_the_author_wants),
        cmocka_unit_test(test_config_may_leave_everything_out),
        cmocka_unit_test(test_config_refuses_what_is_none),
    };

    return cmocka_run_group_tests_name("oci_parse", tests, NULL, NULL);
}
