/* test_vsock_flow.c: the socket device: credit, back-pressure, limits. */
#include "unit.h"

#include "vsock_guest.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- credit ---- */

static void test_vsock_sends_no_more_than_the_guest_has_room_for(void **state)
{
    static char block[100000];
    struct guest *guest = *state;
    struct packet packet = guest_packet(7, PORT, REQUEST);
    uint32_t received = 0;

    packet.alloc = 10000;
    guest_send_packet(guest, &packet);
    guest_expect(guest, RESPONSE);
    assert_int_equal(write(guest->accepted, block, sizeof block), sizeof block);
    while (received < 10000) {
        packet = guest_expect(guest, RW);
        received += packet.bytes;
    }
    assert_int_equal(received, 10000);
    /* It asks once, and is silent then. */
    guest_expect(guest, CREDIT_REQUEST);
    guest_expect_nothing(guest);
    packet = guest_packet(7, PORT, CREDIT_UPDATE);
    packet.alloc = 10000;
    packet.forward = 4000;
    guest_send_packet(guest, &packet);
    received = guest_expect(guest, RW).bytes;
    assert_int_equal(received, 4000);
    guest_expect(guest, CREDIT_REQUEST);
    guest_expect_nothing(guest);
}

static void test_vsock_resets_who_claims_more_than_was_sent(void **state)
{
    struct guest *guest = *state;
    struct packet packet = guest_packet(7, PORT, CREDIT_UPDATE);

    guest_open(guest, 7);
    packet.forward = 1;
    guest_send_packet(guest, &packet);
    guest_expect(guest, RST);
    host_expect_end(guest->accepted);
}

/* The host's program does not read: the guest's bytes wait, no more than it
 * was promised, and none is lost. */
static void test_vsock_keeps_what_the_host_does_not_take(void **state)
{
    struct guest *guest = *state;
    uint8_t block[4096];
    uint32_t sent = 0;
    uint32_t read_bytes = 0;
    uint32_t forward = 0;
    struct packet packet;

    guest_open(guest, 7);
    /* Stop when all credit is used up. */
    while (sent - forward + sizeof block <= BUFFER) {
        for (size_t i = 0; i < sizeof block; i++)
            block[i] = (uint8_t)((sent + i) % 251);
        guest_send_data(guest, 7, PORT, block, sizeof block);
        sent += sizeof block;
        while (guest_receive(guest, &packet)) {
            assert_int_equal(packet.op, CREDIT_UPDATE);
            forward = packet.forward;
        }
    }
    assert_true(sent > BUFFER); /* the socket has a buffer of its own */
    assert_true(forward < sent);
    while (read_bytes < sent) {
        ssize_t count = read(guest->accepted, block, sizeof block);

        assert_true(count > 0);
        for (ssize_t i = 0; i < count; i++)
            assert_int_equal(block[i], (read_bytes + (uint32_t)i) % 251);
        read_bytes += (uint32_t)count;
        guest_settle(guest);
    }
    while (guest_receive(guest, &packet))
        forward = packet.forward;
    /* At least half of the buffer is free for more. */
    assert_true(sent - forward <= BUFFER / 2);
    assert_true(guest_is_open(guest, 7));
}

static void test_vsock_resets_who_sends_without_credit(void **state)
{
    static const uint8_t block[4096];
    struct guest *guest = *state;
    struct packet packet = {0};
    unsigned sent = 0;

    guest_open(guest, 7);
    while (packet.op != RST && sent < 1000) {
        guest_send_data(guest, 7, PORT, block, sizeof block);
        sent++;
        (void)guest_receive(guest, &packet);
    }
    assert_int_equal(packet.op, RST);
    assert_false(guest_is_open(guest, 7));
}

/* A close behind data that waits: the data first. */
static void test_vsock_close_waits_for_the_data(void **state)
{
    static const uint8_t block[32768];
    struct guest *guest = *state;
    uint8_t got[4096];
    uint32_t sent = 0;
    uint32_t read_bytes = 0;
    uint32_t forward = 0;
    ssize_t count;
    struct packet packet;

    guest_open(guest, 7);
    while (sent - forward + sizeof block <= BUFFER) {
        guest_send_data(guest, 7, PORT, block, sizeof block);
        sent += sizeof block;
        while (guest_receive(guest, &packet))
            forward = packet.forward;
    }
    guest_send(guest, 7, PORT, SHUTDOWN, VSOCK_SHUT_BOTH);
    guest_expect_nothing(guest);
    while (read_bytes < sent) {
        count = read(guest->accepted, got, sizeof got);
        assert_true(count > 0);
        read_bytes += (uint32_t)count;
        guest_settle(guest);
    }
    host_expect_end(guest->accepted);
    while (guest_receive(guest, &packet) && packet.op != RST)
        ;
    assert_int_equal(packet.op, RST);
}

/* ---- back-pressure and limits ---- */

static void test_vsock_does_not_read_without_guest_buffers(void **state)
{
    static char block[65536];
    struct guest *guest = *state;
    struct packet packet;
    unsigned packets = 0;
    ssize_t written = 0;
    ssize_t count;

    guest_open(guest, 7);
    guest->recycle = false;
    while ((count = write(guest->accepted, block, sizeof block)) > 0) {
        written += count;
        guest_settle(guest);
    }
    assert_int_equal(errno, EAGAIN);
    assert_true(written < 2 << 20);
    while (guest_receive(guest, &packet))
        packets++;
    assert_int_equal(packets, RX_BUFFERS);
    /* Each buffer that comes back is filled. */
    guest_give_rx(guest, 0);
    driver_kick(&guest->driver, RX);
    guest_expect(guest, RW);
    guest_expect_nothing(guest);
}

/* Whether the loop has nothing to do: a watch that fires for ever would burn
 * a processor. */
static bool is_idle(struct guest *guest)
{
    struct pollfd loop = {.fd = loop_fd(guest->loop), .events = POLLIN};

    for (int i = 0; i < 4 * 10; i++)
        guest_settle(guest);
    return poll(&loop, 1, 0) == 0;
}

static void test_vsock_is_idle_while_it_cannot_go_on(void **state)
{
    static char block[65536];
    struct guest *guest = *state;
    struct driver_buffer cut = {.at = guest->tx, .bytes = 1};
    int host[10];

    guest->recycle = false;
    for (uint32_t i = 0; i < 10; i++) {
        guest_open(guest, i);
        host[i] = guest->accepted;
        guest->accepted = -1;
    }
    /* Without buffers, with many that have data. */
    for (int i = 0; i < 10; i++)
        assert_true(write(host[i], block, sizeof block) > 0);
    assert_true(is_idle(guest));
    /* Nor when the driver has broken the device. */
    driver_request(&guest->driver, TX, &cut, 1);
    assert_true(driver_needs_reset(&guest->driver));
    for (int i = 0; i < 10; i++) {
        (void)!write(host[i], block, sizeof block);
        assert_true(is_idle(guest));
        close(host[i]);
        assert_true(is_idle(guest));
    }
}

static void test_vsock_is_idle_when_broken_before_data_comes(void **state)
{
    struct guest *guest = *state;
    struct driver_buffer cut = {.at = guest->tx, .bytes = 1};

    guest_open(guest, 7);
    driver_request(&guest->driver, TX, &cut, 1);
    assert_true(driver_needs_reset(&guest->driver));
    assert_int_equal(write(guest->accepted, "x", 1), 1);
    assert_true(is_idle(guest));
}

static void test_vsock_refusals_are_bounded(void **state)
{
    struct guest *guest = *state;
    unsigned answers = 0;
    struct packet packet;

    guest->recycle = false;
    for (uint32_t port = 1; port <= 200; port++) {
        struct packet request = guest_packet(port, 5, REQUEST);
        struct driver *driver = &guest->driver;

        /* The device stops taking packets once it has enough to answer. */
        if ((uint16_t)(driver->queue[TX].avail_index -
                       driver->virtio->queue[TX].state.next_avail) ==
            DRIVER_QUEUE_SIZE)
            break;
        guest_send_packet(guest, &request);
    }
    while (guest_receive(guest, &packet)) {
        assert_int_equal(packet.op, RST);
        answers++;
    }
    assert_int_equal(answers, RX_BUFFERS);
    /* With buffers again, every packet is answered. */
    guest->recycle = true;
    for (unsigned i = 0; i < RX_BUFFERS; i++)
        guest_give_rx(guest, i);
    driver_kick(&guest->driver, RX);
    while (guest_receive(guest, &packet))
        answers++;
    assert_int_equal(answers, guest->driver.queue[TX].avail_index);
    assert_false(driver_needs_reset(&guest->driver));
}

static void test_vsock_refuses_more_connections_than_configured(void **state)
{
    struct guest *guest = guest_new(2);
    int first;
    int ours;
    int theirs;

    (void)state;
    guest_start(guest);
    guest_open(guest, 1);
    first = guest->accepted;
    guest->accepted = -1;
    guest_open(guest, 2);
    guest_send(guest, 3, PORT, REQUEST, 0);
    guest_expect(guest, RST);
    guest_pair(&ours, &theirs);
    assert_int_equal(vsock_connect(guest->vsock, 9, theirs, NULL, NULL),
                     SM_ELIMIT);
    host_expect_end(ours);
    close(ours);
    /* One that waits for nothing but the guest's last word makes room. */
    close(guest->accepted);
    guest->accepted = -1;
    guest_expect(guest, SHUTDOWN);
    guest_open(guest, 3);
    close(first);
    guest_free(guest);
}

static void test_vsock_serves_1000_connections(void **state)
{
    enum { COUNT = 1000 };
    struct guest *guest = *state;
    struct rlimit files;
    static int host[COUNT];
    struct packet packet;
    unsigned echoes = 0;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_max < 2 * COUNT + 64)
        skip();
    for (uint32_t i = 0; i < COUNT; i++) {
        guest_open(guest, i);
        host[i] = guest->accepted;
        guest->accepted = -1;
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        guest_send_data(guest, i, PORT, &i, sizeof i);
        assert_int_equal(write(host[i], &i, sizeof i), sizeof i);
    }
    while (guest_receive(guest, &packet)) {
        uint32_t number = 0;

        assert_int_equal(packet.op, RW);
        memcpy(&number, packet.data, sizeof number);
        assert_int_equal(number, packet.dst_port);
        echoes++;
    }
    assert_int_equal(echoes, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t number = 0;

        assert_int_equal(read(host[i], &number, sizeof number), 4);
        assert_int_equal(number, i);
        close(host[i]);
    }
    for (echoes = 0; guest_receive(guest, &packet); echoes++)
        assert_int_equal(packet.op, SHUTDOWN);
    assert_int_equal(echoes, COUNT);
}

int main(void)
{
#define CASE(test)                                                             \
    cmocka_unit_test_setup_teardown(test, guest_set_up, guest_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_vsock_sends_no_more_than_the_guest_has_room_for),
        CASE(test_vsock_resets_who_claims_more_than_was_sent),
        CASE(test_vsock_keeps_what_the_host_does_not_take),
        CASE(test_vsock_resets_who_sends_without_credit),
        CASE(test_vsock_close_waits_for_the_data),
        CASE(test_vsock_does_not_read_without_guest_buffers),
        CASE(test_vsock_refusals_are_bounded),
        CASE(test_vsock_is_idle_while_it_cannot_go_on),
        CASE(test_vsock_is_idle_when_broken_before_data_comes),
        cmocka_unit_test(test_vsock_refuses_more_connections_than_configured),
        CASE(test_vsock_serves_1000_connections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
