/* test_files.c: work on files through a session: streams, ends, errors. */
#include "stand.h"

#include "files/pax.h"
#include "proto/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct stand stand;
static char folder[64];

static int set_up(void **state)
{
    (void)state;
    stand_start(&stand, 0);
    snprintf(folder, sizeof folder, "/tmp/agent-files-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    char script[128];
    struct run run;

    (void)state;
    snprintf(script, sizeof script, "rm -rf %s", folder);
    run_script(&run, &stand, script);
    run_done(&run);
    stand_stop(&stand);
    return 0;
}

static const char *in_folder(const char *name)
{
    static char path[2][128];
    static int turn;

    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

/* (input), of (count) bytes, on stdin; NULL: none. */
static void work(struct run *run, const struct files_request *request,
                 const void *input, size_t count)
{
    char numbers[2][FILES_NUMBER_BYTES];
    size_t sent = 0;

    run_init(run, &stand, "");
    files_put(request, run->argv, numbers);
    run->options.program.flags = AGENT_EXEC_FILES;
    if (input)
        run->options.ports[AGENT_IN].kind = EXEC_BYTES;
    run_start(run);
    while (input && sent < count && !run->ended) {
        sent += exec_write(run->exec, (const char *)input + sent, count - sent);
        if (sent < count)
            loop_turn(stand.loop, -1);
    }
    if (input)
        exec_write_end(run->exec);
    run_wait(run);
}

/* The work's end as its host reads it. */
static int result(struct run *run, struct sm_error *err)
{
    assert_int_equal(run->end.outcome, EXEC_EXITED);
    return files_result((int)run->end.exit.value, run->err.data, run->err.size,
                        err);
}

static void expect(const struct files_request *request, const char *input,
                   int code, const char *message)
{
    struct sm_error err = {0};
    struct run run;

    work(&run, request, input, input ? strlen(input) : 0);
    assert_int_equal(result(&run, &err), code);
    if (!strstr(err.message, message))
        fail_msg("%s: is not in: %s", message, err.message);
    run_done(&run);
}

static void test_file_is_written_and_read(void **state)
{
    struct files_request request = {
        .path = in_folder("file"), .work = FILES_WRITE, .mode = 0640};
    size_t count = 3000000;
    char *bytes = malloc(count);
    struct stat st;
    struct run run;

    (void)state;
    for (size_t i = 0; i < count; i++)
        bytes[i] = (char)(i * 7 >> 3);
    work(&run, &request, bytes, count);
    assert_int_equal(result(&run, NULL), 0);
    run_done(&run);
    assert_int_equal(stat(request.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    request.work = FILES_READ;
    work(&run, &request, NULL, 0);
    assert_int_equal(result(&run, NULL), 0);
    assert_int_equal(run.out.size, count);
    assert_memory_equal(run.out.data, bytes, count);
    run_done(&run);
    free(bytes);
}

static void test_tree_is_packed_and_unpacked(void **state)
{
    struct files_request request = {.work = FILES_PACK};
    struct run script, packed, unpacked;
    char text[256];

    (void)state;
    snprintf(text, sizeof text,
             "cd %s; mkdir -p tree/sub new; seq 200000 >tree/sub/a; "
             "ln tree/sub/a tree/b; ln -s b tree/c",
             folder);
    run_script(&script, &stand, text);
    assert_int_equal(script.end.status, 0);
    run_done(&script);
    request.path = in_folder("tree");
    work(&packed, &request, NULL, 0);
    assert_int_equal(result(&packed, NULL), 0);
    request = (struct files_request){
        .work = FILES_UNPACK, .path = in_folder("new"), .flags = FILES_PLACE};
    work(&unpacked, &request, packed.out.data, packed.out.size);
    assert_int_equal(result(&unpacked, NULL), 0);
    snprintf(text, sizeof text,
             "cd %s; diff -r tree new/tree && test new/tree/b -ef "
             "new/tree/sub/a && test -L new/tree/c",
             folder);
    run_script(&script, &stand, text);
    assert_int_equal(script.end.status, 0);
    run_done(&script);
    run_done(&packed);
    run_done(&unpacked);
}

static void test_stat_is_one_header(void **state)
{
    const struct files_request request = {.work = FILES_STAT, .path = "/tmp"};
    struct run run;

    (void)state;
    work(&run, &request, NULL, 0);
    assert_int_equal(result(&run, NULL), 0);
    assert_true(run.out.size >= 3 * PAX_RECORD);
    assert_true(run.out.size <= 5 * PAX_RECORD);
    run_done(&run);
}

static void test_errors_come_with_code_and_words(void **state)
{
    (void)state;
    expect(&(struct files_request){.work = FILES_READ, .path = "/none/such"},
           NULL, SM_ENOENT, "/none/such: No such file");
    expect(&(struct files_request){.work = FILES_READ, .path = "/tmp"}, NULL,
           SM_EINVAL, "/tmp: not a regular file");
    expect(&(struct files_request){.work = FILES_READ, .path = "/dev/zero"},
           NULL, SM_EINVAL, "not a regular file");
    expect(&(struct files_request){.work = FILES_PACK, .path = "/none"}, NULL,
           SM_ENOENT, "/none: No such file");
    expect(&(struct files_request){.work = FILES_UNPACK, .path = folder},
           "no tar", SM_ECLOSED, "cut short");
    expect(&(struct files_request){.work = FILES_UNPACK, .path = "/none"}, "",
           SM_ENOENT, "/none: No such file");
    expect(&(struct files_request){.work = FILES_WRITE, .path = folder}, "x",
           SM_EIO, "Is a directory");
}

static void test_words_that_are_no_request_are_refused(void **state)
{
    static const char *const requests[][6] = {
        {"read", NULL},
        {"reed", "/a", "0", "0", NULL},
        {"read", "", "0", "0", NULL},
        {"read", "/a", "8", "0", NULL},
        {"read", "/a", "x", "0", NULL},
        {"read", "/a", "-1", "0", NULL},
        {"write", "/a", "0", "4096", NULL},
        {"read", "/a", "0", "0", "more", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct sm_error err;
        struct run run;

        run_init(&run, &stand, "");
        memcpy(run.argv, requests[i], sizeof requests[i]);
        run.options.program.flags = AGENT_EXEC_FILES;
        run_start(&run);
        run_wait(&run);
        assert_int_equal(result(&run, &err), SM_EINVAL);
        run_done(&run);
    }
}

/* What the agent has open is not its children's: else the input of one would
 * not end while the other lives. */
static void test_work_holds_nothing_of_others(void **state)
{
    const struct files_request request = {.work = FILES_WRITE,
                                          .path = in_folder("file")};
    char numbers[2][FILES_NUMBER_BYTES];
    struct run cat, writer;

    (void)state;
    run_init(&cat, &stand, "cat");
    cat.options.ports[AGENT_IN].kind = EXEC_BYTES;
    run_start(&cat);
    run_init(&writer, &stand, "");
    files_put(&request, writer.argv, numbers);
    writer.options.program.flags = AGENT_EXEC_FILES;
    writer.options.ports[AGENT_IN].kind = EXEC_BYTES;
    run_start(&writer);
    stand_until(&stand, &writer.started);
    exec_write_end(cat.exec);
    run_wait(&cat);
    exec_write_end(writer.exec);
    run_wait(&writer);
    assert_int_equal(result(&writer, NULL), 0);
    run_done(&cat);
    run_done(&writer);
}

static void test_work_is_killed_like_any_program(void **state)
{
    const struct files_request request = {.work = FILES_WRITE,
                                          .path = in_folder("file")};
    char numbers[2][FILES_NUMBER_BYTES];
    struct run run;

    (void)state;
    run_init(&run, &stand, "");
    files_put(&request, run.argv, numbers);
    run.options.program.flags = AGENT_EXEC_FILES;
    run.options.program.timeout_ms = 50;
    run.options.ports[AGENT_IN].kind = EXEC_BYTES;
    run_start(&run);
    run_wait(&run);
    assert_int_equal(run.end.outcome, EXEC_SIGNALED);
    assert_true(run.end.exit.flags & AGENT_EXIT_TIMEOUT);
    run_done(&run);
}

static void test_agent_says_that_it_can(void **state)
{
    (void)state;
    assert_true(stand.guest_hello.features & AGENT_CAN_FILES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        ROW(test_file_is_written_and_read),
        ROW(test_tree_is_packed_and_unpacked),
        ROW(test_stat_is_one_header),
        ROW(test_errors_come_with_code_and_words),
        ROW(test_words_that_are_no_request_are_refused),
        ROW(test_work_holds_nothing_of_others),
        ROW(test_work_is_killed_like_any_program),
        ROW(test_agent_says_that_it_can),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
