/* test_worker.c: the library's end of a worker process, against workers that
 * behave well, badly, and not at all.
 *
 * The worker that is started is this program: it does what the kernel's
 * arguments in its first message say. */
#include "base/bytes.h"
#include "machine/worker.h"
#include "platform/channel.h"
#include "platform/process.h"
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WATCHDOG_S = 600, CHANNEL_FD = PROCESS_FD_FIRST, FDS_GIVEN = 6 };

static uint8_t in[CHANNEL_BYTES_MAX];

/* The worker --------------------------------------------------------------- */

static void say(struct buf *message)
{
    channel_send(CHANNEL_FD, message->data, message->size, NULL, 0, NULL);
    buf_done(message);
}

static void say_ended(enum worker_end end)
{
    struct worker_ended ended = {.end = end};
    struct buf message;

    if (end == WORKER_END_FAILED)
        fail(&ended.error, SM_ENOSPC, "overlay");
    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_ended(&message, &ended);
    say(&message);
}

static void say_steps(void)
{
    struct worker_steps steps = {0};
    struct buf message;

    worker_step_add(&steps, "agent connected", 5);
    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_steps(&message, &steps);
    say(&message);
}

static void say_probed(void)
{
    struct worker_probed probed = {
        .verdict = WORKER_SOUND, .loop_ns = 7, .hypervisor = (char[]){"fake"}};
    struct buf message;

    buf_init(&message, CHANNEL_BYTES_MAX);
    worker_put_probed(&message, &probed);
    say(&message);
}

/* Stay until the library is gone. */
static void stay(void)
{
    struct channel_message message;

    while (channel_receive(CHANNEL_FD, in, &message, NULL) == 0)
        channel_message_done(&message);
}

/* Do nothing but say that it was done. */
static void answer_pauses(void)
{
    struct channel_message message;

    while (channel_receive(CHANNEL_FD, in, &message, NULL) == 0) {
        struct wire_reader from;
        enum worker_type type = WORKER_START;
        struct buf answer;

        wire_read(&from, in, message.count);
        worker_get_type(&from, &type, NULL);
        buf_init(&answer, CHANNEL_BYTES_MAX);
        worker_put_simple(&answer, type == WORKER_PAUSE ? WORKER_PAUSED
                                                        : WORKER_RESUMED);
        say(&answer);
        channel_message_done(&message);
    }
}

/* Fail with as many descriptors as came. */
static void refuse_merges(void)
{
    struct channel_message message;

    while (channel_receive(CHANNEL_FD, in, &message, NULL) == 0) {
        struct worker_merged merged = {0};
        struct wire_reader from;
        enum worker_type type = WORKER_START;
        struct buf answer;

        wire_read(&from, in, message.count);
        worker_get_type(&from, &type, NULL);
        fail(&merged.error, SM_ENOSPC, "%s of %u",
             type == WORKER_MERGE ? "merge" : "nonsense", message.fd_count);
        buf_init(&answer, CHANNEL_BYTES_MAX);
        worker_put_merged(&answer, &merged);
        say(&answer);
        channel_message_done(&message);
    }
}

static void do_as_told(const char *what, unsigned fd_count)
{
    if (strcmp(what, "steps") == 0) {
        say_steps();
        say_ended(WORKER_END_POWER_OFF);
    } else if (strcmp(what, "twice") == 0) {
        say_ended(WORKER_END_PANIC);
        say_ended(WORKER_END_REBOOT);
        say_steps();
    } else if (strcmp(what, "failed") == 0) {
        say_ended(WORKER_END_FAILED);
        stay();
    } else if (strcmp(what, "nonsense") == 0) {
        channel_send(CHANNEL_FD, "nonsense", 8, NULL, 0, NULL);
        stay();
    } else if (strcmp(what, "descriptors") == 0) {
        int fds[] = {0, 1, 2};

        channel_send(CHANNEL_FD, "x", 1, fds, 3, NULL);
        stay();
    } else if (strcmp(what, "echo") == 0) {
        struct buf message;

        buf_init(&message, CHANNEL_BYTES_MAX);
        worker_put_simple(&message, WORKER_START);
        say(&message);
        stay();
    } else if (strcmp(what, "count") == 0) {
        say_ended(fd_count == FDS_GIVEN ? WORKER_END_POWER_OFF
                                        : WORKER_END_CRASH);
    } else if (strcmp(what, "pauses") == 0) {
        answer_pauses();
    } else if (strcmp(what, "merges") == 0) {
        refuse_merges();
    } else if (strcmp(what, "silent") == 0) {
        stay();
    }
}

static int be_worker(void)
{
    struct worker_start start = {0};
    struct channel_message message;
    struct wire_reader from;
    enum worker_type type;

    process_begin();
    if (channel_receive(CHANNEL_FD, in, &message, NULL) != 0)
        return 1;
    wire_read(&from, in, message.count);
    if (worker_get_type(&from, &type, NULL) != 0)
        return 1;
    if (type == WORKER_PROBE)
        say_probed();
    else if (worker_get_start(&from, &start, NULL) == 0)
        do_as_told(start.kernel_args, message.fd_count);
    worker_start_done(&start);
    channel_message_done(&message);
    return 0;
}

/* The tests ---------------------------------------------------------------- */

/* What came from one worker. */
struct heard {
    struct loop *loop;
    struct worker *worker;
    unsigned ended;
    unsigned steps;
    unsigned probed;
    unsigned paused;
    unsigned resumed;
    unsigned merged;
    bool closes; /* worker_close() inside of `ended` */
    struct worker_ended end;
};

static void heard_ended(void *context, const struct worker_ended *ended)
{
    struct heard *heard = context;

    heard->ended++;
    heard->end = *ended;
    if (heard->closes) {
        worker_close(heard->worker);
        heard->worker = NULL;
    }
}

static void heard_steps(void *context, const struct worker_steps *steps)
{
    struct heard *heard = context;

    assert_int_equal(steps->count, 1);
    assert_string_equal(steps->step[0].name, "agent connected");
    heard->steps++;
}

static void heard_probed(void *context, const struct worker_probed *probed)
{
    struct heard *heard = context;

    assert_int_equal(probed->verdict, WORKER_SOUND);
    assert_string_equal(probed->hypervisor, "fake");
    heard->probed++;
}

static void heard_paused(void *context, bool paused)
{
    struct heard *heard = context;

    heard->paused += paused;
    heard->resumed += !paused;
}

static void heard_merged(void *context, const struct worker_merged *merged)
{
    struct heard *heard = context;

    assert_int_equal(merged->error.code, SM_ENOSPC);
    assert_string_equal(merged->error.message, "merge of 10");
    heard->merged++;
}

static const struct worker_events events = {.probed = heard_probed,
                                            .steps = heard_steps,
                                            .paused = heard_paused,
                                            .merged = heard_merged,
                                            .ended = heard_ended};
static const struct worker_events ended_only = {.ended = heard_ended};

static unsigned count_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void open_worker(struct heard *heard, const struct worker_events *told)
{
    *heard = (struct heard){0};
    assert_int_equal(loop_new(&heard->loop, NULL), 0);
    assert_int_equal(worker_open(heard->loop, "/proc/self/exe", told, heard,
                                 &heard->worker, NULL),
                     0);
}

/* What every start has, and nothing of the rest. */
static const int some_fds[WORKER_FDS_MAX] = {2,  2,  2,  2,  2,  2,  -1, -1,
                                             -1, -1, -1, -1, -1, -1, -1, -1};

static void tell(struct heard *heard, const char *what)
{
    struct worker_start start = {.memory_bytes = 64 * MIB,
                                 .vcpus = 1,
                                 .kernel_args = (char *)(uintptr_t)what};

    assert_int_equal(worker_start(heard->worker, &start, some_fds, NULL), 0);
    assert_int_equal(start.fds, (1 << FDS_GIVEN) - 1);
}

static void close_worker(struct heard *heard)
{
    worker_close(heard->worker);
    loop_free(heard->loop);
    assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
}

static void test_worker_end_comes_once_whatever_happens(void **state)
{
    static const struct {
        const char *what;
        enum worker_end end;
        int code;
    } table[] = {
        {"steps", WORKER_END_POWER_OFF, 0},
        {"twice", WORKER_END_PANIC, 0},
        {"failed", WORKER_END_FAILED, SM_ENOSPC},
        {"nonsense", WORKER_END_FAILED, SM_EPROTO},
        {"descriptors", WORKER_END_FAILED, SM_EPROTO},
        {"echo", WORKER_END_FAILED, SM_EPROTO},
        {"exit", WORKER_END_FAILED, SM_EGUEST},
        {"count", WORKER_END_POWER_OFF, 0},
    };

    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_LEN(table); i++) {
        size_t row = i / 2;
        struct heard heard;

        open_worker(&heard, i % 2 ? &events : &ended_only);
        heard.closes = i % 2;
        tell(&heard, table[row].what);
        while (!heard.ended)
            loop_turn(heard.loop, -1);
        loop_turn(heard.loop, 10);
        assert_int_equal(heard.ended, 1);
        assert_int_equal(heard.end.end, table[row].end);
        assert_int_equal(heard.end.error.code, table[row].code);
        assert_int_equal(heard.steps, row == 0 && i % 2);
        close_worker(&heard);
    }
}

static void test_worker_that_is_killed_ends(void **state)
{
    struct heard heard;

    (void)state;
    open_worker(&heard, &events);
    tell(&heard, "silent");
    worker_kill(heard.worker);
    while (!heard.ended)
        loop_turn(heard.loop, -1);
    assert_int_equal(heard.end.error.code, SM_EGUEST);
    worker_kill(heard.worker);
    close_worker(&heard);
}

static void test_worker_that_is_closed_is_gone(void **state)
{
    struct heard heard;

    (void)state;
    open_worker(&heard, &events);
    tell(&heard, "silent");
    close_worker(&heard);
    assert_int_equal(heard.ended, 0);
    worker_close(NULL);
}

static void test_worker_answers_a_probe(void **state)
{
    struct heard heard;

    (void)state;
    open_worker(&heard, &events);
    assert_int_equal(worker_probe(heard.worker, NULL), 0);
    while (!heard.probed)
        loop_turn(heard.loop, -1);
    assert_int_equal(heard.probed, 1);
    close_worker(&heard);
}

static void test_worker_says_when_it_pauses_and_resumes(void **state)
{
    struct heard heard;

    (void)state;
    open_worker(&heard, &events);
    tell(&heard, "pauses");
    assert_int_equal(worker_pause(heard.worker, true, NULL), 0);
    while (!heard.paused)
        loop_turn(heard.loop, -1);
    assert_int_equal(heard.resumed, 0);
    assert_int_equal(worker_pause(heard.worker, false, NULL), 0);
    while (!heard.resumed)
        loop_turn(heard.loop, -1);
    assert_int_equal(heard.paused, 1);
    assert_int_equal(heard.ended, 0);
    close_worker(&heard);
}

static void test_worker_that_could_not_merge_goes_on(void **state)
{
    static const int fds[WORKER_MERGE_FDS_MAX] = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2};
    struct heard heard;

    (void)state;
    open_worker(&heard, &events);
    tell(&heard, "merges");
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(
            worker_merge(heard.worker, fds, WORKER_MERGE_FDS_MAX, NULL), 0);
        while (heard.merged < i && !heard.ended)
            loop_turn(heard.loop, -1);
        assert_int_equal(heard.merged, i);
    }
    assert_int_equal(heard.ended, 0);
    close_worker(&heard);
}

static void test_worker_that_is_not_installed_is_an_error(void **state)
{
    struct heard heard = {0};
    struct sm_error err;
    unsigned before;

    (void)state;
    assert_int_equal(loop_new(&heard.loop, NULL), 0);
    before = count_descriptors();
    assert_int_equal(worker_open(heard.loop, "/no/such/worker", &events, &heard,
                                 &heard.worker, &err),
                     SM_ENOENT);
    assert_int_equal(err.code, SM_ENOENT);
    assert_non_null(strstr(err.message, "/no/such/worker"));
    assert_null(heard.worker);
    assert_int_equal(count_descriptors(), before);
    loop_free(heard.loop);
}

static void test_worker_is_not_asked_more_than_fits(void **state)
{
    char *args = malloc(CHANNEL_BYTES_MAX + 1);
    struct worker_start start = {.kernel_args = args};
    struct heard heard;
    struct sm_error err;

    (void)state;
    assert_non_null(args);
    memset(args, 'x', CHANNEL_BYTES_MAX);
    args[CHANNEL_BYTES_MAX] = '\0';
    open_worker(&heard, &events);
    assert_int_equal(worker_start(heard.worker, &start, some_fds, &err),
                     SM_ELIMIT);
    close_worker(&heard);
    free(args);
}

static void test_worker_leaves_no_descriptor_behind(void **state)
{
    unsigned before = 0;

    (void)state;
    for (int i = 0; i < 5; i++) {
        struct heard heard;

        open_worker(&heard, &events);
        tell(&heard, i % 2 ? "descriptors" : "steps");
        while (!heard.ended)
            loop_turn(heard.loop, -1);
        close_worker(&heard);
        if (i == 0)
            before = count_descriptors();
        assert_int_equal(count_descriptors(), before);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worker_end_comes_once_whatever_happens),
        cmocka_unit_test(test_worker_that_is_killed_ends),
        cmocka_unit_test(test_worker_that_is_closed_is_gone),
        cmocka_unit_test(test_worker_answers_a_probe),
        cmocka_unit_test(test_worker_says_when_it_pauses_and_resumes),
        cmocka_unit_test(test_worker_that_could_not_merge_goes_on),
        cmocka_unit_test(test_worker_that_is_not_installed_is_an_error),
        cmocka_unit_test(test_worker_is_not_asked_more_than_fits),
        cmocka_unit_test(test_worker_leaves_no_descriptor_behind),
    };

    if (argc == 1 && strcmp(argv[0], "supermachine-vmm") == 0)
        return be_worker();
    alarm(WATCHDOG_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
