/* test_mmio.c: virtio-mmio registers, status, frozen queues, records. */
#include "driver.h"
#include "unit.h"

#include "base/bytes.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/rng.h"

static int set_up(void **state)
{
    struct driver *driver = test_calloc(1, sizeof *driver);
    struct virtio_env env;
    struct rng *rng;

    driver_init(driver);
    env = driver_env(driver);
    assert_int_equal(rng_new(&env, &rng, NULL), 0);
    driver_attach(driver, rng_device(rng));
    *state = driver;
    return 0;
}

static int tear_down(void **state)
{
    driver_done(*state);
    test_free(*state);
    return 0;
}

/* One request for 64 random bytes; whether it was served. */
static bool gets_random_bytes(struct driver *driver)
{
    struct driver_buffer buffer = {
        .at = driver_alloc(driver, 64), .bytes = 64, .write = true};
    static const uint8_t zeroes[64];
    uint32_t id;
    uint32_t written;

    driver_request(driver, 0, &buffer, 1);
    return driver_take_used(driver, 0, &id, &written) && written == 64 &&
           memcmp(driver_host(driver, buffer.at, 64), zeroes, 64) != 0;
}

static void test_mmio_identifies_itself(void **state)
{
    struct driver *driver = *state;

    assert_int_equal(driver_read(driver, VIRTIO_MMIO_MAGIC), 0x74726976);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_VERSION), 2);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_DEVICE_ID),
                     VIRTIO_ID_ENTROPY);
    driver_write(driver, VIRTIO_MMIO_MAGIC, 0);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_MAGIC), 0x74726976);
}

static void test_mmio_serves_a_driver_that_keeps_the_steps(void **state)
{
    struct driver *driver = *state;

    driver_start(driver, 0);
    assert_true(gets_random_bytes(driver));
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_INTERRUPT_STATUS),
                     VIRTIO_INTERRUPT_USED);
    assert_true(driver->interrupts > 0);
    driver_write(driver, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_INTERRUPT_USED);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    /* Also without indirect descriptors and event indices. */
    driver_start(driver, VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC);
    assert_true(gets_random_bytes(driver));
    assert_int_equal(driver->log_lines, 0);
}

static void test_mmio_refuses_features_that_were_not_offered(void **state)
{
    struct driver *driver = *state;

    assert_false(driver_negotiate(driver, VIRTIO_F_VERSION_1 | 1));
    assert_false(
        driver_negotiate(driver, VIRTIO_F_VERSION_1 | UINT64_C(1) << 63));
    /* A legacy driver. */
    assert_false(driver_negotiate(driver, VIRTIO_F_EVENT_IDX));
    assert_true(driver_negotiate(driver, VIRTIO_F_VERSION_1));
    /* Features are final now. */
    driver_write(driver, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    driver_write(driver, VIRTIO_MMIO_DRIVER_FEATURES, 1);
    assert_int_equal(driver->virtio->state.driver_features, VIRTIO_F_VERSION_1);
}

static void test_mmio_offers_no_features_beyond_64(void **state)
{
    struct driver *driver = *state;

    driver_write(driver, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_DEVICE_FEATURES), 0);
    driver_write(driver, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_DEVICE_FEATURES), 1);
}

static void test_mmio_ignores_steps_out_of_order(void **state)
{
    static const uint8_t wrong[] = {
        VIRTIO_STATUS_DRIVER,
        VIRTIO_STATUS_DRIVER_OK,
        VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_FEATURES_OK,
        VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
            VIRTIO_STATUS_DRIVER_OK,
        0x10,
    };
    struct driver *driver = *state;

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        driver_write(driver, VIRTIO_MMIO_STATUS, wrong[i]);
        assert_int_equal(driver_status(driver), 0);
    }
    /* Nor are steps taken back. */
    driver_start(driver, 0);
    driver_write(driver, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_ACKNOWLEDGE);
    assert_true(gets_random_bytes(driver));
}

static void test_mmio_does_nothing_before_driver_ok(void **state)
{
    struct driver *driver = *state;

    assert_true(driver_negotiate(driver, VIRTIO_F_VERSION_1));
    driver_set_up_queue(driver, 0, 8);
    assert_false(gets_random_bytes(driver));
    /* What was kicked for too early is served on DRIVER_OK. */
    driver_write(driver, VIRTIO_MMIO_STATUS, driver_status(driver) | 4);
    driver_run(driver);
    assert_int_equal(driver->virtio->queue[0].state.next_used, 1);
}

/* The driver moves the ring after DRIVER_OK: the device must keep using the
 * address that it checked, and asks for a reset. */
static void test_mmio_keeps_ring_address_after_ready(void **state)
{
    static const unsigned frozen[] = {
        VIRTIO_MMIO_QUEUE_NUM,         VIRTIO_MMIO_QUEUE_DESC_LOW,
        VIRTIO_MMIO_QUEUE_DESC_HIGH,   VIRTIO_MMIO_QUEUE_DRIVER_LOW,
        VIRTIO_MMIO_QUEUE_DRIVER_HIGH, VIRTIO_MMIO_QUEUE_DEVICE_LOW,
        VIRTIO_MMIO_QUEUE_DEVICE_HIGH,
    };
    struct driver *driver = *state;

    for (size_t i = 0; i < ARRAY_LEN(frozen); i++) {
        struct vq_state before;

        driver_start(driver, 0);
        before = driver->virtio->queue[0].state;
        assert_false(driver_needs_reset(driver));
        driver_write(driver, frozen[i], 0xdead0000);
        assert_memory_equal(&before, &driver->virtio->queue[0].state,
                            sizeof before);
        assert_true(driver_needs_reset(driver));
        assert_false(gets_random_bytes(driver));
        assert_true(driver_read(driver, VIRTIO_MMIO_INTERRUPT_STATUS) &
                    VIRTIO_INTERRUPT_CONFIG);
    }
    /* A guest cannot flood the log. */
    assert_int_equal(driver->log_lines, LOG_LIMIT_LINES);
    driver_start(driver, 0);
    assert_true(gets_random_bytes(driver));
}

static void test_mmio_refuses_queues_that_are_not_in_memory(void **state)
{
    struct driver *driver = *state;

    assert_true(driver_negotiate(driver, VIRTIO_F_VERSION_1));
    driver_write(driver, VIRTIO_MMIO_QUEUE_SEL, 0);
    driver_write(driver, VIRTIO_MMIO_QUEUE_NUM, 8);
    driver_write(driver, VIRTIO_MMIO_QUEUE_READY, 1);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_QUEUE_READY), 0);
    assert_true(driver_needs_reset(driver));
}

static void test_mmio_refuses_queues_larger_than_it_has(void **state)
{
    struct driver *driver = *state;

    assert_true(driver_negotiate(driver, VIRTIO_F_VERSION_1));
    driver_set_up_queue(driver, 0, 16); /* the device has 8 */
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_QUEUE_READY), 0);
    driver_write(driver, VIRTIO_MMIO_QUEUE_NUM, 0x10008);
    driver_write(driver, VIRTIO_MMIO_QUEUE_READY, 1);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_QUEUE_READY), 0);
}

static void test_mmio_has_nothing_behind_its_last_queue(void **state)
{
    struct driver *driver = *state;

    assert_true(driver_negotiate(driver, VIRTIO_F_VERSION_1));
    driver_write(driver, VIRTIO_MMIO_QUEUE_SEL, 1);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_QUEUE_READY), 0);
    driver_write(driver, VIRTIO_MMIO_QUEUE_READY, 1);
    driver_write(driver, VIRTIO_MMIO_QUEUE_NUM, 8);
    driver->kicked = 0;
    driver_kick(driver, 1);
    driver_kick(driver, UINT32_MAX);
    assert_int_equal(driver->kicked, 0);
}

static void test_mmio_stops_a_queue_when_told(void **state)
{
    struct driver *driver = *state;

    driver_start(driver, 0);
    driver_write(driver, VIRTIO_MMIO_QUEUE_SEL, 0);
    driver_write(driver, VIRTIO_MMIO_QUEUE_READY, 0);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_QUEUE_READY), 0);
    assert_false(gets_random_bytes(driver));
    /* There is no way back but a reset. */
    driver_write(driver, VIRTIO_MMIO_QUEUE_READY, 1);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_QUEUE_READY), 0);
}

static void test_mmio_wants_32_bit_accesses_to_its_registers(void **state)
{
    struct driver *driver = *state;
    const struct device_ops *ops = driver->device->ops;

    assert_int_equal(ops->read(driver->device, VIRTIO_MMIO_MAGIC, 1), 0);
    assert_int_equal(ops->read(driver->device, VIRTIO_MMIO_MAGIC, 8), 0);
    assert_int_equal(ops->read(driver->device, 2, 4), 0);
    ops->write(driver->device, VIRTIO_MMIO_STATUS, 1, 1);
    assert_int_equal(driver_status(driver), 0);
}

static void test_mmio_tells_its_shared_memory(void **state)
{
    struct driver *driver = *state;

    driver_write(driver, VIRTIO_MMIO_SHM_SEL, 1);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_SHM_LEN_LOW), 0x20000000);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_SHM_LEN_HIGH), 1);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_SHM_BASE_LOW), 0);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_SHM_BASE_HIGH), 7);
    driver_write(driver, VIRTIO_MMIO_SHM_SEL, 0);
    for (unsigned at = VIRTIO_MMIO_SHM_LEN_LOW; at <= VIRTIO_MMIO_SHM_BASE_HIGH;
         at += 4)
        assert_int_equal(driver_read(driver, at), UINT32_MAX);
}

static void test_mmio_config_reads_zero_outside(void **state)
{
    struct driver *driver = *state;

    for (unsigned bytes = 1; bytes <= 8; bytes *= 2)
        for (unsigned at = 0; at + bytes <= VIRTIO_MMIO_BYTES - 0x100; at++)
            assert_int_equal(driver_config(driver, at, bytes), 0);
}

/* A driver that breaks a rule on a queue stops that device, with one line,
 * and a reset makes all well. */
static void test_mmio_asks_for_reset_after_a_violation(void **state)
{
    struct driver *driver = *state;

    driver_start(driver, 0);
    driver_offer(driver, 0, 999);
    driver_kick(driver, 0);
    driver_run(driver);
    assert_true(driver_needs_reset(driver));
    assert_int_equal(driver->log_lines, 1);
    assert_non_null(strstr(driver->log_line, "queue 0: descriptor index"));
    assert_false(gets_random_bytes(driver));
    /* The driver cannot take the bit away but by a reset. */
    driver_write(driver, VIRTIO_MMIO_STATUS, 0xf);
    assert_true(driver_needs_reset(driver));
    driver_start(driver, 0);
    assert_false(driver_needs_reset(driver));
    assert_true(gets_random_bytes(driver));
    assert_int_equal(driver->log_lines, 1);
}

static void test_mmio_serves_a_full_queue_in_batches(void **state)
{
    struct driver *driver = *state;
    struct driver_buffer buffer = {
        .at = driver_alloc(driver, 8), .bytes = 8, .write = true};

    driver_start(driver, 0);
    for (int i = 0; i < 1000; i++) {
        for (int n = 0; n < 8; n++)
            driver_offer(driver, 0, driver_chain(driver, 0, &buffer, 1));
        driver_kick(driver, 0);
        driver_run(driver);
    }
    assert_int_equal(driver->virtio->queue[0].state.next_used, 8000);
}

/* ---- records ---- */

static void save(struct driver *driver, struct buf *record)
{
    buf_init(record, 1 << 20);
    device_save(driver->device, record);
    assert_false(record->failed);
}

static int load(struct driver *driver, const struct buf *record)
{
    struct wire_reader from;

    wire_read(&from, record->data, record->size);
    return device_load(driver->device, &from, NULL);
}

static void test_mmio_record_goes_on_where_it_was(void **state)
{
    struct driver *driver = *state;
    struct buf record;

    driver_start(driver, 0);
    assert_true(gets_random_bytes(driver));
    save(driver, &record);
    driver_write(driver, VIRTIO_MMIO_STATUS, 0);
    assert_int_equal(load(driver, &record), 0);
    assert_int_equal(driver_status(driver), 0xf);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
    assert_true(gets_random_bytes(driver));
    buf_done(&record);
}

/* Each truncation is refused, and a refused record changes nothing. */
static void test_mmio_load_refuses_truncated_records(void **state)
{
    struct driver *driver = *state;
    struct buf record;

    driver_start(driver, 0);
    save(driver, &record);
    for (size_t size = 0; size < record.size; size++) {
        struct buf cut = {.data = record.data, .size = size};

        assert_int_equal(load(driver, &cut), SM_EIMAGE);
    }
    assert_true(gets_random_bytes(driver));
    buf_done(&record);
}

/* Any single bit flipped gives either a refusal or a device that a guest could
 * have made: it must not crash. */
static void test_mmio_load_survives_flipped_bits(void **state)
{
    struct driver *driver = *state;
    struct buf record;
    unsigned refused = 0;

    driver_start(driver, 0);
    save(driver, &record);
    for (size_t bit = 0; bit < 8 * record.size; bit++) {
        record.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (load(driver, &record) != 0)
            refused++;
        driver->kicked = 1;
        driver_run(driver);
        record.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(refused > 8 * record.size / 4);
    assert_int_equal(load(driver, &record), 0);
    assert_true(gets_random_bytes(driver));
    buf_done(&record);
}

static void test_mmio_load_refuses_another_device(void **state)
{
    struct driver *driver = *state;
    struct blk_config config = {.env = driver_env(driver)};
    struct driver other;
    struct blk *blk;
    struct buf record;

    save(driver, &record);
    driver_init(&other);
    assert_int_equal(blk_new(&config, &blk, NULL), 0);
    driver_attach(&other, blk_device(blk));
    assert_int_equal(load(&other, &record), SM_EIMAGE);
    driver_done(&other);
    buf_done(&record);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_mmio_identifies_itself),
        CASE(test_mmio_serves_a_driver_that_keeps_the_steps),
        CASE(test_mmio_refuses_features_that_were_not_offered),
        CASE(test_mmio_offers_no_features_beyond_64),
        CASE(test_mmio_ignores_steps_out_of_order),
        CASE(test_mmio_does_nothing_before_driver_ok),
        CASE(test_mmio_keeps_ring_address_after_ready),
        CASE(test_mmio_refuses_queues_that_are_not_in_memory),
        CASE(test_mmio_refuses_queues_larger_than_it_has),
        CASE(test_mmio_has_nothing_behind_its_last_queue),
        CASE(test_mmio_stops_a_queue_when_told),
        CASE(test_mmio_wants_32_bit_accesses_to_its_registers),
        CASE(test_mmio_tells_its_shared_memory),
        CASE(test_mmio_config_reads_zero_outside),
        CASE(test_mmio_asks_for_reset_after_a_violation),
        CASE(test_mmio_serves_a_full_queue_in_batches),
        CASE(test_mmio_record_goes_on_where_it_was),
        CASE(test_mmio_load_refuses_truncated_records),
        CASE(test_mmio_load_survives_flipped_bits),
        CASE(test_mmio_load_refuses_another_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
