/* test_image.c: frames of supermachine-image, and records of resolved images.
 */
#include "proto/image.h"
#include "proto/resolved.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- frames ---- */

static struct image_result make_result(const char *rootfs)
{
    struct image_result result = {
        .rootfs = strdup(rootfs),
        .disk_bytes = UINT64_C(1) << 34,
        .digest = strdup("sha256:1"),
        .config_digest = strdup("sha256:2"),
        .platform = strdup("linux/amd64"),
    };

    assert_true(image_strings_add(&result.config.cmd, "/bin/sh"));
    assert_true(image_strings_add(&result.config.cmd, ""));
    assert_true(image_strings_add(&result.config.env, "A=b"));
    result.config.user = strdup("demo");
    return result;
}

static struct frame first_frame(const struct buf *bytes)
{
    struct frame_reader reader;
    struct frame frame;
    size_t room;

    frame_reader_init(&reader, bytes->size, IMAGE_FRAME_MAX, image_check);
    assert_int_equal(frame_reader_next(&reader, &frame, NULL), 0);
    memcpy(frame_reader_room(&reader, &room), bytes->data, bytes->size);
    frame_reader_added(&reader, bytes->size);
    assert_int_equal(frame_reader_next(&reader, &frame, NULL), 1);
    /* The payload outlives the reader here. */
    frame.payload = bytes->data + FRAME_HEADER_BYTES;
    frame_reader_done(&reader);
    return frame;
}

static void test_image_result_arrives_as_it_was_sent(void **state)
{
    struct image_result sent = make_result("/home/rootfs/1.ext4");
    struct image_result got;
    struct frame frame;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, IMAGE_FRAME_MAX);
    image_put_result(&bytes, &sent);
    frame = first_frame(&bytes);
    assert_int_equal(frame.type, IMAGE_RESULT);
    assert_int_equal(image_get_result(&frame, &got, NULL), 0);
    assert_string_equal(got.rootfs, sent.rootfs);
    assert_int_equal(got.disk_bytes, sent.disk_bytes);
    assert_int_equal(got.config.cmd.count, 2);
    assert_string_equal(got.config.cmd.items[0], "/bin/sh");
    assert_string_equal(got.config.cmd.items[1], "");
    assert_null(got.config.cmd.items[2]);
    assert_string_equal(got.config.user, "demo");
    assert_string_equal(got.config.workdir, "");
    image_result_done(&got);
    image_result_done(&sent);
    buf_done(&bytes);
}

static void test_image_result_cut_short_is_refused(void **state)
{
    struct image_result sent = make_result("/x");
    struct image_result got;
    struct frame frame;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, IMAGE_FRAME_MAX);
    image_put_result(&bytes, &sent);
    frame = first_frame(&bytes);
    for (uint32_t count = frame.count; count-- > 0;) {
        frame.count = count;
        assert_int_equal(image_get_result(&frame, &got, NULL), SM_EPROTO);
        assert_null(got.rootfs);
    }
    image_result_done(&sent);
    buf_done(&bytes);
}

static void test_image_stored_arrives_whole_or_not_at_all(void **state)
{
    const struct image_stored sent = {.repository = (char *)"nginx",
                                      .tag = (char *)"1.25",
                                      .id = (char *)"sha256:1",
                                      .digest = (char *)"sha256:2",
                                      .platform = (char *)"linux/amd64",
                                      .json = (char *)"{}",
                                      .created_s = 1,
                                      .blob_bytes = 2,
                                      .rootfs_bytes = 3};
    struct image_stored got;
    struct frame frame;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, IMAGE_FRAME_MAX);
    image_put_stored(&bytes, &sent);
    frame = first_frame(&bytes);
    assert_int_equal(image_get_stored(&frame, &got, NULL), 0);
    assert_string_equal(got.repository, "nginx");
    assert_string_equal(got.tag, "1.25");
    assert_string_equal(got.id, "sha256:1");
    assert_string_equal(got.digest, "sha256:2");
    assert_string_equal(got.platform, "linux/amd64");
    assert_string_equal(got.json, "{}");
    assert_int_equal(got.created_s, 1);
    assert_int_equal(got.blob_bytes, 2);
    assert_int_equal(got.rootfs_bytes, 3);
    image_stored_done(&got);
    while (frame.count-- > 0) {
        assert_int_equal(image_get_stored(&frame, &got, NULL), SM_EPROTO);
        assert_null(got.repository);
    }
    buf_done(&bytes);
}

static void test_image_change_arrives_whole_or_not_at_all(void **state)
{
    const struct image_change sent = {.kind = SM_STORE_DELETED,
                                      .what = (char *)"sha256:1",
                                      .why = (char *)"why",
                                      .bytes = 7};
    struct image_change got;
    struct frame frame;
    struct buf bytes;
    char *text = NULL;

    (void)state;
    buf_init(&bytes, IMAGE_FRAME_MAX);
    image_put_change(&bytes, &sent);
    frame = first_frame(&bytes);
    assert_int_equal(image_get_change(&frame, &got, NULL), 0);
    assert_int_equal(got.kind, SM_STORE_DELETED);
    assert_string_equal(got.what, "sha256:1");
    assert_string_equal(got.why, "why");
    assert_int_equal(got.bytes, 7);
    image_change_done(&got);
    assert_int_equal(image_get_text(&frame, &text, NULL), SM_EPROTO);
    while (frame.count-- > 0)
        assert_int_equal(image_get_change(&frame, &got, NULL), SM_EPROTO);
    buf_clear(&bytes);
    image_put_text(&bytes, "text");
    frame = first_frame(&bytes);
    assert_int_equal(image_get_text(&frame, &text, NULL), 0);
    assert_string_equal(text, "text");
    free(text);
    buf_done(&bytes);
}

static void test_image_progress_is_of_one_layer(void **state)
{
    static const struct {
        uint64_t done;
        uint32_t number;
        uint32_t count;
        int result;
    } table[] = {
        {0, 1, 1, 0},         {7, 3, 4, 0},         {7, 4, 4, 0},
        {7, 5, 4, SM_EPROTO}, {7, 0, 4, SM_EPROTO}, {0, 0, 0, SM_EPROTO},
        {8, 1, 1, SM_EPROTO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct image_progress sent = {.step = (char[]){"pull"},
                                            .done = table[i].done,
                                            .total = 7,
                                            .layer = (char[]){"sha256:12"},
                                            .number = table[i].number,
                                            .count = table[i].count};
        struct image_progress got = {0};
        struct frame frame;
        struct buf bytes;

        buf_init(&bytes, IMAGE_FRAME_MAX);
        image_put_progress(&bytes, &sent);
        frame = first_frame(&bytes);
        assert_int_equal(image_get_progress(&frame, &got, NULL),
                         table[i].result);
        if (table[i].result == 0) {
            assert_string_equal(got.step, "pull");
            assert_string_equal(got.layer, "sha256:12");
            assert_int_equal(got.number, table[i].number);
            image_progress_done(&got);
        }
        for (uint32_t count = frame.count; count-- > 0;) {
            frame.count = count;
            assert_int_equal(image_get_progress(&frame, &got, NULL), SM_EPROTO);
        }
        buf_done(&bytes);
    }
}

static void test_image_error_keeps_code_and_message(void **state)
{
    struct sm_error sent = {SM_EDIGEST, 5, "layer 2 of 4: digest mismatch"};
    struct sm_error got = {0};
    struct frame frame;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, IMAGE_FRAME_MAX);
    image_put_error(&bytes, &sent);
    frame = first_frame(&bytes);
    assert_int_equal(image_get_error(&frame, &got), SM_EDIGEST);
    assert_int_equal(got.code, SM_EDIGEST);
    assert_int_equal(got.os_error, 5);
    assert_string_equal(got.message, sent.message);
    buf_done(&bytes);
}

static void test_image_error_without_code_is_nonsense(void **state)
{
    struct sm_error sent = {0, 0, "no error"};
    struct sm_error got = {0};
    struct frame frame;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, IMAGE_FRAME_MAX);
    image_put_error(&bytes, &sent);
    frame = first_frame(&bytes);
    assert_int_equal(image_get_error(&frame, &got), SM_EPROTO);
    buf_done(&bytes);
}

static void test_image_check_bounds_frames(void **state)
{
    struct frame frame = {.type = IMAGE_RESULT,
                          .count = IMAGE_FRAME_MAX - FRAME_HEADER_BYTES};

    (void)state;
    assert_int_equal(image_check(&frame, NULL), 0);
    frame.count++;
    assert_int_equal(image_check(&frame, NULL), SM_EPROTO);
    frame.count = 0;
    frame.type = IMAGE_TEXT + 1;
    assert_int_equal(image_check(&frame, NULL), SM_EPROTO);
    frame.type = 0;
    assert_int_equal(image_check(&frame, NULL), SM_EPROTO);
    frame.type = IMAGE_RESULT;
    frame.channel = 1;
    assert_int_equal(image_check(&frame, NULL), SM_EPROTO);
}

/* ---- references ---- */

static void check_absolute(const char *reference, const char *cwd,
                           const char *wanted)
{
    char *got = NULL;

    assert_int_equal(reference_absolute(reference, cwd, &got, NULL), 0);
    assert_string_equal(got, wanted);
    free(got);
}

static void test_reference_becomes_absolute(void **state)
{
    char *got;

    (void)state;
    check_absolute("oci:dir:tag", "/cwd", "oci:/cwd/dir:tag");
    check_absolute("oci:/dir:tag", "/cwd", "oci:/dir:tag");
    check_absolute("oci-archive:x.tar", "/", "oci-archive:/x.tar");
    check_absolute("alpine:3", "/cwd", "alpine:3");
    check_absolute("oci:/dir", NULL, "oci:/dir");
    assert_int_equal(reference_absolute("oci:dir", NULL, &got, NULL),
                     SM_EINVAL);
}

/* ---- records ---- */

struct home {
    char path[64];
    char index[96];
    char rootfs[96];
    struct image_witnesses witnesses;
};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int set_up(void **state)
{
    struct home *home = calloc(1, sizeof *home);

    snprintf(home->path, sizeof home->path, "/tmp/smtest.XXXXXX");
    assert_non_null(mkdtemp(home->path));
    snprintf(home->index, sizeof home->index, "%s/index.json", home->path);
    snprintf(home->rootfs, sizeof home->rootfs, "%s/1.ext4", home->path);
    write_file(home->index, "index");
    write_file(home->rootfs, "rootfs");
    *state = home;
    return 0;
}

static int tear_down(void **state)
{
    struct home *home = *state;
    const char *const argv[] = {"rm", "-rf", home->path, NULL};
    pid_t pid = fork();

    if (pid == 0) {
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(1);
    }
    waitpid(pid, NULL, 0);
    image_witnesses_done(&home->witnesses);
    free(home);
    return 0;
}

static void witness(struct home *home)
{
    int fd = open(home->index, O_RDONLY);

    assert_true(fd >= 0);
    image_witnesses_done(&home->witnesses);
    assert_int_equal(image_witness_add(&home->witnesses, fd, home->index, NULL),
                     0);
    close(fd);
}

static int save(struct home *home, const struct image_request *request)
{
    struct image_result result = make_result(home->rootfs);
    int rc =
        resolved_save(home->path, request, &home->witnesses, &result, NULL);

    image_result_done(&result);
    return rc;
}

static int load(const struct home *home, const struct image_request *request)
{
    struct image_result result;
    int rc = resolved_load(home->path, request, &result, NULL);

    if (!rc) {
        assert_true(result.reused);
        assert_string_equal(result.rootfs, home->rootfs);
        assert_string_equal(result.config.env.items[0], "A=b");
        image_result_done(&result);
    }
    return rc;
}

static const struct image_request request = {"oci:/l:t", "", 1 << 20};

/* Keep a record as soon as the file is no longer too young. */
static void save_when_old(struct home *home)
{
    witness(home);
    for (int i = 0; i < 1000000 && load(home, &request); i++)
        assert_int_equal(save(home, &request), 0);
    assert_int_equal(load(home, &request), 0);
}

static void test_resolved_is_found_for_the_same_request_only(void **state)
{
    struct home *home = *state;
    struct image_request other = request;

    assert_int_equal(load(home, &request), SM_ENOENT);
    save_when_old(home);
    other.disk_bytes++;
    assert_int_equal(load(home, &other), SM_ENOENT);
    other = request;
    other.platform = "linux/arm64";
    assert_int_equal(load(home, &other), SM_ENOENT);
    other = request;
    other.reference = "oci:/l:u";
    assert_int_equal(load(home, &other), SM_ENOENT);
}

static void test_resolved_is_stale_once_a_witness_changed(void **state)
{
    struct home *home = *state;

    save_when_old(home);
    write_file(home->index, "INDEX");
    assert_int_equal(load(home, &request), SM_ENOENT);
    save_when_old(home);
    unlink(home->index);
    assert_int_equal(load(home, &request), SM_ENOENT);
}

static void test_resolved_needs_its_root_file_system(void **state)
{
    struct home *home = *state;

    save_when_old(home);
    unlink(home->rootfs);
    assert_int_equal(load(home, &request), SM_ENOENT);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void test_resolved_is_not_kept_for_a_file_just_written(void **state)
{
    enum { JUST_WRITTEN_MS = 40 };
    struct home *home = *state;
    int64_t begin;

    /* Where all of it took longer, it was not just written. */
    do {
        begin = now_ms();
        write_file(home->index, "again");
        witness(home);
        assert_int_equal(save(home, &request), 0);
    } while (now_ms() - begin > JUST_WRITTEN_MS);
    assert_int_equal(load(home, &request), SM_ENOENT);
}

/* The only record of the home. */
static void record_path(const struct home *home, char to[512])
{
    char folder[96];
    struct dirent *entry;
    DIR *dir;

    snprintf(folder, sizeof folder, "%s/resolved", home->path);
    dir = opendir(folder);
    assert_non_null(dir);
    do {
        entry = readdir(dir);
        assert_non_null(entry);
    } while (entry->d_name[0] == '.');
    snprintf(to, 512, "%s/%s", folder, entry->d_name);
    closedir(dir);
}

/* Any byte changed, any end cut off: the record is as good as none. */
static void test_resolved_damaged_record_is_none(void **state)
{
    struct home *home = *state;
    uint8_t bytes[4096];
    char path[512];
    ssize_t count;
    int fd;

    save_when_old(home);
    record_path(home, path);
    fd = open(path, O_RDWR);
    count = read(fd, bytes, sizeof bytes);
    assert_in_range(count, 100, sizeof bytes - 1);
    for (ssize_t i = 0; i < count; i++) {
        uint8_t changed = bytes[i] ^ 0x41;

        assert_int_equal(pwrite(fd, &changed, 1, i), 1);
        assert_int_equal(load(home, &request), SM_ENOENT);
        assert_int_equal(pwrite(fd, &bytes[i], 1, i), 1);
    }
    assert_int_equal(load(home, &request), 0);
    while (count-- > 0) {
        assert_int_equal(ftruncate(fd, count), 0);
        assert_int_equal(load(home, &request), SM_ENOENT);
    }
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image_result_arrives_as_it_was_sent),
        cmocka_unit_test(test_image_result_cut_short_is_refused),
        cmocka_unit_test(test_image_stored_arrives_whole_or_not_at_all),
        cmocka_unit_test(test_image_change_arrives_whole_or_not_at_all),
        cmocka_unit_test(test_image_progress_is_of_one_layer),
        cmocka_unit_test(test_image_error_keeps_code_and_message),
        cmocka_unit_test(test_image_error_without_code_is_nonsense),
        cmocka_unit_test(test_image_check_bounds_frames),
        cmocka_unit_test(test_reference_becomes_absolute),
        TEST(test_resolved_is_found_for_the_same_request_only),
        TEST(test_resolved_is_stale_once_a_witness_changed),
        TEST(test_resolved_needs_its_root_file_system),
        TEST(test_resolved_is_not_kept_for_a_file_just_written),
        TEST(test_resolved_damaged_record_is_none),
    };

    return cmocka_run_group_tests_name("proto_image", tests, NULL, NULL);
}
