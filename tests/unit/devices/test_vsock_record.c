/* test_vsock_record.c: the socket device: resets and snapshots. */
#include "unit.h"

#include "vsock_guest.h"

#include "base/bytes.h"

#include <string.h>
#include <unistd.h>

/* ---- resets and records ---- */

static void test_vsock_reset_drops_what_the_driver_knew(void **state)
{
    struct guest *guest = *state;

    guest_open(guest, 7);
    driver_write(&guest->driver, VIRTIO_MMIO_STATUS, 0);
    guest_settle(guest);
    host_expect_end(guest->accepted);
    guest_start(guest);
    guest_open(guest, 7);
}

static void test_vsock_transport_reset_is_told(void **state)
{
    struct guest *guest = *state;
    struct driver_buffer buffer = {
        .at = driver_alloc(&guest->driver, 4), .bytes = 4, .write = true};
    uint32_t id;
    uint32_t written;

    guest_open(guest, 7);
    memset(driver_host(&guest->driver, buffer.at, 4), 0xff, 4);
    assert_int_equal(vsock_set_guest_cid(guest->vsock, CID + 1, NULL), 0);
    vsock_drop_all(guest->vsock);
    host_expect_end(guest->accepted);
    assert_false(driver_take_used(&guest->driver, EVENT, &id, &written));
    /* It waits until the guest has a buffer. */
    driver_request(&guest->driver, EVENT, &buffer, 1);
    assert_true(driver_take_used(&guest->driver, EVENT, &id, &written));
    assert_int_equal(written, 4);
    assert_int_equal(load_le32(driver_host(&guest->driver, buffer.at, 4)), 0);
    assert_int_equal(driver_config(&guest->driver, 0, 8), CID + 1);
}

static void save(struct guest *guest, struct buf *record)
{
    buf_init(record, 1 << 20);
    device_save(guest->driver.device, record);
    assert_false(record->failed);
}

/* A device of its own over the same guest memory takes the record. */
static void move_to_new_device(struct guest *guest, const struct buf *record)
{
    struct wire_reader from;

    device_free(guest->driver.device);
    guest->driver.kicked = 0; /* kicks are not part of a record */
    guest_make_device(guest, 0);
    wire_read(&from, record->data, record->size);
    assert_int_equal(device_load(guest->driver.device, &from, NULL), 0);
}

static void count_connection(void *context,
                             const struct vsock_connection_state *state)
{
    unsigned *count = context;

    assert_int_equal(state->host_port, PORT);
    (*count)++;
}

/* A live connection goes on over a snapshot, on a new socket, with the bytes
 * that waited; the one that nobody adopts ends. */
static void test_vsock_connection_outlives_a_snapshot(void **state)
{
    static const uint8_t block[4096];
    struct guest *guest = *state;
    struct packet packet;
    struct buf record;
    unsigned count = 0;
    uint32_t sent = 0;
    uint32_t forward = 0;
    uint32_t waiting;
    int ours;
    int theirs;

    guest_open(guest, 7);
    while (sent - forward + sizeof block <= BUFFER) {
        guest_send_data(guest, 7, PORT, block, sizeof block);
        sent += sizeof block;
        while (guest_receive(guest, &packet))
            forward = packet.forward;
    }
    waiting = sent - forward;
    assert_true(waiting > BUFFER / 2);
    close(guest->accepted);
    guest->accepted = -1;
    /* The loop has not seen that: the record is of before. */
    save(guest, &record);
    move_to_new_device(guest, &record);

    vsock_each(guest->vsock, count_connection, &count);
    assert_int_equal(count, 1);
    guest_pair(&ours, &theirs);
    assert_int_equal(vsock_adopt(guest->vsock, 7, PORT, theirs, NULL), 0);
    virtio_device_resume(vsock_device(guest->vsock));
    guest_settle(guest);
    for (uint32_t got = 0; got < BUFFER - BUFFER / 2;) {
        char part[4096];
        ssize_t bytes = read(ours, part, sizeof part);

        assert_true(bytes > 0);
        got += (uint32_t)bytes;
        guest_settle(guest);
    }
    while (guest_receive(guest, &packet))
        assert_int_equal(packet.op, CREDIT_UPDATE);
    assert_int_equal(write(ours, "again", 5), 5);
    packet = guest_expect(guest, RW);
    assert_memory_equal(packet.data, "again", 5);
    close(ours);
    buf_done(&record);
}

static void test_vsock_orphans_end_on_resume(void **state)
{
    struct guest *guest = *state;
    struct buf record;
    int first;

    guest_open(guest, 7);
    first = guest->accepted;
    guest->accepted = -1;
    guest_open(guest, 8);
    save(guest, &record);
    move_to_new_device(guest, &record);
    guest_expect_nothing(guest);
    virtio_device_resume(vsock_device(guest->vsock));
    guest_expect(guest, RST);
    guest_expect(guest, RST);
    guest_expect_nothing(guest);
    guest_open(guest, 7);
    close(first);
    buf_done(&record);
}

static void test_vsock_adopt_refuses_what_is_not_there(void **state)
{
    struct guest *guest = *state;
    int ours;
    int theirs;

    guest_open(guest, 7);
    guest_pair(&ours, &theirs);
    assert_int_equal(vsock_adopt(guest->vsock, 8, PORT, theirs, NULL),
                     SM_ENOENT);
    host_expect_end(ours);
    close(ours);
    guest_pair(&ours, &theirs);
    assert_int_equal(vsock_adopt(guest->vsock, 7, PORT, theirs, NULL),
                     SM_ESTATE);
    close(ours);
}

static void test_vsock_load_survives_flipped_bits(void **state)
{
    struct guest *guest = *state;
    struct buf record;

    guest_open(guest, 7);
    guest_open(guest, 8);
    save(guest, &record);
    for (size_t bit = 0; bit < 8 * record.size; bit++) {
        struct wire_reader from;

        record.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        wire_read(&from, record.data, record.size);
        (void)device_load(guest->driver.device, &from, NULL);
        guest->driver.kicked = 7;
        guest_settle(guest);
        record.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < record.size; size++) {
        struct wire_reader from;

        wire_read(&from, record.data, size);
        assert_int_equal(device_load(guest->driver.device, &from, NULL),
                         SM_EIMAGE);
    }
    buf_done(&record);
}

int main(void)
{
#define CASE(test)                                                             \
    cmocka_unit_test_setup_teardown(test, guest_set_up, guest_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_vsock_reset_drops_what_the_driver_knew),
        CASE(test_vsock_transport_reset_is_told),
        CASE(test_vsock_connection_outlives_a_snapshot),
        CASE(test_vsock_orphans_end_on_resume),
        CASE(test_vsock_adopt_refuses_what_is_not_there),
        CASE(test_vsock_load_survives_flipped_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
