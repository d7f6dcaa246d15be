/* test_programs.c: a program's end, its reasons not to begin, who it is. */
#include "stand.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct stand stand;

/* What whoever started this test ignored must not look like the agent's doing.
 * By the system call, because libc keeps signals 32 and 33 to itself. */
static void forget_ignored_signals(void)
{
    struct {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(void);
        uint64_t mask;
    } now, standard = {.handler = SIG_DFL};

    for (int number = 1; number <= 64; number++)
        if (syscall(SYS_rt_sigaction, number, NULL, &now, sizeof now.mask) ==
                0 &&
            now.handler == SIG_IGN)
            syscall(SYS_rt_sigaction, number, &standard, NULL, sizeof now.mask);
}

static int set_up(void **state)
{
    (void)state;
    forget_ignored_signals();
    stand_start(&stand, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stand_stop(&stand);
    return 0;
}

static void expect(const char *script, enum exec_outcome outcome, int status)
{
    struct run run;

    run_script(&run, &stand, script);
    assert_int_equal(run.end.outcome, outcome);
    assert_int_equal(run.end.status, status);
    run_done(&run);
}

static void test_exit_status_is_carried_through(void **state)
{
    (void)state;
    expect("exit 0", EXEC_EXITED, 0);
    expect("exit 7", EXEC_EXITED, 7);
    expect("exit 255", EXEC_EXITED, 255);
}

static void test_signal_is_carried_through(void **state)
{
    (void)state;
    expect("kill -9 $$", EXEC_SIGNALED, 137);
    expect("kill -TERM $$", EXEC_SIGNALED, 143);
    expect("kill -PIPE $$", EXEC_SIGNALED, 141);
}

static void test_signals_are_as_in_a_new_process(void **state)
{
    struct run run;

    (void)state;
    run_script(&run, &stand, "grep -E 'Sig(Blk|Ign)' /proc/self/status");
    assert_string_equal(run_out(&run), "SigBlk:\t0000000000000000\n"
                                       "SigIgn:\t0000000000000000\n");
    run_done(&run);
}

static void test_only_the_standard_descriptors_are_open(void **state)
{
    struct run run;

    (void)state;
    /* The fourth is the folder that ls reads. */
    run_script(&run, &stand, "ls /proc/self/fd");
    assert_string_equal(run_out(&run), "0\n1\n2\n3\n");
    run_done(&run);
}

static void make_script(const char *text, mode_t mode, char *path, size_t size)
{
    FILE *file;

    snprintf(path, size, "%s/script", stand.folder);
    unlink(path);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void expect_refusal(const char *command, int code, int status,
                           const char *part)
{
    struct run run;

    run_init(&run, &stand, NULL);
    run.argv[0] = command;
    run.argv[1] = NULL;
    run_start(&run);
    run_wait(&run);
    assert_false(run.started);
    assert_int_equal(run.end.outcome, EXEC_FAILED);
    assert_int_equal(run.end.error.code, code);
    assert_int_equal(run.end.status, status);
    if (!strstr(run.end.error.message, part))
        fail_msg("\"%s\" does not say \"%s\"", run.end.error.message, part);
    run_done(&run);
}

static void test_missing_command_is_127(void **state)
{
    (void)state;
    expect_refusal("no-such-command", SM_ENOCMD, 127, "not found in PATH");
    expect_refusal("/no/such/command", SM_ENOCMD, 127, "not found");
    expect_refusal("/etc/passwd/command", SM_ENOCMD, 127, "not found");
}

static void test_missing_interpreter_is_127_and_named(void **state)
{
    char path[96];

    (void)state;
    make_script("#! /no/such/sh -e\nexit 0\n", 0755, path, sizeof path);
    expect_refusal(path, SM_ENOCMD, 127, "/no/such/sh");
    make_script("#!/bin/sh\r\nexit 0\r\n", 0755, path, sizeof path);
    expect_refusal(path, SM_ENOCMD, 127, "carriage return");
}

static void test_what_cannot_run_is_126(void **state)
{
    char path[96];

    (void)state;
    expect_refusal("/etc", SM_ENOEXEC, 126, "directory");
    make_script("#!/bin/sh\n", 0644, path, sizeof path);
    expect_refusal(path, SM_ENOEXEC, 126, "chmod +x");
    make_script("no magic\n", 0755, path, sizeof path);
    expect_refusal(path, SM_ENOEXEC, 126, "#!");
}

static void test_path_is_the_programs_own(void **state)
{
    char variable[128];
    const char *env[] = {variable, NULL};
    char path[96];
    struct run run;

    (void)state;
    make_script("#!/bin/sh\necho mine\n", 0755, path, sizeof path);
    snprintf(variable, sizeof variable, "PATH=:/no/such:%s", stand.folder);
    run_init(&run, &stand, NULL);
    run.argv[0] = "script";
    run.argv[1] = NULL;
    run.options.program.env = env;
    run_start(&run);
    run_wait(&run);
    assert_string_equal(run_out(&run), "mine\n");
    run_done(&run);
}

static void test_defaults_of_the_environment(void **state)
{
    const char *env[] = {"A=b c", "HOME=", NULL};
    struct run run;

    (void)state;
    run_init(&run, &stand, "echo \"$A|$HOME|$PATH|${HOSTNAME:+set}|$TERM\"");
    run.options.program.env = env;
    run_start(&run);
    run_wait(&run);
    assert_string_equal(run_out(&run),
                        "b c|/root|/usr/local/sbin:/usr/local/bin:/usr/sbin:"
                        "/usr/bin:/sbin:/bin|set|\n");
    run_done(&run);
}

static void test_user_groups_and_home(void **state)
{
    struct run run;

    (void)state;
    if (geteuid() != 0)
        skip();
    run_init(&run, &stand,
             "id -u; id -g; id -G; echo $HOME; echo > /dev/stdout");
    run.options.program.user = "worker";
    run_start(&run);
    run_wait(&run);
    assert_int_equal(run.end.status, 0);
    assert_string_equal(run_out(&run),
                        "4242\n4343\n4343 4444\n/home/worker\n\n");
    run_done(&run);
    run_init(&run, &stand, "id -u; id -g; id -G; echo $HOME");
    run.options.program.user = "77:extra";
    run_start(&run);
    run_wait(&run);
    assert_string_equal(run_out(&run), "77\n4444\n4444\n/\n");
    run_done(&run);
}

static void test_unknown_user_is_refused(void **state)
{
    struct run run;

    (void)state;
    run_init(&run, &stand, "true");
    run.options.program.user = "nobody-here";
    run_start(&run);
    run_wait(&run);
    assert_int_equal(run.end.outcome, EXEC_FAILED);
    assert_int_equal(run.end.error.code, SM_EINVAL);
    assert_int_equal(run.end.status, 125);
    assert_non_null(strstr(run.end.error.message, "nobody-here"));
    run_done(&run);
}

static void test_cwd_is_made_if_missing(void **state)
{
    char cwd[96];
    char nested[128];
    struct run run;

    (void)state;
    snprintf(cwd, sizeof cwd, "%s/new", stand.folder);
    snprintf(nested, sizeof nested, "%s/folder", cwd);
    run_init(&run, &stand, "pwd");
    run.options.program.cwd = nested;
    run_start(&run);
    run_wait(&run);
    assert_int_equal(run.end.status, 0);
    assert_int_equal(strncmp(run_out(&run), nested, strlen(nested)), 0);
    assert_int_equal(rmdir(nested) | rmdir(cwd), 0);
    run_done(&run);
    run_init(&run, &stand, "pwd");
    run.options.program.cwd = "/etc/passwd";
    run_start(&run);
    run_wait(&run);
    assert_int_equal(run.end.outcome, EXEC_FAILED);
    assert_int_equal(run.end.error.code, SM_EINVAL);
    run_done(&run);
}

static void test_umask_and_limits(void **state)
{
    const struct agent_rlimit limit = {.resource = 7, .soft = 77, .hard = 99};
    struct run run;

    (void)state;
    run_init(&run, &stand, "umask; ulimit -Sn; ulimit -Hn");
    run.options.program.umask = 027;
    run.options.program.rlimits = &limit;
    run.options.program.rlimit_count = 1;
    run_start(&run);
    run_wait(&run);
    assert_string_equal(run_out(&run), "0027\n77\n99\n");
    run_done(&run);
}

static void test_cost_of_the_program_is_told(void **state)
{
    struct run run;

    (void)state;
    run_script(&run, &stand,
               "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done");
    assert_true(run.end.exit.user_ns > 0);
    assert_true(run.end.exit.wall_ns >= run.end.exit.user_ns / 2);
    assert_true(run.end.exit.max_rss_bytes > 100000);
    run_done(&run);
}

static void test_many_arguments_and_a_large_environment(void **state)
{
    static const char *argv[10004];
    static char large[9][120000];
    const char *env[10] = {NULL};
    struct run run;

    (void)state;
    argv[0] = "sh";
    argv[1] = "-c";
    argv[2] = "echo $#; echo ${#V0} ${#V8}";
    for (int i = 3; i < 10003; i++)
        argv[i] = "argument";
    for (int i = 0; i < 9; i++) {
        memset(large[i], 'x', sizeof large[i] - 1);
        snprintf(large[i], 4, "V%d=", i);
        large[i][3] = 'x';
        env[i] = large[i];
    }
    run_init(&run, &stand, NULL);
    run.options.program.argv = argv;
    run.options.program.env = env;
    run_start(&run);
    run_wait(&run);
    assert_string_equal(run_out(&run), "9999\n119996 119996\n");
    run_done(&run);
}

static void test_too_much_text_is_refused_here(void **state)
{
    static char huge[AGENT_REQUEST_MAX];
    struct sm_error err;
    struct run run;

    (void)state;
    memset(huge, 'x', sizeof huge - 1);
    run_init(&run, &stand, huge);
    assert_int_equal(exec_start(stand.session, &run.options, &run.exec, &err),
                     SM_ELIMIT);
    run_done(&run);
    /* The session is as good as before. */
    expect("exit 3", EXEC_EXITED, 3);
}

static void test_nonsense_is_refused_here(void **state)
{
    struct run run;

    (void)state;
    run_init(&run, &stand, "true");
    run.argv[0] = NULL;
    assert_int_equal(exec_start(stand.session, &run.options, &run.exec, NULL),
                     SM_EINVAL);
    run.argv[0] = "sh";
    run.options.program.umask = 01000;
    assert_int_equal(exec_start(stand.session, &run.options, &run.exec, NULL),
                     SM_EINVAL);
    run.options.program.umask = 0;
    run.options.program.flags = AGENT_EXEC_TTY;
    assert_int_equal(exec_start(stand.session, &run.options, &run.exec, NULL),
                     SM_EINVAL);
    run_done(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_status_is_carried_through),
        cmocka_unit_test(test_signal_is_carried_through),
        cmocka_unit_test(test_signals_are_as_in_a_new_process),
        cmocka_unit_test(test_only_the_standard_descriptors_are_open),
        cmocka_unit_test(test_missing_command_is_127),
        cmocka_unit_test(test_missing_interpreter_is_127_and_named),
        cmocka_unit_test(test_what_cannot_run_is_126),
        cmocka_unit_test(test_path_is_the_programs_own),
        cmocka_unit_test(test_defaults_of_the_environment),
        cmocka_unit_test(test_user_groups_and_home),
        cmocka_unit_test(test_unknown_user_is_refused),
        cmocka_unit_test(test_cwd_is_made_if_missing),
        cmocka_unit_test(test_umask_and_limits),
        cmocka_unit_test(test_cost_of_the_program_is_told),
        cmocka_unit_test(test_many_arguments_and_a_large_environment),
        cmocka_unit_test(test_too_much_text_is_refused_here),
        cmocka_unit_test(test_nonsense_is_refused_here),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
