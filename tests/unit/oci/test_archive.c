/* test_archive.c: images in archives, streams and folders. */
#include "stand.h"

#include "oci/archived.h"
#include "oci/image.h"
#include "oci/tar.h"
#include "platform/file.h"

#include "base/bytes.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct stand {
    char folder[STAND_PATH_MAX];
    struct buf layer;
};

static int set_up(void **state)
{
    struct stand *stand = calloc(1, sizeof *stand);

    stand_folder(stand->folder);
    buf_init(&stand->layer, MIB);
    tar_add(&stand->layer, &(struct tar_entry){.name = "etc/x", .text = "x"});
    tar_end(&stand->layer);
    *state = stand;
    return 0;
}

static int tear_down(void **state)
{
    struct stand *stand = *state;

    stand_remove(stand->folder);
    buf_done(&stand->layer);
    free(stand);
    return 0;
}

static const struct oci_platform amd64 = {.os = "linux",
                                          .architecture = "amd64"};

/* Open what (text) names, "@" standing for the test's folder, and read all
 * layers of it; what came of it. */
static int load(struct stand *stand, const char *text, int input,
                struct oci_image *ret, struct sm_error *err)
{
    AUTO(oci_source_closep) struct oci_source *source = NULL;
    AUTO(reference_done) struct reference reference = {0};
    const struct oci_place place = {.home = stand->folder, .input_fd = input};
    const char *at = strchr(text, '@');
    char whole[2 * STAND_PATH_MAX];
    int rc;

    snprintf(whole, sizeof whole, "%.*s%s%s",
             at ? (int)(at - text) : (int)strlen(text), text,
             at ? stand->folder : "", at ? at + 1 : "");
    *ret = (struct oci_image){0};
    rc = reference_parse(whole, &reference, err);
    if (!rc)
        rc = oci_source_open(&reference, &place, &source, err);
    if (!rc)
        rc = oci_image_load(source, reference.tag, &amd64, ret, err);
    for (size_t i = 0; !rc && i < ret->layer_count; i++) {
        struct blob *blob;

        rc = source->ops->blob_open(source, &ret->layers[i].blob, &blob, err);
        if (rc)
            break;
        rc = blob_finish(blob, err);
        blob_close(blob);
    }
    return rc;
}

/* It loads, and has the (layers) layers that each archive here is made of. */
static void expect_image(struct stand *stand, const char *text, size_t layers)
{
    struct oci_image image;
    struct sm_error err = {0};
    int rc = load(stand, text, -1, &image, &err);

    if (rc)
        print_error("%s: %s\n", text, err.message);
    assert_int_equal(rc, 0);
    assert_int_equal(image.layer_count, layers);
    oci_image_done(&image);
}

static void expect_failure(struct stand *stand, const char *text, int code,
                           const char *message)
{
    struct oci_image image;
    struct sm_error err = {0};

    assert_int_equal(load(stand, text, -1, &image, &err), code);
    if (!strstr(err.message, message))
        print_error("%s: %s\n", text, err.message);
    assert_non_null(strstr(err.message, message));
    oci_image_done(&image);
}

/* FOLDER/a.tar: an OCI archive. */
static void make_oci_archive(struct stand *stand)
{
    struct stand_image image;
    char layout[STAND_PATH_MAX];
    char archive[STAND_PATH_MAX];
    struct buf tar;

    buf_init(&tar, MIB);
    stand_join(layout, stand->folder, "layout");
    stand_join(archive, stand->folder, "a.tar");
    image_begin(&image, layout);
    tar_add(&tar, &(struct tar_entry){.name = "etc/x", .text = "x"});
    image_layer(&image, &tar);
    image_end(&image);
    buf_done(&tar);
    assert_int_equal(stand_run((const char *[]){"tar", "-C", layout, "-cf",
                                                archive, ".", NULL}),
                     0);
}

static void add_text(struct buf *tar, const char *name, const char *text)
{
    tar_add(tar, &(struct tar_entry){.name = name, .text = text});
}

/* The bytes of a layer are a tar: NULs and all. */
static void add_layer(struct stand *stand, struct buf *tar, const char *name)
{
    static const uint8_t zero[512];
    struct tar_entry entry = {.name = name, .size = stand->layer.size};
    size_t at = tar->size;

    tar_add(tar, &entry);
    tar->size = at + sizeof zero; /* its content is ours to give */
    buf_append(tar, stand->layer.data, stand->layer.size);
    buf_append(tar, zero, (512 - stand->layer.size % 512) % 512);
}

/* FOLDER/NAME, as `docker save` made it before it knew OCI layouts: a layer
 * that two images share is a symbolic link in the second. */
static void make_docker_archive(struct stand *stand, const char *name,
                                const char *manifest)
{
    char diff_id[STAND_DIGEST_MAX];
    char config[512];
    struct buf tar;

    stand_digest(stand->layer.data, stand->layer.size, diff_id);
    snprintf(config, sizeof config,
             "{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{},"
             "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\",\"%s\"]}}",
             diff_id, diff_id);
    buf_init(&tar, MIB);
    add_text(&tar, "c.json", config);
    add_layer(stand, &tar, "1/layer.tar");
    tar_add(&tar, &(struct tar_entry){.name = "2/layer.tar",
                                      .type = '2',
                                      .link = "../1/layer.tar"});
    add_text(&tar, "manifest.json", manifest);
    tar_end(&tar);
    stand_write(stand->folder, name, tar.data, tar.size);
    buf_done(&tar);
}

#define LAYERS "\"Layers\":[\"1/layer.tar\",\"2/layer.tar\"]"

static const char two_images[] =
    "[{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\",\"b:latest\"]," LAYERS "},"
    "{\"Config\":\"c.json\",\"RepoTags\":null," LAYERS "}]";
static const char one_image[] = "[{\"Config\":\"c.json\"," LAYERS "}]";

static void test_oci_archive_is_read_in_place(void **state)
{
    struct stand *stand = *state;

    make_oci_archive(stand);
    expect_image(stand, "oci-archive:@/a.tar", 1);
    expect_image(stand, "oci-archive:@/a.tar:latest", 1);
    expect_failure(stand, "oci-archive:@/a.tar:other", SM_ENOENT,
                   "there is latest");
    expect_failure(stand, "oci-archive:@/none.tar", SM_ENOENT, "none.tar");
    expect_failure(stand, "docker-archive:@/a.tar", SM_EIMAGE,
                   "no manifest.json");
}

static void test_compressed_archives_are_unpacked_first(void **state)
{
    static const char *const tools[] = {"gzip", "zstd", "xz", "bzip2"};
    struct stand *stand = *state;
    unsigned done = 0;

    for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
        char archive[STAND_PATH_MAX];
        char name[64];

        make_oci_archive(stand);
        stand_join(archive, stand->folder, "a.tar");
        if (stand_run((const char *[]){tools[i], "-f", "-k", archive, NULL}))
            continue;
        snprintf(name, sizeof name, "oci-archive:@/a.tar.%s",
                 (const char *[]){"gz", "zst", "xz", "bz2"}[i]);
        expect_image(stand, name, 1);
        done++;
    }
    assert_true(done >= 1);
}

static void test_docker_archive_is_found_by_its_tags(void **state)
{
    struct stand *stand = *state;

    make_docker_archive(stand, "d.tar", two_images);
    expect_image(stand, "docker-archive:@/d.tar:a:1", 2);
    expect_image(stand, "docker-archive:@/d.tar:b", 2);
    expect_failure(stand, "docker-archive:@/d.tar:a:2", SM_ENOENT,
                   "there is a:1, b:latest");
    expect_failure(stand, "docker-archive:@/d.tar", SM_EINVAL, "a:1");
    make_docker_archive(stand, "d.tar", one_image);
    expect_image(stand, "docker-archive:@/d.tar", 2);
}

static void test_docker_archive_with_parts_missing_is_refused(void **state)
{
    struct stand *stand = *state;

    make_docker_archive(stand, "d.tar", "[]");
    expect_failure(stand, "docker-archive:@/d.tar", SM_ENOENT, "no image");
    make_docker_archive(stand, "d.tar", "{}");
    expect_failure(stand, "docker-archive:@/d.tar", SM_EIMAGE, "array");
    make_docker_archive(stand, "d.tar", "[7]");
    expect_failure(stand, "docker-archive:@/d.tar", SM_EIMAGE, "no object");
    make_docker_archive(stand, "d.tar",
                        "[{\"Config\":\"c.json\",\"Layers\":[\"9\"]}]");
    expect_failure(stand, "docker-archive:@/d.tar", SM_EIMAGE,
                   "layer 1 of 1: file 9 is missing");
    make_docker_archive(stand, "d.tar",
                        "[{\"Config\":\"c.json\",\"Layers\":[7]}]");
    expect_failure(stand, "docker-archive:@/d.tar", SM_EIMAGE, "string");
}

static int open_input(struct stand *stand, const char *name)
{
    char path[STAND_PATH_MAX];
    int fd;

    stand_join(path, stand->folder, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void expect_input(struct stand *stand, const char *name, size_t layers)
{
    AUTO_CLOSE int fd = open_input(stand, name);
    struct oci_image image;
    struct sm_error err = {0};
    int rc = load(stand, "-", fd, &image, &err);

    if (rc)
        print_error("%s: %s\n", name, err.message);
    assert_int_equal(rc, 0);
    assert_int_equal(image.layer_count, layers);
    oci_image_done(&image);
}

static void test_input_is_whatever_its_names_say(void **state)
{
    struct stand *stand = *state;
    struct oci_image image;

    make_oci_archive(stand);
    expect_input(stand, "a.tar", 1);
    make_docker_archive(stand, "d.tar", one_image);
    expect_input(stand, "d.tar", 2);
    stand_write(stand->folder, "r.tar", stand->layer.data, stand->layer.size);
    expect_input(stand, "r.tar", 1);
    assert_int_equal(load(stand, "-", -1, &image, NULL), SM_EINVAL);
}

static void test_input_may_be_a_pipe(void **state)
{
    struct stand *stand = *state;
    struct oci_image image;
    struct sm_error err = {0};
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], stand->layer.data, stand->layer.size),
                     (ssize_t)stand->layer.size);
    close(ends[1]);
    assert_int_equal(load(stand, "-", ends[0], &image, &err), 0);
    assert_int_equal(image.layer_count, 1);
    oci_image_done(&image);
    /* Now it is at its end. */
    assert_int_equal(load(stand, "-", ends[0], &image, &err), SM_EIMAGE);
    assert_non_null(strstr(err.message, "nothing came"));
    close(ends[0]);
}

static struct digest folder_digest(struct stand *stand)
{
    struct oci_image image;
    struct sm_error err = {0};
    struct digest digest;
    int rc = load(stand, "dir:@/root", -1, &image, &err);

    if (rc)
        print_error("dir: %s\n", err.message);
    assert_int_equal(rc, 0);
    assert_int_equal(image.layer_count, 1);
    digest = image.layers[0].diff_id;
    oci_image_done(&image);
    return digest;
}

static void test_folder_gives_the_same_image_until_it_changes(void **state)
{
    struct stand *stand = *state;
    char root[STAND_PATH_MAX];
    char etc[STAND_PATH_MAX];
    struct digest first;
    struct digest again;

    stand_join(root, stand->folder, "root");
    assert_int_equal(mkdir(root, 0755), 0);
    stand_join(etc, root, "etc");
    assert_int_equal(mkdir(etc, 0755), 0);
    stand_print(root, "etc/a", "a");
    stand_print(root, "etc/\xff\xfe", "no UTF-8");
    stand_print(root, "z", "%s", "");
    first = folder_digest(stand);
    again = folder_digest(stand);
    assert_true(digest_equal(&first, &again));
    stand_print(root, "etc/b", "b");
    again = folder_digest(stand);
    assert_false(digest_equal(&first, &again));
    expect_failure(stand, "dir:@/root/z", SM_EIMAGE, "is no folder");
    expect_failure(stand, "dir:@/none", SM_ENOENT, "none");
}

/* ---- tar ---- */

static void read_tar(const struct buf *bytes, int code, const char *message)
{
    AUTO_CLOSE int fd = -1;
    AUTO(tar_done) struct tar tar = {0};
    struct sm_error err = {0};

    assert_int_equal(file_in_memory("tar", &fd, NULL), 0);
    assert_int_equal(file_write_at(fd, bytes->data, bytes->size, 0, NULL), 0);
    assert_int_equal(tar_read(fd, &tar, &err), code);
    assert_non_null(strstr(err.message, message));
    assert_int_equal(tar.count, 0);
}

static void test_tar_refuses_a_nul_in_a_name(void **state)
{
    static const char *const keys[] = {"path", "linkpath"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct buf bytes;
        struct buf pax;

        buf_init(&bytes, MIB);
        buf_init(&pax, MIB);
        tar_pax(&pax, keys[i], "manifest.json\0x", 15);
        tar_add(&bytes,
                &(struct tar_entry){.name = "x", .text = "p", .pax = &pax});
        tar_end(&bytes);
        read_tar(&bytes, SM_EIMAGE, "a NUL in a name");
        buf_done(&bytes);
        buf_done(&pax);
    }
}

static void test_tar_follows_names_long_and_linked(void **state)
{
    AUTO_CLOSE int fd = -1;
    AUTO(tar_done) struct tar tar = {0};
    struct buf bytes;
    struct buf pax;
    const struct tar_member *member;

    (void)state;
    buf_init(&bytes, MIB);
    buf_init(&pax, MIB);
    tar_pax(&pax, "path", "long/name", 9);
    add_text(&bytes, "./a", "old");
    add_text(&bytes, "/a", "newer");
    tar_add(&bytes, &(struct tar_entry){.name = "x", .text = "p", .pax = &pax});
    tar_add(&bytes, &(struct tar_entry){.name = "l", .type = '1', .link = "a"});
    tar_add(&bytes,
            &(struct tar_entry){.name = "d/s", .type = '2', .link = "../l"});
    tar_add(&bytes,
            &(struct tar_entry){.name = "loop", .type = '2', .link = "loop"});
    tar_end(&bytes);
    assert_int_equal(file_in_memory("tar", &fd, NULL), 0);
    assert_int_equal(file_write_at(fd, bytes.data, bytes.size, 0, NULL), 0);
    assert_int_equal(tar_read(fd, &tar, NULL), 0);
    member = tar_find(&tar, "d/s");
    assert_non_null(member);
    assert_int_equal(member->bytes, 5);
    assert_memory_equal(bytes.data + member->offset, "newer", 5);
    member = tar_find(&tar, "long/name");
    assert_non_null(member);
    assert_memory_equal(bytes.data + member->offset, "p", 1);
    assert_null(tar_find(&tar, "loop"));
    assert_null(tar_find(&tar, "x"));
    buf_done(&bytes);
    buf_done(&pax);
}

static void test_tar_refuses_what_is_none(void **state)
{
    struct buf bytes;

    (void)state;
    buf_init(&bytes, MIB);
    buf_append(&bytes, "short", 5);
    read_tar(&bytes, SM_EIMAGE, "is no tar");
    memset(buf_room(&bytes, 1024), 'x', 1024);
    buf_added(&bytes, 1024);
    read_tar(&bytes, SM_EIMAGE, "no tar header");
    buf_clear(&bytes);
    add_text(&bytes, "a", "0123456789");
    bytes.size -= 512; /* its content */
    read_tar(&bytes, SM_EIMAGE, "cut short");
    buf_clear(&bytes);
    tar_add(&bytes,
            &(struct tar_entry){.name = "a", .claimed = "77777777777\0"});
    read_tar(&bytes, SM_EIMAGE, "cut short");
    buf_clear(&bytes);
    tar_add(&bytes, &(struct tar_entry){
                        .name = "a",
                        .claimed = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
                                   "\xff\xff"});
    read_tar(&bytes, SM_EIMAGE, "malformed size");
    buf_done(&bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_oci_archive_is_read_in_place),
        TEST(test_compressed_archives_are_unpacked_first),
        TEST(test_docker_archive_is_found_by_its_tags),
        TEST(test_docker_archive_with_parts_missing_is_refused),
        TEST(test_input_is_whatever_its_names_say),
        TEST(test_input_may_be_a_pipe),
        TEST(test_folder_gives_the_same_image_until_it_changes),
        cmocka_unit_test(test_tar_refuses_a_nul_in_a_name),
        cmocka_unit_test(test_tar_follows_names_long_and_linked),
        cmocka_unit_test(test_tar_refuses_what_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
