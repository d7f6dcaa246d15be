/* test_program.c: supermachine-image as the library and as people call it. */
#include "../oci/stand.h"

#include "base/bytes.h"
#include "proto/image.h"
#include "proto/resolved.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_MAX = 1 << 20, FRAMES_FD = 3 };

struct stand {
    char folder[STAND_PATH_MAX];
    char home[STAND_PATH_MAX];
    char reference[STAND_PATH_MAX];
    uint8_t output[OUTPUT_MAX];
    size_t count;
};

static int set_up(void **state)
{
    struct stand *stand = calloc(1, sizeof *stand);
    char layout[STAND_PATH_MAX];
    struct stand_image image;
    struct buf tar;

    stand_folder(stand->folder);
    stand_join(stand->home, stand->folder, "home");
    stand_join(layout, stand->folder, "layout");
    assert_in_range(snprintf(stand->reference, sizeof stand->reference,
                             "oci:%.400s:latest", layout),
                    1, STAND_PATH_MAX - 1);
    buf_init(&tar, MIB);
    image_begin(&image, layout);
    image.config = "{\"Cmd\": [\"/bin/true\"], \"User\": \"u\"}";
    tar_add(&tar, &(struct tar_entry){.name = "bin/true", .text = "x"});
    image_layer(&image, &tar);
    image_end(&image);
    buf_done(&tar);
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

static void read_output(struct stand *stand, int fd)
{
    ssize_t got;

    stand->count = 0;
    do {
        got = read(fd, stand->output + stand->count,
                   OUTPUT_MAX - 1 - stand->count);
        assert_true(got >= 0);
        stand->count += (size_t)got;
    } while (got > 0);
    stand->output[stand->count] = '\0';
}

/* Run `prepare` with what is written to descriptor (fd) kept; its status. */
static int prepare(struct stand *stand, int fd, const char *reference)
{
    const char *const argv[] = {
        IMAGE_PROGRAM, "prepare",
        "--home",      stand->home,
        "--platform",  "linux/amd64",
        reference,     fd == FRAMES_FD ? "--fd=3" : NULL,
        NULL,
    };
    int ends[2];
    int status;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], 9);
        close(ends[0]);
        close(ends[1]);
        dup2(9, fd);
        close(9);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(126);
    }
    close(ends[1]);
    read_output(stand, ends[0]);
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The last line of what was printed. */
static json_t *last_line(struct stand *stand)
{
    char *text = (char *)stand->output;
    char *line;
    json_t *json;

    assert_true(stand->count > 1);
    assert_int_equal(text[stand->count - 1], '\n');
    text[stand->count - 1] = '\0';
    line = strrchr(text, '\n');
    json = json_loads(line ? line + 1 : text, 0, NULL);
    assert_non_null(json);
    return json;
}

static const char *string_of(const json_t *json, const char *key)
{
    const char *value = json_string_value(json_object_get(json, key));

    return value ? value : "";
}

static void test_program_prints_the_result_as_json(void **state)
{
    struct stand *stand = *state;

    for (int again = 0; again < 2; again++) {
        json_t *json;

        assert_int_equal(prepare(stand, STDOUT_FILENO, stand->reference), 0);
        json = last_line(stand);
        assert_string_equal(string_of(json, "event"), "result");
        assert_int_equal(access(string_of(json, "rootfs"), R_OK), 0);
        assert_int_equal(json_is_true(json_object_get(json, "reused")), again);
        assert_string_equal(string_of(json_object_get(json, "config"), "user"),
                            "u");
        json_decref(json);
    }
}

/* The layer's begin and end are told whatever the time. */
static void test_program_prints_progress_of_each_layer(void **state)
{
    struct stand *stand = *state;
    json_t *first;
    char *end;

    assert_int_equal(prepare(stand, STDOUT_FILENO, stand->reference), 0);
    end = strchr((char *)stand->output, '\n');
    assert_non_null(end);
    *end = '\0';
    first = json_loads((char *)stand->output, 0, NULL);
    assert_non_null(first);
    assert_string_equal(string_of(first, "event"), "progress");
    assert_string_equal(string_of(first, "step"), "unpack");
    assert_int_equal(strncmp(string_of(first, "layer"), "sha256:", 7), 0);
    assert_int_equal(json_integer_value(json_object_get(first, "number")), 1);
    assert_int_equal(json_integer_value(json_object_get(first, "count")), 1);
    json_decref(first);
}

static void test_program_prints_errors_as_json(void **state)
{
    struct stand *stand = *state;
    json_t *json;

    assert_int_equal(prepare(stand, STDOUT_FILENO, "oci:/nonexistent"), 1);
    json = last_line(stand);
    assert_string_equal(string_of(json, "event"), "error");
    assert_int_equal(json_integer_value(json_object_get(json, "code")),
                     SM_ENOENT);
    assert_non_null(strstr(string_of(json, "message"), "/nonexistent"));
    json_decref(json);
}

/* The last frame of what was written; its payload lies in the output. */
static struct frame last_frame(struct stand *stand)
{
    struct frame last = {0};
    size_t at = 0;

    while (at < stand->count) {
        assert_true(stand->count - at >= FRAME_HEADER_BYTES);
        last.count = load_le32(stand->output + at);
        last.type = load_le16(stand->output + at + 4);
        last.payload = stand->output + at + FRAME_HEADER_BYTES;
        at += FRAME_HEADER_BYTES + last.count;
    }
    assert_int_equal(at, stand->count);
    return last;
}

static void test_program_sends_frames_and_leaves_a_record(void **state)
{
    struct stand *stand = *state;
    const struct image_request request = {
        .reference = stand->reference,
        .platform = "linux/amd64",
        .disk_bytes = IMAGE_DISK_DEFAULT_GIB * GIB,
    };
    struct image_result sent;
    struct image_result kept;
    struct frame frame;
    int rc;

    do { /* until the layout is no longer too young for a record */
        assert_int_equal(prepare(stand, FRAMES_FD, stand->reference), 0);
        rc = resolved_load(stand->home, &request, &kept, NULL);
    } while (rc);
    frame = last_frame(stand);
    assert_int_equal(frame.type, IMAGE_RESULT);
    assert_int_equal(image_get_result(&frame, &sent, NULL), 0);
    assert_string_equal(sent.rootfs, kept.rootfs);
    assert_string_equal(sent.digest, kept.digest);
    assert_string_equal(kept.config.cmd.items[0], "/bin/true");
    image_result_done(&sent);
    image_result_done(&kept);
}

static void test_program_sends_errors_as_frames(void **state)
{
    struct stand *stand = *state;
    struct sm_error err = {0};
    struct frame frame;

    assert_int_equal(prepare(stand, FRAMES_FD, "ALPINE"), 1);
    frame = last_frame(stand);
    assert_int_equal(frame.type, IMAGE_ERROR);
    assert_int_equal(image_get_error(&frame, &err), SM_EINVAL);
    assert_non_null(strstr(err.message, "ALPINE"));
}

static void test_program_refuses_wrong_calls(void **state)
{
    static const char *const calls[][6] = {
        {IMAGE_PROGRAM},
        {IMAGE_PROGRAM, "prepare", "oci:x"},
        {IMAGE_PROGRAM, "--home=relative", "prepare", "oci:x"},
        {IMAGE_PROGRAM, "--home=/tmp", "prepare"},
        {IMAGE_PROGRAM, "--home=/tmp", "--disk-size=1G", "prepare", "oci:x"},
        {IMAGE_PROGRAM, "--home=/tmp", "--fd=77", "prepare", "oci:x"},
        {IMAGE_PROGRAM, "--home=/tmp", "--nonsense", "prepare", "oci:x"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        assert_int_equal(stand_run(calls[i]), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_program_prints_the_result_as_json),
        TEST(test_program_prints_progress_of_each_layer),
        TEST(test_program_prints_errors_as_json),
        TEST(test_program_sends_frames_and_leaves_a_record),
        TEST(test_program_sends_errors_as_frames),
        TEST(test_program_refuses_wrong_calls),
    };

    return cmocka_run_group_tests_name("image_program", tests, NULL, NULL);
}
