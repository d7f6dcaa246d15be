/* test_foreign.c: descriptors that belong to somebody else. */
#include "platform/foreign.h"
#include "platform/loop.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static void open_foreign(int fd, enum foreign_use use, struct foreign *ret)
{
    assert_int_equal(foreign_open(fd, use, ret, NULL), 0);
}

static void test_pipe_keeps_its_flags_and_never_blocks(void **state)
{
    static char bytes[1 << 20];
    struct foreign in;
    struct foreign out;
    ssize_t total = 0;
    ssize_t some;
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    open_foreign(ends[0], FOREIGN_READ, &in);
    open_foreign(ends[1], FOREIGN_WRITE, &out);
    assert_int_equal(foreign_read(&in, bytes, sizeof bytes), 0);
    while ((some = foreign_write(&out, bytes, sizeof bytes)) > 0)
        total += some;
    assert_int_equal(some, 0);
    assert_int_equal(total, fcntl(ends[0], F_GETPIPE_SZ));
    assert_int_equal(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    while ((some = foreign_read(&in, bytes, sizeof bytes)) > 0)
        total -= some;
    assert_int_equal(total, 0);
    foreign_close(&out);
    close(ends[1]);
    assert_int_equal(foreign_read(&in, bytes, sizeof bytes), SM_ECLOSED);
    foreign_close(&in);
    close(ends[0]);
}

static void test_broken_pipe_raises_no_signal(void **state)
{
    struct foreign out;
    sigset_t pending;
    int ends[2];

    (void)state;
    /* The default action would end this test. */
    assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    open_foreign(ends[1], FOREIGN_WRITE, &out);
    close(ends[0]);
    assert_int_equal(foreign_write(&out, "x", 1), SM_ECLOSED);
    sigpending(&pending);
    assert_false(sigismember(&pending, SIGPIPE));
    foreign_close(&out);
    close(ends[1]);
}

/* A signal that was pending before is somebody else's: it must stay. */
static void test_pending_signal_is_left_alone(void **state)
{
    const struct timespec at_once = {0};
    struct foreign out;
    sigset_t only_pipe;
    sigset_t before;
    int ends[2];

    (void)state;
    sigemptyset(&only_pipe);
    sigaddset(&only_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &only_pipe, &before);
    pthread_kill(pthread_self(), SIGPIPE);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    open_foreign(ends[1], FOREIGN_WRITE, &out);
    close(ends[0]);
    assert_int_equal(foreign_write(&out, "x", 1), SM_ECLOSED);
    assert_int_equal(sigtimedwait(&only_pipe, NULL, &at_once), SIGPIPE);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    foreign_close(&out);
    close(ends[1]);
}

/* Where opening again is not allowed, a write takes what readiness promises. */
static void test_pipe_that_cannot_be_opened_again(void **state)
{
    static char bytes[1 << 20];
    struct foreign out = {.kind = FOREIGN_PIPE};
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    out.fd = ends[1];
    assert_int_equal(foreign_write(&out, bytes, sizeof bytes), PIPE_BUF);
    close(ends[0]);
    assert_int_equal(foreign_write(&out, bytes, sizeof bytes), SM_ECLOSED);
    close(ends[1]);
}

static void test_socket_keeps_its_flags_and_never_blocks(void **state)
{
    static char bytes[1 << 20];
    struct foreign one;
    struct foreign other;
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
                     0);
    open_foreign(ends[0], FOREIGN_WRITE, &one);
    open_foreign(ends[1], FOREIGN_READ, &other);
    assert_int_equal(foreign_read(&other, bytes, sizeof bytes), 0);
    while (foreign_write(&one, bytes, sizeof bytes) > 0) {
    }
    assert_int_equal(foreign_write(&one, bytes, sizeof bytes), 0);
    assert_int_equal(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
    foreign_close(&other);
    close(ends[1]);
    assert_int_equal(foreign_write(&one, bytes, sizeof bytes), SM_ECLOSED);
    foreign_close(&one);
    close(ends[0]);
}

static void test_file_goes_on_where_the_caller_was(void **state)
{
    int fd = memfd_create("file", MFD_CLOEXEC);
    struct foreign out;
    char bytes[16] = "";

    (void)state;
    assert_int_equal(write(fd, "one ", 4), 4);
    open_foreign(fd, FOREIGN_WRITE, &out);
    assert_int_equal(foreign_write(&out, "two", 3), 3);
    foreign_close(&out);
    assert_int_equal(pread(fd, bytes, sizeof bytes, 0), 7);
    assert_string_equal(bytes, "one two");
    close(fd);
}

static void test_full_device_is_told(void **state)
{
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    struct foreign out;

    (void)state;
    assert_true(fd >= 0);
    open_foreign(fd, FOREIGN_WRITE, &out);
    assert_int_equal(foreign_write(&out, "x", 1), SM_ENOSPC);
    foreign_close(&out);
    close(fd);
}

/* /dev/ptmx opened again would be another terminal. */
static void test_terminal_master_stays_the_same_terminal(void **state)
{
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct foreign out;
    char bytes[16] = "";
    int slave;

    (void)state;
    assert_true(master >= 0);
    assert_int_equal(unlockpt(master), 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0);
    open_foreign(master, FOREIGN_WRITE, &out);
    assert_int_equal(foreign_write(&out, "line\n", 5), 5);
    assert_int_equal(read(slave, bytes, sizeof bytes), 5);
    assert_string_equal(bytes, "line\n");
    foreign_close(&out);
    close(slave);
    close(master);
}

static void test_closed_descriptor_is_an_error(void **state)
{
    struct foreign in;
    struct sm_error err;

    (void)state;
    assert_true(foreign_open(-1, FOREIGN_READ, &in, &err) < 0);
    assert_int_equal(err.os_error, EBADF);
    foreign_close(&in);
}

static void note_events(void *context, unsigned events)
{
    *(unsigned *)context |= events;
}

static void test_watch_leaves_flags_and_takes_dev_null(void **state)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct loop_watch *watch;
    unsigned seen = 0;
    struct loop *loop;
    int ends[2];

    (void)state;
    assert_int_equal(loop_new(&loop, NULL), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(
        loop_watch(loop, ends[0], LOOP_READ, note_events, &seen, &watch, NULL),
        0);
    assert_int_equal(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
    loop_unwatch(watch);
    assert_int_equal(
        loop_watch(loop, null, LOOP_READ, note_events, &seen, &watch, NULL), 0);
    loop_turn(loop, 0);
    assert_int_equal(seen, LOOP_READ);
    loop_unwatch(watch);
    loop_free(loop);
    close(ends[0]);
    close(ends[1]);
    close(null);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipe_keeps_its_flags_and_never_blocks),
        cmocka_unit_test(test_broken_pipe_raises_no_signal),
        cmocka_unit_test(test_pending_signal_is_left_alone),
        cmocka_unit_test(test_pipe_that_cannot_be_opened_again),
        cmocka_unit_test(test_socket_keeps_its_flags_and_never_blocks),
        cmocka_unit_test(test_file_goes_on_where_the_caller_was),
        cmocka_unit_test(test_full_device_is_told),
        cmocka_unit_test(test_terminal_master_stays_the_same_terminal),
        cmocka_unit_test(test_closed_descriptor_is_an_error),
        cmocka_unit_test(test_watch_leaves_flags_and_takes_dev_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
