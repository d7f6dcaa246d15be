/* test_keep.c: which images the store has, what goes and what stays when it is
 * swept, and what others are about to use. */
#include "stand.h"

#include "oci/catalog.h"
#include "oci/lease.h"
#include "oci/sweep.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct stand {
    char folder[STAND_PATH_MAX];
    unsigned removed;
    uint64_t removed_bytes;
};

static int set_up(void **state)
{
    struct stand *stand = calloc(1, sizeof *stand);

    stand_folder(stand->folder);
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

/* ---- images ---- */

static struct oci_descriptor add_blob(struct store *store, const char *text,
                                      const char *type)
{
    struct oci_descriptor blob = {.media = oci_media_of(type),
                                  .bytes = strlen(text)};
    char digest[STAND_DIGEST_MAX];

    snprintf(blob.media_type, sizeof blob.media_type, "%s", type);
    stand_digest(text, strlen(text), digest);
    assert_int_equal(digest_parse(digest, &blob.digest, NULL), 0);
    assert_int_equal(store_add(store, &blob.digest, text, strlen(text), NULL),
                     0);
    return blob;
}

static const char *describe(const struct oci_descriptor *blob, char to[512])
{
    char digest[DIGEST_TEXT_MAX];

    digest_text(&blob->digest, digest);
    snprintf(to, 512, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%u}",
             blob->media_type, digest, (unsigned)blob->bytes);
    return to;
}

/* An image of one layer, called (name) unless that is NULL: three blobs. */
static struct oci_descriptor add_image(struct store *store, const char *name,
                                       const char *layer_text)
{
    struct oci_descriptor layer =
        add_blob(store, layer_text, "application/vnd.oci.image.layer.v1.tar");
    struct oci_descriptor config;
    struct oci_descriptor manifest;
    char digest[DIGEST_TEXT_MAX];
    char text[2048];
    char a[512];
    char b[512];

    digest_text(&layer.digest, digest);
    snprintf(text, sizeof text,
             "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":"
             "{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
             digest);
    config = add_blob(store, text, "application/vnd.oci.image.config.v1+json");
    snprintf(text, sizeof text,
             "{\"schemaVersion\":2,\"config\":%s,\"layers\":[%s]}",
             describe(&config, a), describe(&layer, b));
    manifest =
        add_blob(store, text, "application/vnd.oci.image.manifest.v1+json");
    if (name)
        assert_int_equal(store_tag_save(store, name, &manifest, NULL), 0);
    return manifest;
}

static struct store *open_store(const struct stand *stand)
{
    struct store *store = NULL;

    assert_int_equal(store_open(stand->folder, &store, NULL), 0);
    return store;
}

static void count_removed(void *context, const char *what, uint64_t bytes)
{
    struct stand *stand = context;

    assert_true(what[0] != '\0');
    stand->removed++;
    stand->removed_bytes += bytes;
}

/* What sweep_blobs() says; stand->removed counts. */
static int sweep(struct stand *stand, const struct digest_set *only,
                 struct sm_error *err)
{
    const struct sweep plan = {
        .only = only, .removed = count_removed, .context = stand};
    struct store *view = NULL;
    int gate = -1;
    int rc;

    stand->removed = 0;
    assert_int_equal(store_view(stand->folder, &view, NULL), 0);
    assert_int_equal(gate_lock(store_folder(view), true, &gate, NULL), 0);
    rc = sweep_blobs(view, &plan, err);
    close(gate);
    store_close(view);
    return rc;
}

static void drop_name(struct stand *stand, const char *name)
{
    struct store *view = NULL;

    assert_int_equal(store_view(stand->folder, &view, NULL), 0);
    assert_int_equal(store_tag_remove(view, name, NULL), 0);
    assert_int_equal(store_tag_remove(view, name, NULL), SM_ENOENT);
    store_close(view);
}

/* ---- sweeping ---- */

static void test_sweep_keeps_what_a_name_leads_to(void **state)
{
    struct stand *stand = *state;
    struct store *store = open_store(stand);

    add_image(store, "docker.io/library/a:1", "shared");
    add_image(store, "docker.io/library/b:1", "shared");
    add_image(store, "docker.io/library/c:1", "its own");
    store_close(store);
    assert_int_equal(sweep(stand, NULL, NULL), 0);
    assert_int_equal(stand->removed, 0);
    drop_name(stand, "docker.io/library/c:1");
    drop_name(stand, "docker.io/library/a:1");
    assert_int_equal(sweep(stand, NULL, NULL), 0);
    assert_int_equal(stand->removed, 3);
    assert_true(stand->removed_bytes > 0);
    drop_name(stand, "docker.io/library/b:1");
    assert_int_equal(sweep(stand, NULL, NULL), 0);
    assert_int_equal(stand->removed, 3);
}

static void test_sweep_keeps_what_an_open_store_has_looked_at(void **state)
{
    struct stand *stand = *state;
    struct store *store = open_store(stand);
    struct oci_descriptor manifest = add_image(store, NULL, "layer");

    assert_int_equal(sweep(stand, NULL, NULL), 0);
    assert_int_equal(stand->removed, 0);
    store_close(store);
    store = open_store(stand);
    assert_true(store_has(store, &manifest));
    assert_int_equal(sweep(stand, NULL, NULL), 0);
    assert_int_equal(stand->removed, 2);
    assert_true(store_has(store, &manifest));
    store_close(store);
    assert_int_equal(sweep(stand, NULL, NULL), 0);
    assert_int_equal(stand->removed, 1);
}

static void test_sweep_forgets_what_the_dead_looked_at(void **state)
{
    struct stand *stand = *state;
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        add_image(open_store(stand), NULL, "layer");
        _exit(7);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 7);
    assert_int_equal(sweep(stand, NULL, NULL), 0);
    assert_int_equal(stand->removed, 3);
}

static void test_sweep_removes_parts_of_the_dead_only(void **state)
{
    struct stand *stand = *state;
    struct store *store = open_store(stand);
    struct oci_descriptor blob = add_blob(store, "layer", "x");
    struct store_part *part = NULL;
    uint64_t done;

    blob.digest.bytes[0] ^= 1;
    assert_int_equal(store_part_open(store, &blob, false, &part, &done, NULL),
                     0);
    assert_int_equal(sweep(stand, NULL, NULL), 0);
    assert_int_equal(stand->removed, 0);
    store_part_close(part);
    store_close(store);
    assert_int_equal(sweep(stand, NULL, NULL), 0);
    assert_int_equal(stand->removed, 2);
}

static void test_sweep_of_some_leaves_the_others(void **state)
{
    struct stand *stand = *state;
    struct store *store = open_store(stand);
    struct oci_descriptor first = add_image(store, NULL, "first");
    struct digest_set only = {0};

    add_image(store, NULL, "second");
    store_close(store);
    assert_int_equal(digest_set_add(&only, &first.digest, NULL), 0);
    assert_int_equal(sweep(stand, &only, NULL), 0);
    assert_int_equal(stand->removed, 1);
    digest_set_done(&only);
}

/* Who knows what a damaged manifest needs? */
static void test_sweep_of_a_damaged_store_removes_nothing(void **state)
{
    struct stand *stand = *state;
    struct store *store = open_store(stand);
    struct oci_descriptor manifest =
        add_image(store, "docker.io/library/a:1", "layer");
    struct sm_error err = {0};
    char name[256];
    char hex[DIGEST_HEX_MAX];
    int fd;

    add_image(store, NULL, "of no name");
    store_close(store);
    digest_hex(&manifest.digest, hex);
    snprintf(name, sizeof name, "%.100s/blobs/sha256/%.64s", stand->folder,
             hex);
    assert_int_equal(chmod(name, 0600), 0);
    fd = open(name, O_WRONLY);
    assert_int_equal(pwrite(fd, "?", 1, 0), 1);
    close(fd);
    assert_int_equal(sweep(stand, NULL, &err), SM_EDIGEST);
    assert_int_equal(stand->removed, 0);
    assert_non_null(strstr(err.message, "store verify --repair"));
}

static void test_sweep_removes_names_that_were_never_finished(void **state)
{
    struct stand *stand = *state;

    store_close(open_store(stand));
    stand_print(stand->folder, "tags/1234.5678.tmp", "half");
    assert_int_equal(sweep(stand, NULL, NULL), 0);
    assert_int_equal(stand->removed, 1);
}

/* ---- the catalog ---- */

static void test_catalog_finds_names_and_ids(void **state)
{
    struct stand *stand = *state;
    struct store *store = open_store(stand);
    struct oci_descriptor manifest =
        add_image(store, "docker.io/library/nginx:1.25", "layer");
    struct catalog catalog;
    struct oci_descriptor found;
    char id[DIGEST_TEXT_MAX];
    char *name = NULL;

    assert_int_equal(catalog_load(store, &catalog, NULL), 0);
    assert_int_equal(catalog.count, 1);
    assert_string_equal(catalog.items[0].familiar, "nginx:1.25");
    assert_int_equal(catalog.items[0].layer_count, 1);
    assert_int_equal(catalog_find(&catalog, "nginx:1.25", &name, &found, NULL),
                     0);
    assert_string_equal(name, "docker.io/library/nginx:1.25");
    free(name);
    digest_text(&catalog.items[0].id, id);
    for (size_t length = strlen(id); length >= strlen("sha256:") + 4;
         length--) {
        id[length] = '\0';
        for (int bare = 0; bare < 2; bare++) {
            assert_int_equal(catalog_find(&catalog,
                                          bare ? id + strlen("sha256:") : id,
                                          &name, &found, NULL),
                             0);
            assert_null(name);
            assert_true(digest_equal(&found.digest, &manifest.digest));
        }
    }
    id[strlen("sha256:") + 3] = '\0';
    assert_int_equal(
        catalog_find(&catalog, id + strlen("sha256:"), &name, &found, NULL),
        SM_ENOENT);
    catalog_done(&catalog);
    store_close(store);
}

static void test_catalog_names_what_is_near(void **state)
{
    static const struct {
        const char *wanted;
        const char *near;
    } table[] = {
        {"ngnix:1.25", "near it: nginx:1.25"},
        {"nginx", "near it: nginx:1.25"},
        {"localhost:5000/team/app:2", "near it: localhost:5000/team/app:1"},
        {"postgres", "supermachine images"},
    };
    struct stand *stand = *state;
    struct store *store = open_store(stand);
    struct catalog catalog;

    add_image(store, "docker.io/library/nginx:1.25", "layer");
    add_image(store, "localhost:5000/team/app:1", "other");
    assert_int_equal(catalog_load(store, &catalog, NULL), 0);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct oci_descriptor found;
        struct sm_error err = {0};
        char *name = NULL;

        assert_int_equal(
            catalog_find(&catalog, table[i].wanted, &name, &found, &err),
            SM_ENOENT);
        assert_non_null(strstr(err.message, table[i].near));
    }
    catalog_done(&catalog);
    store_close(store);
}

static void test_catalog_refuses_the_beginning_of_several_ids(void **state)
{
    struct catalog catalog = {.count = 2};
    struct oci_descriptor found;
    char *name = NULL;

    (void)state;
    catalog.items = calloc(2, sizeof *catalog.items);
    for (int i = 0; i < 2; i++) {
        catalog.items[i].name = strdup("x/y:z");
        catalog.items[i].familiar = strdup("x/y:z");
        catalog.items[i].id.bytes[0] = 0xab;
        catalog.items[i].id.bytes[1] = 0xcd;
        catalog.items[i].id.bytes[2] = (uint8_t)i;
    }
    assert_int_equal(catalog_find(&catalog, "abcd", &name, &found, NULL),
                     SM_EINVAL);
    assert_int_equal(catalog_find(&catalog, "abcd01", &name, &found, NULL), 0);
    catalog_done(&catalog);
}

/* An index that names one index a thousand times, which does the same: what is
 * there is looked at once, or this would take years. */
static void test_catalog_looks_at_everything_once(void **state)
{
    struct stand *stand = *state;
    struct store *store = open_store(stand);
    struct oci_descriptor at = add_image(store, NULL, "layer");
    struct catalog catalog;
    struct buf text;

    for (int depth = 0; depth < OCI_INDEX_DEPTH_MAX; depth++) {
        char item[512];
        char *whole;

        buf_init(&text, 1 << 20);
        buf_print(&text, "{\"schemaVersion\":2,\"manifests\":[");
        for (int i = 0; i < OCI_MANIFESTS_MAX; i++)
            buf_print(&text, "%s%s", i ? "," : "", describe(&at, item));
        buf_print(&text, "]}");
        whole = buf_take_string(&text);
        at = add_blob(store, whole, "application/vnd.oci.image.index.v1+json");
        free(whole);
    }
    assert_int_equal(store_tag_save(store, "docker.io/library/a:1", &at, NULL),
                     0);
    assert_int_equal(catalog_load(store, &catalog, NULL), 0);
    assert_int_equal(catalog.count, 1);
    catalog_done(&catalog);
    store_close(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sweep_keeps_what_a_name_leads_to),
        TEST(test_sweep_keeps_what_an_open_store_has_looked_at),
        TEST(test_sweep_forgets_what_the_dead_looked_at),
        TEST(test_sweep_removes_parts_of_the_dead_only),
        TEST(test_sweep_of_some_leaves_the_others),
        TEST(test_sweep_of_a_damaged_store_removes_nothing),
        TEST(test_sweep_removes_names_that_were_never_finished),
        TEST(test_catalog_finds_names_and_ids),
        TEST(test_catalog_names_what_is_near),
        TEST(test_catalog_refuses_the_beginning_of_several_ids),
        TEST(test_catalog_looks_at_everything_once),
    };

    return cmocka_run_group_tests_name("oci_keep", tests, NULL, NULL);
}
