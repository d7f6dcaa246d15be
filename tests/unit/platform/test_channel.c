/* test_channel.c: messages keep their boundaries and carry descriptors. */
#include "base/bytes.h"
#include "platform/channel.h"
#include "platform/file.h"
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WATCHDOG_S = 600 };

static uint8_t buffer[CHANNEL_BYTES_MAX];

static unsigned count_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_channel_keeps_the_boundaries_of_messages(void **state)
{
    struct channel_message message;
    int ends[2];

    (void)state;
    assert_int_equal(channel_pair(ends, NULL), 0);
    assert_true(fcntl(ends[0], F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(ends[1], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(channel_send(ends[0], "abc", 3, NULL, 0, NULL), 0);
    assert_int_equal(channel_send(ends[0], "d", 1, NULL, 0, NULL), 0);
    assert_int_equal(channel_receive(ends[1], buffer, &message, NULL), 0);
    assert_int_equal(message.count, 3);
    assert_int_equal(message.fd_count, 0);
    assert_memory_equal(buffer, "abc", 3);
    assert_int_equal(channel_receive(ends[1], buffer, &message, NULL), 0);
    assert_int_equal(message.count, 1);
    close(ends[0]);
    close(ends[1]);
}

static void test_channel_carries_the_largest_message(void **state)
{
    static uint8_t sent[CHANNEL_BYTES_MAX];
    struct channel_message message;
    int ends[2];

    (void)state;
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (uint8_t)(i * 31);
    assert_int_equal(channel_pair(ends, NULL), 0);
    assert_int_equal(channel_send(ends[0], sent, sizeof sent, NULL, 0, NULL),
                     0);
    assert_int_equal(channel_receive(ends[1], buffer, &message, NULL), 0);
    assert_int_equal(message.count, sizeof sent);
    assert_memory_equal(buffer, sent, sizeof sent);
    close(ends[0]);
    close(ends[1]);
}

static void test_channel_carries_descriptors(void **state)
{
    int fds[CHANNEL_FDS_MAX];
    unsigned before = count_descriptors();
    int ends[2];

    (void)state;
    assert_int_equal(channel_pair(ends, NULL), 0);
    for (unsigned i = 0; i < CHANNEL_FDS_MAX; i++) {
        char mark = (char)('a' + i);

        assert_int_equal(file_in_memory("mark", &fds[i], NULL), 0);
        assert_int_equal(file_write_at(fds[i], &mark, 1, 0, NULL), 0);
    }
    for (unsigned count = 0; count <= CHANNEL_FDS_MAX; count++) {
        struct channel_message message;

        assert_int_equal(channel_send(ends[0], "x", 1, fds, count, NULL), 0);
        assert_int_equal(channel_receive(ends[1], buffer, &message, NULL), 0);
        assert_int_equal(message.fd_count, count);
        for (unsigned i = 0; i < count; i++) {
            char mark = 0;

            assert_int_equal(file_read_at(message.fds[i], &mark, 1, 0, NULL),
                             0);
            assert_int_equal(mark, 'a' + i);
            assert_true(fcntl(message.fds[i], F_GETFD) & FD_CLOEXEC);
        }
        channel_message_done(&message);
        channel_message_done(&message);
    }
    for (unsigned i = 0; i < CHANNEL_FDS_MAX; i++)
        close(fds[i]);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(count_descriptors(), before);
}

static void test_channel_leaves_taken_descriptors_alone(void **state)
{
    struct channel_message message;
    int ends[2];
    int taken;

    (void)state;
    assert_int_equal(channel_pair(ends, NULL), 0);
    assert_int_equal(channel_send(ends[0], "x", 1, ends, 2, NULL), 0);
    assert_int_equal(channel_receive(ends[1], buffer, &message, NULL), 0);
    taken = message.fds[0];
    message.fds[0] = -1;
    channel_message_done(&message);
    assert_true(fcntl(taken, F_GETFD) >= 0);
    close(taken);
    close(ends[0]);
    close(ends[1]);
}

/* What was sent before the end is not lost. */
static void test_channel_says_when_the_other_end_is_gone(void **state)
{
    struct channel_message message;
    struct sm_error err;
    int ends[2];

    (void)state;
    assert_int_equal(channel_pair(ends, NULL), 0);
    assert_int_equal(channel_send(ends[0], "bye", 3, NULL, 0, NULL), 0);
    close(ends[0]);
    assert_int_equal(channel_receive(ends[1], buffer, &message, NULL), 0);
    assert_int_equal(message.count, 3);
    assert_int_equal(channel_receive(ends[1], buffer, &message, &err),
                     SM_ECLOSED);
    assert_int_equal(err.code, SM_ECLOSED);
    /* SIGPIPE would end this test. */
    signal(SIGPIPE, SIG_DFL);
    assert_int_equal(channel_send(ends[1], "x", 1, NULL, 0, NULL), SM_ECLOSED);
    close(ends[1]);
}

/* An end that is closed with messages unread resets the other one. */
static void test_channel_end_with_unread_messages_is_an_end_too(void **state)
{
    struct channel_message message;
    int ends[2];

    (void)state;
    assert_int_equal(channel_pair(ends, NULL), 0);
    assert_int_equal(channel_send(ends[1], "x", 1, NULL, 0, NULL), 0);
    close(ends[0]);
    assert_int_equal(channel_receive(ends[1], buffer, &message, NULL),
                     SM_ECLOSED);
    close(ends[1]);
}

/* What only another program than ours would send. */
static void send_raw(int end, size_t count, unsigned fd_count)
{
    static uint8_t bytes[CHANNEL_BYTES_MAX + 1];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * CHANNEL_FDS_MAX * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd_count) {
        struct cmsghdr *header = &control.align;

        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        for (unsigned i = 0; i < fd_count; i++)
            ((int *)(void *)CMSG_DATA(header))[i] = end;
    }
    assert_int_equal(sendmsg(end, &message, 0), (ssize_t)count);
}

static void test_channel_refuses_what_is_cut_off_and_keeps_nothing(void **state)
{
    static const struct {
        size_t count;
        unsigned fd_count;
        int result;
    } table[] = {
        {CHANNEL_BYTES_MAX + 1, 0, SM_EPROTO},
        {CHANNEL_BYTES_MAX + 1, 3, SM_EPROTO},
        {1, CHANNEL_FDS_MAX + 1, SM_EPROTO},
        {1, 2 * CHANNEL_FDS_MAX, SM_EPROTO},
        {0, 0, SM_ECLOSED},
        {0, 3, SM_ECLOSED},
    };
    struct channel_message message;
    unsigned before;
    int ends[2];

    (void)state;
    assert_int_equal(channel_pair(ends, NULL), 0);
    before = count_descriptors();
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        send_raw(ends[0], table[i].count, table[i].fd_count);
        assert_int_equal(channel_receive(ends[1], buffer, &message, NULL),
                         table[i].result);
        assert_int_equal(message.fd_count, 0);
        assert_int_equal(count_descriptors(), before);
    }
    assert_int_equal(channel_send(ends[0], "ok", 2, NULL, 0, NULL), 0);
    assert_int_equal(channel_receive(ends[1], buffer, &message, NULL), 0);
    assert_int_equal(message.count, 2);
    close(ends[0]);
    close(ends[1]);
}

enum { MANY = 200 };

static void *send_many(void *context)
{
    static uint8_t bytes[CHANNEL_BYTES_MAX];
    const int *end = context;

    for (int i = 0; i < MANY; i++)
        if (channel_send(*end, bytes, sizeof bytes, NULL, 0, NULL) != 0)
            return "not sent";
    return NULL;
}

static void test_channel_sender_waits_for_a_slow_receiver(void **state)
{
    struct channel_message message;
    pthread_t thread;
    void *wrong;
    int ends[2];

    (void)state;
    assert_int_equal(channel_pair(ends, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, send_many, &ends[0]), 0);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(channel_receive(ends[1], buffer, &message, NULL), 0);
        assert_int_equal(message.count, CHANNEL_BYTES_MAX);
    }
    assert_int_equal(pthread_join(thread, &wrong), 0);
    assert_null(wrong);
    close(ends[0]);
    close(ends[1]);
}

static void test_channel_errors_are_errors(void **state)
{
    struct channel_message message;

    (void)state;
    assert_int_equal(channel_send(-1, "x", 1, NULL, 0, NULL), SM_EIO);
    assert_int_equal(channel_receive(-1, buffer, &message, NULL), SM_EIO);
    assert_int_equal(message.fd_count, 0);
}

static void test_stream_has_no_boundaries(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(stream_pair(ends, NULL), 0);
    assert_true(fcntl(ends[0], F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(ends[1], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(ends[0], "ab", 2), 2);
    assert_int_equal(write(ends[0], "cd", 2), 2);
    assert_int_equal(read(ends[1], buffer, sizeof buffer), 4);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_channel_keeps_the_boundaries_of_messages),
        cmocka_unit_test(test_channel_carries_the_largest_message),
        cmocka_unit_test(test_channel_carries_descriptors),
        cmocka_unit_test(test_channel_leaves_taken_descriptors_alone),
        cmocka_unit_test(test_channel_says_when_the_other_end_is_gone),
        cmocka_unit_test(test_channel_end_with_unread_messages_is_an_end_too),
        cmocka_unit_test(
            test_channel_refuses_what_is_cut_off_and_keeps_nothing),
        cmocka_unit_test(test_channel_sender_waits_for_a_slow_receiver),
        cmocka_unit_test(test_channel_errors_are_errors),
        cmocka_unit_test(test_stream_has_no_boundaries),
    };

    alarm(WATCHDOG_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
