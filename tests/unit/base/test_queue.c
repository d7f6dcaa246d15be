/* test_queue.c: bytes in order, up to the cap, with few copies. */
#include "base/queue.h"
#include "failing_alloc.h"
#include "unit.h"

#include <string.h>

static void test_queue_gives_back_what_was_put_in_order(void **state)
{
    struct queue queue;
    uint8_t next_in = 0;
    uint8_t next_out = 0;

    (void)state;
    queue_init(&queue, 1000);
    for (unsigned round = 0; round < 5000; round++) {
        uint8_t bytes[97];
        size_t in = round * 7 % sizeof bytes;
        size_t out;

        for (size_t i = 0; i < in; i++)
            bytes[i] = (uint8_t)(next_in + i);
        if (queue_put(&queue, bytes, in))
            next_in = (uint8_t)(next_in + in);
        out = round * 13 % (queue_count(&queue) + 1);
        for (size_t i = 0; i < out; i++)
            assert_int_equal(queue_front(&queue)[i], (uint8_t)(next_out + i));
        queue_drop(&queue, out);
        next_out = (uint8_t)(next_out + out);
    }
    queue_done(&queue);
}

static void test_queue_takes_its_cap_and_no_more(void **state)
{
    static const uint8_t bytes[1000];
    struct queue queue;

    (void)state;
    queue_init(&queue, sizeof bytes);
    assert_true(queue_put(&queue, bytes, sizeof bytes));
    assert_false(queue_put(&queue, bytes, 1));
    assert_int_equal(queue_count(&queue), sizeof bytes);
    /* What was taken makes room, wherever it was. */
    queue_drop(&queue, 1);
    assert_true(queue_put(&queue, bytes, 1));
    assert_false(queue_put(&queue, bytes, 1));
    queue_done(&queue);
}

static void test_queue_that_stays_full_stays_small(void **state)
{
    static const uint8_t bytes[1000];
    struct queue queue;

    (void)state;
    queue_init(&queue, sizeof bytes);
    assert_true(queue_put(&queue, bytes, sizeof bytes));
    for (unsigned i = 0; i < 100000; i++) {
        queue_drop(&queue, 10);
        assert_true(queue_put(&queue, bytes, 10));
        assert_true(queue.buf.capacity <= 2 * sizeof bytes);
    }
    queue_done(&queue);
}

static void test_queue_without_memory_keeps_what_it_has(void **state)
{
    struct queue queue;

    (void)state;
    queue_init(&queue, 1 << 20);
    assert_true(queue_put(&queue, "first", 5));
    alloc_fail_at(1);
    assert_false(queue_put(&queue, (uint8_t[5000]){0}, 5000));
    alloc_fail_at(0);
    assert_int_equal(queue_count(&queue), 5);
    assert_true(queue_put(&queue, "then", 4));
    assert_memory_equal(queue_front(&queue), "firstthen", 9);
    queue_done(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_gives_back_what_was_put_in_order),
        cmocka_unit_test(test_queue_takes_its_cap_and_no_more),
        cmocka_unit_test(test_queue_that_stays_full_stays_small),
        cmocka_unit_test(test_queue_without_memory_keeps_what_it_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
