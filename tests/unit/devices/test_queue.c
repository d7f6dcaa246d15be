/* test_queue.c: the queue reader, on a bare queue and behind the transport. */
#include "driver.h"
#include "unit.h"

#include "base/bytes.h"
#include "devices/virtio/rng.h"

/* A queue without a device around it: pops are called by hand. */
struct bench {
    struct driver driver;
    struct vq vq;
    struct vq_chain chain;
};

static const struct driver_queue *rings(struct bench *bench)
{
    return &bench->driver.queue[0];
}

static int set_up(void **state)
{
    struct bench *bench = test_calloc(1, sizeof *bench);
    struct driver_queue *queue = &bench->driver.queue[0];
    struct driver *driver = &bench->driver;

    driver_init(driver);
    *queue = (struct driver_queue){.size = 16,
                                   .desc = driver_alloc(driver, 256),
                                   .avail = driver_alloc(driver, 38),
                                   .used = driver_alloc(driver, 134)};
    vq_init(&bench->vq, &driver->mem, 256);
    bench->vq.state.size = 16;
    bench->vq.state.desc = queue->desc;
    bench->vq.state.avail = queue->avail;
    bench->vq.state.used = queue->used;
    bench->vq.indirect = true;
    assert_int_equal(vq_start(&bench->vq, NULL), 0);
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;

    gmem_done(&bench->driver.mem);
    test_free(bench);
    return 0;
}

static struct driver_buffer buffer_of(struct bench *bench, uint32_t bytes,
                                      bool write)
{
    return (struct driver_buffer){
        .at = driver_alloc(&bench->driver, bytes),
        .bytes = bytes,
        .write = write,
    };
}

static void offer_head(struct bench *bench, uint16_t head)
{
    driver_offer(&bench->driver, 0, head);
}

static int pop(struct bench *bench)
{
    return vq_pop(&bench->vq, &bench->chain);
}

static void expect_broken(struct bench *bench, const char *why)
{
    assert_int_equal(pop(bench), SM_EGUEST);
    assert_string_equal(bench->vq.broken, why);
    /* And it stays broken. */
    assert_int_equal(pop(bench), SM_EGUEST);
    assert_false(vq_kicks_on(&bench->vq));
}

static void test_vq_hands_out_a_chain_with_its_bytes(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer[] = {
        buffer_of(bench, 3, false), buffer_of(bench, 5, false),
        buffer_of(bench, 4, true), buffer_of(bench, 4, true)};
    uint16_t head = driver_chain(&bench->driver, 0, buffer, 4);
    char text[8] = "";
    uint32_t id;
    uint32_t written;

    memcpy(driver_host(&bench->driver, buffer[0].at, 3), "abc", 3);
    memcpy(driver_host(&bench->driver, buffer[1].at, 5), "defgh", 5);
    assert_int_equal(pop(bench), 0);
    offer_head(bench, head);
    assert_int_equal(pop(bench), 1);
    assert_int_equal(bench->chain.read_left, 8);
    assert_int_equal(bench->chain.write_left, 8);
    assert_false(vq_chain_read(&bench->chain, text, 9));
    assert_true(vq_chain_read(&bench->chain, text, 1));
    assert_true(vq_chain_read(&bench->chain, text + 1, 7));
    assert_memory_equal(text, "abcdefgh", 8);
    assert_false(vq_chain_write(&bench->chain, "123456789", 9));
    assert_true(vq_chain_write(&bench->chain, "12345", 5));
    vq_push(&bench->vq, &bench->chain);
    assert_memory_equal(driver_host(&bench->driver, buffer[2].at, 4), "1234",
                        4);
    assert_memory_equal(driver_host(&bench->driver, buffer[3].at, 1), "5", 1);
    assert_true(driver_take_used(&bench->driver, 0, &id, &written));
    assert_int_equal(id, head);
    assert_int_equal(written, 5);
    assert_int_equal(pop(bench), 0);
}

static void test_vq_tail_counts_only_behind_full_data(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer[] = {buffer_of(bench, 8, true),
                                     buffer_of(bench, 1, true)};

    offer_head(bench, driver_chain(&bench->driver, 0, buffer, 2));
    assert_int_equal(pop(bench), 1);
    assert_true(vq_chain_write_tail(&bench->chain, "x", 1));
    assert_int_equal(bench->chain.written, 0);
    assert_memory_equal(driver_host(&bench->driver, buffer[1].at, 1), "x", 1);

    offer_head(bench, driver_chain(&bench->driver, 0, buffer, 2));
    assert_int_equal(pop(bench), 1);
    assert_true(vq_chain_write(&bench->chain, "12345678", 8));
    assert_true(vq_chain_write_tail(&bench->chain, "y", 1));
    assert_int_equal(bench->chain.written, 9);
    assert_false(vq_chain_write_tail(&bench->chain, "z", 1));
}

static void test_vq_spans_cover_exactly_the_bytes(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer[] = {buffer_of(bench, 10, false),
                                     buffer_of(bench, 10, false)};
    struct iovec span[2];

    offer_head(bench, driver_chain(&bench->driver, 0, buffer, 2));
    assert_int_equal(pop(bench), 1);
    vq_chain_consumed(&bench->chain, 4);
    assert_int_equal(vq_chain_readable(&bench->chain, 16, span, 2), 2);
    assert_ptr_equal(span[0].iov_base,
                     driver_host(&bench->driver, gpa_add(buffer[0].at, 4), 1));
    assert_int_equal(span[0].iov_len, 6);
    assert_int_equal(span[1].iov_len, 10);
    assert_int_equal(vq_chain_readable(&bench->chain, 17, span, 2), 0);
    assert_int_equal(vq_chain_readable(&bench->chain, 16, span, 1), 0);
    assert_int_equal(vq_chain_writable(&bench->chain, 1, span, 2), 0);
}

static void test_vq_refuses_a_chain_that_loops(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer = buffer_of(bench, 8, false);

    driver_describe(&bench->driver, rings(bench)->desc, 0, &buffer,
                    VQ_DESC_NEXT, 1);
    driver_describe(&bench->driver, rings(bench)->desc, 1, &buffer,
                    VQ_DESC_NEXT, 0);
    offer_head(bench, 0);
    expect_broken(bench, "descriptor chain is a loop");
}

static void test_vq_refuses_a_loop_in_an_indirect_table(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer = buffer_of(bench, 8, false);
    struct driver_buffer table = buffer_of(bench, 32, false);

    driver_describe(&bench->driver, table.at, 0, &buffer, VQ_DESC_NEXT, 1);
    driver_describe(&bench->driver, table.at, 1, &buffer, VQ_DESC_NEXT, 0);
    driver_describe(&bench->driver, rings(bench)->desc, 0, &table,
                    VQ_DESC_INDIRECT, 0);
    offer_head(bench, 0);
    expect_broken(bench, "descriptor chain is a loop");
}

static void test_vq_refuses_senseless_indices(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer = buffer_of(bench, 8, false);

    driver_describe(&bench->driver, rings(bench)->desc, 0, &buffer,
                    VQ_DESC_NEXT, 16);
    offer_head(bench, 0);
    expect_broken(bench, "descriptor index is outside of its table");
}

static void test_vq_refuses_a_senseless_head(void **state)
{
    struct bench *bench = *state;

    offer_head(bench, 16);
    expect_broken(bench, "descriptor index is outside of its table");
}

static void test_vq_refuses_bytes_outside_of_memory(void **state)
{
    static const struct driver_buffer wrong[] = {
        {.at = {0}, .bytes = 8},
        {.at = {DRIVER_MEMORY_AT - 1}, .bytes = 2},
        {.at = {DRIVER_MEMORY_AT + DRIVER_MEMORY_BYTES - 1}, .bytes = 2},
        {.at = {DRIVER_MEMORY_AT + DRIVER_MEMORY_BYTES}, .bytes = 1},
        {.at = {UINT64_MAX - 3}, .bytes = 8}, /* overflows */
        {.at = {DRIVER_MEMORY_AT}, .bytes = UINT32_MAX},
    };
    struct bench *bench = *state;

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        vq_stop(&bench->vq);
        bench->vq.broken = NULL;
        assert_int_equal(vq_start(&bench->vq, NULL), 0);
        bench->driver.queue[0].avail_index = 0;
        offer_head(bench, driver_chain(&bench->driver, 0, &wrong[i], 1));
        expect_broken(bench, "descriptor points outside of memory");
    }
}

static void test_vq_refuses_empty_descriptors(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer = {.at = GPA(DRIVER_MEMORY_AT)};

    offer_head(bench, driver_chain(&bench->driver, 0, &buffer, 1));
    expect_broken(bench, "descriptor is empty");
}

static void test_vq_refuses_reading_behind_writing(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer[] = {buffer_of(bench, 8, true),
                                     buffer_of(bench, 8, false)};

    offer_head(bench, driver_chain(&bench->driver, 0, buffer, 2));
    expect_broken(bench, "readable descriptor behind a writable one");
}

static void test_vq_refuses_more_than_4_gib(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer part = {.at = GPA(DRIVER_MEMORY_AT),
                                 .bytes = DRIVER_MEMORY_BYTES};
    struct driver_buffer table = buffer_of(bench, 32, false);
    /* A memory that claims 4 GiB: a pop touches none of the data. */
    struct gmem big = {.count = 1, .region = {bench->driver.mem.region[0]}};

    big.region[0].bytes = UINT32_MAX;
    bench->vq.mem = &big;
    part.bytes = UINT32_MAX - 1;
    for (uint16_t i = 0; i < 2; i++)
        driver_describe(&bench->driver, table.at, i, &part,
                        i == 0 ? VQ_DESC_NEXT : 0, 1);
    driver_describe(&bench->driver, rings(bench)->desc, 0, &table,
                    VQ_DESC_INDIRECT, 0);
    offer_head(bench, 0);
    expect_broken(bench, "descriptor chain of more than 4 GiB");
}

static void test_vq_reads_indirect_behind_direct(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer first = buffer_of(bench, 8, false);
    struct driver_buffer second = buffer_of(bench, 4, true);
    struct driver_buffer table = buffer_of(bench, 16, false);

    driver_describe(&bench->driver, table.at, 0, &second, 0, 0);
    driver_describe(&bench->driver, rings(bench)->desc, 2, &first, VQ_DESC_NEXT,
                    3);
    driver_describe(&bench->driver, rings(bench)->desc, 3, &table,
                    VQ_DESC_INDIRECT, 0);
    offer_head(bench, 2);
    assert_int_equal(pop(bench), 1);
    assert_int_equal(bench->chain.read_left, 8);
    assert_int_equal(bench->chain.write_left, 4);
}

static void test_vq_refuses_abuse_of_indirect(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer inner = buffer_of(bench, 16, false);
    struct {
        uint32_t bytes;
        uint16_t flags;
        uint16_t inner_flags;
        bool negotiated;
        const char *why;
    } cases[] = {
        {16, VQ_DESC_INDIRECT, 0, false,
         "indirect descriptor was not negotiated"},
        {16, VQ_DESC_INDIRECT | VQ_DESC_NEXT, 0, true,
         "indirect descriptor with a next one"},
        {0, VQ_DESC_INDIRECT, 0, true, "indirect table of a senseless size"},
        {24, VQ_DESC_INDIRECT, 0, true, "indirect table of a senseless size"},
        {UINT32_MAX - 15, VQ_DESC_INDIRECT, 0, true,
         "indirect table is not in memory"},
        {16 * 65535, VQ_DESC_INDIRECT, VQ_DESC_INDIRECT, true,
         "indirect descriptor in an indirect table"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct driver_buffer table = {.at = inner.at, .bytes = cases[i].bytes};

        vq_stop(&bench->vq);
        bench->vq.broken = NULL;
        bench->vq.indirect = cases[i].negotiated;
        assert_int_equal(vq_start(&bench->vq, NULL), 0);
        bench->driver.queue[0].avail_index = 0;
        driver_describe(&bench->driver, inner.at, 0, &inner,
                        cases[i].inner_flags, 0);
        driver_describe(&bench->driver, rings(bench)->desc, 0, &table,
                        cases[i].flags, 1);
        offer_head(bench, 0);
        expect_broken(bench, cases[i].why);
    }
}

static void test_vq_refuses_too_long_chains(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer byte = buffer_of(bench, 1, false);
    struct driver_buffer many[VQ_SEGMENTS_MAX + 1];

    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = byte;
    offer_head(bench,
               driver_indirect(&bench->driver, 0, many, VQ_SEGMENTS_MAX));
    assert_int_equal(pop(bench), 1);
    assert_int_equal(bench->chain.count, VQ_SEGMENTS_MAX);
    offer_head(bench,
               driver_indirect(&bench->driver, 0, many, VQ_SEGMENTS_MAX + 1));
    expect_broken(bench, "descriptor chain is too long");
}

static void test_vq_refuses_an_index_that_jumps(void **state)
{
    struct bench *bench = *state;

    bench->driver.queue[0].avail_index = 16;
    offer_head(bench, 0);
    expect_broken(bench, "available index jumped");
}

static void test_vq_unpop_gives_the_same_chain_again(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer = buffer_of(bench, 8, true);
    uint16_t head = driver_chain(&bench->driver, 0, &buffer, 1);

    offer_head(bench, head);
    assert_int_equal(pop(bench), 1);
    vq_unpop(&bench->vq);
    bench->chain.head = 99;
    assert_int_equal(pop(bench), 1);
    assert_int_equal(bench->chain.head, head);
}

/* Both indices go round 65536 several times; the events stay right. */
static void test_vq_event_idx_holds_when_indices_wrap(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer = buffer_of(bench, 8, true);
    uint32_t id;
    uint32_t written;

    bench->vq.event_idx = true;
    for (uint32_t i = 0; i < 200000; i++) {
        uint16_t index = (uint16_t)i;
        bool wanted = i % 3 == 0;

        /* Ask for an interrupt at this buffer, or at the one after it. */
        driver_set_used_event(&bench->driver, 0,
                              (uint16_t)(index + (wanted ? 0 : 1)));
        assert_false(vq_kicks_on(&bench->vq));
        assert_int_equal(driver_avail_event(&bench->driver, 0), index);
        offer_head(bench, driver_chain(&bench->driver, 0, &buffer, 1));
        assert_true(vq_kicks_on(&bench->vq));
        assert_int_equal(pop(bench), 1);
        vq_push(&bench->vq, &bench->chain);
        assert_int_equal(vq_needs_interrupt(&bench->vq), wanted);
        assert_true(driver_take_used(&bench->driver, 0, &id, &written));
    }
}

static void test_vq_event_inside_a_batch_interrupts_once(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer = buffer_of(bench, 8, true);

    bench->vq.event_idx = true;
    driver_set_used_event(&bench->driver, 0, 2);
    for (int i = 0; i < 5; i++) {
        offer_head(bench, driver_chain(&bench->driver, 0, &buffer, 1));
        assert_int_equal(pop(bench), 1);
        vq_push(&bench->vq, &bench->chain);
    }
    assert_true(vq_needs_interrupt(&bench->vq));
    assert_false(vq_needs_interrupt(&bench->vq));
}

static void test_vq_flag_suppresses_interrupts(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer = buffer_of(bench, 8, true);
    uint8_t *flags = driver_host(&bench->driver, rings(bench)->avail, 2);

    for (int i = 0; i < 2; i++) {
        flags[0] = i == 0 ? VQ_AVAIL_NO_INTERRUPT : 0;
        offer_head(bench, driver_chain(&bench->driver, 0, &buffer, 1));
        assert_int_equal(pop(bench), 1);
        vq_push(&bench->vq, &bench->chain);
        assert_int_equal(vq_needs_interrupt(&bench->vq), i);
    }
}

static void test_vq_start_refuses_wrong_places(void **state)
{
    struct bench *bench = *state;
    const struct vq_state good = bench->vq.state;
    const uint64_t end = DRIVER_MEMORY_AT + DRIVER_MEMORY_BYTES;
    struct vq_state bad[10];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        bad[i] = good;
    bad[0].size = 0;
    bad[1].size = 12;
    bad[2].size = 512;
    bad[3].desc.v += 8;
    bad[4].avail.v += 1;
    bad[5].used.v += 2;
    bad[6].desc.v = end - 255 + 15;
    bad[7].avail.v = end - 36;
    bad[8].used.v = end - 132;
    bad[9].used.v = UINT64_MAX - 3;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        vq_init(&bench->vq, &bench->driver.mem, 256);
        bench->vq.state = bad[i];
        bench->vq.state.ready = false;
        assert_int_equal(vq_start(&bench->vq, NULL), SM_EGUEST);
        assert_false(bench->vq.state.ready);
        assert_int_equal(pop(bench), SM_EGUEST);
    }
    /* The very last bytes of memory are fine. */
    vq_init(&bench->vq, &bench->driver.mem, 256);
    bench->vq.state = good;
    bench->vq.state.used.v = align_down(end - 134, 4);
    assert_int_equal(vq_start(&bench->vq, NULL), 0);
}

static void test_vq_record_comes_back(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer = buffer_of(bench, 8, true);
    struct wire_reader from;
    struct buf record;
    struct vq copy;

    offer_head(bench, driver_chain(&bench->driver, 0, &buffer, 1));
    offer_head(bench, driver_chain(&bench->driver, 0, &buffer, 1));
    assert_int_equal(pop(bench), 1);
    vq_push(&bench->vq, &bench->chain);
    buf_init(&record, 4096);
    vq_save(&bench->vq, &record);
    vq_init(&copy, &bench->driver.mem, 256);
    wire_read(&from, record.data, record.size);
    assert_int_equal(vq_load(&copy, &from, NULL), 0);
    assert_true(wire_end(&from));
    assert_int_equal(vq_pop(&copy, &bench->chain), 1);
    assert_int_equal(bench->chain.head, 1);
    assert_int_equal(vq_pop(&copy, &bench->chain), 0);
    buf_done(&record);
}

static void test_vq_load_refuses_what_no_driver_could_do(void **state)
{
    struct bench *bench = *state;
    struct vq copy;

    for (int i = 0; i < 4; i++) {
        struct wire_reader from;
        struct buf record;
        struct vq wrong = bench->vq;

        if (i == 0)
            wrong.state.size = 3;
        else if (i == 1)
            wrong.state.desc = GPA(16);
        else if (i == 2)
            wrong.state.used.v = UINT64_MAX - 63;
        buf_init(&record, 4096);
        vq_save(&wrong, &record);
        vq_init(&copy, &bench->driver.mem, 256);
        wire_read(&from, record.data, record.size - (i == 3));
        assert_int_equal(vq_load(&copy, &from, NULL), SM_EIMAGE);
        assert_false(copy.state.ready);
        buf_done(&record);
    }
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_vq_hands_out_a_chain_with_its_bytes),
        CASE(test_vq_tail_counts_only_behind_full_data),
        CASE(test_vq_spans_cover_exactly_the_bytes),
        CASE(test_vq_refuses_a_chain_that_loops),
        CASE(test_vq_refuses_a_loop_in_an_indirect_table),
        CASE(test_vq_refuses_senseless_indices),
        CASE(test_vq_refuses_a_senseless_head),
        CASE(test_vq_refuses_bytes_outside_of_memory),
        CASE(test_vq_refuses_empty_descriptors),
        CASE(test_vq_refuses_reading_behind_writing),
        CASE(test_vq_refuses_more_than_4_gib),
        CASE(test_vq_reads_indirect_behind_direct),
        CASE(test_vq_refuses_abuse_of_indirect),
        CASE(test_vq_refuses_too_long_chains),
        CASE(test_vq_refuses_an_index_that_jumps),
        CASE(test_vq_unpop_gives_the_same_chain_again),
        CASE(test_vq_event_idx_holds_when_indices_wrap),
        CASE(test_vq_event_inside_a_batch_interrupts_once),
        CASE(test_vq_flag_suppresses_interrupts),
        CASE(test_vq_start_refuses_wrong_places),
        CASE(test_vq_record_comes_back),
        CASE(test_vq_load_refuses_what_no_driver_could_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
