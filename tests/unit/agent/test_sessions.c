/* test_sessions.c: the life of sessions, trees, time-outs and the machine. */
#include "stand.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int tear_down(void **state)
{
    stand_stop(*state);
    return 0;
}

static struct stand stand;

static int start(void **state, unsigned flags)
{
    *state = &stand;
    stand_start(&stand, flags);
    return 0;
}

static int set_up(void **state)
{
    return start(state, 0);
}

static int set_up_bare(void **state)
{
    return start(state, STAND_BARE);
}

static int set_up_cgroups(void **state)
{
    return start(state, STAND_CGROUPS);
}

static pid_t first_number(struct run *run)
{
    while (!run->ended &&
           !memchr(run->out.data ? run->out.data : (const uint8_t *)"", '\n',
                   run->out.size))
        loop_turn(stand.loop, -1);
    return (pid_t)strtol(run_out(run), NULL, 10);
}

static void test_hello_introduces_the_agent(void **state)
{
    (void)state;
    stand_until(&stand, &stand.hello);
    assert_int_equal(stand.guest_hello.version, AGENT_VERSION);
    assert_false(stand.guest_hello.set_up);
    assert_true(stand.guest_hello.monotonic_ns > 0);
    assert_true(stand.guest_hello.boottime_ns >=
                stand.guest_hello.monotonic_ns);
    assert_true(stand.guest_hello.kernel[0] && stand.guest_hello.agent[0]);
}

static void test_program_right_behind_setup_starts(void **state)
{
    struct run run;

    (void)state;
    stand_setup(&stand, "machine");
    run_init(&run, &stand, "echo quick");
    run_start(&run);
    run_wait(&run);
    assert_true(stand.ready);
    assert_string_equal(run_out(&run), "quick\n");
    run_done(&run);
}

static void test_nothing_runs_before_setup(void **state)
{
    struct run run;

    (void)state;
    run_script(&run, &stand, "echo never");
    assert_int_equal(run.end.outcome, EXEC_FAILED);
    assert_int_equal(run.end.error.code, SM_ESTATE);
    assert_int_equal(run.end.status, 125);
    run_done(&run);
}

static void test_failed_setup_ends_the_session_with_its_words(void **state)
{
    struct run run;

    (void)state;
    stand_setup(&stand, "refuse");
    run_init(&run, &stand, "echo never");
    run_start(&run);
    stand_until(&stand, &stand.closed);
    assert_int_equal(stand.why.code, SM_EGUEST);
    assert_non_null(strstr(stand.why.message, "the stand refuses"));
    assert_true(run.ended);
    assert_int_equal(run.end.outcome, EXEC_LOST);
    assert_int_equal(run.end.error.code, SM_EGUEST);
    assert_false(stand.ready);
    run_done(&run);
}

static void test_setup_twice_is_refused(void **state)
{
    struct sm_error err;

    (void)state;
    assert_int_equal(session_setup(stand.session,
                                   &(struct agent_setup){.entropy_count = 1},
                                   &err),
                     SM_ESTATE);
}

static void test_setup_without_entropy_is_refused(void **state)
{
    static const uint8_t few[AGENT_ENTROPY_MIN - 1];
    const struct agent_setup setup = {.entropy = few,
                                      .entropy_count = sizeof few};

    (void)state;
    assert_int_equal(session_setup(stand.session, &setup, NULL), SM_EINVAL);
}

static void test_signals_reach_process_and_group(void **state)
{
    struct run run;
    pid_t child;

    (void)state;
    run_init(&run, &stand,
             "trap 'echo got; exit 9' TERM; echo $$; "
             "while :; do sleep 0.01; done");
    run_start(&run);
    first_number(&run);
    assert_int_equal(exec_signal(run.exec, SIGTERM, AGENT_PROCESS, NULL), 0);
    run_wait(&run);
    assert_int_equal(run.end.status, 9);
    assert_int_equal(exec_signal(run.exec, SIGTERM, AGENT_PROCESS, NULL), 0);
    assert_int_equal(exec_signal(run.exec, 65, AGENT_PROCESS, NULL), SM_EINVAL);
    run_done(&run);
    run_init(&run, &stand, "sleep 1000 & echo $!; wait");
    run_start(&run);
    child = first_number(&run);
    exec_signal(run.exec, SIGTERM, AGENT_GROUP, NULL);
    run_wait(&run);
    assert_int_equal(run.end.status, 143);
    stand_until_gone(&stand, child);
    run_done(&run);
}

static void test_timeout_kills_the_program(void **state)
{
    struct run run;

    (void)state;
    run_init(&run, &stand, "sleep 1000");
    run.options.program.timeout_ms = 30;
    run_start(&run);
    run_wait(&run);
    assert_int_equal(run.end.outcome, EXEC_SIGNALED);
    assert_int_equal(run.end.exit.value, SIGKILL);
    assert_int_equal(run.end.exit.flags & AGENT_EXIT_TIMEOUT,
                     AGENT_EXIT_TIMEOUT);
    assert_true(run.end.exit.wall_ns >= 30000000);
    run_done(&run);
}

/* A process that has left session and group is still in the control group. On
 * a busy machine the time may be up before it has said who it is. */
static void test_timeout_kills_the_whole_tree(void **state)
{
    uint32_t timeout_ms = 50;
    pid_t escaped = 0;

    (void)state;
    while (escaped == 0) {
        struct run run;

        run_init(&run, &stand,
                 "setsid sh -c 'echo $$; exec sleep 1000' & wait; sleep 1000");
        run.options.program.timeout_ms = timeout_ms *= 2;
        run_start(&run);
        escaped = first_number(&run);
        run_wait(&run);
        assert_int_equal(run.end.exit.flags, AGENT_EXIT_TIMEOUT);
        run_done(&run);
    }
    stand_until_gone(&stand, escaped);
}

/* A group that somebody else made is left alone, with what is in it. */
static void test_control_group_is_never_shared(void **state)
{
    char theirs[128];
    struct run run;

    (void)state;
    snprintf(theirs, sizeof theirs, "%s/programs/exec-1", stand.cgroups);
    assert_int_equal(mkdir(theirs, 0755), 0);
    run_script(&run, &stand, "grep -c exec-1$ /proc/self/cgroup");
    assert_string_equal(run_out(&run), "0\n");
    assert_int_equal(rmdir(theirs), 0);
    run_done(&run);
}

static unsigned count_groups(void)
{
    char path[128];
    glob_t found;
    unsigned count;

    snprintf(path, sizeof path, "%s/programs/exec-*", stand.cgroups);
    count = glob(path, 0, NULL, &found) == 0 ? (unsigned)found.gl_pathc : 0;
    globfree(&found);
    return count;
}

static void test_control_groups_do_not_stay(void **state)
{
    struct run run;
    pid_t left;

    (void)state;
    run_script(&run, &stand, "setsid sleep 1000 & echo $!");
    left = first_number(&run);
    assert_int_equal(count_groups(), 1);
    run_done(&run);
    kill(left, SIGKILL);
    while (count_groups() > 0)
        stand_sync(&stand);
    run_script(&run, &stand, "exit 0");
    assert_int_equal(count_groups(), 0);
    run_done(&run);
}

static void test_freeing_a_handle_kills_the_tree(void **state)
{
    struct run run;
    pid_t child;

    (void)state;
    run_init(&run, &stand, "sleep 1000 & echo $!; wait");
    run_start(&run);
    child = first_number(&run);
    run_done(&run);
    stand_until_gone(&stand, child);
}

static bool has_become(pid_t pid, const char *wanted)
{
    char path[64];
    char name[32] = "";
    FILE *comm;

    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    comm = fopen(path, "r");
    assert_non_null(comm);
    assert_non_null(fgets(name, sizeof name, comm));
    fclose(comm);
    return strcmp(name, wanted) == 0;
}

static void test_kept_program_outlives_its_handle(void **state)
{
    char path[96];
    struct run run;
    pid_t kept;

    (void)state;
    /* Writes far more than a pipe holds after its audience has gone. */
    run_init(&run, &stand,
             "echo $$; read x < $0/pipe; head -c 1000000 /dev/zero; "
             "exec sleep 1000");
    run.argv[3] = stand.folder;
    run.options.program.flags = AGENT_EXEC_KEEP;
    snprintf(path, sizeof path, "%s/pipe", stand.folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    run_start(&run);
    kept = first_number(&run);
    run_done(&run);
    stand_sync(&stand);
    close(open(path, O_WRONLY | O_CLOEXEC));
    while (!has_become(kept, "sleep\n"))
        stand_sync(&stand);
    assert_int_equal(kill(kept, SIGKILL), 0);
    stand_until_gone(&stand, kept);
}

static void test_end_of_a_session_kills_its_programs_only(void **state)
{
    struct stand second = stand;
    struct run mine;
    struct run other;
    pid_t child;

    (void)state;
    /* The same machine through a second session of its own. */
    second.hello = second.ready = second.closed = false;
    run_init(&mine, &stand, "echo $$; exec sleep 1000");
    run_start(&mine);
    first_number(&mine);
    assert_int_equal(session_open(stand.loop, stand_call(&stand), &stand_events,
                                  &second, &second.session, NULL),
                     0);
    stand_until(&second, &second.hello);
    assert_true(second.guest_hello.set_up);
    run_init(&other, &second, "echo $$; exec sleep 1000");
    run_start(&other);
    child = first_number(&other);
    session_close(second.session);
    assert_int_equal(other.end.outcome, EXEC_LOST);
    assert_int_equal(other.end.status, 125);
    run_done(&other);
    stand_until_gone(&stand, child);
    assert_false(mine.ended);
    run_done(&mine);
}

static void test_orphans_are_collected(void **state)
{
    char path[96];
    struct run run;
    pid_t orphan;

    (void)state;
    snprintf(path, sizeof path, "%s/pipe", stand.folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    run_init(&run, &stand, "(read x < $0/pipe) & echo $!");
    run.argv[3] = stand.folder;
    run_start(&run);
    run_wait(&run);
    orphan = first_number(&run);
    assert_int_equal(kill(orphan, 0), 0);
    close(open(path, O_WRONLY | O_CLOEXEC));
    /* A zombie would still take signals. */
    stand_until_gone(&stand, orphan);
    run_done(&run);
}

static void test_reset_of_the_transport_calls_the_host_again(void **state)
{
    struct pollfd wait = {.fd = stand.listener, .events = POLLIN};
    uint8_t header[FRAME_HEADER_BYTES];
    int first;
    int again;

    (void)state;
    /* A socket that is closed with unread bytes in it resets the other end, as
     * a restored machine's transport does. HELLO is such bytes. */
    first = stand.raw;
    close(first);
    stand.raw = -1;
    assert_int_equal(poll(&wait, 1, -1), 1);
    again = accept4(stand.listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(again >= 0);
    assert_int_equal(recv(again, header, sizeof header, MSG_WAITALL),
                     sizeof header);
    assert_int_equal(header[4], AGENT_HELLO);
    close(again);
}

static int set_up_raw(void **state)
{
    return start(state, STAND_RAW);
}

static void test_shutdown_gives_programs_their_grace(void **state)
{
    const struct agent_shutdown shutdown = {.end = AGENT_POWER_OFF,
                                            .grace_ms = 60000};
    struct run run;

    (void)state;
    run_init(&run, &stand,
             "trap 'echo bye; exit 3' TERM; echo $$; "
             "while :; do sleep 0.01; done");
    run_start(&run);
    first_number(&run);
    assert_int_equal(session_shutdown(stand.session, &shutdown, NULL), 0);
    run_wait(&run);
    assert_int_equal(run.end.outcome, EXEC_EXITED);
    assert_int_equal(run.end.status, 3);
    assert_non_null(strstr(run_out(&run), "bye\n"));
    stand_until(&stand, &stand.closed);
    assert_int_equal(stand.why.code, SM_ECLOSED);
    run_done(&run);
}

static void test_shutdown_kills_who_does_not_listen(void **state)
{
    const struct agent_shutdown shutdown = {.grace_ms = 50};
    struct run run;

    (void)state;
    run_init(&run, &stand, "trap '' TERM; echo $$; while :; do :; done");
    run_start(&run);
    first_number(&run);
    assert_int_equal(session_shutdown(stand.session, &shutdown, NULL), 0);
    stand_until(&stand, &stand.closed);
    assert_true(run.ended);
    run_done(&run);
}

static void test_shutdown_at_once(void **state)
{
    const struct agent_shutdown shutdown = {.grace_ms = 0};
    struct run run;

    (void)state;
    run_init(&run, &stand, "trap '' TERM; echo $$; exec sleep 1000");
    run_start(&run);
    first_number(&run);
    assert_int_equal(session_shutdown(stand.session, &shutdown, NULL), 0);
    stand_until(&stand, &stand.closed);
    assert_int_equal(run.end.outcome, EXEC_LOST);
    run_done(&run);
}

#define TEST(name, up) cmocka_unit_test_setup_teardown(name, up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hello_introduces_the_agent, set_up_bare),
        TEST(test_program_right_behind_setup_starts, set_up_bare),
        TEST(test_nothing_runs_before_setup, set_up_bare),
        TEST(test_failed_setup_ends_the_session_with_its_words, set_up_bare),
        TEST(test_setup_twice_is_refused, set_up),
        TEST(test_setup_without_entropy_is_refused, set_up_bare),
        TEST(test_signals_reach_process_and_group, set_up),
        TEST(test_timeout_kills_the_program, set_up),
        TEST(test_timeout_kills_the_whole_tree, set_up_cgroups),
        TEST(test_control_group_is_never_shared, set_up_cgroups),
        TEST(test_control_groups_do_not_stay, set_up_cgroups),
        TEST(test_freeing_a_handle_kills_the_tree, set_up_cgroups),
        TEST(test_kept_program_outlives_its_handle, set_up),
        TEST(test_end_of_a_session_kills_its_programs_only, set_up),
        TEST(test_orphans_are_collected, set_up),
        TEST(test_reset_of_the_transport_calls_the_host_again, set_up_raw),
        TEST(test_shutdown_gives_programs_their_grace, set_up),
        TEST(test_shutdown_kills_who_does_not_listen, set_up),
        TEST(test_shutdown_at_once, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
