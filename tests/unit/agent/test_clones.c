/* test_clones.c: a machine that was held goes on as another one.
 *
 * A process cannot be captured here: the host's end of the session that held is
 * thrown away, and another one takes its place on the same connection, as in a
 * machine that came out of a snapshot.
 */
#include "stand.h"

#include "base/bytes.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct stand stand;

static int set_up(void **state)
{
    (void)state;
    stand_start(&stand, STAND_CGROUPS | STAND_CLONES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stand_stop(&stand);
    return 0;
}

static void wait_for(struct run *run, const char *text)
{
    while (!strstr(run_out(run), text)) {
        assert_false(run->ended);
        loop_turn(stand.loop, -1);
    }
}

static void write_all(struct run *run, const char *text, size_t count)
{
    while (count > 0) {
        size_t some = exec_write(run->exec, text, count);

        text += some;
        count -= some;
        if (count > 0)
            loop_turn(stand.loop, -1);
    }
}

/* Hold, and go over to a session that knows nothing of the first. */
static void capture(void)
{
    stand_hold(&stand);
    assert_int_equal(stand.not_held.code, 0);
    session_close(stand.session);
    stand.ready = stand.held = stand.closed = false;
    assert_int_equal(session_open(stand.loop,
                                  fcntl(stand.again, F_DUPFD_CLOEXEC, 0),
                                  &stand_events, &stand, &stand.session, NULL),
                     0);
    session_restored(stand.session);
}

static void send_clone(const char *hostname)
{
    static const uint8_t entropy[AGENT_ENTROPY_MIN] = {2};
    const struct agent_clone clone = {
        .wall_clock_ns = 2,
        .entropy = entropy,
        .entropy_count = sizeof entropy,
        .hostname = hostname,
        .generation = {1},
    };

    assert_int_equal(session_clone(stand.session, &clone, NULL), 0);
}

static void go_on(void)
{
    send_clone("clone");
    stand_until(&stand, &stand.ready);
}

/* (run) goes on from what (old) was. */
static void resume(struct run *run, const struct run *old)
{
    struct sm_error err;

    run_init(run, &stand, "");
    run->options.ports[AGENT_IN] = old->options.ports[AGENT_IN];
    run->options.ports[AGENT_OUT] = old->options.ports[AGENT_OUT];
    run->options.ports[AGENT_ERR] = old->options.ports[AGENT_ERR];
    run->options.program.flags = old->options.program.flags;
    if (exec_resume(stand.session, &run->options, exec_channel(old->exec),
                    &run->exec, &err))
        fail_msg("%s", err.message);
}

static void start(struct run *run, const char *script)
{
    run_init(run, &stand, script);
    run->argv[3] = stand.folder;
    run->options.ports[AGENT_IN].kind = EXEC_BYTES;
    run_start(run);
}

static bool file_says(const char *name, const char *text)
{
    char path[96];
    char line[64] = "";
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", stand.folder, name);
    file = fopen(path, "re");
    if (!file)
        return false;
    if (!fgets(line, sizeof line, file))
        line[0] = '\0';
    fclose(file);
    return strcmp(line, text) == 0;
}

static void test_clone_goes_on_with_those_it_names(void **state)
{
    struct run other;
    struct run first;
    struct run again;

    (void)state;
    /* More than any pipe or window holds, once its stdin has ended. */
    start(&other, "echo up; cat; head -c 3000000 /dev/zero; "
                  "echo done > $0/script");
    start(&first, "echo up; while read x; do echo got $x; echo $x >&2; done; "
                  "exit 7");
    wait_for(&other, "up\n");
    wait_for(&first, "up\n");
    capture();
    assert_int_equal(first.end.outcome, EXEC_LOST);
    resume(&again, &first);
    go_on();
    assert_true(file_says("clone", "clone"));
    assert_int_equal(exec_channel(again.exec), 1);
    stand_until(&stand, &again.started);
    assert_int_equal(again.pid, first.pid);
    write_all(&again, "one\n", 4);
    wait_for(&again, "got one\n");
    exec_write_end(again.exec);
    run_wait(&again);
    assert_int_equal(again.end.status, 7);
    assert_string_equal(run_out(&again), "got one\n");
    assert_string_equal(run_err(&again), "one\n");
    while (!file_says("script", "done\n"))
        stand_sync(&stand);
    assert_false(stand.closed);
    run_done(&again);
    run_done(&first);
    run_done(&other);
}

/* Requests may leave behind CLONE, in the same piece. */
static void test_clone_starts_programs_behind_it(void **state)
{
    struct run run;

    (void)state;
    capture();
    run_init(&run, &stand, "echo new");
    run_start(&run);
    send_clone("clone");
    run_wait(&run);
    assert_true(stand.ready);
    assert_string_equal(run_out(&run), "new\n");
    run_done(&run);
}

/* What the first session sent and the program has not read is not lost, and
 * the second is granted only what there is room for. */
static void test_clone_keeps_the_order_of_stdin(void **state)
{
    enum { FIRST = 128 << 10, SECOND = 300 << 10 };
    static char text[FIRST + SECOND];
    char expected[64];
    struct run first;
    struct run again;
    char path[96];
    size_t x = 0;

    (void)state;
    snprintf(path, sizeof path, "%s/pipe", stand.folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + (x = x * 1103515245 + 12345) / 65536 % 26);
    start(&first, "echo up; read x < $0/pipe; cksum");
    wait_for(&first, "up\n");
    assert_int_equal(exec_write(first.exec, text, FIRST), FIRST);
    stand_sync(&stand);
    capture();
    resume(&again, &first);
    go_on();
    close(open(path, O_WRONLY | O_CLOEXEC));
    write_all(&again, text + FIRST, SECOND);
    exec_write_end(again.exec);
    run_wait(&again);
    run_done(&first);
    start(&first, "cksum");
    write_all(&first, text, sizeof text);
    exec_write_end(first.exec);
    run_wait(&first);
    snprintf(expected, sizeof expected, "%s", run_out(&first));
    assert_string_equal(run_out(&again), expected);
    run_done(&again);
    run_done(&first);
}

static void test_clone_tells_of_streams_that_have_ended(void **state)
{
    char path[96];
    struct run first;
    struct run again;

    (void)state;
    snprintf(path, sizeof path, "%s/pipe", stand.folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    start(&first, "exec <&- 2>&-; echo up; read x < $0/pipe; exit 3");
    wait_for(&first, "up\n");
    stand_until(&stand, &first.err_ended);
    /* The agent sees that stdin is closed by trying. */
    exec_write(first.exec, "x", 1);
    stand_sync(&stand);
    capture();
    resume(&again, &first);
    go_on();
    stand_until(&stand, &again.err_ended);
    assert_false(again.ended || again.out_ended);
    assert_int_equal(exec_write(again.exec, path, sizeof path), sizeof path);
    close(open(path, O_WRONLY | O_CLOEXEC));
    run_wait(&again);
    assert_int_equal(again.end.status, 3);
    run_done(&again);
    run_done(&first);
}

static void test_clone_on_a_terminal(void **state)
{
    struct run first;
    struct run again;

    (void)state;
    run_init(&first, &stand, "echo up; read x; echo got $x; read x; stty size");
    first.options.program.flags = AGENT_EXEC_TTY;
    first.options.ports[AGENT_IN].kind = EXEC_BYTES;
    first.options.ports[AGENT_ERR].kind = EXEC_NONE;
    run_start(&first);
    wait_for(&first, "up\r\n");
    capture();
    resume(&again, &first);
    assert_int_equal(exec_resize(again.exec, 33, 44, NULL), 0);
    go_on();
    write_all(&again, "x\ny\n", 4);
    run_wait(&again);
    assert_non_null(strstr(run_out(&again), "got x\r\n"));
    assert_non_null(strstr(run_out(&again), "33 44\r\n"));
    run_done(&again);
    run_done(&first);
}

/* Without its user: what reads its terminal sees the end of file. */
static void test_clone_ends_a_shell_that_nobody_resumes(void **state)
{
    struct run first;

    (void)state;
    run_init(&first, &stand,
             "echo up; cat; head -c 300000 /dev/zero; echo done > $0/script");
    first.argv[3] = stand.folder;
    first.options.program.flags = AGENT_EXEC_TTY;
    first.options.ports[AGENT_IN].kind = EXEC_BYTES;
    first.options.ports[AGENT_ERR].kind = EXEC_NONE;
    run_start(&first);
    wait_for(&first, "up\r\n");
    capture();
    go_on();
    while (!file_says("script", "done\n"))
        stand_sync(&stand);
    run_done(&first);
}

/* Output that nobody wants any more is dropped, and no stdin is its end. */
static void test_clone_with_other_ports(void **state)
{
    struct run first;
    struct run again;

    (void)state;
    start(&first, "echo up; cat; head -c 3000000 /dev/zero; echo end >&2");
    wait_for(&first, "up\n");
    first.options.ports[AGENT_IN].kind = EXEC_NONE;
    first.options.ports[AGENT_OUT].kind = EXEC_NONE;
    capture();
    resume(&again, &first);
    go_on();
    run_wait(&again);
    assert_int_equal(again.end.status, 0);
    assert_string_equal(run_err(&again), "end\n");
    assert_string_equal(run_out(&again), "");
    run_done(&again);
    run_done(&first);
}

static void test_clone_of_a_clone(void **state)
{
    struct run runs[4];
    char text[16];

    (void)state;
    start(&runs[0], "echo up; while read x; do echo got $x; done");
    wait_for(&runs[0], "up\n");
    for (unsigned i = 1; i < ARRAY_LEN(runs); i++) {
        struct run extra;

        /* Its channel is another one every time. */
        run_script(&extra, &stand, "true");
        run_done(&extra);
        capture();
        run_init(&extra, &stand, "true");
        if (i % 2)
            run_start(&extra);
        resume(&runs[i], &runs[i - 1]);
        go_on();
        snprintf(text, sizeof text, "%u\n", i);
        write_all(&runs[i], text, 2);
        snprintf(text, sizeof text, "got %u\n", i);
        wait_for(&runs[i], text);
        if (i % 2)
            run_wait(&extra);
        run_done(&extra);
    }
    for (unsigned i = 0; i < ARRAY_LEN(runs); i++)
        run_done(&runs[i]);
}

/* In every state that a program can be in. */
static void test_clone_in_the_middle_of_starts(void **state)
{
    enum { PROGRAMS = 30 };
    struct run old[PROGRAMS];
    struct run new[PROGRAMS];
    unsigned left = 0;

    (void)state;
    for (unsigned i = 0; i < PROGRAMS; i++) {
        run_init(&old[i], &stand, "printf %s begin; head -c 100000 /dev/zero");
        old[i].drop = true;
        run_start(&old[i]);
    }
    capture();
    for (unsigned i = 0; i < PROGRAMS; i++) {
        if (old[i].end.outcome == EXEC_LOST) {
            resume(&new[i], &old[i]);
            new[i].drop = true;
            left++;
        }
    }
    assert_true(left > 0);
    go_on();
    for (unsigned i = 0; i < PROGRAMS; i++) {
        if (old[i].end.outcome == EXEC_LOST) {
            run_wait(&new[i]);
            assert_true(new[i].started);
            assert_int_equal(new[i].end.status, 0);
            assert_int_equal(old[i].count + new[i].count, 100005);
            run_done(&new[i]);
        }
        run_done(&old[i]);
    }
}

static void expect_dead_end(int code, const char *words)
{
    stand_until(&stand, &stand.closed);
    assert_int_equal(stand.why.code, code);
    assert_non_null(strstr(stand.why.message, words));
    assert_false(stand.ready);
    assert_true(stand_stays_frozen(&stand));
}

static void test_clone_that_fails_thaws_nothing(void **state)
{
    struct run kept;
    struct run lost;

    (void)state;
    run_init(&kept, &stand, "echo up; read x; echo $x > $0/script");
    kept.argv[3] = stand.folder;
    kept.options.program.flags = AGENT_EXEC_KEEP;
    kept.options.ports[AGENT_IN].kind = EXEC_BYTES;
    run_start(&kept);
    wait_for(&kept, "up\n");
    capture();
    run_init(&lost, &stand, "echo never");
    run_start(&lost);
    send_clone("refuse");
    expect_dead_end(SM_EGUEST, "the stand refuses");
    assert_true(file_says("clone", "refuse"));
    assert_int_equal(lost.end.outcome, EXEC_LOST);
    /* Its stdin has ended, but it does not run. */
    assert_false(file_says("script", "\n"));
    run_done(&lost);
    run_done(&kept);
}

static void test_clone_with_a_program_that_is_not_there(void **state)
{
    struct run first;
    struct run again;

    (void)state;
    start(&first, "echo up; cat");
    wait_for(&first, "up\n");
    capture();
    run_init(&again, &stand, "");
    assert_int_equal(exec_resume(stand.session, &again.options,
                                 exec_channel(first.exec) + 1, &again.exec,
                                 NULL),
                     0);
    send_clone("clone");
    expect_dead_end(SM_EGUEST, "channel 2");
    /* Nothing else was touched before that was seen. */
    assert_false(file_says("clone", "clone"));
    run_done(&again);
    run_done(&first);
}

static void test_clone_calls_out_of_turn_are_refused(void **state)
{
    static const uint8_t few[AGENT_ENTROPY_MIN - 1];
    struct agent_clone clone = {.entropy = few, .entropy_count = sizeof few};
    struct run run;

    (void)state;
    run_init(&run, &stand, "");
    assert_int_equal(session_clone(stand.session, &clone, NULL), SM_ESTATE);
    assert_int_equal(
        exec_resume(stand.session, &run.options, 1, &run.exec, NULL),
        SM_ESTATE);
    assert_int_equal(session_release(stand.session, NULL), SM_ESTATE);
    capture();
    assert_int_equal(session_hold(stand.session, NULL), SM_ESTATE);
    assert_int_equal(session_release(stand.session, NULL), SM_ESTATE);
    assert_int_equal(session_clone(stand.session, &clone, NULL), SM_EINVAL);
    assert_int_equal(
        exec_resume(stand.session, &run.options, 0, &run.exec, NULL),
        SM_EINVAL);
    go_on();
    assert_int_equal(session_clone(stand.session, &clone, NULL), SM_ESTATE);
    assert_int_equal(
        session_setup(stand.session, &(struct agent_setup){0}, NULL),
        SM_ESTATE);
    run_done(&run);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_clone_goes_on_with_those_it_names),
        TEST(test_clone_starts_programs_behind_it),
        TEST(test_clone_keeps_the_order_of_stdin),
        TEST(test_clone_tells_of_streams_that_have_ended),
        TEST(test_clone_on_a_terminal),
        TEST(test_clone_ends_a_shell_that_nobody_resumes),
        TEST(test_clone_with_other_ports),
        TEST(test_clone_of_a_clone),
        TEST(test_clone_in_the_middle_of_starts),
        TEST(test_clone_that_fails_thaws_nothing),
        TEST(test_clone_with_a_program_that_is_not_there),
        TEST(test_clone_calls_out_of_turn_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
