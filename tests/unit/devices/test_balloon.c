/* test_balloon.c: memory that goes back to the host; and random bytes. */
#include "driver.h"
#include "unit.h"

#include "base/bytes.h"
#include "devices/virtio/balloon.h"
#include "devices/virtio/rng.h"

enum {
    INFLATE,
    DEFLATE,
    STATS,
    REPORTING,
    PAGE = 4096,
    /* Pages for tests lie in the second half of memory. */
    FIRST_PAGE = (DRIVER_MEMORY_AT + DRIVER_MEMORY_BYTES / 2) / PAGE,
    LAST_PAGE = (DRIVER_MEMORY_AT + DRIVER_MEMORY_BYTES) / PAGE - 1
};

#define FEATURE_STATS     (UINT64_C(1) << 1)
#define FEATURE_POISON    (UINT64_C(1) << 4)
#define FEATURE_REPORTING (UINT64_C(1) << 5)

struct bench {
    struct driver driver;
    struct balloon *balloon;
    unsigned figures; /* how often they came */
    struct balloon_stats stats;
};

static void take_stats(void *context, const struct balloon_stats *stats)
{
    struct bench *bench = context;

    bench->figures++;
    bench->stats = *stats;
}

static void fill(struct bench *bench)
{
    memset(driver_host(&bench->driver, GPA(FIRST_PAGE * PAGE),
                       DRIVER_MEMORY_BYTES / 2),
           0x77, DRIVER_MEMORY_BYTES / 2);
}

static int set_up(void **state)
{
    struct bench *bench = test_calloc(1, sizeof *bench);
    struct balloon_config config = {.stats = take_stats, .context = bench};

    driver_init(&bench->driver);
    config.env = driver_env(&bench->driver);
    assert_int_equal(balloon_new(&config, &bench->balloon, NULL), 0);
    driver_attach(&bench->driver, balloon_device(bench->balloon));
    fill(bench);
    /* A guest without a pattern for free pages does not take this one. */
    driver_start(&bench->driver, FEATURE_POISON);
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;

    driver_done(&bench->driver);
    test_free(bench);
    return 0;
}

static bool is_zero(struct bench *bench, uint64_t pfn)
{
    const uint8_t *page = driver_host(&bench->driver, GPA(pfn * PAGE), PAGE);

    return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

static bool is_kept(struct bench *bench, uint64_t pfn)
{
    const uint8_t *page = driver_host(&bench->driver, GPA(pfn * PAGE), PAGE);

    return page[0] == 0x77 && memcmp(page, page + 1, PAGE - 1) == 0;
}

static void send_pages(struct bench *bench, unsigned queue, const uint32_t *pfn,
                       uint32_t count)
{
    struct driver_buffer buffer = {
        .at = driver_alloc(&bench->driver, 4 * (uint64_t)count),
        .bytes = 4 * count,
    };

    for (uint32_t i = 0; i < count; i++)
        store_le32(
            driver_host(&bench->driver, gpa_add(buffer.at, 4 * (uint64_t)i), 4),
            pfn[i]);
    driver_request(&bench->driver, queue, &buffer, 1);
}

static bool was_served(struct bench *bench, unsigned queue)
{
    uint32_t id;
    uint32_t written;

    return driver_take_used(&bench->driver, queue, &id, &written);
}

static void test_balloon_inflated_pages_go_back(void **state)
{
    static const uint32_t pages[] = {FIRST_PAGE + 5, FIRST_PAGE + 6,
                                     FIRST_PAGE + 8, LAST_PAGE, FIRST_PAGE};
    struct bench *bench = *state;

    send_pages(bench, INFLATE, pages, ARRAY_LEN(pages));
    assert_true(was_served(bench, INFLATE));
    for (size_t i = 0; i < ARRAY_LEN(pages); i++)
        assert_true(is_zero(bench, pages[i]));
    assert_true(is_kept(bench, FIRST_PAGE + 4));
    assert_true(is_kept(bench, FIRST_PAGE + 7));
    assert_true(is_kept(bench, FIRST_PAGE + 9));
    assert_true(is_kept(bench, LAST_PAGE - 1));
}

static void test_balloon_deflate_changes_nothing(void **state)
{
    static const uint32_t pages[] = {FIRST_PAGE + 5};
    struct bench *bench = *state;

    send_pages(bench, DEFLATE, pages, 1);
    assert_true(was_served(bench, DEFLATE));
    assert_true(is_kept(bench, FIRST_PAGE + 5));
}

static void test_balloon_refuses_pages_outside_of_memory(void **state)
{
    static const uint32_t wrong[] = {0, DRIVER_MEMORY_AT / PAGE - 1,
                                     LAST_PAGE + 1, UINT32_MAX};
    struct bench *bench = *state;

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        driver_start(&bench->driver, FEATURE_POISON);
        send_pages(bench, i % 2 ? INFLATE : DEFLATE, &wrong[i], 1);
        assert_true(driver_needs_reset(&bench->driver));
    }
}

static void test_balloon_refuses_half_a_page_number(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer = {.at = driver_alloc(&bench->driver, 8),
                                   .bytes = 6};

    driver_request(&bench->driver, INFLATE, &buffer, 1);
    assert_true(driver_needs_reset(&bench->driver));
}

static void test_balloon_target_reaches_the_driver(void **state)
{
    struct bench *bench = *state;
    struct device *device = bench->driver.device;

    driver_write(&bench->driver, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);
    assert_int_equal(balloon_set_target(bench->balloon, 10 * PAGE + 5, NULL),
                     0);
    assert_int_equal(driver_config(&bench->driver, 0, 4), 10);
    assert_int_equal(driver_read(&bench->driver, VIRTIO_MMIO_INTERRUPT_STATUS),
                     VIRTIO_INTERRUPT_CONFIG);
    device->ops->write(device, VIRTIO_MMIO_CONFIG + 4, 4, 9);
    assert_int_equal(balloon_actual_bytes(bench->balloon), 9 * PAGE);
    assert_int_equal(
        balloon_set_target(bench->balloon, DRIVER_MEMORY_BYTES + PAGE, NULL),
        SM_EINVAL);
    /* The target is ours: the driver cannot write it. */
    device->ops->write(device, VIRTIO_MMIO_CONFIG, 4, 0);
    assert_int_equal(driver_config(&bench->driver, 0, 4), 10);
}

static void report(struct bench *bench, unsigned queue)
{
    struct driver_buffer buffer[] = {
        {.at = GPA((FIRST_PAGE + 16) * PAGE), .bytes = 8 * PAGE, .write = true},
        {.at = GPA((FIRST_PAGE + 64) * PAGE), .bytes = PAGE, .write = true},
    };

    driver_request(&bench->driver, queue, buffer, 2);
    assert_true(was_served(bench, queue));
}

static void test_balloon_reported_pages_go_back(void **state)
{
    struct bench *bench = *state;

    report(bench, REPORTING);
    for (uint64_t i = 16; i < 24; i++)
        assert_true(is_zero(bench, FIRST_PAGE + i));
    assert_true(is_zero(bench, FIRST_PAGE + 64));
    assert_true(is_kept(bench, FIRST_PAGE + 15));
    assert_true(is_kept(bench, FIRST_PAGE + 24));
    assert_false(driver_needs_reset(&bench->driver));
}

/* Without statistics the reporting queue is the third. */
static void test_balloon_queues_leave_no_gap(void **state)
{
    struct bench *bench = *state;

    driver_start(&bench->driver, FEATURE_POISON | FEATURE_STATS);
    report(bench, 2);
    assert_true(is_zero(bench, FIRST_PAGE + 16));
}

static void test_balloon_keeps_poisoned_pages(void **state)
{
    struct bench *bench = *state;
    struct device *device = bench->driver.device;

    driver_start(&bench->driver, 0);
    device->ops->write(device, VIRTIO_MMIO_CONFIG + 12, 4, 0x77777777);
    report(bench, REPORTING);
    assert_true(is_kept(bench, FIRST_PAGE + 16));
    /* Zero is what a page that went back reads as. */
    device->ops->write(device, VIRTIO_MMIO_CONFIG + 12, 4, 0);
    report(bench, REPORTING);
    assert_true(is_zero(bench, FIRST_PAGE + 16));
}

static void put_stat(struct bench *bench, struct gpa at, uint16_t tag,
                     uint64_t value)
{
    uint8_t *wire = driver_host(&bench->driver, at, 10);

    store_le16(wire, tag);
    store_le64(wire + 2, value);
}

static void test_balloon_statistics_come_when_asked_for(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer = {.at = driver_alloc(&bench->driver, 30),
                                   .bytes = 30};

    assert_int_equal(balloon_request_stats(bench->balloon, NULL), SM_ESTATE);
    put_stat(bench, buffer.at, BALLOON_STAT_FREE, 1234);
    put_stat(bench, gpa_add(buffer.at, 10), 999, 1); /* of the future */
    put_stat(bench, gpa_add(buffer.at, 20), BALLOON_STAT_TOTAL, UINT64_MAX);
    driver_request(&bench->driver, STATS, &buffer, 1);
    assert_int_equal(bench->figures, 1);
    assert_int_equal(bench->stats.known,
                     1 << BALLOON_STAT_FREE | 1 << BALLOON_STAT_TOTAL);
    assert_int_equal(bench->stats.value[BALLOON_STAT_FREE], 1234);
    /* The buffer stays with the device until figures are wanted. */
    assert_false(was_served(bench, STATS));
    assert_int_equal(balloon_request_stats(bench->balloon, NULL), 0);
    assert_true(was_served(bench, STATS));
    assert_int_equal(balloon_request_stats(bench->balloon, NULL), SM_ESTATE);
    put_stat(bench, buffer.at, BALLOON_STAT_FREE, 99);
    driver_request(&bench->driver, STATS, &buffer, 1);
    assert_int_equal(bench->stats.value[BALLOON_STAT_FREE], 99);
}

static void test_balloon_record_keeps_the_held_buffer(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer = {.at = driver_alloc(&bench->driver, 10),
                                   .bytes = 10};
    struct wire_reader from;
    struct buf record;

    driver_request(&bench->driver, STATS, &buffer, 1);
    buf_init(&record, 1 << 20);
    device_save(bench->driver.device, &record);
    device_reset(bench->driver.device);
    assert_int_equal(balloon_request_stats(bench->balloon, NULL), SM_ESTATE);
    wire_read(&from, record.data, record.size);
    assert_int_equal(device_load(bench->driver.device, &from, NULL), 0);
    assert_int_equal(balloon_request_stats(bench->balloon, NULL), 0);
    assert_true(was_served(bench, STATS));
    for (size_t bit = 0; bit < 8 * record.size; bit++) {
        record.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        wire_read(&from, record.data, record.size);
        if (device_load(bench->driver.device, &from, NULL) == 0)
            (void)balloon_request_stats(bench->balloon, NULL);
        record.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_done(&record);
}

/* ---- random bytes ---- */

static void test_rng_fills_no_more_than_its_limit(void **state)
{
    struct driver driver;
    struct virtio_env env;
    struct driver_buffer buffer = {.bytes = 3 * RNG_REQUEST_MAX, .write = true};
    struct rng *rng;
    uint8_t *bytes;
    unsigned seen[256] = {0};
    unsigned different = 0;
    uint32_t id;
    uint32_t written;

    (void)state;
    driver_init(&driver);
    env = driver_env(&driver);
    assert_int_equal(rng_new(&env, &rng, NULL), 0);
    driver_attach(&driver, rng_device(rng));
    driver_start(&driver, 0);
    buffer.at = driver_alloc(&driver, buffer.bytes);
    bytes = driver_host(&driver, buffer.at, buffer.bytes);
    driver_request(&driver, 0, &buffer, 1);
    assert_true(driver_take_used(&driver, 0, &id, &written));
    assert_int_equal(written, RNG_REQUEST_MAX);
    for (unsigned i = 0; i < RNG_REQUEST_MAX; i++)
        different += seen[bytes[i]]++ == 0;
    assert_true(different > 200);
    for (unsigned i = RNG_REQUEST_MAX; i < buffer.bytes; i++)
        assert_int_equal(bytes[i], 0);
    /* A request without room is given back as it is. */
    buffer.write = false;
    driver_request(&driver, 0, &buffer, 1);
    assert_true(driver_take_used(&driver, 0, &id, &written));
    assert_int_equal(written, 0);
    driver_done(&driver);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_balloon_inflated_pages_go_back),
        CASE(test_balloon_deflate_changes_nothing),
        CASE(test_balloon_refuses_pages_outside_of_memory),
        CASE(test_balloon_refuses_half_a_page_number),
        CASE(test_balloon_target_reaches_the_driver),
        CASE(test_balloon_reported_pages_go_back),
        CASE(test_balloon_queues_leave_no_gap),
        CASE(test_balloon_keeps_poisoned_pages),
        CASE(test_balloon_statistics_come_when_asked_for),
        CASE(test_balloon_record_keeps_the_held_buffer),
        cmocka_unit_test(test_rng_fills_no_more_than_its_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
