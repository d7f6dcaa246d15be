/* test_control.c: messages between verbs and keepers, in pieces and wrong. */
#include "cli/control.h"
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ends[2];

static int open_pair(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
}

static int close_pair(void **state)
{
    (void)state;
    close(ends[0]);
    if (ends[1] >= 0)
        close(ends[1]);
    return 0;
}

static int descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_control_message_with_descriptors(void **state)
{
    struct control_message message = {0};
    struct control_reader reader;
    int fds[CONTROL_FDS] = {0, 1, 2};
    int before = descriptors();
    const char *at;

    (void)state;
    control_put(&message, "arg=%s", "sh");
    control_put(&message, "arg=%s", "");
    control_put(&message, "arg=%d", 42);
    assert_int_equal(control_send(ends[1], CONTROL_EXEC, &message, fds), 0);
    control_reader_init(&reader);
    assert_int_equal(control_read(&reader, ends[0], false), 1);
    assert_int_equal(reader.header.type, CONTROL_EXEC);
    at = control_next(&reader, NULL);
    assert_string_equal(at, "arg=sh");
    at = control_next(&reader, at);
    assert_string_equal(at, "arg=");
    at = control_next(&reader, at);
    assert_string_equal(at, "arg=42");
    assert_null(control_next(&reader, at));
    for (int i = 0; i < CONTROL_FDS; i++) {
        assert_true(reader.fds[i] > 2);
        assert_int_equal(fcntl(reader.fds[i], F_GETFD), FD_CLOEXEC);
    }
    control_reader_done(&reader);
    assert_int_equal(descriptors(), before);
}

static void test_control_message_in_pieces(void **state)
{
    struct control_header header = {6, CONTROL_RENAME};
    struct control_reader reader;
    char bytes[sizeof header + 6];

    (void)state;
    memcpy(bytes, &header, sizeof header);
    memcpy(bytes + sizeof header, "other", 6);
    control_reader_init(&reader);
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal(control_read(&reader, ends[0], false), 0);
        assert_int_equal(write(ends[1], bytes + i, 1), 1);
    }
    assert_int_equal(control_read(&reader, ends[0], false), 1);
    assert_string_equal(control_next(&reader, NULL), "other");
    control_reader_done(&reader);
}

static void test_control_nonsense_is_refused(void **state)
{
    struct control_header header = {CONTROL_MAX + 1, CONTROL_EXEC};
    struct control_reader reader;

    (void)state;
    control_reader_init(&reader);
    assert_int_equal(write(ends[1], &header, sizeof header), sizeof header);
    assert_int_equal(control_read(&reader, ends[0], false), SM_EPROTO);
    control_reader_done(&reader);
    /* Strings without an end still have one. */
    header = (struct control_header){3, CONTROL_RENAME};
    assert_int_equal(write(ends[1], &header, sizeof header), sizeof header);
    assert_int_equal(write(ends[1], "abc", 3), 3);
    assert_int_equal(control_read(&reader, ends[0], false), 1);
    assert_string_equal(control_next(&reader, NULL), "abc");
    assert_null(control_next(&reader, control_next(&reader, NULL)));
    control_reader_done(&reader);
    close(ends[1]);
    ends[1] = -1;
    assert_int_equal(control_read(&reader, ends[0], false), SM_ECLOSED);
    control_reader_done(&reader);
}

static void test_control_more_descriptors_than_wanted_are_closed(void **state)
{
    struct control_message message = {0};
    struct control_reader reader;
    int fds[CONTROL_FDS] = {0, 1, 2};
    int before = descriptors();

    (void)state;
    control_reader_init(&reader);
    /* Two messages' descriptors meet in one reader that was not emptied. */
    assert_int_equal(control_send(ends[1], CONTROL_WAIT, &message, fds), 0);
    assert_int_equal(control_send(ends[1], CONTROL_WAIT, &message, fds), 0);
    assert_int_equal(control_read(&reader, ends[0], false), 1);
    reader.got = 0;
    assert_int_equal(control_read(&reader, ends[0], false), 1);
    assert_int_equal(descriptors(), before + CONTROL_FDS);
    control_reader_done(&reader);
    assert_int_equal(descriptors(), before);
}

static void test_control_answers(void **state)
{
    struct control_message message = {0};
    struct control_reader reader;
    struct sm_exit_status status;
    struct sm_error err;

    (void)state;
    control_reader_init(&reader);
    control_put(&message, "0");
    control_put(&message, "9");
    control_send(ends[1], CONTROL_ENDED, &message, NULL);
    assert_int_equal(control_read(&reader, ends[0], false), 1);
    assert_int_equal(control_answer(&reader, &status, &err), 0);
    assert_int_equal(status.exited, 0);
    assert_int_equal(status.signal, 9);
    control_reader_done(&reader);
    control_put(&message, "%d", SM_EEXIST);
    control_put(&message, "it is there");
    control_send(ends[1], CONTROL_FAILED, &message, NULL);
    assert_int_equal(control_read(&reader, ends[0], false), 1);
    assert_int_equal(control_answer(&reader, &status, &err), SM_EEXIST);
    assert_string_equal(err.message, "it is there");
    control_reader_done(&reader);
    control_send(ends[1], CONTROL_ENDED, &message, NULL);
    assert_int_equal(control_read(&reader, ends[0], false), 1);
    assert_int_equal(control_answer(&reader, &status, &err), SM_EPROTO);
    control_reader_done(&reader);
}

/* What a keeper that listens on (listener) is asked: *fd is for the answer. */
static void hear(int listener, enum control_type type, const char *text,
                 int *fd)
{
    struct control_reader reader;

    *fd = accept(listener, NULL, NULL);
    assert_true(*fd >= 0);
    control_reader_init(&reader);
    assert_int_equal(control_read(&reader, *fd, true), 1);
    assert_int_equal(reader.header.type, type);
    assert_string_equal(control_next(&reader, NULL), text);
    control_reader_done(&reader);
}

/* Several are asked before the first of them answers; the second never does. */
static void test_control_many_are_asked_at_once(void **state)
{
    char folder[] = "/tmp/control-test-XXXXXX";
    struct record record = {.id = "id", .name = "web"};
    struct sm_exit_status status;
    struct sm_error err;
    int before = descriptors();
    int listener;
    int asked[2];
    int heard[2];

    (void)state;
    assert_non_null(mkdtemp(folder));
    record.folder = open(folder, O_RDONLY | O_DIRECTORY);
    listener = control_listen(&record, &err);
    assert_true(listener >= 0);
    for (int i = 0; i < 2; i++) {
        struct control_message message = {0};

        control_put(&message, "%d", i);
        asked[i] = control_ask_begin(&record, CONTROL_STOP, &message, &err);
        assert_true(asked[i] >= 0);
    }
    for (int i = 0; i < 2; i++) {
        struct control_message message = {0};

        hear(listener, CONTROL_STOP, i ? "1" : "0", &heard[i]);
        control_put(&message, "1");
        control_put(&message, "7");
        if (i == 0)
            assert_int_equal(
                control_send(heard[i], CONTROL_ENDED, &message, NULL), 0);
        else
            free(message.bytes);
        close(heard[i]);
    }
    assert_int_equal(control_ask_end(&record, asked[1], &status, &err),
                     SM_ECLOSED);
    assert_string_equal(err.message, "the machine web ended meanwhile");
    assert_int_equal(control_ask_end(&record, asked[0], &status, &err), 0);
    assert_true(status.exited);
    assert_int_equal(status.code, 7);
    close(listener);
    assert_int_equal(control_ask_begin(&record, CONTROL_STOP,
                                       &(struct control_message){0}, &err),
                     SM_ENOENT);
    unlinkat(record.folder, "control", 0);
    close(record.folder);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(descriptors(), before);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_control_message_with_descriptors,
                                        open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_control_message_in_pieces,
                                        open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_control_nonsense_is_refused,
                                        open_pair, close_pair),
        cmocka_unit_test_setup_teardown(
            test_control_more_descriptors_than_wanted_are_closed, open_pair,
            close_pair),
        cmocka_unit_test(test_control_many_are_asked_at_once),
        cmocka_unit_test_setup_teardown(test_control_answers, open_pair,
                                        close_pair),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
