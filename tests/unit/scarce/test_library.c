/* test_library.c: the library's calls, up to the start of a machine and in a
 * session with an agent, when memory runs out. */
#include "stand.h"

#include "base/bytes.h"
#include "base/own.h"
#include "exec/exec.h"
#include "failing_alloc.h"
#include "platform/channel.h"
#include "proto/resolved.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the public calls ---- */

struct stand {
    char folder[STAND_PATH_MAX];
    char rootfs[STAND_PATH_MAX];
};

/* A program in the folder, in the place of one of ours. */
static void put_program(const char *folder, const char *name, const char *does)
{
    char path[STAND_PATH_MAX];

    stand_print(folder, name, "#!/bin/sh\n%s\n", does);
    stand_join(path, folder, name);
    assert_int_equal(chmod(path, 0755), 0);
}

/* supermachine-image is one that gives (result) to whoever asks it, and
 * supermachine-vmm one that says nothing. */
static void put_programs(const char *folder, const struct image_result *result)
{
    char does[STAND_PATH_MAX + 32];
    struct buf answer;

    buf_init(&answer, IMAGE_FRAME_MAX);
    image_put_result(&answer, result);
    assert_false(answer.failed);
    stand_write(folder, "answer", answer.data, answer.size);
    buf_done(&answer);
    snprintf(does, sizeof does, "exec /bin/cat %s/answer >&3", folder);
    put_program(folder, "supermachine-image", does);
    put_program(folder, "supermachine-vmm", "exec /bin/sleep 1000");
    stand_write(folder, "vmlinux", "x", 1);
    stand_write(folder, "initramfs.cpio", "x", 1);
}

/* A home in which the image "oci:/layout" is known already. */
static int set_up(void **state)
{
    static struct stand stand;
    const struct image_request request = {"oci:/layout", "",
                                          IMAGE_DISK_DEFAULT_GIB * GIB};
    const struct image_witnesses witnesses = {.count = 0};
    static char *words[] = {(char *)"sh", (char *)"A=b", NULL};
    struct image_result result = {
        .rootfs = stand.rootfs,
        .disk_bytes = IMAGE_DISK_DEFAULT_GIB * GIB,
        .digest = (char *)"sha256:1",
        .config_digest = (char *)"sha256:2",
        .platform = (char *)"linux/amd64",
        .config = {.cmd = {.items = words, .count = 1},
                   .env = {.items = words + 1, .count = 1},
                   .workdir = (char *)"/",
                   .user = (char *)"u"}};

    stand_folder(stand.folder);
    stand_print(stand.folder, "root.ext4", "%04096d", 0);
    stand_join(stand.rootfs, stand.folder, "root.ext4");
    put_programs(stand.folder, &result);
    assert_int_equal(
        resolved_save(stand.folder, &request, &witnesses, &result, NULL), 0);
    *state = &stand;
    return 0;
}

static int tear_down(void **state)
{
    struct stand *stand = *state;

    stand_remove(stand->folder);
    return 0;
}

struct objects {
    struct sm_host *host;
    struct sm_image *image;
    struct sm_machine *machine;
    struct sm_exec *exec;
};

static int make_machine(const struct stand *stand, struct objects *objects,
                        struct sm_error *err)
{
    const char *const environment[] = {"PATH=/bin", "HOME=/", NULL};
    struct sm_host_config config;
    struct sm_machine_config machine;
    int rc;

    sm_host_config_init(&config);
    config.home = stand->folder;
    config.runtime_dir = stand->folder;
    config.environment = environment;
    rc = sm_host_new(&config, &objects->host, err);
    if (!rc)
        rc = sm_image_open(objects->host, "oci:/layout", NULL, NULL,
                           &objects->image, err);
    sm_machine_config_init(&machine);
    machine.hostname = "h";
    machine.kernel_args = "quiet";
    return rc ? rc
              : sm_machine_new(objects->host, objects->image, &machine,
                               &objects->machine, err);
}

static int use_library(void *context, struct sm_error *err)
{
    const char *const argv[] = {"a", "b", NULL};
    const char *const env[] = {"A=1", "B=2", NULL};
    struct objects objects = {0};
    struct sm_exec_config exec;
    char *text = NULL;
    int rc = make_machine(context, &objects, err);

    sm_exec_config_init(&exec);
    exec.argv = argv;
    exec.env = env;
    exec.user = "u";
    exec.workdir = "/w";
    exec.stdin_fd = exec.stdout_fd = SM_BYTES;
    if (!rc)
        rc = sm_exec_new(objects.machine, &exec, &objects.exec, err);
    if (!rc)
        rc = sm_exec_fd(objects.exec, err) < 0 ? err->code : 0;
    if (!rc)
        rc = sm_machine_fd(objects.machine, err) < 0 ? err->code : 0;
    if (!rc)
        rc = sm_machine_start(objects.machine, SM_NOWAIT, err);
    if (!rc)
        rc = sm_machine_log(objects.machine, &text, err);
    free(text);
    sm_exec_free(objects.exec);
    sm_machine_free(objects.machine);
    sm_image_free(objects.image);
    sm_host_free(objects.host);
    return rc;
}

static void test_scarce_library_gives_nothing_half_made(void **state)
{
    assert_true(alloc_each_fails(use_library, *state, 50));
}

static int ask_for_image(void *context, struct sm_error *err)
{
    const struct stand *stand = context;
    const char *const insecure[] = {"a:1", "b:2", NULL};
    struct sm_host_config config;
    struct sm_image_config wanted;
    struct sm_host *host = NULL;
    struct sm_image *image = NULL;
    int rc;

    sm_host_config_init(&config);
    config.home = stand->folder;
    config.runtime_dir = stand->folder;
    sm_image_config_init(&wanted);
    wanted.insecure = insecure;
    rc = sm_host_new(&config, &host, err);
    if (!rc)
        rc = sm_image_prepare(host, "oci:/other", &wanted, &image, err);
    sm_image_free(image);
    sm_host_free(host);
    return rc;
}

static void test_scarce_image_work_is_asked_for_and_understood(void **state)
{
    assert_true(alloc_each_fails(ask_for_image, *state, 25));
}

/* ---- a session ---- */

/* The agent's first words, made while there is memory. */
static struct buf hello_bytes;

struct talk {
    bool hello;
    bool over;
    struct sm_error why;
};

static void on_hello(void *context, const struct agent_hello *hello)
{
    struct talk *talk = context;

    (void)hello;
    talk->hello = true;
}

static void on_closed(void *context, const struct sm_error *why)
{
    struct talk *talk = context;

    talk->over = true;
    talk->why = *why;
}

static const struct session_events talk_events = {.hello = on_hello,
                                                  .closed = on_closed};

static void on_output(void *context, enum agent_stream stream,
                      const uint8_t *bytes, size_t count)
{
    (void)context;
    (void)stream;
    (void)bytes;
    (void)count;
}

static void on_ended(void *context, const struct exec_end *end)
{
    (void)context;
    (void)end;
}

static const struct exec_events run_events = {.output = on_output,
                                              .ended = on_ended};

/* Everything that a host says to an agent. */
static int speak(struct session *session, struct exec **exec,
                 struct sm_error *err)
{
    static const uint8_t entropy[AGENT_ENTROPY_MIN];
    const char *const argv[] = {"a", NULL};
    const struct agent_setup setup = {
        .entropy = entropy, .entropy_count = sizeof entropy, .hostname = "h"};
    const struct exec_options options = {
        .program = {.argv = argv},
        .ports = {{.kind = EXEC_BYTES}, {.kind = EXEC_BYTES}, {0}},
        .events = &run_events};
    const struct agent_shutdown shutdown = {.end = AGENT_POWER_OFF};
    int rc = session_setup(session, &setup, err);

    if (!rc)
        rc = exec_start(session, &options, exec, err);
    if (!rc)
        rc = exec_signal(*exec, 15, AGENT_GROUP, err);
    if (!rc)
        rc = exec_resize(*exec, 24, 80, err);
    if (!rc)
        rc = session_ping(session, 1, err);
    if (!rc)
        (void)exec_write(*exec, "input", 5);
    return rc ? rc : session_shutdown(session, &shutdown, err);
}

static int hold_session(void *context, struct sm_error *err)
{
    struct session *session = NULL;
    struct loop *loop = NULL;
    struct exec *exec = NULL;
    struct talk talk = {0};
    int ends[2];
    int rc;

    (void)context;
    assert_int_equal(stream_pair(ends, NULL), 0);
    assert_int_equal(write(ends[1], hello_bytes.data, hello_bytes.size),
                     hello_bytes.size);
    rc = loop_new(&loop, err);
    if (rc)
        close(ends[0]);
    else
        rc = session_open(loop, ends[0], &talk_events, &talk, &session, err);
    while (!rc && !talk.hello && !talk.over)
        loop_turn(loop, -1);
    if (!rc && !talk.over)
        rc = speak(session, &exec, err);
    if (!rc && !talk.over)
        loop_turn(loop, 0);
    if (!rc && talk.over) {
        rc = talk.why.code;
        if (err)
            *err = talk.why;
    }
    exec_free(exec);
    session_close(session);
    loop_free(loop);
    close(ends[1]);
    return rc;
}

static void test_scarce_session_ends_or_says_so(void **state)
{
    const struct agent_hello hello = {
        .version = AGENT_VERSION, .kernel = "6.1", .agent = "0.1"};

    (void)state;
    buf_init(&hello_bytes, KIB);
    agent_put_hello(&hello_bytes, &hello);
    assert_false(hello_bytes.failed);
    assert_true(alloc_each_fails(hold_session, NULL, 6));
    buf_done(&hello_bytes);
}

/* What a host says to a machine that came out of a snapshot. */
static int take_over(struct session *session, struct exec **exec,
                     struct sm_error *err)
{
    static const uint8_t entropy[AGENT_ENTROPY_MIN];
    const struct agent_clone clone = {
        .entropy = entropy, .entropy_count = sizeof entropy, .generation = {1}};
    const struct exec_options options = {
        .ports = {{.kind = EXEC_BYTES}, {.kind = EXEC_BYTES}, {0}},
        .events = &run_events};
    int rc;

    session_restored(session);
    rc = exec_resume(session, &options, 1, exec, err);
    if (!rc)
        rc = session_ping(session, 1, err);
    return rc ? rc : session_clone(session, &clone, err);
}

static int restore_session(void *context, struct sm_error *err)
{
    struct session *session = NULL;
    struct loop *loop = NULL;
    struct exec *exec = NULL;
    struct talk talk = {0};
    int ends[2];
    int rc;

    (void)context;
    assert_int_equal(stream_pair(ends, NULL), 0);
    rc = loop_new(&loop, err);
    if (rc)
        close(ends[0]);
    else
        rc = session_open(loop, ends[0], &talk_events, &talk, &session, err);
    if (!rc)
        rc = take_over(session, &exec, err);
    if (!rc)
        loop_turn(loop, 0);
    if (!rc && talk.over) {
        rc = talk.why.code;
        if (err)
            *err = talk.why;
    }
    exec_free(exec);
    session_close(session);
    loop_free(loop);
    close(ends[1]);
    return rc;
}

static void test_scarce_clone_is_not_half_said(void **state)
{
    (void)state;
    assert_true(alloc_each_fails(restore_session, NULL, 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scarce_session_ends_or_says_so),
        cmocka_unit_test(test_scarce_clone_is_not_half_said),
        cmocka_unit_test_setup_teardown(
            test_scarce_library_gives_nothing_half_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_scarce_image_work_is_asked_for_and_understood, set_up,
            tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
