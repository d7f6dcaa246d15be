/* test_loop.c: watches, timers and wakes, also from inside of each other. */
#include "base/bytes.h"
#include "platform/channel.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/loop.h"
#include "platform/notifier.h"
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    /* A turn that would wait for ever is a failure, not a hanging test. */
    WATCHDOG_S = 600
};

/* One watch, and what it reported. */
struct seen {
    struct loop *loop;
    struct loop_watch *watch;
    unsigned calls;
    unsigned last;
    unsigned change_to; /* with `changes`: loop_change() inside the callback */
    bool changes;
    bool unwatches;
    struct seen *victim; /* unwatched by this one's callback */
};

static void saw(void *context, unsigned events)
{
    struct seen *seen = context;

    seen->calls++;
    seen->last = events;
    if (seen->changes)
        loop_change(seen->watch, seen->change_to);
    if (seen->unwatches) {
        loop_unwatch(seen->watch);
        seen->watch = NULL;
    }
    if (seen->victim) {
        loop_unwatch(seen->victim->watch);
        seen->victim->watch = NULL;
    }
}

static void count(void *context)
{
    ++*(unsigned *)context;
}

static struct loop *make_loop(void)
{
    struct loop *loop = NULL;

    assert_int_equal(loop_new(&loop, NULL), 0);
    return loop;
}

static void watch(struct seen *seen, struct loop *loop, int fd, unsigned events)
{
    *seen = (struct seen){.loop = loop};
    assert_int_equal(
        loop_watch(loop, fd, events, saw, seen, &seen->watch, NULL), 0);
}

static void spin(uint64_t ms)
{
    uint64_t end = clock_monotonic_ns() + ms * NS_PER_MS;

    while (clock_monotonic_ns() < end)
        ;
}

static void test_loop_reports_only_what_is_watched(void **state)
{
    struct loop *loop = make_loop();
    struct seen seen;
    int ends[2];

    (void)state;
    assert_int_equal(stream_pair(ends, NULL), 0);
    watch(&seen, loop, ends[0], 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    loop_turn(loop, 0);
    assert_int_equal(seen.calls, 0);
    loop_change(seen.watch, LOOP_WRITE);
    loop_turn(loop, 0);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.last, LOOP_WRITE);
    loop_change(seen.watch, LOOP_READ | LOOP_WRITE);
    loop_turn(loop, 0);
    assert_int_equal(seen.last, LOOP_READ | LOOP_WRITE);
    loop_change(seen.watch, LOOP_READ);
    loop_turn(loop, -1);
    assert_int_equal(seen.last, LOOP_READ);
    loop_unwatch(seen.watch);
    loop_free(loop);
    close(ends[0]);
    close(ends[1]);
}

static void test_loop_readiness_comes_again_until_it_is_dealt_with(void **state)
{
    struct loop *loop = make_loop();
    struct seen seen;
    struct notifier notifier;

    (void)state;
    assert_int_equal(notifier_init(&notifier, NULL), 0);
    watch(&seen, loop, notifier.fd, LOOP_READ);
    notifier_signal(&notifier);
    loop_turn(loop, -1);
    loop_turn(loop, -1);
    assert_int_equal(seen.calls, 2);
    assert_true(notifier_clear(&notifier));
    loop_turn(loop, 0);
    assert_int_equal(seen.calls, 2);
    loop_unwatch(seen.watch);
    loop_free(loop);
    notifier_done(&notifier);
}

static void test_loop_watch_may_go_inside_of_its_callback(void **state)
{
    struct loop *loop = make_loop();
    struct seen seen;
    struct notifier notifier;

    (void)state;
    assert_int_equal(notifier_init(&notifier, NULL), 0);
    watch(&seen, loop, notifier.fd, LOOP_READ);
    seen.unwatches = true;
    notifier_signal(&notifier);
    loop_turn(loop, -1);
    loop_turn(loop, 0);
    assert_int_equal(seen.calls, 1);
    assert_null(seen.watch);
    /* The number is free for another watch. */
    watch(&seen, loop, notifier.fd, LOOP_READ);
    loop_turn(loop, -1);
    assert_int_equal(seen.calls, 1);
    loop_unwatch(seen.watch);
    loop_free(loop);
    notifier_done(&notifier);
}

/* Both are ready in the same turn; whoever comes first takes the other out. */
static void test_loop_unwatch_silences_what_is_ready_already(void **state)
{
    struct loop *loop = make_loop();
    struct notifier notifier[2];
    struct seen seen[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(notifier_init(&notifier[i], NULL), 0);
        watch(&seen[i], loop, notifier[i].fd, LOOP_READ);
        notifier_signal(&notifier[i]);
    }
    seen[0].victim = &seen[1];
    seen[1].victim = &seen[0];
    loop_turn(loop, -1);
    loop_turn(loop, 0);
    assert_int_equal(seen[0].calls > 0, seen[1].calls == 0);
    loop_unwatch(seen[0].watch);
    loop_unwatch(seen[1].watch);
    loop_free(loop);
    notifier_done(&notifier[0]);
    notifier_done(&notifier[1]);
}

static void test_loop_change_counts_inside_of_the_callback(void **state)
{
    struct loop *loop = make_loop();
    struct seen seen;
    int ends[2];

    (void)state;
    assert_int_equal(stream_pair(ends, NULL), 0);
    watch(&seen, loop, ends[0], LOOP_WRITE);
    seen.changes = true;
    seen.change_to = LOOP_READ;
    loop_turn(loop, -1);
    loop_turn(loop, 0);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(write(ends[1], "x", 1), 1);
    seen.change_to = 0;
    loop_turn(loop, -1);
    assert_int_equal(seen.calls, 2);
    assert_int_equal(seen.last, LOOP_READ);
    loop_turn(loop, 0);
    assert_int_equal(seen.calls, 2);
    loop_unwatch(seen.watch);
    loop_free(loop);
    close(ends[0]);
    close(ends[1]);
}

/* epoll refuses all of these; each stands at a program's stdin now and then.
 */
static void test_loop_what_never_waits_is_always_ready(void **state)
{
    static const char *const paths[] = {"/proc/self/exe", "/dev/null",
                                        "/dev/zero", "/"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct loop *loop = make_loop();
        int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
        struct seen seen;

        assert_true(fd >= 0);
        watch(&seen, loop, fd, LOOP_READ);
        loop_turn(loop, -1);
        loop_turn(loop, -1);
        assert_int_equal(seen.calls, 2);
        assert_int_equal(seen.last, LOOP_READ);
        loop_change(seen.watch, 0);
        loop_turn(loop, 0);
        assert_int_equal(seen.calls, 2);
        loop_change(seen.watch, LOOP_READ);
        seen.unwatches = true;
        loop_turn(loop, -1);
        loop_turn(loop, 0);
        assert_int_equal(seen.calls, 3);
        loop_free(loop);
        close(fd);
    }
}

static void test_loop_a_file_never_hangs_up(void **state)
{
    struct loop *loop = make_loop();
    uint64_t begin = clock_monotonic_ns();
    struct seen seen;
    int fd;

    (void)state;
    assert_int_equal(file_in_memory("test", &fd, NULL), 0);
    watch(&seen, loop, fd, LOOP_HUP);
    loop_turn(loop, 20);
    assert_int_equal(seen.calls, 0);
    assert_true(clock_monotonic_ns() - begin >= 19 * NS_PER_MS);
    loop_unwatch(seen.watch);
    loop_free(loop);
    close(fd);
}

static void test_loop_end_of_the_peer_is_readable_and_a_hangup(void **state)
{
    struct loop *loop = make_loop();
    struct seen seen;
    int ends[2];

    (void)state;
    assert_int_equal(stream_pair(ends, NULL), 0);
    watch(&seen, loop, ends[0], LOOP_READ);
    close(ends[1]);
    loop_turn(loop, -1);
    assert_int_equal(seen.last, LOOP_READ | LOOP_HUP);
    loop_unwatch(seen.watch);
    loop_free(loop);
    close(ends[0]);
}

static void test_loop_hangup_alone_is_not_disturbed_by_data(void **state)
{
    struct loop *loop = make_loop();
    struct seen seen;
    int ends[2];

    (void)state;
    assert_int_equal(stream_pair(ends, NULL), 0);
    watch(&seen, loop, ends[0], LOOP_HUP);
    assert_int_equal(write(ends[1], "x", 1), 1);
    loop_turn(loop, 0);
    assert_int_equal(seen.calls, 0);
    assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
    loop_turn(loop, -1);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.last, LOOP_HUP);
    loop_unwatch(seen.watch);
    loop_free(loop);
    close(ends[0]);
    close(ends[1]);
}

/* A pipe that nobody reads is in error (EPOLLERR): whoever waits to write must
 * be told, in every turn, or it would wait for ever. */
static void test_loop_pending_error_wakes_whoever_waits(void **state)
{
    static const struct {
        unsigned watched;
        unsigned reported;
    } table[] = {
        {LOOP_WRITE, LOOP_WRITE | LOOP_HUP},
        {LOOP_HUP, LOOP_HUP},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct loop *loop = make_loop();
        struct seen seen;
        int ends[2];

        assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        watch(&seen, loop, ends[1], table[i].watched);
        close(ends[0]);
        loop_turn(loop, -1);
        assert_int_equal(seen.calls, 1);
        assert_int_equal(seen.last, table[i].reported);
        seen.unwatches = true;
        loop_turn(loop, -1);
        assert_int_equal(seen.calls, 2);
        loop_free(loop);
        close(ends[1]);
    }
}

/* A terminal may be shared with a shell: see exec/exec.h. */
static void test_loop_leaves_the_flags_of_a_descriptor_alone(void **state)
{
    static const int given[] = {O_CLOEXEC, O_CLOEXEC | O_NONBLOCK};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(given); i++) {
        struct loop *loop = make_loop();
        struct seen seen;
        int ends[2];
        int flags;

        assert_int_equal(pipe2(ends, given[i]), 0);
        flags = fcntl(ends[0], F_GETFL);
        watch(&seen, loop, ends[0], LOOP_READ);
        assert_int_equal(fcntl(ends[0], F_GETFL), flags);
        loop_turn(loop, 0);
        loop_unwatch(seen.watch);
        loop_free(loop);
        assert_int_equal(fcntl(ends[0], F_GETFL), flags);
        close(ends[0]);
        close(ends[1]);
    }
}

static void test_loop_refuses_what_it_cannot_watch(void **state)
{
    struct loop *loop = make_loop();
    struct loop_watch *watch2 = NULL;
    struct notifier notifier;
    struct sm_error err;
    struct seen seen;

    (void)state;
    assert_int_equal(loop_watch(loop, -1, LOOP_READ, saw, &seen, &watch2, &err),
                     SM_EIO);
    assert_null(watch2);
    assert_int_equal(notifier_init(&notifier, NULL), 0);
    watch(&seen, loop, notifier.fd, LOOP_READ);
    assert_int_equal(
        loop_watch(loop, notifier.fd, LOOP_READ, saw, &seen, &watch2, &err),
        SM_EEXIST);
    loop_unwatch(seen.watch);
    loop_unwatch(NULL);
    loop_free(loop);
    loop_free(NULL);
    notifier_done(&notifier);
}

static void test_loop_turn_waits_as_long_as_it_is_told(void **state)
{
    struct loop *loop = make_loop();
    uint64_t begin;

    (void)state;
    /* Time that passes outside of the loop is not part of the wait. */
    spin(40);
    begin = clock_monotonic_ns();
    loop_turn(loop, 30);
    assert_true(clock_monotonic_ns() - begin >= 29 * NS_PER_MS);
    for (int i = 0; i < 200; i++)
        loop_turn(loop, 1);
    loop_free(loop);
}

static void test_loop_timer_fires_once_and_not_too_early(void **state)
{
    struct loop *loop = make_loop();
    struct loop_timer *timer;
    uint64_t begin;
    unsigned calls = 0;

    (void)state;
    assert_int_equal(loop_timer_new(loop, count, &calls, &timer, NULL), 0);
    loop_turn(loop, 0);
    spin(20);
    begin = clock_monotonic_ns();
    loop_timer_start(timer, 15);
    while (!calls)
        loop_turn(loop, -1);
    assert_true(clock_monotonic_ns() - begin >= 14 * NS_PER_MS);
    loop_turn(loop, 30);
    assert_int_equal(calls, 1);
    loop_timer_free(timer);
    loop_timer_free(NULL);
    loop_free(loop);
}

/* It has happened: the turn has nothing to wait for. */
static void test_loop_turn_ends_with_a_timer_that_is_due_before_it(void **state)
{
    struct loop *loop = make_loop();
    struct loop_timer *timer;
    unsigned calls = 0;

    (void)state;
    assert_int_equal(loop_timer_new(loop, count, &calls, &timer, NULL), 0);
    loop_timer_start(timer, 1);
    spin(5);
    loop_turn(loop, -1);
    assert_int_equal(calls, 1);
    loop_timer_start(timer, 0);
    loop_turn(loop, -1);
    assert_int_equal(calls, 2);
    loop_timer_free(timer);
    loop_free(loop);
}

static void test_loop_timer_that_is_stopped_or_moved(void **state)
{
    struct loop *loop = make_loop();
    struct loop_timer *timer[2];
    unsigned calls[2] = {0, 0};

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            loop_timer_new(loop, count, &calls[i], &timer[i], NULL), 0);
    loop_timer_start(timer[0], 5);
    loop_timer_stop(timer[0]);
    loop_timer_start(timer[1], 3600000);
    loop_timer_start(timer[1], 10);
    while (!calls[1])
        loop_turn(loop, -1);
    assert_int_equal(calls[0], 0);
    loop_timer_free(timer[0]);
    loop_timer_free(timer[1]);
    loop_free(loop);
}

struct stop_in {
    struct loop *loop;
    struct loop_timer *timer;
};

static void free_and_stop(void *context)
{
    struct stop_in *in = context;

    loop_timer_free(in->timer);
    loop_stop(in->loop);
}

static void test_loop_timer_may_go_inside_of_its_callback(void **state)
{
    struct stop_in in = {.loop = make_loop()};

    (void)state;
    assert_int_equal(
        loop_timer_new(in.loop, free_and_stop, &in, &in.timer, NULL), 0);
    loop_timer_start(in.timer, 1);
    loop_run(in.loop);
    loop_free(in.loop);
}

static void test_loop_stop_before_the_run_ends_it_at_once(void **state)
{
    struct loop *loop = make_loop();

    (void)state;
    loop_stop(loop);
    loop_run(loop);
    loop_stop(loop);
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
}

enum { WAKES = 10000 };

struct waking {
    struct loop *loop;
    unsigned posted; /* atomic */
    unsigned taken;
    unsigned calls;
};

static void *wake_often(void *context)
{
    struct waking *waking = context;

    for (int i = 0; i < WAKES; i++) {
        __atomic_add_fetch(&waking->posted, 1, __ATOMIC_RELEASE);
        loop_wake(waking->loop);
    }
    return NULL;
}

static void take_posted(void *context)
{
    struct waking *waking = context;

    waking->calls++;
    waking->taken = __atomic_load_n(&waking->posted, __ATOMIC_ACQUIRE);
    if (waking->taken == WAKES)
        loop_stop(waking->loop);
}

/* Wakes may be merged, but what was posted before one is seen after it. */
static void test_loop_no_wake_of_another_thread_is_lost(void **state)
{
    struct waking waking = {.loop = make_loop()};
    pthread_t thread;

    (void)state;
    loop_on_wake(waking.loop, take_posted, &waking);
    assert_int_equal(pthread_create(&thread, NULL, wake_often, &waking), 0);
    loop_run(waking.loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waking.taken, WAKES);
    assert_true(waking.calls <= WAKES);
    loop_on_wake(waking.loop, NULL, NULL);
    loop_wake(waking.loop);
    loop_turn(waking.loop, -1);
    loop_free(waking.loop);
}

static void *stop_it(void *context)
{
    loop_stop(context);
    return NULL;
}

static void test_loop_another_thread_stops_it(void **state)
{
    struct loop *loop = make_loop();
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, stop_it, loop), 0);
    loop_run(loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    loop_free(loop);
}

static void turn_inner(void *context, unsigned events)
{
    (void)events;
    loop_turn(context, 0);
}

static void test_loop_runs_inside_of_another(void **state)
{
    struct loop *outer = make_loop();
    struct loop *inner = make_loop();
    struct loop_watch *nested;
    struct notifier notifier;
    unsigned wakes = 0;
    struct seen seen;

    (void)state;
    assert_int_equal(notifier_init(&notifier, NULL), 0);
    watch(&seen, inner, notifier.fd, LOOP_READ);
    loop_on_wake(inner, count, &wakes);
    loop_turn(inner, 0);
    assert_int_equal(loop_watch(outer, loop_fd(inner), LOOP_READ, turn_inner,
                                inner, &nested, NULL),
                     0);
    loop_turn(outer, 0);
    assert_int_equal(seen.calls, 0);
    notifier_signal(&notifier);
    loop_turn(outer, -1);
    assert_int_equal(seen.calls, 1);
    notifier_clear(&notifier);
    loop_wake(inner);
    loop_turn(outer, -1);
    assert_int_equal(wakes, 1);
    loop_unwatch(nested);
    loop_unwatch(seen.watch);
    loop_free(outer);
    loop_free(inner);
    notifier_done(&notifier);
}

static bool shows(const struct loop *loop, int timeout_ms)
{
    struct pollfd wait = {.fd = loop_fd(loop), .events = POLLIN};

    return poll(&wait, 1, timeout_ms) == 1;
}

static void test_loop_shows_timers_once_it_is_exposed(void **state)
{
    struct loop *loop = make_loop();
    struct loop_timer *timer;
    unsigned calls = 0;

    (void)state;
    assert_int_equal(loop_timer_new(loop, count, &calls, &timer, NULL), 0);
    assert_int_equal(loop_expose(loop, NULL), 0);
    assert_int_equal(loop_expose(loop, NULL), 0);
    assert_false(shows(loop, 0));
    /* One that cannot be due by now, however slow this machine is. */
    loop_timer_start(timer, 3600000);
    loop_drive(loop);
    assert_int_equal(calls, 0);
    assert_false(shows(loop, 0));
    loop_timer_start(timer, 20);
    loop_drive(loop);
    while (calls == 0) {
        assert_true(shows(loop, WATCHDOG_S * 1000));
        loop_drive(loop);
    }
    assert_int_equal(calls, 1);
    loop_drive(loop);
    assert_false(shows(loop, 50));
    /* One that is stopped leaves no alarm behind. */
    loop_timer_start(timer, 20);
    loop_drive(loop);
    loop_timer_stop(timer);
    loop_drive(loop);
    assert_false(shows(loop, 50));
    loop_timer_free(timer);
    loop_free(loop);
}

static void test_loop_shows_what_is_always_ready(void **state)
{
    struct loop *loop = make_loop();
    struct seen seen;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(loop_expose(loop, NULL), 0);
    watch(&seen, loop, fd, LOOP_READ);
    loop_wake(loop);
    for (unsigned calls = 0; calls < 10; calls = seen.calls) {
        assert_true(shows(loop, 0));
        loop_drive(loop);
        assert_true(seen.calls > calls);
    }
    loop_change(seen.watch, 0);
    loop_drive(loop);
    loop_drive(loop);
    assert_false(shows(loop, 0));
    loop_unwatch(seen.watch);
    loop_free(loop);
    close(fd);
}

/* A watch that its callback changes, or another's, is told to epoll before
 * loop_drive() returns: nobody else would. */
static void test_loop_driven_shows_changes_made_in_callbacks(void **state)
{
    struct loop *loop = make_loop();
    struct seen seen;
    int ends[2];

    (void)state;
    assert_int_equal(stream_pair(ends, NULL), 0);
    assert_int_equal(loop_expose(loop, NULL), 0);
    watch(&seen, loop, ends[0], LOOP_READ);
    seen.changes = true;
    seen.change_to = LOOP_WRITE;
    loop_wake(loop);
    loop_drive(loop);
    assert_false(shows(loop, 0));
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_true(shows(loop, 0));
    loop_drive(loop);
    assert_true(seen.calls >= 2);
    assert_int_equal(seen.last, LOOP_WRITE);
    assert_true(shows(loop, 0));
    seen.change_to = 0;
    loop_drive(loop);
    loop_drive(loop);
    assert_false(shows(loop, 0));
    loop_unwatch(seen.watch);
    loop_free(loop);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loop_reports_only_what_is_watched),
        cmocka_unit_test(
            test_loop_readiness_comes_again_until_it_is_dealt_with),
        cmocka_unit_test(test_loop_watch_may_go_inside_of_its_callback),
        cmocka_unit_test(test_loop_unwatch_silences_what_is_ready_already),
        cmocka_unit_test(test_loop_change_counts_inside_of_the_callback),
        cmocka_unit_test(test_loop_what_never_waits_is_always_ready),
        cmocka_unit_test(test_loop_a_file_never_hangs_up),
        cmocka_unit_test(test_loop_end_of_the_peer_is_readable_and_a_hangup),
        cmocka_unit_test(test_loop_hangup_alone_is_not_disturbed_by_data),
        cmocka_unit_test(test_loop_pending_error_wakes_whoever_waits),
        cmocka_unit_test(test_loop_leaves_the_flags_of_a_descriptor_alone),
        cmocka_unit_test(test_loop_refuses_what_it_cannot_watch),
        cmocka_unit_test(test_loop_turn_waits_as_long_as_it_is_told),
        cmocka_unit_test(test_loop_timer_fires_once_and_not_too_early),
        cmocka_unit_test(
            test_loop_turn_ends_with_a_timer_that_is_due_before_it),
        cmocka_unit_test(test_loop_timer_that_is_stopped_or_moved),
        cmocka_unit_test(test_loop_timer_may_go_inside_of_its_callback),
        cmocka_unit_test(test_loop_stop_before_the_run_ends_it_at_once),
        cmocka_unit_test(test_loop_no_wake_of_another_thread_is_lost),
        cmocka_unit_test(test_loop_another_thread_stops_it),
        cmocka_unit_test(test_loop_runs_inside_of_another),
        cmocka_unit_test(test_loop_shows_timers_once_it_is_exposed),
        cmocka_unit_test(test_loop_shows_what_is_always_ready),
        cmocka_unit_test(test_loop_driven_shows_changes_made_in_callbacks),
    };

    alarm(WATCHDOG_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
