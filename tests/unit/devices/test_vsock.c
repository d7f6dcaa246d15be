/* test_vsock.c: the socket device: opening, closing, nonsense. */
#include "unit.h"

#include "vsock_guest.h"

#include "base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- opening ---- */

static void test_vsock_tells_its_context_id(void **state)
{
    struct guest *guest = *state;

    assert_int_equal(driver_config(&guest->driver, 0, 8), CID);
}

static void test_vsock_guest_connects_and_talks(void **state)
{
    struct guest *guest = *state;
    struct packet packet;

    guest_open(guest, 7);
    guest_send_data(guest, 7, PORT, "hello", 5);
    host_expect_text(guest->accepted, "hello");
    assert_int_equal(write(guest->accepted, "world!", 6), 6);
    packet = guest_expect(guest, RW);
    assert_int_equal(packet.bytes, 6);
    assert_memory_equal(packet.data, "world!", 6);
    assert_int_equal(packet.forward, 5);
    guest_expect_nothing(guest);
}

static void test_vsock_refuses_ports_that_nobody_serves(void **state)
{
    struct guest *guest = *state;
    struct packet packet;

    guest_send(guest, 7, PORT + 1, REQUEST, 0);
    packet = guest_expect(guest, RST);
    assert_int_equal(packet.src_port, PORT + 1);
    assert_int_equal(packet.dst_port, 7);
    guest_expect_nothing(guest);
}

static void test_vsock_host_connects_to_guest(void **state)
{
    struct guest *guest = *state;
    struct packet packet;
    uint32_t port;
    int ours;
    int theirs;

    guest_pair(&ours, &theirs);
    assert_int_equal(write(ours, "early", 5), 5);
    assert_int_equal(vsock_connect(guest->vsock, 99, theirs, &port, NULL), 0);
    packet = guest_expect(guest, REQUEST);
    assert_int_equal(packet.dst_port, 99);
    assert_int_equal(packet.src_port, port);
    /* Nothing but the request before the guest has accepted. */
    guest_expect_nothing(guest);
    guest_send(guest, 99, port, RESPONSE, 0);
    packet = guest_expect(guest, RW);
    assert_memory_equal(packet.data, "early", 5);
    guest_send_data(guest, 99, port, "late", 4);
    host_expect_text(ours, "late");
    close(ours);
}

static void test_vsock_guest_refuses_the_host(void **state)
{
    struct guest *guest = *state;
    uint32_t port;
    int ours;
    int theirs;

    guest_pair(&ours, &theirs);
    assert_int_equal(vsock_connect(guest->vsock, 99, theirs, &port, NULL), 0);
    guest_expect(guest, REQUEST);
    guest_send(guest, 99, port, RST, 0);
    host_expect_end(ours);
    close(ours);
}

static void test_vsock_host_may_connect_before_the_driver_lives(void **state)
{
    struct guest *guest = guest_new(0);
    int ours;
    int theirs;

    (void)state;
    guest_pair(&ours, &theirs);
    assert_int_equal(vsock_connect(guest->vsock, 99, theirs, NULL, NULL), 0);
    guest_settle(guest);
    /* The driver begins with a reset, which must not lose the request. */
    guest_start(guest);
    guest_expect(guest, REQUEST);
    close(ours);
    guest_free(guest);
}

static void test_vsock_takes_stream_sockets_only(void **state)
{
    struct guest *guest = *state;
    int fd[2];

    assert_int_equal(pipe(fd), 0);
    assert_int_equal(vsock_connect(guest->vsock, 1, fd[0], NULL, NULL),
                     SM_EINVAL);
    /* It was ours all the same: closed. */
    assert_int_equal(fcntl(fd[0], F_GETFD), -1);
    close(fd[1]);
}

/* ---- closing ---- */

static void test_vsock_guest_closes(void **state)
{
    struct guest *guest = *state;

    guest_open(guest, 7);
    guest_send_data(guest, 7, PORT, "bye", 3);
    guest_send(guest, 7, PORT, SHUTDOWN, VSOCK_SHUT_BOTH);
    guest_expect(guest, RST);
    host_expect_text(guest->accepted, "bye");
    host_expect_end(guest->accepted);
    assert_false(guest_is_open(guest, 7));
}

static void test_vsock_host_closes(void **state)
{
    struct guest *guest = *state;
    struct packet packet;

    guest_open(guest, 7);
    assert_int_equal(write(guest->accepted, "bye", 3), 3);
    close(guest->accepted);
    guest->accepted = -1;
    guest_expect(guest, RW);
    packet = guest_expect(guest, SHUTDOWN);
    assert_int_equal(packet.flags, VSOCK_SHUT_BOTH);
    guest_expect_nothing(guest);
    /* The guest's answer ends it; then the ports are free again. */
    guest_send(guest, 7, PORT, RST, 0);
    guest_open(guest, 7);
}

static void test_vsock_guest_half_closes(void **state)
{
    struct guest *guest = *state;
    struct packet packet;

    guest_open(guest, 7);
    guest_send_data(guest, 7, PORT, "question", 8);
    guest_send(guest, 7, PORT, SHUTDOWN, VSOCK_SHUT_SEND);
    host_expect_text(guest->accepted, "question");
    host_expect_end(guest->accepted);
    assert_int_equal(write(guest->accepted, "answer", 6), 6);
    packet = guest_expect(guest, RW);
    assert_memory_equal(packet.data, "answer", 6);
    close(guest->accepted);
    guest->accepted = -1;
    packet = guest_expect(guest, SHUTDOWN);
    assert_int_equal(packet.flags, VSOCK_SHUT_BOTH);
    guest_send(guest, 7, PORT, SHUTDOWN, VSOCK_SHUT_BOTH);
    guest_expect(guest, RST);
}

static void test_vsock_host_half_closes(void **state)
{
    struct guest *guest = *state;
    struct packet packet;

    guest_open(guest, 7);
    assert_int_equal(write(guest->accepted, "question", 8), 8);
    assert_int_equal(shutdown(guest->accepted, SHUT_WR), 0);
    guest_expect(guest, RW);
    packet = guest_expect(guest, SHUTDOWN);
    assert_int_equal(packet.flags, VSOCK_SHUT_SEND);
    guest_send_data(guest, 7, PORT, "answer", 6);
    host_expect_text(guest->accepted, "answer");
    guest_send(guest, 7, PORT, SHUTDOWN, VSOCK_SHUT_BOTH);
    guest_expect(guest, RST);
    host_expect_end(guest->accepted);
}

/* The host's program goes away while the guest still sends. */
static void test_vsock_guest_learns_that_nobody_listens(void **state)
{
    struct guest *guest = *state;
    struct packet packet;

    guest_open(guest, 7);
    assert_int_equal(shutdown(guest->accepted, SHUT_RD), 0);
    guest_send_data(guest, 7, PORT, "lost", 4);
    packet = guest_expect(guest, SHUTDOWN);
    assert_int_equal(packet.flags, VSOCK_SHUT_RECEIVE);
    /* The other direction still works. */
    assert_int_equal(write(guest->accepted, "still", 5), 5);
    guest_expect(guest, RW);
}

static void test_vsock_guest_stops_receiving(void **state)
{
    struct guest *guest = *state;

    guest_open(guest, 7);
    guest_send(guest, 7, PORT, SHUTDOWN, VSOCK_SHUT_RECEIVE);
    assert_int_equal(send(guest->accepted, "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    guest_send_data(guest, 7, PORT, "still", 5);
    host_expect_text(guest->accepted, "still");
}

/* ---- bad packets ---- */

static void test_vsock_answers_strangers_with_rst(void **state)
{
    struct guest *guest = *state;

    for (uint16_t op = 2; op <= 9; op++) {
        struct packet packet = guest_packet(1, 2, op);

        guest_send_packet(guest, &packet);
        if (op != RST)
            guest_expect(guest, RST);
        guest_expect_nothing(guest);
    }
}

static void test_vsock_ignores_false_senders(void **state)
{
    struct guest *guest = *state;
    struct packet packet = guest_packet(1, PORT, REQUEST);

    packet.src_cid = CID + 1;
    guest_send_packet(guest, &packet);
    guest_expect_nothing(guest);
    assert_int_equal(guest->accepts, 0);
}

static void test_vsock_refuses_other_types_and_other_machines(void **state)
{
    struct guest *guest = *state;
    struct packet packet = guest_packet(1, PORT, REQUEST);

    packet.type = 2;
    guest_send_packet(guest, &packet);
    assert_int_equal(guest_expect(guest, RST).type, 2);
    packet.type = 1;
    packet.dst_cid = 77;
    guest_send_packet(guest, &packet);
    assert_int_equal(guest_expect(guest, RST).src_cid, 77);
    assert_int_equal(guest->accepts, 0);
}

static void test_vsock_second_request_resets(void **state)
{
    struct guest *guest = *state;

    guest_open(guest, 7);
    guest_send(guest, 7, PORT, REQUEST, 0);
    guest_expect(guest, RST);
    host_expect_end(guest->accepted);
}

static void test_vsock_truncated_packet_asks_for_reset(void **state)
{
    struct guest *guest = *state;
    struct driver_buffer buffer = {.at = guest->tx, .bytes = 43};

    driver_request(&guest->driver, TX, &buffer, 1);
    assert_true(driver_needs_reset(&guest->driver));
}

static void test_vsock_lying_length_asks_for_reset(void **state)
{
    struct guest *guest = *state;
    struct driver_buffer buffer = {.at = guest->tx, .bytes = 44};
    uint8_t *at = driver_host(&guest->driver, guest->tx, 44);

    store_le32(at + 24, 1);
    driver_request(&guest->driver, TX, &buffer, 1);
    assert_true(driver_needs_reset(&guest->driver));
}

static void test_vsock_small_receive_buffer_asks_for_reset(void **state)
{
    struct guest *guest = guest_new(0);
    struct driver_buffer buffer = {
        .at = GPA(DRIVER_MEMORY_AT), .bytes = 44, .write = true};

    (void)state;
    driver_start(&guest->driver, 0);
    guest->tx = driver_alloc(&guest->driver, 44);
    driver_request(&guest->driver, RX, &buffer, 1);
    guest_send(guest, 1, PORT, REQUEST, 0);
    assert_true(driver_needs_reset(&guest->driver));
    guest_free(guest);
}

int main(void)
{
#define CASE(test)                                                             \
    cmocka_unit_test_setup_teardown(test, guest_set_up, guest_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_vsock_tells_its_context_id),
        CASE(test_vsock_guest_connects_and_talks),
        CASE(test_vsock_refuses_ports_that_nobody_serves),
        CASE(test_vsock_host_connects_to_guest),
        CASE(test_vsock_guest_refuses_the_host),
        cmocka_unit_test(test_vsock_host_may_connect_before_the_driver_lives),
        CASE(test_vsock_takes_stream_sockets_only),
        CASE(test_vsock_guest_closes),
        CASE(test_vsock_host_closes),
        CASE(test_vsock_guest_half_closes),
        CASE(test_vsock_host_half_closes),
        CASE(test_vsock_guest_learns_that_nobody_listens),
        CASE(test_vsock_guest_stops_receiving),
        CASE(test_vsock_answers_strangers_with_rst),
        CASE(test_vsock_ignores_false_senders),
        CASE(test_vsock_refuses_other_types_and_other_machines),
        CASE(test_vsock_second_request_resets),
        CASE(test_vsock_truncated_packet_asks_for_reset),
        CASE(test_vsock_lying_length_asks_for_reset),
        cmocka_unit_test(test_vsock_small_receive_buffer_asks_for_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
