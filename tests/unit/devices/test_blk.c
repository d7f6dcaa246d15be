/* test_blk.c: the disk device over a spy. */
#include "driver.h"
#include "spy_block.h"
#include "unit.h"

#include "base/bytes.h"
#include "devices/virtio/blk.h"

#include <pthread.h>

enum {
    IN = 0,
    OUT = 1,
    FLUSH = 4,
    GET_ID = 8,
    DISCARD = 11,
    WRITE_ZEROES = 13,
    OK = 0,
    IOERR = 1,
    UNSUPPORTED = 2,
    NONE = 0xff /* no answer */
};

#define FEATURE_FLUSH      (UINT64_C(1) << 9)
#define FEATURE_CONFIG_WCE (UINT64_C(1) << 11)
#define SECTORS            (SPY_BYTES / 512)

struct bench {
    struct driver driver;
    struct blk *blk;
    struct spy_block *spy;
    struct gpa data; /* 8 KiB for requests */
    uint32_t written;
};

static void make(struct bench *bench, bool read_only, struct spy_block *spy)
{
    struct blk_config config = {
        .read_only = read_only,
        .disk = spy ? &spy->block : NULL,
        .serial = "disk-1",
    };

    driver_init(&bench->driver);
    config.env = driver_env(&bench->driver);
    bench->spy = spy;
    assert_int_equal(blk_new(&config, &bench->blk, NULL), 0);
    driver_attach(&bench->driver, blk_device(bench->blk));
    bench->data = driver_alloc(&bench->driver, 8192);
}

static int set_up(void **state)
{
    struct bench *bench = test_calloc(1, sizeof *bench);

    make(bench, false, spy_block_new(false));
    driver_start(&bench->driver, 0);
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

/* A request of (type) with (bytes) at bench->data; its status. */
static int request(struct bench *bench, uint32_t type, uint64_t sector,
                   uint32_t bytes)
{
    struct driver *driver = &bench->driver;
    struct gpa header = driver_alloc(driver, 16);
    struct gpa status = driver_alloc(driver, 1);
    bool device_writes = type == IN || type == GET_ID;
    struct driver_buffer buffer[] = {
        {.at = header, .bytes = 16},
        {.at = bench->data, .bytes = bytes, .write = device_writes},
        {.at = status, .bytes = 1, .write = true},
    };
    uint8_t *at = driver_host(driver, header, 16);
    uint32_t id;

    store_le32(at, type);
    store_le64(at + 8, sector);
    *(uint8_t *)driver_host(driver, status, 1) = NONE;
    if (!bytes)
        buffer[1] = buffer[2];
    driver_request(driver, 0, buffer, bytes ? 3 : 2);
    if (!driver_take_used(driver, 0, &id, &bench->written))
        return NONE;
    return *(uint8_t *)driver_host(driver, status, 1);
}

/* A DISCARD or WRITE_ZEROES of one segment. */
static int range(struct bench *bench, uint32_t type, uint64_t sector,
                 uint32_t sectors, uint32_t flags)
{
    uint8_t *at = driver_host(&bench->driver, bench->data, 16);

    store_le64(at, sector);
    store_le32(at + 8, sectors);
    store_le32(at + 12, flags);
    return request(bench, type, 0, 16);
}

static void test_blk_reads_and_writes_the_right_sectors(void **state)
{
    struct bench *bench = *state;
    uint8_t *data = driver_host(&bench->driver, bench->data, 8192);

    memset(data, 0x5a, 1024);
    assert_int_equal(request(bench, OUT, 3, 1024), OK);
    assert_int_equal(bench->written, 1);
    assert_int_equal(bench->spy->data[3 * 512 - 1], 0);
    assert_int_equal(bench->spy->data[3 * 512], 0x5a);
    assert_int_equal(bench->spy->data[5 * 512 - 1], 0x5a);
    assert_int_equal(bench->spy->data[5 * 512], 0);
    memset(data, 0, 8192);
    assert_int_equal(request(bench, IN, 2, 8192), OK);
    assert_int_equal(bench->written, 8193);
    assert_memory_equal(data, bench->spy->data + 1024, 8192);
}

static void test_blk_flush_reaches_the_disk_in_order(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(request(bench, OUT, 0, 512), OK);
    assert_int_equal(request(bench, FLUSH, 0, 0), OK);
    assert_int_equal(request(bench, OUT, 1, 512), OK);
    assert_int_equal(bench->spy->calls, 3);
    assert_int_equal(bench->spy->call[0].what, 'w');
    assert_int_equal(bench->spy->call[1].what, 'f');
    assert_int_equal(bench->spy->call[2].what, 'w');
}

/* A driver that does not know FLUSH must not lose what was completed. */
static void test_blk_flushes_each_write_without_a_cache(void **state)
{
    struct bench *bench = *state;

    driver_start(&bench->driver, FEATURE_FLUSH | FEATURE_CONFIG_WCE);
    assert_int_equal(request(bench, OUT, 0, 512), OK);
    assert_int_equal(range(bench, WRITE_ZEROES, 8, 8, 0), OK);
    assert_int_equal(bench->spy->calls, 4);
    assert_int_equal(bench->spy->call[1].what, 'f');
    assert_int_equal(bench->spy->call[3].what, 'f');
}

static void test_blk_driver_can_switch_the_cache_off(void **state)
{
    struct bench *bench = *state;
    struct device *device = bench->driver.device;

    assert_int_equal(driver_config(&bench->driver, 32, 1), 1);
    device->ops->write(device, VIRTIO_MMIO_CONFIG + 32, 1, 0);
    assert_int_equal(driver_config(&bench->driver, 32, 1), 0);
    assert_int_equal(bench->spy->calls, 1); /* what was cached is durable */
    assert_int_equal(request(bench, OUT, 0, 512), OK);
    assert_int_equal(bench->spy->call[2].what, 'f');
    /* A reset brings it back. */
    driver_start(&bench->driver, 0);
    assert_int_equal(driver_config(&bench->driver, 32, 1), 1);
}

static void test_blk_refuses_what_lies_outside(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(request(bench, IN, SECTORS - 1, 512), OK);
    assert_int_equal(request(bench, IN, SECTORS - 1, 1024), IOERR);
    assert_int_equal(request(bench, OUT, SECTORS, 512), IOERR);
    assert_int_equal(request(bench, IN, UINT64_MAX, 512), IOERR);
    assert_int_equal(request(bench, OUT, UINT64_MAX / 512, 1024), IOERR);
    assert_int_equal(request(bench, IN, 0, 511), IOERR);
    assert_int_equal(request(bench, OUT, 0, 513), IOERR);
    assert_int_equal(range(bench, DISCARD, SECTORS - 1, 2, 0), IOERR);
    assert_int_equal(range(bench, DISCARD, UINT64_MAX, UINT32_MAX, 0), IOERR);
    assert_int_equal(range(bench, WRITE_ZEROES, 0, UINT32_MAX, 1), IOERR);
    assert_int_equal(bench->spy->calls, 1);
    assert_false(driver_needs_reset(&bench->driver));
}

static void test_blk_discards_and_zeroes(void **state)
{
    struct bench *bench = *state;

    memset(bench->spy->data, 1, 8192);
    assert_int_equal(range(bench, WRITE_ZEROES, 1, 2, 1), OK);
    assert_int_equal(bench->spy->data[511], 1);
    assert_int_equal(bench->spy->data[512], 0);
    assert_int_equal(bench->spy->data[1536], 1);
    assert_int_equal(range(bench, DISCARD, 8, 16, 0), OK);
    assert_int_equal(bench->spy->call[1].what, 'd');
    assert_int_equal(bench->spy->call[1].at, 4096);
    assert_int_equal(bench->spy->call[1].bytes, 8192);
    /* Flags that there are not. */
    assert_int_equal(range(bench, DISCARD, 0, 8, 1), UNSUPPORTED);
    assert_int_equal(range(bench, WRITE_ZEROES, 0, 8, 2), UNSUPPORTED);
    /* Half a segment, none, and more than are offered. */
    assert_int_equal(request(bench, DISCARD, 0, 24), IOERR);
    assert_int_equal(request(bench, DISCARD, 0, 0), IOERR);
    assert_int_equal(request(bench, DISCARD, 0, 17 * 16), IOERR);
    assert_int_equal(bench->spy->calls, 2);
}

static void test_blk_tells_its_serial(void **state)
{
    struct bench *bench = *state;
    uint8_t *data = driver_host(&bench->driver, bench->data, 32);

    memset(data, 0x11, 32);
    assert_int_equal(request(bench, GET_ID, 0, 20), OK);
    assert_memory_equal(data, "disk-1\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    assert_int_equal(data[20], 0x11);
    assert_int_equal(bench->written, 21);
}

static void test_blk_says_when_it_does_not_know(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(request(bench, 77, 0, 512), UNSUPPORTED);
}

static void test_blk_reports_host_errors_and_goes_on(void **state)
{
    struct bench *bench = *state;

    bench->spy->fail_with = SM_ENOSPC;
    for (int i = 0; i < 100; i++)
        assert_int_equal(request(bench, OUT, 0, 512), IOERR);
    assert_int_equal(request(bench, IN, 0, 512), IOERR);
    assert_int_equal(request(bench, FLUSH, 0, 0), IOERR);
    assert_int_equal(bench->driver.log_lines, LOG_LIMIT_LINES);
    bench->spy->fail_with = 0;
    assert_int_equal(request(bench, OUT, 0, 512), OK);
}

static void test_blk_request_without_status_asks_for_reset(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer header = {.at = bench->data, .bytes = 16};

    driver_request(&bench->driver, 0, &header, 1);
    assert_true(driver_needs_reset(&bench->driver));
}

static void test_blk_short_header_is_an_error(void **state)
{
    struct bench *bench = *state;
    struct gpa status = driver_alloc(&bench->driver, 1);
    struct driver_buffer buffer[] = {
        {.at = bench->data, .bytes = 15},
        {.at = status, .bytes = 1, .write = true},
    };

    driver_request(&bench->driver, 0, buffer, 2);
    assert_int_equal(*(uint8_t *)driver_host(&bench->driver, status, 1), IOERR);
}

static void expect_no_changes(struct bench *bench)
{
    assert_int_equal(request(bench, OUT, 0, 512), IOERR);
    assert_int_equal(range(bench, DISCARD, 0, 8, 0), IOERR);
    assert_int_equal(range(bench, WRITE_ZEROES, 0, 8, 0), IOERR);
    assert_int_equal(bench->spy->calls, 0);
    assert_int_equal(request(bench, IN, 0, 512), OK);
    assert_int_equal(request(bench, FLUSH, 0, 0), OK);
}

/* A guest that ignores the RO bit, and a disk that is read-only although the
 * device never said so. */
static void test_blk_enforces_read_only(void **state)
{
    struct bench bench = {0};

    (void)state;
    make(&bench, true, spy_block_new(false));
    driver_start(&bench.driver, 0);
    assert_true(bench.driver.virtio->features & 1 << 5);
    expect_no_changes(&bench);
    driver_done(&bench.driver);

    make(&bench, false, spy_block_new(true));
    driver_start(&bench.driver, 1 << 5);
    expect_no_changes(&bench);
    driver_done(&bench.driver);
}

static void test_blk_disk_comes_while_running(void **state)
{
    struct bench bench = {0};
    bool freed = false;
    uint32_t generation;

    (void)state;
    make(&bench, false, NULL);
    driver_start(&bench.driver, 0);
    assert_int_equal(driver_config(&bench.driver, 0, 8), 0);
    assert_int_equal(request(&bench, IN, 0, 512), IOERR);
    assert_int_equal(request(&bench, FLUSH, 0, 0), IOERR);
    generation = driver_read(&bench.driver, VIRTIO_MMIO_CONFIG_GENERATION);
    driver_write(&bench.driver, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);

    bench.spy = spy_block_new(false);
    bench.spy->freed = &freed;
    assert_int_equal(blk_set_disk(bench.blk, &bench.spy->block, NULL), 0);
    assert_int_equal(driver_read(&bench.driver, VIRTIO_MMIO_INTERRUPT_STATUS),
                     VIRTIO_INTERRUPT_CONFIG);
    assert_int_not_equal(
        driver_read(&bench.driver, VIRTIO_MMIO_CONFIG_GENERATION), generation);
    assert_int_equal(driver_config(&bench.driver, 0, 8), SECTORS);
    assert_int_equal(driver_config(&bench.driver, 0, 4), SECTORS);
    assert_int_equal(request(&bench, IN, 0, 512), OK);

    assert_int_equal(blk_set_disk(bench.blk, NULL, NULL), 0);
    assert_true(freed);
    assert_int_equal(request(&bench, IN, 0, 512), IOERR);
    driver_done(&bench.driver);
}

/* A layer was put over the disk: nothing that anybody could see has changed. */
static void test_blk_disk_is_swapped_in_silence(void **state)
{
    struct bench *bench = *state;
    struct spy_block *former = bench->spy;
    struct spy_block *other = spy_block_new(false);
    uint32_t generation =
        driver_read(&bench->driver, VIRTIO_MMIO_CONFIG_GENERATION);
    unsigned calls;

    assert_int_equal(request(bench, OUT, 3, 512), OK);
    driver_write(&bench->driver, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);
    calls = former->calls;
    assert_ptr_equal(blk_swap_disk(bench->blk, &other->block), &former->block);
    assert_ptr_equal(blk_disk(bench->blk), &other->block);
    assert_int_equal(former->calls, calls);
    assert_int_equal(driver_read(&bench->driver, VIRTIO_MMIO_INTERRUPT_STATUS),
                     0);
    assert_int_equal(driver_read(&bench->driver, VIRTIO_MMIO_CONFIG_GENERATION),
                     generation);
    assert_int_equal(driver_config(&bench->driver, 0, 8), SECTORS);
    assert_int_equal(request(bench, OUT, 3, 512), OK);
    assert_int_equal(former->calls, calls);
    assert_int_equal(other->calls, 1);
    block_free(&former->block);
}

static void test_blk_record_then_another_disk(void **state)
{
    struct bench *bench = *state;
    struct bench clone = {0};
    struct wire_reader from;
    struct buf record;

    buf_init(&record, 1 << 20);
    device_save(bench->driver.device, &record);
    /* The clone has the same memory. */
    make(&clone, false, NULL);
    memcpy(driver_host(&clone.driver, GPA(DRIVER_MEMORY_AT), 1),
           driver_host(&bench->driver, GPA(DRIVER_MEMORY_AT), 1),
           DRIVER_MEMORY_BYTES);
    memcpy(clone.driver.queue, bench->driver.queue, sizeof clone.driver.queue);
    clone.driver.heap = bench->driver.heap;
    wire_read(&from, record.data, record.size);
    assert_int_equal(device_load(clone.driver.device, &from, NULL), 0);
    assert_int_equal(driver_config(&clone.driver, 0, 8), SECTORS);
    assert_int_equal(request(&clone, IN, 0, 512), IOERR);
    clone.spy = spy_block_new(false);
    assert_int_equal(blk_set_disk(clone.blk, &clone.spy->block, NULL), 0);
    assert_int_equal(request(&clone, OUT, 0, 512), OK);
    driver_done(&clone.driver);
    buf_done(&record);
}

/* ---- slow disks ---- */

/* A disk that does not answer until it may. */
struct slow {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool reached;
    bool may_go_on;
    struct bench *bench;
};

static void wait_in_disk(void *context)
{
    struct slow *slow = context;

    pthread_mutex_lock(&slow->lock);
    slow->reached = true;
    pthread_cond_broadcast(&slow->changed);
    while (!slow->may_go_on)
        pthread_cond_wait(&slow->changed, &slow->lock);
    pthread_mutex_unlock(&slow->lock);
}

static void *serve_queue(void *context)
{
    struct slow *slow = context;

    virtio_device_notify(slow->bench->driver.virtio, 0);
    return NULL;
}

/* While the disk works, a vcpu kicks and acknowledges interrupts: this test
 * hangs if either waits for the device's lock. */
static void test_blk_vcpu_does_not_wait_for_the_disk(void **state)
{
    struct bench *bench = *state;
    struct driver *driver = &bench->driver;
    struct slow slow = {.bench = bench};
    struct driver_buffer buffer[] = {
        {.at = driver_alloc(driver, 16), .bytes = 16},
        {.at = bench->data, .bytes = 513, .write = true},
    };
    pthread_t loop;

    pthread_mutex_init(&slow.lock, NULL);
    pthread_cond_init(&slow.changed, NULL);
    bench->spy->during = wait_in_disk;
    bench->spy->context = &slow;
    driver_offer(driver, 0, driver_chain(driver, 0, buffer, 2));
    assert_int_equal(pthread_create(&loop, NULL, serve_queue, &slow), 0);
    pthread_mutex_lock(&slow.lock);
    while (!slow.reached)
        pthread_cond_wait(&slow.changed, &slow.lock);
    pthread_mutex_unlock(&slow.lock);

    driver->kicked = 0;
    driver_kick(driver, 0);
    assert_int_equal(driver->kicked, 1);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    driver_write(driver, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);

    pthread_mutex_lock(&slow.lock);
    slow.may_go_on = true;
    pthread_cond_broadcast(&slow.changed);
    pthread_mutex_unlock(&slow.lock);
    assert_int_equal(pthread_join(loop, NULL), 0);
    assert_int_equal(driver_read(driver, VIRTIO_MMIO_INTERRUPT_STATUS),
                     VIRTIO_INTERRUPT_USED);
    pthread_cond_destroy(&slow.changed);
    pthread_mutex_destroy(&slow.lock);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_blk_reads_and_writes_the_right_sectors),
        CASE(test_blk_flush_reaches_the_disk_in_order),
        CASE(test_blk_flushes_each_write_without_a_cache),
        CASE(test_blk_driver_can_switch_the_cache_off),
        CASE(test_blk_refuses_what_lies_outside),
        CASE(test_blk_discards_and_zeroes),
        CASE(test_blk_tells_its_serial),
        CASE(test_blk_says_when_it_does_not_know),
        CASE(test_blk_reports_host_errors_and_goes_on),
        CASE(test_blk_request_without_status_asks_for_reset),
        CASE(test_blk_short_header_is_an_error),
        cmocka_unit_test(test_blk_enforces_read_only),
        cmocka_unit_test(test_blk_disk_comes_while_running),
        CASE(test_blk_disk_is_swapped_in_silence),
        CASE(test_blk_record_then_another_disk),
        CASE(test_blk_vcpu_does_not_wait_for_the_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
