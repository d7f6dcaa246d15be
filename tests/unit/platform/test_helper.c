/* test_helper.c: programs that answer, and those that do not.
 *
 * The program that is started is a shell, which does what the test says. */
#include "base/bytes.h"
#include "platform/clock.h"
#include "platform/helper.h"
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WATCHDOG_S = 600, ANSWER_MAX = 1000 };

static int run(const char *script, const char *input, uint32_t timeout_ms,
               struct buf *answer, int *status)
{
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)script,
                    NULL};
    char *env[] = {(char[]){"PATH=/usr/bin:/bin"}, NULL};
    struct sm_error err = {0};

    buf_init(answer, ANSWER_MAX);
    *status = -2;
    return helper_run(&(struct helper_plan){.path = "/bin/sh",
                                            .argv = argv,
                                            .env = env,
                                            .input = input,
                                            .timeout_ms = timeout_ms},
                      answer, status, &err);
}

static void expect(const char *script, const char *input, const char *wanted,
                   int wanted_status)
{
    struct buf answer;
    int status;

    assert_int_equal(run(script, input, 50000, &answer, &status), 0);
    assert_int_equal(status, wanted_status);
    assert_int_equal(answer.size, strlen(wanted));
    if (answer.size)
        assert_memory_equal(answer.data, wanted, answer.size);
    buf_done(&answer);
}

static void test_helper_reads_its_input_and_answers(void **state)
{
    static char longest[HELPER_INPUT_MAX + 2];
    struct buf answer;
    int status;

    (void)state;
    expect("read a; echo \"<$a>\"; exit 3", "hello", "<hello>\n", 3);
    expect("wc -c; kill -9 $$", "", "0\n", 137);
    expect("exec >&-", "", "", 0);
    memset(longest, 'x', sizeof longest - 1);
    assert_int_equal(run("true", longest, 50000, &answer, &status), SM_EINVAL);
    longest[HELPER_INPUT_MAX] = '\0';
    expect("wc -c", longest, "4096\n", 0);
}

static void test_helper_has_its_time_and_room(void **state)
{
    uint64_t begin = clock_monotonic_ns();
    struct buf answer;
    int status;

    (void)state;
    assert_int_equal(run("exec tail -f /dev/null", "", 100, &answer, &status),
                     SM_ETIMEOUT);
    assert_int_equal(status, 128 + SIGKILL);
    buf_done(&answer);
    assert_int_equal(run("exec >/dev/null; exec tail -f /dev/null", "", 100,
                         &answer, &status),
                     SM_ETIMEOUT);
    buf_done(&answer);
    assert_true(clock_monotonic_ns() - begin >= 200 * NS_PER_MS);
    assert_int_equal(run("exec cat /dev/zero", "", 50000, &answer, &status),
                     SM_ELIMIT);
    assert_int_equal(answer.size, 0);
    buf_done(&answer);
}

/* What it left behind, here a reader of a pipe that we hold, has its output
 * open and goes on. */
static void test_helper_that_ended_is_not_waited_for(void **state)
{
    struct buf answer;
    char script[64];
    int status;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    snprintf(script, sizeof script, "echo yes; cat </proc/%d/fd/%d & exit 0",
             (int)getpid(), ends[0]);
    assert_int_equal(run(script, "", 50000, &answer, &status), 0);
    assert_int_equal(answer.size, 4);
    close(ends[0]);
    close(ends[1]);
    buf_done(&answer);
}

static void note(int number)
{
    (void)number;
}

static void test_helper_begins_as_a_shell_would_start_it(void **state)
{
    const struct sigaction ours = {.sa_handler = note};
    const struct sigaction ignored = {.sa_handler = SIG_IGN};
    const struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t all;
    sigset_t before;

    (void)state;
    sigfillset(&all);
    sigaction(SIGUSR1, &ours, NULL);
    sigaction(SIGPIPE, &ignored, NULL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    /* But for the two signals that the C library keeps for itself: whoever was
     * started by posix_spawn() ignores them, and nobody can change that. */
    expect("while read -r name value; do case $name in SigBlk:|SigIgn:) "
           "echo $name $((0x$value & 0x7fffffff));; esac; "
           "done </proc/self/status",
           "", "SigBlk: 0\nSigIgn: 0\n", 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    sigaction(SIGUSR1, &usual, NULL);
    sigaction(SIGPIPE, &usual, NULL);
}

#ifndef __SANITIZE_ADDRESS__
static void test_helper_has_no_limit_of_ours(void **state)
{
    struct rlimit before;
    struct rlimit less;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
    less = before;
    less.rlim_cur = 64 * MIB;
    assert_int_equal(setrlimit(RLIMIT_DATA, &less), 0);
    expect("[ $(ulimit -S -d) = $(ulimit -H -d) ]", "", "", 0);
    assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
}
#endif

/* In a child that asks a helper and is killed: the helper ends, too, which the
 * pipe that only it holds tells. */
static void test_helper_ends_with_who_asks(void **state)
{
    struct pollfd end;
    int ends[2];
    char byte;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char script[64];
        struct buf answer;
        int status;

        snprintf(script, sizeof script,
                 "exec 9>/proc/%d/fd/%d; echo >&9; exec tail -f /dev/null",
                 (int)getpid(), ends[1]);
        _exit(run(script, "", 50000, &answer, &status) != 0);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    end = (struct pollfd){.fd = ends[0], .events = POLLIN};
    assert_int_equal(poll(&end, 1, 10000), 1);
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
}

static void test_helper_is_found_in_absolute_folders_only(void **state)
{
    static const struct {
        const char *path;
        const char *name;
        const char *found; /* NULL: nowhere */
    } table[] = {
        {"PATH=/no/such:/bin:/usr/bin", "sh", "/bin/sh"},
        {"PATH=.::bin:/bin", "sh", "/bin/sh"},
        {"PATH=../../../../../../bin:../bin", "sh", NULL},
        {"PATH=/:/etc", "passwd", NULL}, /* nobody may execute it */
        {"PATH=/", "etc", NULL},         /* a folder              */
        {"PATH=", "sh", NULL},
        {"OTHER=/bin", "sh", NULL},
    };
    static const char *const bad[] = {"", "a/b", "../sh", "a b", "a\nb"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char *env[] = {(char *)(uintptr_t)table[i].path, NULL};
        char *found = NULL;

        assert_int_equal(helper_find(env, table[i].name, &found, NULL), 0);
        if (table[i].found)
            assert_string_equal(found, table[i].found);
        else
            assert_null(found);
        free(found);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char *env[] = {(char[]){"PATH=/bin:/"}, NULL};
        char *found = NULL;

        assert_int_equal(helper_find(env, bad[i], &found, NULL), SM_EINVAL);
        assert_null(found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_helper_reads_its_input_and_answers),
        cmocka_unit_test(test_helper_has_its_time_and_room),
        cmocka_unit_test(test_helper_that_ended_is_not_waited_for),
        cmocka_unit_test(test_helper_begins_as_a_shell_would_start_it),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(test_helper_has_no_limit_of_ours),
#endif
        cmocka_unit_test(test_helper_ends_with_who_asks),
        cmocka_unit_test(test_helper_is_found_in_absolute_folders_only),
    };

    alarm(WATCHDOG_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
