/* test_save.c: images taken from archives into the store, checked there, and
 * written to archives again. */
#include "stand.h"

#include "oci/lease.h"
#include "oci/load.h"
#include "oci/save.h"
#include "oci/stored.h"
#include "oci/verify.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct stand {
    char folder[STAND_PATH_MAX];
    char home[STAND_PATH_MAX];
    char archive[STAND_PATH_MAX];
    char name[128]; /* the last one that was loaded */
    unsigned loaded;
    unsigned damaged;
};

/* An archive of one image of two layers in (archive), tagged "latest". */
static int set_up(void **state)
{
    struct stand *stand = calloc(1, sizeof *stand);
    char layout[STAND_PATH_MAX];
    struct stand_image image;
    struct buf tar;

    stand_folder(stand->folder);
    stand_join(stand->home, stand->folder, "home");
    stand_join(stand->archive, stand->folder, "archive.tar");
    stand_join(layout, stand->folder, "layout");
    assert_int_equal(mkdir(stand->home, 0700), 0);
    image_begin(&image, layout);
    for (int i = 0; i < 2; i++) {
        buf_init(&tar, 1 << 20);
        tar_add(&tar, &(struct tar_entry){.name = i ? "a" : "b", .size = 5000});
        image_layer(&image, &tar);
        buf_done(&tar);
    }
    image_end(&image);
    assert_int_equal(
        stand_run((const char *const[]){"tar", "-b1", "-cf", stand->archive,
                                        "-C", layout, ".", NULL}),
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

static void on_loaded(void *context, const char *name)
{
    struct stand *stand = context;

    snprintf(stand->name, sizeof stand->name, "%s", name);
    stand->loaded++;
}

static int load(struct stand *stand, const char *path, const char *name,
                struct sm_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc;

    assert_true(fd >= 0);
    stand->loaded = 0;
    rc = load_archive(&(struct load_request){.home = stand->home,
                                             .fd = fd,
                                             .name = name,
                                             .loaded = on_loaded,
                                             .context = stand},
                      err);
    close(fd);
    return rc;
}

static void load_catalog(const struct stand *stand, struct catalog *ret)
{
    struct store *view = NULL;

    assert_int_equal(store_view(stand->home, &view, NULL), 0);
    assert_int_equal(catalog_load(view, ret, NULL), 0);
    store_close(view);
}

static void save(const struct stand *stand, enum save_format format,
                 const char *path)
{
    struct catalog catalog;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    load_catalog(stand, &catalog);
    assert_int_equal(catalog.count, 1);
    assert_int_equal(
        save_archive(stand->home,
                     &(struct save_item){.entry = catalog.items, .named = true},
                     1, format, fd, NULL),
        0);
    close(fd);
    catalog_done(&catalog);
}

static void test_load_wants_a_name(void **state)
{
    struct stand *stand = *state;
    struct sm_error err = {0};

    assert_int_equal(load(stand, stand->archive, NULL, &err), SM_EINVAL);
    assert_non_null(strstr(err.message, "--name"));
    assert_int_equal(stand->loaded, 0);
    assert_int_equal(load(stand, stand->archive, "A", NULL), SM_EINVAL);
    assert_int_equal(load(stand, stand->archive, "app:1", NULL), 0);
    assert_int_equal(stand->loaded, 1);
    assert_string_equal(stand->name, "docker.io/library/app:1");
}

static void test_save_gives_what_load_takes(void **state)
{
    static const enum save_format formats[] = {SAVE_OCI, SAVE_DOCKER};
    struct stand *stand = *state;
    char first[STAND_PATH_MAX];
    char second[STAND_PATH_MAX];

    stand_join(first, stand->folder, "first.tar");
    stand_join(second, stand->folder, "second.tar");
    for (int i = 0; i < 2; i++) {
        struct catalog before;
        struct catalog after;

        assert_int_equal(load(stand, stand->archive, "host:1/app:1", NULL), 0);
        load_catalog(stand, &before);
        save(stand, formats[i], first);
        save(stand, formats[i], second);
        assert_int_equal(
            stand_run((const char *const[]){"cmp", first, second, NULL}), 0);
        stand_remove(stand->home);
        assert_int_equal(mkdir(stand->home, 0700), 0);
        assert_int_equal(load(stand, first, NULL, NULL), 0);
        assert_string_equal(stand->name, "host:1/app:1");
        load_catalog(stand, &after);
        assert_int_equal(after.count, 1);
        assert_true(digest_equal(&before.items[0].id, &after.items[0].id));
        catalog_done(&before);
        catalog_done(&after);
    }
}

static void test_load_of_what_is_cut_short_names_nothing(void **state)
{
    struct stand *stand = *state;
    struct catalog catalog;
    struct stat st;

    assert_int_equal(stat(stand->archive, &st), 0);
    for (int i = 1; i < 8; i++) {
        assert_int_equal(truncate(stand->archive, st.st_size * (8 - i) / 8), 0);
        assert_true(load(stand, stand->archive, "app", NULL) < 0);
    }
    load_catalog(stand, &catalog);
    assert_int_equal(catalog.count, 0);
    catalog_done(&catalog);
}

/* ---- by ID ---- */

static void test_stored_opens_by_the_beginning_of_an_id(void **state)
{
    const struct oci_platform any = {"linux", "amd64", ""};
    struct stand *stand = *state;
    struct oci_source *source = NULL;
    struct oci_descriptor found;
    struct catalog catalog;
    char id[DIGEST_TEXT_MAX];

    assert_int_equal(load(stand, stand->archive, "app", NULL), 0);
    load_catalog(stand, &catalog);
    digest_text(&catalog.items[0].id, id);
    id[strlen("sha256:") + 6] = '\0';
    assert_int_equal(stored_open(stand->home, id, &source, NULL), 0);
    assert_int_equal(source->ops->find(source, NULL, &any, &found, NULL), 0);
    assert_true(digest_equal(&found.digest, &catalog.items[0].manifest.digest));
    assert_int_equal(source->witnesses.count, 1);
    oci_source_close(source);
    assert_int_equal(stored_open(stand->home, "sha256:00000000", &source, NULL),
                     SM_ENOENT);
    catalog_done(&catalog);
}

static void test_stored_leaves_names_that_look_like_ids(void **state)
{
    struct stand *stand = *state;
    struct oci_source *source = NULL;

    assert_int_equal(load(stand, stand->archive, "cafe", NULL), 0);
    assert_int_equal(stored_open(stand->home, "cafe", &source, NULL),
                     SM_ENOENT);
}

/* ---- verify ---- */

static void on_damaged(void *context, const char *what, const char *why,
                       uint64_t bytes)
{
    struct stand *stand = context;

    (void)bytes;
    assert_true(what[0] && why[0]);
    stand->damaged++;
}

/* How many things are damaged. */
static unsigned verify(struct stand *stand, bool repair)
{
    struct digest_set suspects = {0};
    const struct verify plan = {
        .suspects = repair ? &suspects : NULL,
        .repair = repair,
        .damaged = on_damaged,
        .context = stand,
    };
    struct store *view = NULL;
    int gate = -1;

    stand->damaged = 0;
    assert_int_equal(store_view(stand->home, &view, NULL), 0);
    if (repair)
        assert_int_equal(verify_suspects(view, &suspects, NULL), 0);
    assert_int_equal(gate_lock(store_folder(view), repair, &gate, NULL), 0);
    assert_int_equal(verify_store(view, &plan, NULL), 0);
    close(gate);
    store_close(view);
    digest_set_done(&suspects);
    return stand->damaged;
}

static void blob_path(const struct stand *stand, const struct digest *digest,
                      char to[STAND_PATH_MAX])
{
    char hex[DIGEST_HEX_MAX];

    digest_hex(digest, hex);
    assert_in_range(snprintf(to, STAND_PATH_MAX, "%.300s/blobs/sha256/%.64s",
                             stand->home, hex),
                    1, STAND_PATH_MAX - 1);
}

/* Each blob in turn is flipped, cut, and gone. */
static void test_verify_finds_and_repairs_each_blob(void **state)
{
    struct stand *stand = *state;

    for (int way = 0; way < 3; way++) {
        for (int which = 0; which < 3; which++) {
            struct catalog catalog;
            char path[STAND_PATH_MAX];
            int fd;

            assert_int_equal(load(stand, stand->archive, "app", NULL), 0);
            assert_int_equal(verify(stand, false), 0);
            load_catalog(stand, &catalog);
            blob_path(stand,
                      which == 0   ? &catalog.items[0].manifest.digest
                      : which == 1 ? &catalog.items[0].id
                                   : &catalog.items[0].diff_ids[1],
                      path);
            catalog_done(&catalog);
            assert_int_equal(chmod(path, 0600), 0);
            fd = open(path, O_WRONLY);
            if (way == 0)
                assert_int_equal(pwrite(fd, "?", 1, 20), 1);
            else if (way == 1)
                assert_int_equal(ftruncate(fd, 10), 0);
            else
                assert_int_equal(unlink(path), 0);
            close(fd);
            /* The blob, if there is one, and the name that needs it. */
            assert_int_equal(verify(stand, false), way == 2 ? 1 : 2);
            assert_int_equal(verify(stand, true), way == 2 ? 1 : 2);
            assert_int_equal(verify(stand, false), 0);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_load_wants_a_name),
        TEST(test_save_gives_what_load_takes),
        TEST(test_load_of_what_is_cut_short_names_nothing),
        TEST(test_stored_opens_by_the_beginning_of_an_id),
        TEST(test_stored_leaves_names_that_look_like_ids),
        TEST(test_verify_finds_and_repairs_each_blob),
    };

    return cmocka_run_group_tests_name("oci_save", tests, NULL, NULL);
}
