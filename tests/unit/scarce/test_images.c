/* test_images.c: images, the store and root file systems when memory runs out.
 *
 * Libraries that read JSON, tars and ext4 have allocations of their own, which
 * do not fail here.
 */
#include "stand.h"
#include "unit.h"

#include "base/bytes.h"
#include "base/own.h"
#include "failing_alloc.h"
#include "oci/catalog.h"
#include "oci/credentials.h"
#include "oci/image.h"
#include "oci/lease.h"
#include "oci/load.h"
#include "oci/reference.h"
#include "oci/save.h"
#include "oci/source.h"
#include "oci/sweep.h"
#include "oci/verify.h"
#include "rootfs/store.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct stand {
    char folder[STAND_PATH_MAX];
    char layout[STAND_PATH_MAX];
    char archive[STAND_PATH_MAX];
    char home[STAND_PATH_MAX];
    char reference[STAND_PATH_MAX + 32];
    unsigned told;
};

static const struct oci_platform amd64 = {.os = "linux",
                                          .architecture = "amd64"};

static int set_up(void **state)
{
    struct stand *stand = calloc(1, sizeof *stand);
    struct stand_image image;
    struct buf tar;

    stand_folder(stand->folder);
    stand_join(stand->home, stand->folder, "home");
    stand_join(stand->archive, stand->folder, "archive.tar");
    stand_join(stand->layout, stand->folder, "layout");
    assert_int_equal(mkdir(stand->home, 0700), 0);
    image_begin(&image, stand->layout);
    image.config = "{\"Cmd\":[\"a\",\"b\"],\"Env\":[\"A=1\"],\"User\":\"u\","
                   "\"Entrypoint\":[\"e\"],\"Labels\":{\"l\":\"m\"},"
                   "\"WorkingDir\":\"/w\",\"StopSignal\":\"9\","
                   "\"ExposedPorts\":{\"80\":{}},\"Volumes\":{\"/v\":{}}}";
    for (int i = 0; i < 2; i++) {
        buf_init(&tar, 1 << 20);
        tar_add(&tar,
                &(struct tar_entry){.name = i ? "a/x" : "b/y", .size = 5000});
        tar_add(&tar, &(struct tar_entry){.name = i ? "a/l" : "b/l",
                                          .type = '2',
                                          .link = "elsewhere"});
        image_layer(&image, &tar);
        buf_done(&tar);
    }
    image_end(&image);
    assert_int_equal(
        stand_run((const char *const[]){"tar", "-b1", "-cf", stand->archive,
                                        "-C", stand->layout, ".", NULL}),
        0);
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

/* What (stand->reference) names, loaded as far as an image goes. */
static int load_image(void *context, struct sm_error *err)
{
    struct stand *stand = context;
    AUTO(oci_source_closep) struct oci_source *source = NULL;
    AUTO(reference_done) struct reference reference = {0};
    AUTO(oci_image_done) struct oci_image image = {0};
    const struct oci_place place = {.home = stand->home, .input_fd = -1};
    int rc = reference_parse(stand->reference, &reference, err);

    if (!rc)
        rc = oci_source_open(&reference, &place, &source, err);
    if (!rc)
        rc = oci_image_load(source, reference.tag, &amd64, &image, err);
    for (size_t i = 0; !rc && i < image.layer_count; i++) {
        struct blob *blob;

        rc = source->ops->blob_open(source, &image.layers[i].blob, &blob, err);
        if (rc)
            break;
        rc = blob_finish(blob, err);
        blob_close(blob);
    }
    return rc;
}

static void test_scarce_image_of_a_layout_or_archive(void **state)
{
    struct stand *stand = *state;

    snprintf(stand->reference, sizeof stand->reference, "oci:%s:latest",
             stand->layout);
    assert_true(alloc_each_fails(load_image, stand, 20));
    snprintf(stand->reference, sizeof stand->reference, "oci-archive:%s:latest",
             stand->archive);
    assert_true(alloc_each_fails(load_image, stand, 20));
}

static int parse_reference(void *context, struct sm_error *err)
{
    AUTO(reference_done) struct reference reference = {0};
    AUTO_FREE char *whole = NULL;
    int rc = reference_parse(context, &reference, err);

    if (rc)
        return rc;
    whole = reference_canonical(&reference);
    return whole ? 0 : fail(err, SM_ENOMEM, "out of memory");
}

static void test_scarce_reference_is_parsed_or_not(void **state)
{
    char *const texts[] = {
        (char *)"nginx", (char *)"localhost:5000/a/b:1.0",
        (char *)"nginx@sha256:0123456789abcdef0123456789abcdef"
                "0123456789abcdef0123456789abcdef"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_true(alloc_each_fails(parse_reference, texts[i], 3));
}

static int find_credentials(void *context, struct sm_error *err)
{
    struct stand *stand = context;
    struct credentials credentials = {0};
    char path[STAND_PATH_MAX];
    int rc;

    stand_join(path, stand->folder, "config.json");
    rc = credentials_load(path, NULL, "example.org", &credentials, err);
    if (!rc)
        credentials_done(&credentials);
    return rc;
}

static void test_scarce_credentials_are_not_taken_for_none(void **state)
{
    struct stand *stand = *state;

    stand_print(stand->folder, "config.json",
                "{\"auths\":{\"https://example.org/v1/\":"
                "{\"auth\":\"dXNlcjpzZWNyZXQ=\"}}}");
    assert_true(alloc_each_fails(find_credentials, stand, 2));
    stand_print(stand->folder, "config.json",
                "{\"auths\":{\"example.org\":{\"auth\":\"dXNlcjpzZWNyZXQ=\","
                "\"identitytoken\":\"t\"}}}");
    assert_true(alloc_each_fails(find_credentials, stand, 2));
}

/* ---- the store ---- */

static void on_loaded(void *context, const char *name)
{
    (void)context;
    (void)name;
}

static int load_store(void *context, struct sm_error *err)
{
    struct stand *stand = context;
    AUTO_CLOSE int fd = open(stand->archive, O_RDONLY | O_CLOEXEC);

    return load_archive(&(struct load_request){.home = stand->home,
                                               .fd = fd,
                                               .name = "team/app:1",
                                               .loaded = on_loaded},
                        err);
}

static int list_store(void *context, struct sm_error *err)
{
    struct stand *stand = context;
    AUTO(store_closep) struct store *view = NULL;
    AUTO(catalog_done) struct catalog catalog = {0};
    struct oci_descriptor found;
    char *name = NULL;
    int rc = store_view(stand->home, &view, err);

    if (!rc)
        rc = catalog_load(view, &catalog, err);
    stand->told += (unsigned)catalog.count;
    if (!rc)
        rc = catalog_find(&catalog, "team/app:1", &name, &found, err);
    free(name);
    return rc;
}

static int save_store(void *context, struct sm_error *err)
{
    struct stand *stand = context;
    AUTO_CLOSE int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    AUTO(store_closep) struct store *view = NULL;
    AUTO(catalog_done) struct catalog catalog = {0};
    int rc = store_view(stand->home, &view, err);

    if (!rc)
        rc = catalog_load(view, &catalog, err);
    if (!rc)
        rc = save_archive(
            stand->home,
            &(struct save_item){.entry = catalog.items, .named = true}, 1,
            SAVE_OCI, fd, err);
    return rc ? rc
              : save_archive(
                    stand->home,
                    &(struct save_item){.entry = catalog.items, .named = true},
                    1, SAVE_DOCKER, fd, err);
}

static void on_damaged(void *context, const char *what, const char *why,
                       uint64_t bytes)
{
    struct stand *stand = context;

    print_message("%s: %s, %u\n", what, why, (unsigned)bytes);
    stand->told++;
}

static int check_store(void *context, struct sm_error *err)
{
    struct stand *stand = context;
    const struct verify verify = {
        .repair = true, .damaged = on_damaged, .context = stand};
    AUTO(store_closep) struct store *view = NULL;
    AUTO_CLOSE int gate = -1;
    int rc = store_view(stand->home, &view, err);

    if (!rc)
        rc = gate_lock(store_folder(view), true, &gate, err);
    return rc ? rc : verify_store(view, &verify, err);
}

static void on_removed(void *context, const char *what, uint64_t bytes)
{
    struct stand *stand = context;

    print_message("%s, %u\n", what, (unsigned)bytes);
    stand->told++;
}

static int sweep_store(void *context, struct sm_error *err)
{
    struct stand *stand = context;
    const struct sweep sweep = {.removed = on_removed, .context = stand};
    AUTO(store_closep) struct store *view = NULL;
    AUTO_CLOSE int gate = -1;
    int rc = store_view(stand->home, &view, err);

    if (!rc)
        rc = gate_lock(store_folder(view), true, &gate, err);
    return rc ? rc : sweep_blobs(view, &sweep, err);
}

/* Whatever fails, what is kept stays, and is whole. */
static void test_scarce_store_loses_nothing(void **state)
{
    struct stand *stand = *state;

    /* Whether a blob is there already need not be known. */
    assert_true(alloc_each_is_survived(load_store, stand, 20));
    assert_true(alloc_each_fails(list_store, stand, 10));
    assert_true(alloc_each_fails(save_store, stand, 20));
    stand->told = 0;
    assert_true(alloc_each_fails(sweep_store, stand, 5));
    assert_int_equal(stand->told, 0);
    assert_true(alloc_each_fails(check_store, stand, 5));
    assert_int_equal(stand->told, 0);
    assert_int_equal(list_store(stand, NULL), 0);
    assert_int_equal(stand->told, 1);
}

/* ---- root file systems ---- */

static int prepare(void *context, struct sm_error *err)
{
    struct stand *stand = context;
    AUTO(oci_source_closep) struct oci_source *source = NULL;
    AUTO(reference_done) struct reference reference = {0};
    AUTO(oci_image_done) struct oci_image image = {0};
    const struct oci_place place = {.home = stand->home, .input_fd = -1};
    const struct rootfs_options options = {.home = stand->home,
                                           .disk_bytes = 32 * MIB};
    char *path = NULL;
    bool reused;
    int rc = reference_parse(stand->reference, &reference, err);

    if (!rc)
        rc = oci_source_open(&reference, &place, &source, err);
    if (!rc)
        rc = oci_image_load(source, NULL, &amd64, &image, err);
    if (!rc)
        rc = rootfs_prepare(source, &image, &options, &path, &reused, err);
    if (path)
        assert_int_equal(unlink(path), 0);
    free(path);
    return rc;
}

static void test_scarce_root_file_system_is_not_half_made(void **state)
{
    struct stand *stand = *state;

    snprintf(stand->reference, sizeof stand->reference, "oci:%s",
             stand->layout);
    /* What dead processes left may stay for another day. */
    assert_true(alloc_each_is_survived(prepare, stand, 40));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scarce_reference_is_parsed_or_not),
        cmocka_unit_test_setup_teardown(
            test_scarce_image_of_a_layout_or_archive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_scarce_credentials_are_not_taken_for_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_scarce_store_loses_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_scarce_root_file_system_is_not_half_made, set_up, tear_down),
    };

    /* What it gives away, free() takes: both must count alike. */
    json_set_alloc_funcs(alloc_counted, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
