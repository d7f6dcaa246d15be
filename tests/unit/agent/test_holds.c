/* test_holds.c: a machine that stands still for a snapshot, and goes on. */
#include "stand.h"

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
    stand_start(&stand, STAND_CGROUPS);
    return 0;
}

static int set_up_bare(void **state)
{
    (void)state;
    stand_start(&stand, STAND_BARE | STAND_CGROUPS);
    return 0;
}

static int set_up_plain(void **state)
{
    (void)state;
    stand_start(&stand, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stand_stop(&stand);
    return 0;
}

static pid_t first_number(struct run *run)
{
    while (!run->ended && !strchr(run_out(run), '\n'))
        loop_turn(stand.loop, -1);
    return (pid_t)strtol(run_out(run), NULL, 10);
}

static void expect_refusal(int code)
{
    stand_hold(&stand);
    assert_int_equal(stand.not_held.code, code);
    stand_sync(&stand);
}

static void test_hold_keeps_every_byte_of_a_flood(void **state)
{
    enum { NUMBERS = 14000000, HOLDS = 20, APART = 5 << 20 };
    uint64_t next = APART;
    char line[16];
    uint64_t count = 0;
    uint64_t sum = 0;
    unsigned holds = 0;
    struct run run;

    (void)state;
    run_init(&run, &stand, "exec seq 14000000");
    run.drop = true;
    run_start(&run);
    while (!run.ended) {
        loop_turn(stand.loop, -1);
        if (run.count < next || run.ended || holds == HOLDS)
            continue;
        stand_hold(&stand);
        assert_int_equal(stand.not_held.code, 0);
        assert_true(stand_is_frozen(&stand));
        count = run.count;
        loop_turn(stand.loop, 0);
        assert_int_equal(run.count, count);
        assert_int_equal(session_release(stand.session, NULL), 0);
        next = run.count + APART;
        holds++;
    }
    assert_true(holds > 3);
    assert_int_equal(run.end.status, 0);
    count = 0;
    for (unsigned i = 1; i <= NUMBERS; i++) {
        size_t length = (size_t)snprintf(line, sizeof line, "%u\n", i);

        sum = sum_bytes(sum, count, (const uint8_t *)line, length);
        count += length;
    }
    assert_int_equal(run.count, count);
    assert_int_equal(run.sum, sum);
    run_done(&run);
}

static void test_hold_delays_what_is_asked_meanwhile(void **state)
{
    struct sm_error err;
    struct run first;
    struct run second;

    (void)state;
    run_init(&first, &stand,
             "trap 'echo got; exit 9' TERM; echo $$; "
             "while read line; do echo $line; done");
    first.options.ports[AGENT_IN].kind = EXEC_BYTES;
    run_start(&first);
    first_number(&first);
    stand_hold(&stand);
    assert_int_equal(session_hold(stand.session, &err), SM_ESTATE);
    run_init(&second, &stand, "echo second");
    run_start(&second);
    assert_int_equal(session_ping(stand.session, 77, NULL), 0);
    assert_int_equal(exec_write(first.exec, "hello\n", 6), 0);
    for (int i = 0; i < 3; i++)
        loop_turn(stand.loop, 0);
    assert_false(second.started || first.writable || stand.pong == 77);
    assert_int_equal(session_release(stand.session, NULL), 0);
    assert_int_equal(session_release(stand.session, NULL), SM_ESTATE);
    run_wait(&second);
    assert_string_equal(run_out(&second), "second\n");
    assert_int_equal(stand.pong, 77);
    stand_until(&stand, &first.writable);
    assert_int_equal(exec_write(first.exec, "hello\n", 6), 6);
    while (!strstr(run_out(&first), "hello\n"))
        loop_turn(stand.loop, -1);
    stand_hold(&stand);
    exec_signal(first.exec, SIGTERM, AGENT_PROCESS, NULL);
    exec_write_end(first.exec);
    assert_int_equal(session_release(stand.session, NULL), 0);
    run_wait(&first);
    assert_int_equal(first.end.status, 9);
    run_done(&first);
    run_done(&second);
}

/* Forked and not yet executed, running, ended, not yet collected. */
static void test_hold_in_the_middle_of_starts(void **state)
{
    enum { PROGRAMS = 40 };
    struct run runs[PROGRAMS];

    (void)state;
    for (unsigned i = 0; i < PROGRAMS; i++) {
        run_init(&runs[i], &stand, "echo here");
        run_start(&runs[i]);
        if (i % 10 < 9)
            continue;
        stand_hold(&stand);
        assert_int_equal(stand.not_held.code, 0);
        assert_true(stand_is_frozen(&stand));
        assert_int_equal(session_release(stand.session, NULL), 0);
    }
    for (unsigned i = 0; i < PROGRAMS; i++) {
        run_wait(&runs[i]);
        assert_string_equal(run_out(&runs[i]), "here\n");
        run_done(&runs[i]);
    }
}

/* One stopped by a signal, one that waits for its child. */
static void test_hold_of_programs_that_wait_in_the_kernel(void **state)
{
    struct run stopped;
    struct run waits;
    pid_t pid;

    (void)state;
    run_init(&stopped, &stand, "echo $$; kill -STOP $$; echo on");
    run_start(&stopped);
    pid = first_number(&stopped);
    while (!stand_state_is(pid, 'T'))
        loop_turn(stand.loop, 0);
    run_init(&waits, &stand, "echo 1; sleep 1000");
    run_start(&waits);
    first_number(&waits);
    stand_hold(&stand);
    assert_int_equal(stand.not_held.code, 0);
    assert_int_equal(session_release(stand.session, NULL), 0);
    exec_signal(stopped.exec, SIGCONT, AGENT_PROCESS, NULL);
    run_wait(&stopped);
    assert_non_null(strstr(run_out(&stopped), "on\n"));
    run_done(&stopped);
    run_done(&waits);
}

/* Nothing of it is said before the release. */
static void test_hold_outlasts_time_outs_and_ends(void **state)
{
    struct run timed;
    struct run killed;
    pid_t pid;

    (void)state;
    run_init(&timed, &stand, "echo $$; exec sleep 1000");
    timed.options.program.timeout_ms = 200;
    run_start(&timed);
    run_init(&killed, &stand, "echo $$; exec sleep 1000");
    run_start(&killed);
    pid = first_number(&killed);
    stand_hold(&stand);
    assert_int_equal(stand.not_held.code, 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    while (!stand_state_is(pid, 'Z'))
        loop_turn(stand.loop, 0);
    assert_false(killed.ended);
    assert_int_equal(session_release(stand.session, NULL), 0);
    run_wait(&killed);
    assert_int_equal(killed.end.exit.value, SIGKILL);
    run_wait(&timed);
    assert_int_equal(timed.end.exit.flags, AGENT_EXIT_TIMEOUT);
    run_done(&timed);
    run_done(&killed);
}

static void test_hold_of_a_bare_machine_is_refused(void **state)
{
    (void)state;
    expect_refusal(SM_ESTATE);
    stand_setup(&stand, "machine");
    stand_until(&stand, &stand.ready);
    stand_hold(&stand);
    assert_int_equal(stand.not_held.code, 0);
    session_release(stand.session, NULL);
    stand_sync(&stand);
}

static void test_hold_without_control_groups_is_refused(void **state)
{
    (void)state;
    expect_refusal(SM_ENOTSUP);
}

static void test_hold_beside_another_session_is_refused(void **state)
{
    int other = stand_call(&stand);
    char first;

    (void)state;
    assert_int_equal(recv(other, &first, 1, 0), 1);
    expect_refusal(SM_EBUSY);
    close(other);
}

/* Who calls meanwhile waits for an answer until it is over. */
static void test_hold_lets_callers_wait(void **state)
{
    char first;
    int other;

    (void)state;
    stand_hold(&stand);
    other = stand_call(&stand);
    assert_int_equal(recv(other, &first, 1, MSG_DONTWAIT), -1);
    session_release(stand.session, NULL);
    stand_sync(&stand);
    assert_int_equal(recv(other, &first, 1, 0), 1);
    close(other);
}

/* A process that has left for the root of the groups cannot be frozen: what
 * was frozen so far must run again. */
static void test_hold_with_a_stray_process_is_refused(void **state)
{
    struct run stray;
    struct run other;

    (void)state;
    run_init(&other, &stand, "echo $$; while read x; do echo $x; done");
    other.options.ports[AGENT_IN].kind = EXEC_BYTES;
    run_start(&other);
    first_number(&other);
    run_init(&stray, &stand,
             "echo $$ > $0/cgroup.procs && echo 1 && exec sleep 1000");
    stray.argv[3] = stand.cgroups;
    run_start(&stray);
    first_number(&stray);
    expect_refusal(SM_EBUSY);
    assert_non_null(strstr(stand.not_held.message, "control groups"));
    assert_int_equal(exec_write(other.exec, "on\n", 3), 3);
    while (!strstr(run_out(&other), "on\n"))
        loop_turn(stand.loop, -1);
    exec_signal(stray.exec, SIGKILL, AGENT_PROCESS, NULL);
    run_wait(&stray);
    run_done(&stray);
    run_done(&other);
}

/* Groups that root has made beside ours freeze, too; one that was frozen
 * before stays so. */
static void test_hold_reaches_groups_of_the_programs_own(void **state)
{
    char path[128];
    struct run run;

    (void)state;
    run_init(&run, &stand,
             "mkdir $0/own $0/cold && echo 1 > $0/cold/cgroup.freeze && "
             "echo $$ > $0/own/cgroup.procs && echo 1 && exec sleep 1000");
    run.argv[3] = stand.cgroups;
    run_start(&run);
    assert_int_equal(first_number(&run), 1);
    stand_hold(&stand);
    assert_int_equal(stand.not_held.code, 0);
    assert_true(stand_group_is_frozen(&stand, "own"));
    session_release(stand.session, NULL);
    stand_sync(&stand);
    assert_false(stand_group_is_frozen(&stand, "own"));
    assert_true(stand_group_is_frozen(&stand, "cold"));
    exec_signal(run.exec, SIGKILL, AGENT_PROCESS, NULL);
    run_wait(&run);
    run_done(&run);
    snprintf(path, sizeof path, "%s/own", stand.cgroups);
    assert_int_equal(rmdir(path), 0);
    snprintf(path, sizeof path, "%s/cold", stand.cgroups);
    assert_int_equal(rmdir(path), 0);
}

static void test_hold_whose_session_is_lost_leads_nowhere(void **state)
{
    char path[96];
    struct stand second = stand;
    struct run kept;
    struct run run;

    (void)state;
    snprintf(path, sizeof path, "%s/pipe", stand.folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    run_init(&kept, &stand, "echo $$; exec sleep 1000");
    kept.options.program.flags = AGENT_EXEC_KEEP;
    run_start(&kept);
    first_number(&kept);
    stand_hold(&stand);
    session_close(stand.session);
    run_done(&kept);
    second.hello = second.closed = false;
    assert_int_equal(session_open(stand.loop, stand_call(&stand), &stand_events,
                                  &second, &second.session, NULL),
                     0);
    stand.session = second.session;
    stand_until(&second, &second.hello);
    run_init(&run, &second, "echo never");
    run_start(&run);
    run_wait(&run);
    assert_int_equal(run.end.error.code, SM_ESTATE);
    run_done(&run);
    assert_true(stand_is_frozen(&stand));
}

#define TEST(name, up) cmocka_unit_test_setup_teardown(name, up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hold_keeps_every_byte_of_a_flood, set_up),
        TEST(test_hold_delays_what_is_asked_meanwhile, set_up),
        TEST(test_hold_in_the_middle_of_starts, set_up),
        TEST(test_hold_of_programs_that_wait_in_the_kernel, set_up),
        TEST(test_hold_outlasts_time_outs_and_ends, set_up),
        TEST(test_hold_of_a_bare_machine_is_refused, set_up_bare),
        TEST(test_hold_without_control_groups_is_refused, set_up_plain),
        TEST(test_hold_beside_another_session_is_refused, set_up),
        TEST(test_hold_lets_callers_wait, set_up),
        TEST(test_hold_with_a_stray_process_is_refused, set_up),
        TEST(test_hold_reaches_groups_of_the_programs_own, set_up),
        TEST(test_hold_whose_session_is_lost_leads_nowhere, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
