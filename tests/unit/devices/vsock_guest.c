/* vsock_guest.c: a guest that speaks vsock packets; see vsock_guest.h. */
#include "unit.h"

#include "vsock_guest.h"

#include "base/bytes.h"
#include "base/own.h"

#include <fcntl.h>
#include <sys/socket.h>

/* ---- the host's program ---- */

void guest_pair(int *ours, int *theirs)
{
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
    *ours = fd[0];
    *theirs = fd[1];
}

static int accept_port(void *context, uint32_t host_port, uint32_t guest_port)
{
    struct guest *guest = context;
    int device_end;

    (void)guest_port;
    if (host_port != PORT)
        return -1;
    if (guest->accepted >= 0)
        close(guest->accepted);
    guest_pair(&guest->accepted, &device_end);
    guest->accepts++;
    return device_end;
}

static const struct vsock_ops host_ops = {.accept = accept_port};

/* ---- the guest's driver ---- */

void guest_give_rx(struct guest *guest, unsigned number)
{
    struct driver_buffer buffer[] = {
        {.at = guest->rx[number], .bytes = 44, .write = true},
        {.at = gpa_add(guest->rx[number], 44),
         .bytes = RX_BYTES - 44,
         .write = true},
    };
    uint16_t head = driver_chain(&guest->driver, RX, buffer, 2);

    guest->rx_of_head[head] = number;
    driver_offer(&guest->driver, RX, head);
}

/* Everything that is to happen on its own. */
void guest_settle(struct guest *guest)
{
    for (int i = 0; i < 4; i++) {
        loop_turn(guest->loop, 0);
        driver_run(&guest->driver);
    }
}

void guest_make_device(struct guest *guest, unsigned connections)
{
    struct vsock_config config = {
        .loop = guest->loop,
        .guest_cid = CID,
        .connections_max = connections,
        .buffer_bytes = BUFFER,
        .ops = &host_ops,
        .context = guest,
    };

    config.env = driver_env(&guest->driver);
    assert_int_equal(vsock_new(&config, &guest->vsock, NULL), 0);
    driver_attach(&guest->driver, vsock_device(guest->vsock));
}

void guest_start(struct guest *guest)
{
    driver_start(&guest->driver, 0);
    guest_settle(guest);
    for (unsigned i = 0; i < RX_BUFFERS; i++) {
        guest->rx[i] = driver_alloc(&guest->driver, RX_BYTES);
        guest_give_rx(guest, i);
    }
    guest->tx = driver_alloc(&guest->driver, 44 + VSOCK_PACKET_MAX);
    driver_kick(&guest->driver, RX);
    guest_settle(guest);
}

struct guest *guest_new(unsigned connections)
{
    struct guest *guest = test_calloc(1, sizeof *guest);

    guest->accepted = -1;
    guest->recycle = true;
    driver_init(&guest->driver);
    assert_int_equal(loop_new(&guest->loop, NULL), 0);
    guest_make_device(guest, connections);
    return guest;
}

int guest_set_up(void **state)
{
    *state = guest_new(0);
    guest_start(*state);
    return 0;
}

void guest_free(struct guest *guest)
{
    driver_done(&guest->driver);
    loop_free(guest->loop);
    if (guest->accepted >= 0)
        close(guest->accepted);
    test_free(guest);
}

int guest_tear_down(void **state)
{
    guest_free(*state);
    return 0;
}

/* Send without waiting for what it causes. */
void guest_send_packet(struct guest *guest, const struct packet *packet)
{
    struct driver *driver = &guest->driver;
    struct driver_buffer buffer[] = {
        {.at = guest->tx, .bytes = 44},
        {.at = gpa_add(guest->tx, 44), .bytes = packet->bytes},
    };
    uint8_t *at = driver_host(driver, guest->tx, 44);
    uint32_t id;
    uint32_t written;

    store_le64(at, packet->src_cid);
    store_le64(at + 8, packet->dst_cid);
    store_le32(at + 16, packet->src_port);
    store_le32(at + 20, packet->dst_port);
    store_le32(at + 24, packet->bytes);
    store_le16(at + 28, packet->type);
    store_le16(at + 30, packet->op);
    store_le32(at + 32, packet->flags);
    store_le32(at + 36, packet->alloc);
    store_le32(at + 40, packet->forward);
    driver_request(driver, TX, buffer, packet->bytes ? 2 : 1);
    (void)driver_take_used(driver, TX, &id, &written);
}

struct packet guest_packet(uint32_t guest_port, uint32_t host_port, uint16_t op)
{
    return (struct packet){
        .src_cid = CID,
        .dst_cid = VSOCK_HOST_CID,
        .src_port = guest_port,
        .dst_port = host_port,
        .type = 1,
        .op = op,
        .alloc = GUEST_BUFFER,
    };
}

void guest_send(struct guest *guest, uint32_t guest_port, uint32_t host_port,
                uint16_t op, uint32_t flags)
{
    struct packet packet = guest_packet(guest_port, host_port, op);

    packet.flags = flags;
    guest_send_packet(guest, &packet);
    guest_settle(guest);
}

void guest_send_data(struct guest *guest, uint32_t guest_port,
                     uint32_t host_port, const void *bytes, uint32_t count)
{
    struct packet packet = guest_packet(guest_port, host_port, RW);

    memcpy(driver_host(&guest->driver, gpa_add(guest->tx, 44), count), bytes,
           count);
    packet.bytes = count;
    guest_send_packet(guest, &packet);
    guest_settle(guest);
}

bool guest_receive(struct guest *guest, struct packet *packet)
{
    uint32_t number;
    uint32_t head;
    uint32_t written;
    uint8_t *at;

    guest_settle(guest);
    if (!driver_take_used(&guest->driver, RX, &head, &written))
        return false;
    assert_in_range(written, 44, RX_BYTES);
    number = guest->rx_of_head[head];
    at = driver_host(&guest->driver, guest->rx[number], RX_BYTES);
    *packet = (struct packet){
        .src_cid = load_le64(at),
        .dst_cid = load_le64(at + 8),
        .src_port = load_le32(at + 16),
        .dst_port = load_le32(at + 20),
        .bytes = load_le32(at + 24),
        .type = load_le16(at + 28),
        .op = load_le16(at + 30),
        .flags = load_le32(at + 32),
        .alloc = load_le32(at + 36),
        .forward = load_le32(at + 40),
        .data = at + 44,
    };
    assert_int_equal(packet->bytes, written - 44);
    assert_int_equal(packet->dst_cid, CID);
    if (guest->recycle) {
        guest_give_rx(guest, number);
        driver_kick(&guest->driver, RX);
    }
    return true;
}

struct packet guest_expect(struct guest *guest, uint16_t op)
{
    struct packet packet = {0};

    assert_true(guest_receive(guest, &packet));
    assert_int_equal(packet.op, op);
    return packet;
}

void guest_expect_nothing(struct guest *guest)
{
    struct packet packet;

    assert_false(guest_receive(guest, &packet));
}

/* A connection that the guest opened from (guest_port). */
void guest_open(struct guest *guest, uint32_t guest_port)
{
    struct packet packet;

    guest_send(guest, guest_port, PORT, REQUEST, 0);
    packet = guest_expect(guest, RESPONSE);
    assert_int_equal(packet.src_port, PORT);
    assert_int_equal(packet.dst_port, guest_port);
    assert_int_equal(packet.src_cid, VSOCK_HOST_CID);
    assert_int_equal(packet.alloc, BUFFER);
}

void host_expect_text(int fd, const char *text)
{
    char got[256] = "";
    ssize_t count = read(fd, got, sizeof got - 1);

    assert_int_equal(count, strlen(text));
    assert_string_equal(got, text);
}

void host_expect_end(int fd)
{
    char byte;

    assert_int_equal(read(fd, &byte, 1), 0);
}

bool guest_is_open(struct guest *guest, uint32_t guest_port)
{
    struct packet packet;

    guest_send(guest, guest_port, PORT, CREDIT_REQUEST, 0);
    return guest_receive(guest, &packet) && packet.op == CREDIT_UPDATE;
}
