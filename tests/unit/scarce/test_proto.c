/* test_proto.c: messages and records when memory runs out. */
#include "base/bytes.h"
#include "base/own.h"
#include "failing_alloc.h"
#include "platform/helper.h"
#include "platform/loop.h"
#include "proto/agent.h"
#include "proto/resolved.h"
#include "proto/worker.h"
#include "stand.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What each message is made of; made while there is memory. */
struct sent {
    struct buf bytes;
    struct frame frame;
};

static void send_begin(struct sent *sent)
{
    buf_init(&sent->bytes, IMAGE_FRAME_MAX);
}

static void send_end(struct sent *sent)
{
    assert_false(sent->bytes.failed);
    sent->frame = (struct frame){
        .count = (uint32_t)(sent->bytes.size - FRAME_HEADER_BYTES),
        .type = load_le16(sent->bytes.data + 4),
        .channel = load_le32(sent->bytes.data + 8),
        .payload = sent->bytes.data + FRAME_HEADER_BYTES,
    };
}

#define WORDS(list)                                                            \
    ((struct image_strings){.items = (list), .count = ARRAY_LEN(list) - 1})

static const struct image_result *make_result(const char *rootfs)
{
    static struct image_result result;
    static char *words[] = {(char *)"a", (char *)"b=c", NULL};

    result = (struct image_result){.rootfs = (char *)(uintptr_t)rootfs,
                                   .disk_bytes = GIB,
                                   .digest = (char *)"sha256:1",
                                   .config_digest = (char *)"sha256:2",
                                   .platform = (char *)"linux/amd64",
                                   .config = {.entrypoint = WORDS(words),
                                              .cmd = WORDS(words),
                                              .env = WORDS(words),
                                              .labels = WORDS(words),
                                              .workdir = (char *)"/",
                                              .user = (char *)"u",
                                              .stop_signal = (char *)"9",
                                              .healthcheck = (char *)""}};
    return &result;
}

static int get_result(void *context, struct sm_error *err)
{
    struct sent *sent = context;
    struct image_result result;
    int rc = image_get_result(&sent->frame, &result, err);

    if (!rc)
        image_result_done(&result);
    return rc;
}

static int get_stored(void *context, struct sm_error *err)
{
    struct sent *sent = context;
    struct image_stored stored;
    int rc = image_get_stored(&sent->frame, &stored, err);

    if (!rc)
        image_stored_done(&stored);
    return rc;
}

static int get_progress(void *context, struct sm_error *err)
{
    struct sent *sent = context;
    struct image_progress progress;
    int rc = image_get_progress(&sent->frame, &progress, err);

    if (!rc)
        image_progress_done(&progress);
    return rc;
}

static int get_change(void *context, struct sm_error *err)
{
    struct sent *sent = context;
    struct image_change change;
    int rc = image_get_change(&sent->frame, &change, err);

    if (!rc)
        image_change_done(&change);
    return rc;
}

static int get_text(void *context, struct sm_error *err)
{
    struct sent *sent = context;
    char *text;
    int rc = image_get_text(&sent->frame, &text, err);

    if (!rc)
        free(text);
    return rc;
}

static void test_scarce_image_frames_are_not_blamed(void **state)
{
    struct sent sent;

    (void)state;
    send_begin(&sent);
    image_put_result(&sent.bytes, make_result("/r"));
    send_end(&sent);
    assert_true(alloc_each_fails(get_result, &sent, 16));
    buf_done(&sent.bytes);
    send_begin(&sent);
    image_put_stored(&sent.bytes, &(struct image_stored){0});
    send_end(&sent);
    assert_true(alloc_each_fails(get_stored, &sent, 6));
    buf_done(&sent.bytes);
    send_begin(&sent);
    image_put_progress(&sent.bytes,
                       &(struct image_progress){.number = 1, .count = 1});
    send_end(&sent);
    assert_true(alloc_each_fails(get_progress, &sent, 2));
    buf_done(&sent.bytes);
    send_begin(&sent);
    image_put_change(&sent.bytes, &(struct image_change){0});
    send_end(&sent);
    assert_true(alloc_each_fails(get_change, &sent, 2));
    buf_done(&sent.bytes);
    send_begin(&sent);
    image_put_text(&sent.bytes, "text");
    send_end(&sent);
    assert_true(alloc_each_fails(get_text, &sent, 1));
    buf_done(&sent.bytes);
}

static int get_exec(void *context, struct sm_error *err)
{
    struct sent *sent = context;
    struct agent_exec exec;
    int rc = agent_get_exec(&exec, &sent->frame, err);

    agent_exec_done(&exec);
    return rc;
}

static int get_setup(void *context, struct sm_error *err)
{
    struct sent *sent = context;
    struct agent_setup setup;
    int rc = agent_get_setup(&setup, &sent->frame, err);

    agent_setup_done(&setup);
    return rc;
}

static int get_clone(void *context, struct sm_error *err)
{
    struct sent *sent = context;
    struct agent_clone clone;
    int rc = agent_get_clone(&clone, &sent->frame, err);

    agent_clone_done(&clone);
    return rc;
}

static void test_scarce_agent_requests_are_not_blamed(void **state)
{
    static const uint8_t entropy[AGENT_ENTROPY_MIN];
    const char *const argv[] = {"a", "b", NULL};
    struct sent sent;

    (void)state;
    send_begin(&sent);
    agent_put_exec(&sent.bytes, 1, &(struct agent_exec){.argv = argv});
    send_end(&sent);
    assert_true(alloc_each_fails(get_exec, &sent, 1));
    buf_done(&sent.bytes);
    send_begin(&sent);
    agent_put_setup(&sent.bytes,
                    &(struct agent_setup){.entropy = entropy,
                                          .entropy_count = sizeof entropy,
                                          .hostname = "h"});
    send_end(&sent);
    assert_true(alloc_each_fails(get_setup, &sent, 1));
    buf_done(&sent.bytes);
    send_begin(&sent);
    agent_put_clone(&sent.bytes,
                    &(struct agent_clone){.entropy = entropy,
                                          .entropy_count = sizeof entropy,
                                          .generation = {1}});
    send_end(&sent);
    assert_true(alloc_each_fails(get_clone, &sent, 1));
    buf_done(&sent.bytes);
}

/* ---- records of what was resolved ---- */

static const struct image_request request = {"oci:/l:t", "", 1 << 20};

struct home {
    char path[64];
    char witness[96];
    struct image_witnesses witnesses;
    unsigned records;
};

static int save(void *context, struct sm_error *err)
{
    struct home *home = context;

    return resolved_save(home->path, &request, &home->witnesses,
                         make_result(home->witness), err);
}

static int load(void *context, struct sm_error *err)
{
    struct home *home = context;
    struct image_result result;
    int rc = resolved_load(home->path, &request, &result, err);

    if (!rc)
        image_result_done(&result);
    return rc;
}

static int count_record(void *context, const char *rootfs, struct sm_error *err)
{
    struct home *home = context;

    (void)err;
    home->records += rootfs != NULL;
    return 0;
}

static int walk(void *context, struct sm_error *err)
{
    struct home *home = context;

    return resolved_walk(home->path, count_record, home, err);
}

static int witness(void *context, struct sm_error *err)
{
    struct home *home = context;
    AUTO_CLOSE int fd = open(home->witness, O_RDONLY | O_CLOEXEC);
    int rc;

    image_witnesses_done(&home->witnesses);
    rc = image_witness_add(&home->witnesses, fd, home->witness, err);
    image_witnesses_done(&home->witnesses);
    return rc;
}

static int name_absolutely(void *context, struct sm_error *err)
{
    char *absolute = NULL;
    int rc = reference_absolute("oci:dir", "/cwd", &absolute, err);

    (void)context;
    free(absolute);
    return rc;
}

static void test_scarce_records_stay(void **state)
{
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct home home = {.path = "/tmp/smtest.XXXXXX"};
    int fd;

    (void)state;
    assert_non_null(mkdtemp(home.path));
    snprintf(home.witness, sizeof home.witness, "%s/w", home.path);
    fd = open(home.witness, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(futimens(fd, old), 0);
    assert_true(alloc_each_fails(name_absolutely, NULL, 1));
    assert_true(alloc_each_fails(witness, &home, 1));
    /* No witness: nothing is too young to be kept. */
    assert_true(alloc_each_fails(save, &home, 4));
    assert_int_equal(save(&home, NULL), 0);
    assert_true(alloc_each_fails(load, &home, 18));
    assert_true(alloc_each_fails(walk, &home, 18));
    /* No failure took the record away. */
    home.records = 0;
    assert_int_equal(walk(&home, NULL), 0);
    assert_int_equal(home.records, 1);
    close(fd);
    stand_remove(home.path);
}

/* ---- what the operating system gives ---- */

static void on_event(void *context, unsigned events)
{
    (void)context;
    (void)events;
}

static void on_time(void *context)
{
    (void)context;
}

static int turn_loop(void *context, struct sm_error *err)
{
    const int *fds = context;
    struct loop *loop = NULL;
    struct loop_watch *pipe_watch = NULL;
    struct loop_watch *file_watch = NULL;
    struct loop_timer *timer = NULL;
    int rc = loop_new(&loop, err);

    if (!rc)
        rc = loop_watch(loop, fds[0], LOOP_READ, on_event, NULL, &pipe_watch,
                        err);
    if (!rc)
        rc = loop_watch(loop, fds[1], LOOP_READ, on_event, NULL, &file_watch,
                        err);
    if (!rc)
        rc = loop_timer_new(loop, on_time, NULL, &timer, err);
    if (!rc)
        rc = loop_expose(loop, err);
    if (!rc)
        loop_drive(loop);
    loop_timer_free(timer);
    loop_unwatch(pipe_watch);
    loop_unwatch(file_watch);
    loop_free(loop);
    return rc;
}

static int find_helper(void *context, struct sm_error *err)
{
    char *env[] = {(char *)"PATH=/nowhere:/bin:/usr/bin", NULL};
    char *path = NULL;
    int rc = helper_find(env, "sh", &path, err);

    (void)context;
    if (!rc)
        assert_non_null(path);
    free(path);
    return rc;
}

static int ask_helper(void *context, struct sm_error *err)
{
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"cat; echo more", NULL};
    char *env[] = {NULL};
    const struct helper_plan plan = {.path = "/bin/sh",
                                     .argv = argv,
                                     .env = env,
                                     .input = "word\n",
                                     .timeout_ms = 10000};
    struct buf answer;
    int status;
    int rc;

    (void)context;
    buf_init(&answer, 4096);
    rc = helper_run(&plan, &answer, &status, err);
    buf_done(&answer);
    return rc;
}

static void test_scarce_platform_says_so(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    close(fds[1]);
    fds[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(alloc_each_fails(turn_loop, fds, 4));
    assert_true(alloc_each_fails(find_helper, NULL, 2));
    assert_true(alloc_each_fails(ask_helper, NULL, 1));
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scarce_image_frames_are_not_blamed),
        cmocka_unit_test(test_scarce_agent_requests_are_not_blamed),
        cmocka_unit_test(test_scarce_records_stay),
        cmocka_unit_test(test_scarce_platform_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
