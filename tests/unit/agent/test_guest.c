/* test_guest.c: the agent's heart alone: watches, turns, graves. */
#include "guest.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

static struct guest *guest;

static int make_guest(void **state)
{
    static const struct guest_ops ops = {0};
    const struct guest_config config = {.ops = &ops, .etc = "/etc"};

    (void)state;
    return guest_new(&config, &guest, NULL);
}

static int free_guest(void **state)
{
    (void)state;
    guest_free(guest);
    return 0;
}

/* A pipe that is watched; (fn) is called once it has a byte. */
struct probe {
    struct source source;
    int ends[2];
    unsigned calls;
};

static void count_call(struct source *source, uint32_t events)
{
    (void)events;
    CONTAINER(source, struct probe, source)->calls++;
}

static void stop_guest(struct source *source, uint32_t events)
{
    count_call(source, events);
    guest_stop(guest);
}

static void probe_open(struct probe *probe,
                       void (*fn)(struct source *, uint32_t))
{
    *probe = (struct probe){.source.fn = fn};
    assert_int_equal(pipe2(probe->ends, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(
        guest_watch(guest, probe->ends[0], EPOLLIN, &probe->source), 0);
}

static void probe_poke(struct probe *probe)
{
    assert_int_equal(write(probe->ends[1], "x", 1), 1);
}

static void probe_close(struct probe *probe)
{
    guest_close(guest, &probe->ends[0]);
    close(probe->ends[1]);
}

/* As a child has them between fork and exec. */
static void test_close_ends_a_watch_although_a_copy_is_open(void **state)
{
    struct probe closed;
    struct probe last;
    int copy;

    (void)state;
    probe_open(&closed, count_call);
    probe_open(&last, stop_guest);
    copy = dup(closed.ends[0]);
    guest_close(guest, &closed.ends[0]);
    assert_int_equal(closed.ends[0], -1);
    probe_poke(&closed);
    probe_poke(&last);
    guest_run(guest);
    assert_int_equal(closed.calls, 0);
    assert_int_equal(last.calls, 1);
    close(copy);
    probe_close(&closed);
    probe_close(&last);
}

struct step {
    struct task task;
    struct ring *again;
    unsigned runs;
};

static void take_step(struct task *task)
{
    struct step *step = CONTAINER(task, struct step, task);

    if (++step->runs < 5)
        ring_put(step->again, task);
    else
        guest_stop(guest);
}

static void test_tasks_take_turns(void **state)
{
    struct step one = {.task.fn = take_step, .again = &guest->due};
    struct step two = {.task.fn = take_step, .again = &guest->due};

    (void)state;
    ring_put(&guest->due, &one.task);
    ring_put(&guest->due, &two.task);
    ring_put(&guest->due, &one.task);
    assert_int_equal(guest->due.count, 2);
    guest_run(guest);
    assert_int_equal(one.runs, 5);
    assert_int_equal(two.runs, 5);
    assert_null(guest->due.head);
}

static void test_task_is_on_one_ring_at_most(void **state)
{
    struct step steps[3] = {{{0}, NULL, 0}};
    struct ring other = {0};

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        ring_put(&guest->due, &steps[i].task);
    ring_put(&other, &steps[1].task);
    assert_int_equal(guest->due.count, 2);
    assert_int_equal(other.count, 1);
    assert_ptr_equal(other.head, &steps[1].task);
    ring_remove(&steps[0].task);
    ring_remove(&steps[0].task);
    assert_ptr_equal(guest->due.head, &steps[2].task);
    ring_remove(&steps[2].task);
    assert_null(guest->due.head);
    assert_int_equal(guest->due.count, 0);
}

struct body {
    struct grave grave;
    bool buried;
};

static void bury_body(struct grave *grave)
{
    struct body *body = CONTAINER(grave, struct body, grave);

    body->buried = true;
    guest_stop(guest);
}

static void test_grave_is_dug_when_the_turn_ends(void **state)
{
    struct body body = {.grave.fn = bury_body};
    struct probe probe;

    (void)state;
    probe_open(&probe, count_call);
    probe_poke(&probe);
    guest_bury(guest, &body.grave);
    assert_false(body.buried);
    guest_run(guest);
    assert_true(body.buried);
    assert_int_equal(probe.calls, 1);
    probe_close(&probe);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_guest, free_guest)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_close_ends_a_watch_although_a_copy_is_open),
        TEST(test_tasks_take_turns),
        TEST(test_task_is_on_one_ring_at_most),
        TEST(test_grave_is_dug_when_the_turn_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
