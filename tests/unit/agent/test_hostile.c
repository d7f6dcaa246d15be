/* test_hostile.c: malformed frames from either side, and a peer that does not
 * read. */
#include "stand.h"

#include "base/bytes.h"
#include "base/wire.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A frame that one side must not send, by its raw parts. */
struct bad_frame {
    const char *what;
    uint32_t count;
    uint16_t type;
    uint16_t flags;
    uint32_t channel;
    uint32_t payload[12]; /* little endian on every machine we test on */
};

static void send_frame(int fd, const struct bad_frame *bad)
{
    uint8_t bytes[FRAME_HEADER_BYTES + sizeof bad->payload];
    size_t count =
        bad->count < sizeof bad->payload ? bad->count : sizeof bad->payload;
    const struct frame frame = {.count = bad->count,
                                .type = bad->type,
                                .flags = bad->flags,
                                .channel = bad->channel};

    frame_put_header(bytes, &frame);
    memcpy(bytes + FRAME_HEADER_BYTES, bad->payload, count);
    assert_int_equal(send(fd, bytes, FRAME_HEADER_BYTES + count, MSG_NOSIGNAL),
                     FRAME_HEADER_BYTES + count);
}

/* The host's bad manners. */
static const struct bad_frame from_host[] = {
    {"unknown type", 0, 999, 0, 0, {0}},
    {"type 0", 0, 0, 0, 0, {0}},
    {"a guest's message", 0, AGENT_SETUP_DONE, 0, 0, {0}},
    {"channel on a session's message", 8, AGENT_PING, 0, 1, {0}},
    {"no channel", 8, AGENT_SIGNAL, 0, 0, {9, 0}},
    {"strange flags", 8, AGENT_PING, 0x80, 0, {0}},
    {"END on no stream", 8, AGENT_PING, AGENT_END, 0, {0}},
    {"too short", 7, AGENT_PING, 0, 0, {0}},
    {"too long", 0xffffffff, AGENT_STDIN, 0, 1, {0}},
    {"ignorable and too long", 1u << 30, 999, AGENT_MAY_IGNORE, 0, {0}},
    {"request beyond its limit", AGENT_REQUEST_MAX + 1, AGENT_EXEC, 0, 1, {0}},
    {"SETUP of zeroes", 48, AGENT_SETUP, 0, 0, {0}},
    {"SETUP with a blob beyond the end", 48, AGENT_SETUP, 0, 0, {0, 0, ~0u}},
    {"EXEC of zeroes", 48, AGENT_EXEC, 0, 1, {0}},
    {"EXEC with 4 billion arguments",
     48,
     AGENT_EXEC,
     0,
     1,
     {0, 0, 0, 0, 0, 0, ~0u}},
    {"SHUTDOWN of an unknown kind", 8, AGENT_SHUTDOWN, 0, 0, {7, 0}},
    {"RELEASE without HOLD", 0, AGENT_RELEASE, 0, 0, {0}},
    {"CLONE without HOLD", 48, AGENT_CLONE, 0, 0, {0}},
};

static void expect_error_and_end(int fd)
{
    struct frame_reader reader;
    struct frame frame = {0};
    struct sm_error err;
    ssize_t count = 1;

    frame_reader_init(&reader, 4096, AGENT_FRAME_MAX, agent_check_from_guest);
    while (count > 0) {
        size_t room;
        uint8_t *to = frame_reader_room(&reader, &room);

        assert_non_null(to);
        count = recv(fd, to, room, 0);
        assert_true(count >= 0);
        frame_reader_added(&reader, (size_t)count);
        while (frame_reader_next(&reader, &frame, &err) == 1)
            if (frame.type != AGENT_HELLO)
                assert_int_equal(frame.type, AGENT_ERROR);
    }
    assert_int_equal(frame.type, AGENT_ERROR);
    frame_reader_done(&reader);
}

static void test_agent_ends_a_session_that_breaks_the_protocol(void **state)
{
    struct stand stand;
    struct run run;

    (void)state;
    stand_start(&stand, 0);
    for (size_t i = 0; i < ARRAY_LEN(from_host); i++) {
        int fd = stand_call(&stand);

        print_message("    %s\n", from_host[i].what);
        send_frame(fd, &from_host[i]);
        expect_error_and_end(fd);
        close(fd);
    }
    /* The other session never noticed. */
    run_script(&run, &stand, "echo fine");
    assert_string_equal(run_out(&run), "fine\n");
    run_done(&run);
    stand_stop(&stand);
}

/* Nothing but RELEASE and CLONE ends a hold; after anything else nothing leads
 * on. */
static void test_agent_that_is_held_hears_nothing_else(void **state)
{
    static const struct bad_frame wrong[] = {
        {"PING", 8, AGENT_PING, 0, 0, {0}},
        {"HOLD", 0, AGENT_HOLD, 0, 0, {0}},
        {"EXEC", 48, AGENT_EXEC, 0, 1, {0}},
        {"SHUTDOWN", 8, AGENT_SHUTDOWN, 0, 0, {0}},
        {"ignorable", 0, 999, AGENT_MAY_IGNORE, 0, {0}},
        {"CLONE of zeroes", 48, AGENT_CLONE, 0, 0, {0}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct stand stand;
        struct run run;
        int fd;

        print_message("    %s\n", wrong[i].what);
        stand_start(&stand, STAND_CGROUPS | STAND_CLONES);
        run_init(&run, &stand, "echo up; exec sleep 1000");
        run.options.program.flags = AGENT_EXEC_KEEP;
        run_start(&run);
        stand_until(&stand, &run.started);
        stand_hold(&stand);
        assert_int_equal(stand.not_held.code, 0);
        fd = stand.again;
        send_frame(fd, &wrong[i]);
        stand_until(&stand, &stand.closed);
        assert_int_equal(stand.why.code, SM_EGUEST);
        assert_true(stand_stays_frozen(&stand));
        run_done(&run);
        stand_stop(&stand);
    }
}

static void test_agent_ignores_what_may_be_ignored(void **state)
{
    static const struct bad_frame unknown = {"", 48, 999, AGENT_MAY_IGNORE,
                                             0,  {0}};
    static const struct bad_frame late[] = {
        {"", 8, AGENT_SIGNAL, 0, 77, {9, 2}},
        {"", 0, AGENT_STDIN, AGENT_END, 77, {0}},
        {"", 8, AGENT_WINDOW, 0, 77, {1, 1}},
    };
    uint8_t header[FRAME_HEADER_BYTES];
    struct stand stand;
    uint8_t skip_bytes[1024];
    int fd;

    (void)state;
    stand_start(&stand, 0);
    fd = stand_call(&stand);
    assert_int_equal(recv(fd, header, sizeof header, MSG_WAITALL),
                     sizeof header);
    assert_int_equal(recv(fd, skip_bytes, load_le32(header), MSG_WAITALL),
                     load_le32(header));
    send_frame(fd, &unknown);
    for (size_t i = 0; i < ARRAY_LEN(late); i++)
        send_frame(fd, &late[i]);
    send_frame(fd, &(struct bad_frame){"", 8, AGENT_PING, 0, 0, {5, 6}});
    assert_int_equal(recv(fd, header, sizeof header, MSG_WAITALL),
                     sizeof header);
    assert_int_equal(load_le16(header + 4), AGENT_PONG);
    close(fd);
    stand_stop(&stand);
}

/* Requests whose answers nobody reads: the agent stops reading, too. */
static void test_agent_does_not_pile_up_answers(void **state)
{
    uint8_t pings[4096 / 20 * 20];
    struct pollfd writable = {.events = POLLOUT};
    struct stand stand;
    uint64_t sent = 0;
    struct run run;

    (void)state;
    for (size_t at = 0; at < sizeof pings; at += 20) {
        memset(pings + at, 0, 20);
        frame_put_header(pings + at,
                         &(struct frame){.count = 8, .type = AGENT_PING});
    }
    stand_start(&stand, 0);
    writable.fd = stand_call(&stand);
    /* No end of it would be a failure by the test's time-out. */
    while (poll(&writable, 1, 500) > 0) {
        ssize_t some = send(writable.fd, pings, sizeof pings, MSG_DONTWAIT);

        if (some > 0)
            sent += (uint64_t)some;
        assert_true(sent < 64 << 20);
        assert_true(some != 0);
    }
    run_script(&run, &stand, "echo fine");
    assert_string_equal(run_out(&run), "fine\n");
    run_done(&run);
    close(writable.fd);
    stand_stop(&stand);
}

/* Host end against a guest that this test plays. */
struct play {
    struct stand stand; /* only loop, session and what its events set */
    int guest;
};

static void play_start(struct play *play)
{
    int ends[2];

    alarm(60);
    *play = (struct play){0};
    assert_int_equal(loop_new(&play->stand.loop, NULL), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
                     0);
    play->guest = ends[1];
    assert_int_equal(session_open(play->stand.loop, ends[0], &stand_events,
                                  &play->stand, &play->stand.session, NULL),
                     0);
}

static void play_stop(struct play *play)
{
    session_close(play->stand.session);
    loop_free(play->stand.loop);
    close(play->guest);
    alarm(0);
}

static void say(struct play *play, struct buf *frames)
{
    assert_false(frames->failed);
    assert_int_equal(send(play->guest, frames->data, frames->size, 0),
                     frames->size);
    buf_done(frames);
}

static void say_hello(struct play *play, uint32_t version)
{
    struct agent_hello hello = {.version = version, .kernel = "6.1\x1b[2J"};
    struct buf to;

    buf_init(&to, 4096);
    agent_put_hello(&to, &hello);
    say(play, &to);
}

static const struct bad_frame from_guest[] = {
    {"unknown type", 0, 999, 0, 0, {0}},
    {"a host's message", 8, AGENT_PING, 0, 0, {0}},
    {"a second HELLO", 40, AGENT_HELLO, 0, 0, {1, 0}},
    {"SETUP_DONE without SETUP", 0, AGENT_SETUP_DONE, 0, 0, {0}},
    {"a channel that never was", 4, AGENT_EXEC_STARTED, 0, 2, {1}},
    {"more than was granted: stdout", EXEC_WINDOW, AGENT_STDOUT, 0, 1, {0}},
    {"stderr that is not wanted", 1, AGENT_STDERR, 0, 1, {0}},
    {"WINDOW for an output", 8, AGENT_WINDOW, 0, 1, {1, 1}},
    {"WINDOW of nothing", 8, AGENT_WINDOW, 0, 1, {0, 0}},
    {"WINDOW beyond all bounds", 8, AGENT_WINDOW, 0, 1, {0, ~0u}},
    {"WINDOW that adds up beyond",
     8,
     AGENT_WINDOW,
     0,
     1,
     {0, AGENT_WINDOW_MAX}},
    {"WINDOW for stream 3", 8, AGENT_WINDOW, 0, 1, {3, 1}},
    {"CLOSE of an output", 4, AGENT_CLOSE, 0, 1, {1}},
    {"exit status 256", 44, AGENT_EXITED, 0, 1, {0, 256}},
    {"signal 0", 44, AGENT_EXITED, 0, 1, {1, 0}},
    {"a failure for no reason", 12, AGENT_EXEC_FAILED, 0, 1, {0, 0, 0}},
    {"a message beyond the end", 12, AGENT_EXEC_FAILED, 0, 1, {1, 0, 500}},
    {"HELD without HOLD", 8, AGENT_HELD, 0, 0, {0, 0}},
    {"HELD beyond the end", 8, AGENT_HELD, 0, 0, {0, 500}},
    {"CLONE_DONE without CLONE", 0, AGENT_CLONE_DONE, 0, 0, {0}},
};

static void test_host_ends_a_session_that_breaks_the_protocol(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(from_guest); i++) {
        struct play play;
        struct run run;

        print_message("    %s\n", from_guest[i].what);
        play_start(&play);
        say_hello(&play, AGENT_VERSION);
        stand_until(&play.stand, &play.stand.hello);
        run_init(&run, &play.stand, "true");
        run.options.ports[AGENT_IN].kind = EXEC_BYTES;
        run.options.ports[AGENT_ERR].kind = EXEC_NONE;
        run_start(&run);
        send_frame(play.guest, &from_guest[i]);
        stand_until(&play.stand, &play.stand.closed);
        assert_int_equal(play.stand.why.code, SM_EPROTO);
        assert_int_equal(run.end.outcome, EXEC_LOST);
        assert_int_equal(run.end.error.code, SM_EPROTO);
        run_done(&run);
        play_stop(&play);
    }
}

/* Whatever a held machine says but an error. */
static void test_host_expects_silence_of_a_held_machine(void **state)
{
    static const struct bad_frame held = {"", 8, AGENT_HELD, 0, 0, {0, 0}};
    static const struct bad_frame wrong[] = {
        {"PONG", 8, AGENT_PONG, 0, 0, {0}},
        {"HELD again", 8, AGENT_HELD, 0, 0, {0, 0}},
        {"CLONE_DONE", 0, AGENT_CLONE_DONE, 0, 0, {0}},
        {"output", 1, AGENT_STDOUT, 0, 1, {0}},
        {"what may be ignored", 0, 999, AGENT_MAY_IGNORE, 0, {0}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct play play;
        struct run run;

        print_message("    %s\n", wrong[i].what);
        play_start(&play);
        say_hello(&play, AGENT_VERSION);
        stand_until(&play.stand, &play.stand.hello);
        run_init(&run, &play.stand, "true");
        run_start(&run);
        assert_int_equal(session_hold(play.stand.session, NULL), 0);
        send_frame(play.guest, &held);
        stand_until(&play.stand, &play.stand.held);
        assert_int_equal(play.stand.not_held.code, 0);
        send_frame(play.guest, &wrong[i]);
        stand_until(&play.stand, &play.stand.closed);
        assert_int_equal(play.stand.why.code, SM_EPROTO);
        run_done(&run);
        play_stop(&play);
    }
}

static void test_host_wants_hello_first_and_the_right_version(void **state)
{
    static const struct bad_frame pong = {"", 8, AGENT_PONG, 0, 0, {0}};
    struct play play;

    (void)state;
    play_start(&play);
    send_frame(play.guest, &pong);
    stand_until(&play.stand, &play.stand.closed);
    assert_int_equal(play.stand.why.code, SM_EPROTO);
    play_stop(&play);
    play_start(&play);
    say_hello(&play, AGENT_VERSION + 1);
    stand_until(&play.stand, &play.stand.closed);
    assert_int_equal(play.stand.why.code, SM_ENOTSUP);
    play_stop(&play);
}

static void test_guests_words_cannot_control_a_terminal(void **state)
{
    struct play play;
    struct buf to;

    (void)state;
    play_start(&play);
    say_hello(&play, AGENT_VERSION);
    stand_until(&play.stand, &play.stand.hello);
    assert_string_equal(play.stand.guest_hello.kernel, "6.1?[2J");
    buf_init(&to, 4096);
    agent_put_error(&to, "bad\r\n\x1b]0;title\x07 end \xff");
    say(&play, &to);
    stand_until(&play.stand, &play.stand.closed);
    assert_int_equal(play.stand.why.code, SM_EGUEST);
    assert_non_null(strstr(play.stand.why.message, "bad???]0;title? end ?"));
    play_stop(&play);
}

/* Everything about a program may come in one piece, and the caller may free it
 * at any of its events. */
struct nested {
    struct exec *exec;
    const char *free_at;
    bool freed;
};

static void free_if(struct nested *nested, const char *at)
{
    if (strcmp(nested->free_at, at) == 0) {
        exec_free(nested->exec);
        nested->freed = true;
    }
}

static void nested_started(void *context, uint32_t pid)
{
    (void)pid;
    free_if(context, "started");
}

static void nested_output(void *context, enum agent_stream stream,
                          const uint8_t *bytes, size_t count)
{
    (void)stream;
    (void)bytes;
    free_if(context, count > 0 ? "output" : "end of output");
}

static void nested_ended(void *context, const struct exec_end *end)
{
    (void)end;
    free_if(context, "ended");
}

static void test_exec_may_be_freed_at_any_of_its_events(void **state)
{
    static const char *const moments[] = {"started", "output", "end of output",
                                          "ended"};
    static const struct exec_events events = {.started = nested_started,
                                              .output = nested_output,
                                              .ended = nested_ended};
    static const char *const argv[] = {"x", NULL};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        struct nested nested = {.free_at = moments[i]};
        struct exec_options options = {
            .program.argv = argv, .events = &events, .context = &nested};
        const struct frame data = {.type = AGENT_STDOUT,
                                   .channel = 1,
                                   .count = 1,
                                   .payload = (const uint8_t *)"x"};
        struct play play;
        struct buf to;

        options.ports[AGENT_OUT].kind = EXEC_BYTES;
        play_start(&play);
        say_hello(&play, AGENT_VERSION);
        stand_until(&play.stand, &play.stand.hello);
        assert_int_equal(
            exec_start(play.stand.session, &options, &nested.exec, NULL), 0);
        buf_init(&to, 4096);
        agent_put_exec_started(&to, 1, 10);
        frame_put(&to, &data);
        agent_put_exited(&to, 1, &(struct agent_exit){0});
        agent_put_ping(&to, AGENT_PONG, 99);
        say(&play, &to);
        while (play.stand.pong != 99)
            loop_turn(play.stand.loop, -1);
        assert_true(nested.freed);
        assert_false(play.stand.closed);
        play_stop(&play);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agent_ends_a_session_that_breaks_the_protocol),
        cmocka_unit_test(test_agent_that_is_held_hears_nothing_else),
        cmocka_unit_test(test_agent_ignores_what_may_be_ignored),
        cmocka_unit_test(test_agent_does_not_pile_up_answers),
        cmocka_unit_test(test_host_ends_a_session_that_breaks_the_protocol),
        cmocka_unit_test(test_host_expects_silence_of_a_held_machine),
        cmocka_unit_test(test_host_wants_hello_first_and_the_right_version),
        cmocka_unit_test(test_guests_words_cannot_control_a_terminal),
        cmocka_unit_test(test_exec_may_be_freed_at_any_of_its_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
