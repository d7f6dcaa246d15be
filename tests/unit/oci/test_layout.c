/* test_layout.c: layouts as sources, and images out of them. */
#include "stand.h"

#include "base/bytes.h"
#include "oci/image.h"
#include "oci/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE    "application/vnd.oci.image.index.v1+json"

struct stand {
    char folder[STAND_PATH_MAX];
    struct stand_image image;
};

static int set_up(void **state)
{
    struct stand *stand = calloc(1, sizeof *stand);

    stand_folder(stand->folder);
    image_begin(&stand->image, stand->folder);
    *state = stand;
    return 0;
}

static int tear_down(void **state)
{
    struct stand *stand = *state;

    stand_remove(stand->folder);
    free(stand);
    return 0;
}

/* An image of one empty layer, tagged "latest". */
static void make_image(struct stand *stand)
{
    struct buf tar;

    buf_init(&tar, MIB);
    image_layer(&stand->image, &tar);
    image_end(&stand->image);
    buf_done(&tar);
}

static int load(const struct stand *stand, const char *tag,
                const char *platform, struct sm_error *err)
{
    struct oci_source *source;
    struct oci_platform wish;
    struct oci_image image = {0};
    int rc = layout_open(stand->folder, &source, err);

    if (rc)
        return rc;
    assert_int_equal(platform_parse(platform, &wish, NULL), 0);
    rc = oci_image_load(source, tag, &wish, &image, err);
    if (!rc)
        oci_image_done(&image);
    oci_source_close(source);
    return rc;
}

static void expect(const struct stand *stand, const char *tag, int code,
                   const char *text)
{
    struct sm_error err = {0};
    int rc = load(stand, tag, "linux/amd64", &err);

    if (rc != code || (text && !strstr(err.message, text)))
        fail_msg("wanted %d \"%s\", got %d \"%s\"", code, text ? text : "", rc,
                 err.message);
}

static void test_layout_finds_tagged_image(void **state)
{
    struct stand *stand = *state;

    make_image(stand);
    expect(stand, "latest", 0, NULL);
    expect(stand, NULL, 0, NULL);
}

static void test_layout_lists_tags_for_a_missing_one(void **state)
{
    make_image(*state);
    expect(*state, "v2", SM_ENOENT, "no tag \"v2\": there is latest");
}

static void retag(struct stand *stand, const char *const tags[]);

static void test_layout_names_near_tags_of_many(void **state)
{
    make_image(*state);
    retag(*state,
          (const char *const[]){"1.0", "1.1", "1.2", "1.3", "1.4", "2.0", "2.1",
                                "2.2", "edge", "latest", "v12.7", NULL});
    expect(*state, "v12.8", SM_ENOENT,
           "no tag \"v12.8\"; near it: v12.7, 1.0, 1.1, 1.2, 1.3");
}

/* Entries of index.json, all the same image; (tags) end with NULL. */
static void retag(struct stand *stand, const char *const tags[])
{
    char path[STAND_PATH_MAX];
    char entry[400] = "";
    struct buf text;
    FILE *file;

    stand_join(path, stand->folder, "index.json");
    file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(entry, 1, sizeof entry - 1, file) > 0);
    fclose(file);
    buf_init(&text, 64 * KIB);
    buf_print(&text, "{\"schemaVersion\": 2, \"manifests\": [");
    for (size_t i = 0; tags[i]; i++)
        buf_print(&text,
                  "%s{\"mediaType\": \"" MANIFEST_TYPE "\", \"digest\": "
                  "\"%.71s\", \"size\": %d, \"annotations\": "
                  "{\"org.opencontainers.image.ref.name\": \"%s\"}}",
                  i ? ", " : "", strstr(entry, "sha256:"),
                  atoi(strstr(entry, "\"size\": ") + 8), tags[i]);
    buf_print(&text, "]}");
    stand_write(stand->folder, "index.json", text.data, text.size);
    buf_done(&text);
}

static void test_layout_without_tag_takes_the_only_or_latest(void **state)
{
    make_image(*state);
    retag(*state, (const char *const[]){"only", NULL});
    expect(*state, NULL, 0, NULL);
    retag(*state, (const char *const[]){"a", "latest", "b", NULL});
    expect(*state, NULL, 0, NULL);
    retag(*state, (const char *const[]){"a", "b", NULL});
    expect(*state, NULL, SM_EINVAL, "It has the tags a, b");
    retag(*state, (const char *const[]){NULL});
    expect(*state, NULL, SM_ENOENT, "has no image");
}

static void test_layout_must_be_one(void **state)
{
    struct stand *stand = *state;
    char path[STAND_PATH_MAX];

    expect(stand, NULL, SM_EIMAGE, "is no OCI layout");
    make_image(stand);
    stand_print(stand->folder, "oci-layout",
                "{\"imageLayoutVersion\": \"2.0.0\"}");
    expect(stand, NULL, SM_ENOTSUP, "must be 1.x");
    stand_print(stand->folder, "oci-layout", "{");
    expect(stand, NULL, SM_EIMAGE, "oci-layout");
    stand_print(stand->folder, "oci-layout",
                "{\"imageLayoutVersion\": \"1.0.0\"}");
    stand_join(path, stand->folder, "index.json");
    unlink(path);
    expect(stand, NULL, SM_ENOENT, "index.json");
    assert_int_equal(mkfifo(path, 0600), 0);
    expect(stand, NULL, SM_EIMAGE, "no regular file");
    assert_int_equal(
        layout_open("/nonexistent", &(struct oci_source *){NULL}, NULL),
        SM_ENOENT);
    assert_int_equal(
        layout_open("/dev/null", &(struct oci_source *){NULL}, NULL),
        SM_EIMAGE);
}

/* The manifest's blob, by the digest in index.json. */
static void manifest_path(const struct stand *stand, char to[STAND_PATH_MAX])
{
    char path[STAND_PATH_MAX];
    char text[400] = "";
    FILE *file;

    stand_join(path, stand->folder, "index.json");
    file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    snprintf(path, sizeof path, "blobs/sha256/%.64s",
             strstr(text, "sha256:") + 7);
    stand_join(to, stand->folder, path);
}

static void test_image_refuses_a_changed_blob(void **state)
{
    struct stand *stand = *state;
    char path[STAND_PATH_MAX];
    FILE *file;

    make_image(stand);
    manifest_path(stand, path);
    file = fopen(path, "r+");
    assert_non_null(file);
    fputs("{\"schemaVersion\": 3", file);
    fclose(file);
    expect(stand, NULL, SM_EDIGEST, "digest mismatch: expected sha256:");
    assert_int_equal(truncate(path, 10), 0);
    expect(stand, NULL, SM_EIMAGE, "has 10 bytes, its descriptor says");
    unlink(path);
    expect(stand, NULL, SM_ENOENT, "manifest sha256:");
}

static void test_image_for_another_platform_is_refused(void **state)
{
    struct sm_error err = {0};

    make_image(*state);
    assert_int_equal(load(*state, NULL, "linux/arm64", &err), SM_ENOENT);
    assert_non_null(strstr(err.message, "for platform linux/amd64, not for "
                                        "linux/arm64"));
}

/* (depth) indexes around the image. */
static void nest(struct stand *stand, int depth)
{
    char path[STAND_PATH_MAX];
    char digest[STAND_DIGEST_MAX];
    char text[512];
    struct stat st;

    make_image(stand);
    manifest_path(stand, path);
    assert_int_equal(stat(path, &st), 0);
    snprintf(digest, sizeof digest, "sha256:%.64s", strrchr(path, '/') + 1);
    for (int i = 0; i < depth; i++) {
        int length = snprintf(
            text, sizeof text,
            "{\"schemaVersion\": 2, \"n\": %d, \"manifests\": [{\"mediaType\": "
            "\"%s\", \"digest\": \"%s\", \"size\": %lld}]}",
            i, i ? INDEX_TYPE : MANIFEST_TYPE, digest, (long long)st.st_size);

        layout_blob(stand->folder, text, (size_t)length, digest);
        st.st_size = length;
    }
    stand_print(stand->folder, "index.json",
                "{\"schemaVersion\": 2, \"manifests\": [{\"mediaType\": "
                "\"" INDEX_TYPE "\", \"digest\": \"%s\", \"size\": %lld}]}",
                digest, (long long)st.st_size);
}

static void test_image_is_found_through_nested_indexes(void **state)
{
    nest(*state, 3);
    expect(*state, NULL, 0, NULL);
}

static void test_image_nested_too_deep_is_refused(void **state)
{
    nest(*state, OCI_INDEX_DEPTH_MAX + 1);
    expect(*state, NULL, SM_ELIMIT, "nested deeper");
}

static void test_image_needs_a_diff_id_per_layer(void **state)
{
    struct stand *stand = *state;
    struct buf tar;

    buf_init(&tar, MIB);
    image_layer(&stand->image, &tar);
    memcpy(stand->image.layers[0].diff_id, "sha256:zz\"", 11);
    image_end(&stand->image);
    buf_done(&tar);
    expect(stand, NULL, SM_EIMAGE, "config");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_layout_finds_tagged_image),
        TEST(test_layout_lists_tags_for_a_missing_one),
        TEST(test_layout_names_near_tags_of_many),
        TEST(test_layout_without_tag_takes_the_only_or_latest),
        TEST(test_layout_must_be_one),
        TEST(test_image_refuses_a_changed_blob),
        TEST(test_image_for_another_platform_is_refused),
        TEST(test_image_is_found_through_nested_indexes),
        TEST(test_image_nested_too_deep_is_refused),
        TEST(test_image_needs_a_diff_id_per_layer),
    };

    return cmocka_run_group_tests_name("oci_layout", tests, NULL, NULL);
}
