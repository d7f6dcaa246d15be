/* test_frame.c: frames come out of a stream as they went in, however it was
 * cut. */
#include "base/bytes.h"
#include "failing_alloc.h"
#include "proto/frame.h"
#include "unit.h"

#include <string.h>

enum { CHUNK = 64, CAP = 5000 };

static int accept_all(const struct frame *frame, struct sm_error *err)
{
    if (frame->count > CAP - FRAME_HEADER_BYTES)
        return fail(err, SM_EPROTO, "too long");
    return 0;
}

static void put_frames(struct buf *to, unsigned count)
{
    static uint8_t payload[CAP];

    for (unsigned i = 0; i < count; i++) {
        const struct frame frame = {.count = i * 37 % 300,
                                    .type = (uint16_t)i,
                                    .flags = (uint16_t)(i * 3),
                                    .channel = i * 70000,
                                    .payload = payload};

        memset(payload, (int)i, frame.count);
        frame_put(to, &frame);
    }
    assert_false(to->failed);
}

static void check_frame(const struct frame *frame, unsigned i)
{
    assert_int_equal(frame->type, i);
    assert_int_equal(frame->flags, i * 3);
    assert_int_equal(frame->channel, i * 70000);
    assert_int_equal(frame->count, i * 37 % 300);
    for (uint32_t k = 0; k < frame->count; k++)
        assert_int_equal(frame->payload[k], (uint8_t)i);
}

static void test_frame_any_cut_gives_the_same_frames(void **state)
{
    struct buf stream;

    (void)state;
    buf_init(&stream, 1 << 20);
    put_frames(&stream, 50);
    for (size_t step = 1; step < 700; step += 1 + step / 5) {
        struct frame_reader reader;
        struct frame frame;
        unsigned seen = 0;
        size_t at = 0;

        frame_reader_init(&reader, CHUNK, CAP, accept_all);
        while (at < stream.size) {
            size_t room;
            uint8_t *to = frame_reader_room(&reader, &room);
            size_t some = min_u64(min_u64(room, step), stream.size - at);

            assert_true(room > 0);
            memcpy(to, stream.data + at, some);
            frame_reader_added(&reader, some);
            at += some;
            while (frame_reader_next(&reader, &frame, NULL) == 1)
                check_frame(&frame, seen++);
        }
        assert_int_equal(seen, 50);
        frame_reader_done(&reader);
    }
    buf_done(&stream);
}

static void test_frame_length_is_checked_before_room_is_made(void **state)
{
    const struct frame huge = {.count = CAP - FRAME_HEADER_BYTES + 1};
    struct frame_reader reader;
    struct frame frame;
    size_t room;
    uint8_t *to;

    (void)state;
    frame_reader_init(&reader, CHUNK, CAP, accept_all);
    to = frame_reader_room(&reader, &room);
    frame_put_header(to, &huge);
    frame_reader_added(&reader, FRAME_HEADER_BYTES);
    assert_int_equal(frame_reader_next(&reader, &frame, NULL), SM_EPROTO);
    frame_reader_done(&reader);
}

static void test_frame_longest_fits_and_its_memory_goes(void **state)
{
    static uint8_t payload[CAP];
    const struct frame longest = {.count = CAP - FRAME_HEADER_BYTES,
                                  .payload = payload};
    struct frame_reader reader;
    struct frame frame;
    struct buf stream;
    size_t at = 0;
    size_t room;

    (void)state;
    buf_init(&stream, 1 << 20);
    frame_put(&stream, &longest);
    frame_reader_init(&reader, CHUNK, CAP, accept_all);
    do {
        uint8_t *to = frame_reader_room(&reader, &room);
        size_t some = min_u64(room, stream.size - at);

        assert_non_null(to);
        memcpy(to, stream.data + at, some);
        frame_reader_added(&reader, some);
        at += some;
    } while (frame_reader_next(&reader, &frame, NULL) == 0);
    assert_int_equal(frame.count, longest.count);
    assert_non_null(frame_reader_room(&reader, &room));
    assert_true(reader.in.capacity <= 4 * CHUNK);
    frame_reader_done(&reader);
    buf_done(&stream);
}

static void test_frame_that_does_not_fit_leaves_nothing_behind(void **state)
{
    static const uint8_t payload[200];
    struct buf to;
    size_t begin;

    (void)state;
    buf_init(&to, 100);
    frame_put(&to, &(struct frame){.count = 20, .payload = payload});
    assert_int_equal(to.size, 32);
    frame_put(&to, &(struct frame){.count = 80, .payload = payload});
    assert_true(to.failed);
    assert_int_equal(to.size, 32);
    to.failed = false;
    begin = frame_begin(&to, 1, 2);
    buf_append(&to, payload, sizeof payload);
    frame_end(&to, begin);
    assert_true(to.failed);
    assert_int_equal(to.size, 32);
    buf_done(&to);
}

static void test_frame_reader_without_memory(void **state)
{
    struct frame_reader reader;
    size_t room;

    (void)state;
    frame_reader_init(&reader, CHUNK, CAP, accept_all);
    alloc_fail_at(1);
    assert_null(frame_reader_room(&reader, &room));
    alloc_fail_at(0);
    frame_reader_done(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_any_cut_gives_the_same_frames),
        cmocka_unit_test(test_frame_length_is_checked_before_room_is_made),
        cmocka_unit_test(test_frame_longest_fits_and_its_memory_goes),
        cmocka_unit_test(test_frame_that_does_not_fit_leaves_nothing_behind),
        cmocka_unit_test(test_frame_reader_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
