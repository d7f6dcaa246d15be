/* test_terminal.c: programs on a terminal, and the caller's own. */
#include "stand.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct stand stand;

static int set_up(void **state)
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

static void start_on_terminal(struct run *run, const char *script)
{
    run_init(run, &stand, script);
    run->options.program.flags = AGENT_EXEC_TTY;
    run->options.program.rows = 33;
    run->options.program.columns = 101;
    run->options.ports[AGENT_IN].kind = EXEC_BYTES;
    run->options.ports[AGENT_ERR].kind = EXEC_NONE;
    run_start(run);
}

static void wait_for(struct run *run, const char *text)
{
    while (!strstr(run_out(run), text)) {
        assert_false(run->ended);
        loop_turn(stand.loop, -1);
    }
}

static void test_all_three_are_one_terminal(void **state)
{
    struct run run;

    (void)state;
    start_on_terminal(&run, "test -t 0 && test -t 1 && test -t 2 && "
                            "stty size && echo err >&2 && echo $TERM");
    run_wait(&run);
    assert_int_equal(run.end.status, 0);
    assert_string_equal(run_out(&run), "33 101\r\nerr\r\nxterm\r\n");
    run_done(&run);
}

static void test_new_size_arrives(void **state)
{
    struct run run;

    (void)state;
    start_on_terminal(&run, "trap 'stty size; exit' WINCH; echo go; "
                            "while :; do sleep 0.01; done");
    wait_for(&run, "go\r\n");
    assert_int_equal(exec_resize(run.exec, 50, 132, NULL), 0);
    run_wait(&run);
    assert_non_null(strstr(run_out(&run), "50 132\r\n"));
    run_done(&run);
}

static void test_control_c_interrupts(void **state)
{
    struct run run;

    (void)state;
    start_on_terminal(&run, "echo go; exec sleep 1000");
    wait_for(&run, "go\r\n");
    assert_int_equal(exec_write(run.exec, "\003", 1), 1);
    run_wait(&run);
    assert_int_equal(run.end.outcome, EXEC_SIGNALED);
    assert_int_equal(run.end.exit.value, SIGINT);
    run_done(&run);
}

static void test_end_of_stdin_is_control_d(void **state)
{
    struct run run;

    (void)state;
    start_on_terminal(&run, "stty -echo; echo go; cat; echo end");
    wait_for(&run, "go\r\n");
    assert_int_equal(exec_write(run.exec, "line\n", 5), 5);
    exec_write_end(run.exec);
    run_wait(&run);
    assert_string_equal(run_out(&run), "go\r\nline\r\nend\r\n");
    run_done(&run);
}

static void test_last_words_are_delivered(void **state)
{
    struct run run;

    (void)state;
    start_on_terminal(&run, "stty -opost; head -c 50000 /dev/zero; exit 6");
    run_wait(&run);
    assert_int_equal(run.end.status, 6);
    assert_int_equal(run.count, 50000);
    run_done(&run);
}

static void test_hang_up_when_the_session_ends(void **state)
{
    struct run run;
    pid_t pid;

    (void)state;
    start_on_terminal(&run, "echo $$; exec sleep 1000");
    wait_for(&run, "\r\n");
    pid = (pid_t)strtol(run_out(&run), NULL, 10);
    run_done(&run);
    stand_until_gone(&stand, pid);
}

/* Whoever shares the caller's terminal must not find it non-blocking. */
static void test_callers_terminal_keeps_its_flags(void **state)
{
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    char text[128] = "";
    size_t got = 0;
    struct run run;
    int slave;

    (void)state;
    assert_true(master >= 0);
    assert_int_equal(unlockpt(master), 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0);
    run_init(&run, &stand, "echo to the terminal; cat");
    for (int i = 0; i < AGENT_STREAMS; i++)
        run.options.ports[i] = (struct exec_port){EXEC_FD, slave};
    run_start(&run);
    while (!run.started)
        loop_turn(stand.loop, -1);
    assert_int_equal(fcntl(slave, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(write(master, "typed\n\004", 7), 7);
    run_wait(&run);
    assert_int_equal(fcntl(slave, F_GETFL) & O_NONBLOCK, 0);
    /* The echo, the program's own line and what cat makes of the typed one, in
     * whichever order the first two came. */
    while (got < strlen("typed\r\n"
                        "to the terminal\r\n"
                        "typed\r\n")) {
        ssize_t some = read(master, text + got, sizeof text - 1 - got);

        assert_true(some > 0);
        got += (size_t)some;
    }
    assert_non_null(strstr(text, "to the terminal\r\n"));
    assert_string_equal(text + got - 7, "typed\r\n");
    run_done(&run);
    close(slave);
    close(master);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_three_are_one_terminal),
        cmocka_unit_test(test_new_size_arrives),
        cmocka_unit_test(test_control_c_interrupts),
        cmocka_unit_test(test_end_of_stdin_is_control_d),
        cmocka_unit_test(test_last_words_are_delivered),
        cmocka_unit_test(test_hang_up_when_the_session_ends),
        cmocka_unit_test(test_callers_terminal_keeps_its_flags),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
