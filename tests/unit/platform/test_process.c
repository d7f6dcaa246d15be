/* test_process.c: children: their ends, their descriptors, and what they are
 * to the rest of this process.
 *
 * The program that is started is this one: with an argument it does what the
 * argument says and reports by its exit code. */
#include "base/bytes.h"
#include "platform/file.h"
#include "platform/process.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    WATCHDOG_S = 600,
    FIRST_MARK = 'a' /* in the files that are handed over: a, b, c ... */
};

/* The child ---------------------------------------------------------------- */

static bool is_null(int fd)
{
    struct stat st;
    struct stat null;

    return fstat(fd, &st) == 0 && stat("/dev/null", &null) == 0 &&
           S_ISCHR(st.st_mode) && st.st_rdev == null.st_rdev;
}

static int child_signals(void)
{
    sigset_t set;

    pthread_sigmask(SIG_SETMASK, NULL, &set);
    if (sigismember(&set, SIGTERM) != 1 || sigismember(&set, SIGUSR1) != 1)
        return 1;
    process_begin();
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    for (int i = 1; i < 32; i++)
        if (sigismember(&set, i) != 0)
            return 2;
    return 0;
}

/* 0 if the descriptors are as promised, with (count) given ones. */
static int child_descriptors(int count)
{
    if (!is_null(0) || !is_null(1))
        return 1;
    for (int i = 0; i < count; i++) {
        char mark = 0;

        if (pread(PROCESS_FD_FIRST + i, &mark, 1, 0) != 1 ||
            mark != FIRST_MARK + i)
            return 2;
        if (fcntl(PROCESS_FD_FIRST + i, F_GETFD) != 0)
            return 3;
    }
    for (int fd = PROCESS_FD_FIRST + count; fd < 256; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            return 4;
    return 0;
}

static int child(const char *what, int number)
{
    if (what[0] == 's') /* before anything else: signals are still blocked */
        return child_signals();
    process_begin();
    switch (what[0]) {
    case 'x':
        return number;
    case 'k':
        raise(number);
        return 99;
    case 'd':
        return child_descriptors(number);
    case 'e':
        return is_null(2) ? 0 : write(2, "heard", 5) == 5 ? 5 : 1;
    case 'v':
        return environ && environ[0] ? 1 : 0;
    case 'w':
        for (;;)
            pause();
    default:
        return 98;
    }
}

/* The tests ---------------------------------------------------------------- */

static struct process start(const char *what, int number, const int *fds,
                            unsigned fd_count)
{
    char digits[12];
    char *argv[] = {"child", (char *)(uintptr_t)what, digits, NULL};
    struct process process = PROCESS_NONE;
    struct sm_error err = {0};

    snprintf(digits, sizeof digits, "%d", number);
    assert_int_equal(
        process_start("/proc/self/exe", argv, fds, fd_count, &process, &err),
        0);
    assert_true(process.pid > 0);
    assert_true(process.fd >= 0);
    return process;
}

static int end_of(struct process process)
{
    int status = -2;

    process_wait(&process, &status);
    assert_int_equal(process.fd, -1);
    return status;
}

static unsigned count_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_process_exit_code_and_signal_come_back(void **state)
{
    unsigned before = count_descriptors();

    (void)state;
    assert_int_equal(end_of(start("x", 0, NULL, 0)), 0);
    assert_int_equal(end_of(start("x", 7, NULL, 0)), 7);
    assert_int_equal(end_of(start("x", 255, NULL, 0)), 255);
    assert_int_equal(end_of(start("k", SIGKILL, NULL, 0)), 137);
    assert_int_equal(end_of(start("k", SIGTERM, NULL, 0)), 143);
    assert_int_equal(count_descriptors(), before);
}

static void test_process_descriptor_is_readable_once_it_ended(void **state)
{
    struct process process = start("w", 0, NULL, 0);
    struct pollfd poll_fd = {.fd = process.fd, .events = POLLIN};

    (void)state;
    assert_int_equal(poll(&poll_fd, 1, 0), 0);
    assert_true(fcntl(process.fd, F_GETFD) & FD_CLOEXEC);
    process_kill(&process);
    assert_int_equal(poll(&poll_fd, 1, -1), 1);
    process_kill(&process); /* it ended already */
    assert_int_equal(end_of(process), 137);
}

static void test_process_none_is_left_alone(void **state)
{
    struct process none = PROCESS_NONE;
    int status = 5;

    (void)state;
    process_kill(&none);
    process_wait(&none, &status);
    assert_int_equal(status, 5);
}

static void test_process_that_cannot_start_is_an_error(void **state)
{
    static const struct {
        const char *path;
        int code;
    } table[] = {
        {"/no/such/program", SM_ENOENT}, {"", SM_ENOENT},
        {"/etc/passwd", SM_EACCES},      {"/", SM_EACCES},
        {"/etc/passwd/x", SM_ENOENT},
    };
    unsigned before = count_descriptors();
    char *argv[] = {"x", NULL};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct process process;
        struct sm_error err;

        assert_int_equal(
            process_start(table[i].path, argv, NULL, 0, &process, &err),
            table[i].code);
        assert_int_equal(err.code, table[i].code);
        assert_int_equal(process.fd, -1);
        assert_int_equal(count_descriptors(), before);
        assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
        assert_int_equal(errno, ECHILD);
    }
}

static int marked_file(int index)
{
    char mark = (char)(FIRST_MARK + index);
    int fd;

    assert_int_equal(file_in_memory("mark", &fd, NULL), 0);
    assert_int_equal(file_write_at(fd, &mark, 1, 0, NULL), 0);
    return fd;
}

static void test_process_gets_its_descriptors_and_no_others(void **state)
{
    int fds[PROCESS_FDS_MAX];
    int leaky = open("/dev/null", O_RDONLY); /* without O_CLOEXEC */

    (void)state;
    assert_true(leaky >= 0);
    for (int i = 0; i < PROCESS_FDS_MAX; i++)
        fds[i] = marked_file(i);
    for (unsigned i = 0; i <= PROCESS_FDS_MAX; i++)
        assert_int_equal(end_of(start("d", (int)i, fds, i)), 0);
    for (int i = 0; i < PROCESS_FDS_MAX; i++)
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    for (int i = 0; i < PROCESS_FDS_MAX; i++)
        close(fds[i]);
    close(leaky);
}

/* What is to become descriptor 3 + i is one of 0 to 10 here, in an order that
 * makes each be in another's way. */
static void test_process_places_descriptors_that_are_in_the_way(void **state)
{
    static const int numbers[][PROCESS_FDS_MAX] = {
        {3, 4, 5, 6, 7, 8, 9, 10}, {10, 9, 8, 7, 6, 5, 4, 3},
        {4, 5, 6, 7, 8, 9, 10, 3}, {0, 1, 3, 4, 5, 6, 7, 8},
        {1, 0, 10, 3, 9, 4, 8, 5},
    };
    int saved[16];

    (void)state;
    for (int fd = 0; fd < 16; fd++)
        saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
    for (size_t row = 0; row < ARRAY_LEN(numbers); row++) {
        int status;

        for (int i = 0; i < PROCESS_FDS_MAX; i++) {
            int fd = fcntl(marked_file(i), F_DUPFD_CLOEXEC, 50);

            assert_int_equal(dup2(fd, numbers[row][i]), numbers[row][i]);
            close(fd);
        }
        status =
            end_of(start("d", PROCESS_FDS_MAX, numbers[row], PROCESS_FDS_MAX));
        for (int fd = 0; fd < 50; fd++)
            if (fd >= 16 || saved[fd] < 0)
                close(fd);
            else
                dup2(saved[fd], fd);
        assert_int_equal(status, 0);
    }
    for (int fd = 0; fd < 16; fd++)
        if (saved[fd] >= 0)
            close(saved[fd]);
}

static void test_process_speaks_on_our_standard_error(void **state)
{
    int saved = fcntl(2, F_DUPFD_CLOEXEC, 100);
    char heard[8] = "";
    int ends[2];
    int status;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(dup2(ends[1], 2), 2);
    status = end_of(start("e", 0, NULL, 0));
    dup2(saved, 2);
    close(saved);
    close(ends[1]);
    assert_int_equal(status, 5);
    assert_int_equal(read(ends[0], heard, sizeof heard), 5);
    assert_memory_equal(heard, "heard", 5);
    close(ends[0]);
}

/* Else the first file that the program opens would be its standard error. */
static void test_process_has_a_standard_error_if_we_have_none(void **state)
{
    int saved[3];
    int status;

    (void)state;
    for (int fd = 0; fd < 3; fd++) {
        saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        close(fd);
    }
    status = end_of(start("e", 0, NULL, 0));
    for (int fd = 0; fd < 3; fd++) {
        dup2(saved[fd], fd);
        close(saved[fd]);
    }
    assert_int_equal(status, 0);
}

static void test_process_begins_with_every_signal_blocked(void **state)
{
    sigset_t before;
    sigset_t after;

    (void)state;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(end_of(start("s", 0, NULL, 0)), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int i = 1; i < 32; i++)
        assert_int_equal(sigismember(&before, i), sigismember(&after, i));
}

static void test_process_has_an_empty_environment(void **state)
{
    (void)state;
    assert_int_equal(end_of(start("v", 0, NULL, 0)), 0);
}

static void test_process_collected_by_somebody_else_is_forgotten(void **state)
{
    struct process process = start("x", 7, NULL, 0);
    unsigned before = count_descriptors();
    int status;

    (void)state;
    while (waitpid(-1, &status, __WALL) < 0)
        assert_int_equal(errno, EINTR);
    process_kill(&process);
    assert_int_equal(end_of(process), -1);
    assert_int_equal(count_descriptors(), before - 1);
}

static void test_process_is_waited_for_where_sigchld_is_ignored(void **state)
{
    struct process process;

    (void)state;
    signal(SIGCHLD, SIG_IGN);
    process = start("w", 0, NULL, 0);
    process_kill(&process);
    assert_int_equal(end_of(process), -1);
    signal(SIGCHLD, SIG_DFL);
}

enum { THREADS = 4, STARTS = 25 };

static void *start_often(void *context)
{
    (void)context;
    for (int i = 0; i < STARTS; i++)
        if (end_of(start("x", i, NULL, 0)) != i)
            return "wrong status";
    return NULL;
}

static void test_process_threads_do_not_disturb_each_other(void **state)
{
    pthread_t thread[THREADS];
    unsigned before = count_descriptors();

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, start_often, NULL),
                         0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;

        assert_int_equal(pthread_join(thread[i], &wrong), 0);
        assert_null(wrong);
    }
    assert_int_equal(count_descriptors(), before);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process_exit_code_and_signal_come_back),
        cmocka_unit_test(test_process_descriptor_is_readable_once_it_ended),
        cmocka_unit_test(test_process_none_is_left_alone),
        cmocka_unit_test(test_process_that_cannot_start_is_an_error),
        cmocka_unit_test(test_process_gets_its_descriptors_and_no_others),
        cmocka_unit_test(test_process_places_descriptors_that_are_in_the_way),
        cmocka_unit_test(test_process_speaks_on_our_standard_error),
        cmocka_unit_test(test_process_has_a_standard_error_if_we_have_none),
        cmocka_unit_test(test_process_begins_with_every_signal_blocked),
        cmocka_unit_test(test_process_has_an_empty_environment),
        cmocka_unit_test(test_process_collected_by_somebody_else_is_forgotten),
        cmocka_unit_test(test_process_is_waited_for_where_sigchld_is_ignored),
        cmocka_unit_test(test_process_threads_do_not_disturb_each_other),
    };

    if (argc > 2)
        return child(argv[1], (int)strtol(argv[2], NULL, 10));
    alarm(WATCHDOG_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
