/* test_vsock.c: the socket device, against a driver that speaks packets. */
#include "driver.h"
#include "unit.h"

#include "base/bytes.h"
#include "base/own.h"
#include "devices/virtio/vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum {
    RX,
    TX,
    EVENT,
    REQUEST = 1,
    RESPONSE = 2,
    RST = 3,
    SHUTDOWN = 4,
    RW = 5,
    CREDIT_UPDATE = 6,
    CREDIT_REQUEST = 7,
    CID = 42,
    BUFFER = 64 << 10, /* the device's, per connection */
    GUEST_BUFFER = 1 << 20,
    RX_BUFFERS = 32,
    RX_BYTES = 44 + 4096,
    PORT = 1024 /* on which the host accepts */
};

struct packet {
    uint64_t src_cid;
    uint64_t dst_cid;
    uint32_t src_port;
    uint32_t dst_port;
    uint32_t bytes;
    uint16_t type;
    uint16_t op;
    uint32_t flags;
    uint32_t alloc;
    uint32_t forward;
    const uint8_t *data; /* in guest memory */
};

struct bench {
    struct driver driver;
    struct loop *loop;
    struct vsock *vsock;
    struct gpa rx[RX_BUFFERS];
    uint32_t rx_of_head[DRIVER_QUEUE_SIZE];
    struct gpa tx; /* a packet on its way out: header and 64 KiB */
    bool recycle;  /* give rx buffers back at once */
    int accepted;  /* the host program's end of the last accept, or -1 */
    unsigned accepts;
};

/* ---- the host's program ---- */

static void pair(int *ours, int *theirs)
{
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
    *ours = fd[0];
    *theirs = fd[1];
}

static int accept_port(void *context, uint32_t host_port, uint32_t guest_port)
{
    struct bench *bench = context;
    int device_end;

    (void)guest_port;
    if (host_port != PORT)
        return -1;
    if (bench->accepted >= 0)
        close(bench->accepted);
    pair(&bench->accepted, &device_end);
    bench->accepts++;
    return device_end;
}

static const struct vsock_ops host_ops = {.accept = accept_port};

/* ---- the guest's driver ---- */

static void give_rx(struct bench *bench, unsigned number)
{
    struct driver_buffer buffer[] = {
        {.at = bench->rx[number], .bytes = 44, .write = true},
        {.at = gpa_add(bench->rx[number], 44),
         .bytes = RX_BYTES - 44,
         .write = true},
    };
    uint16_t head = driver_chain(&bench->driver, RX, buffer, 2);

    bench->rx_of_head[head] = number;
    driver_offer(&bench->driver, RX, head);
}

/* Everything that is to happen on its own. */
static void settle(struct bench *bench)
{
    for (int i = 0; i < 4; i++) {
        loop_turn(bench->loop, 0);
        driver_run(&bench->driver);
    }
}

static void make_device(struct bench *bench, unsigned connections)
{
    struct vsock_config config = {
        .loop = bench->loop,
        .guest_cid = CID,
        .connections_max = connections,
        .buffer_bytes = BUFFER,
        .ops = &host_ops,
        .context = bench,
    };

    config.env = driver_env(&bench->driver);
    assert_int_equal(vsock_new(&config, &bench->vsock, NULL), 0);
    driver_attach(&bench->driver, vsock_device(bench->vsock));
}

static void start_driver(struct bench *bench)
{
    driver_start(&bench->driver, 0);
    settle(bench);
    for (unsigned i = 0; i < RX_BUFFERS; i++) {
        bench->rx[i] = driver_alloc(&bench->driver, RX_BYTES);
        give_rx(bench, i);
    }
    bench->tx = driver_alloc(&bench->driver, 44 + VSOCK_PACKET_MAX);
    driver_kick(&bench->driver, RX);
    settle(bench);
}

static struct bench *make(unsigned connections)
{
    struct bench *bench = test_calloc(1, sizeof *bench);

    bench->accepted = -1;
    bench->recycle = true;
    driver_init(&bench->driver);
    assert_int_equal(loop_new(&bench->loop, NULL), 0);
    make_device(bench, connections);
    return bench;
}

static int set_up(void **state)
{
    *state = make(0);
    start_driver(*state);
    return 0;
}

static void unmake(struct bench *bench)
{
    driver_done(&bench->driver);
    loop_free(bench->loop);
    if (bench->accepted >= 0)
        close(bench->accepted);
    test_free(bench);
}

static int tear_down(void **state)
{
    unmake(*state);
    return 0;
}

/* Send without waiting for what it causes. */
static void send_raw(struct bench *bench, const struct packet *packet)
{
    struct driver *driver = &bench->driver;
    struct driver_buffer buffer[] = {
        {.at = bench->tx, .bytes = 44},
        {.at = gpa_add(bench->tx, 44), .bytes = packet->bytes},
    };
    uint8_t *at = driver_host(driver, bench->tx, 44);
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

static struct packet packet_of(uint32_t guest_port, uint32_t host_port,
                               uint16_t op)
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

static void send_op(struct bench *bench, uint32_t guest_port,
                    uint32_t host_port, uint16_t op, uint32_t flags)
{
    struct packet packet = packet_of(guest_port, host_port, op);

    packet.flags = flags;
    send_raw(bench, &packet);
    settle(bench);
}

static void send_data(struct bench *bench, uint32_t guest_port,
                      uint32_t host_port, const void *bytes, uint32_t count)
{
    struct packet packet = packet_of(guest_port, host_port, RW);

    memcpy(driver_host(&bench->driver, gpa_add(bench->tx, 44), count), bytes,
           count);
    packet.bytes = count;
    send_raw(bench, &packet);
    settle(bench);
}

static bool receive(struct bench *bench, struct packet *packet)
{
    uint32_t number;
    uint32_t head;
    uint32_t written;
    uint8_t *at;

    settle(bench);
    if (!driver_take_used(&bench->driver, RX, &head, &written))
        return false;
    assert_in_range(written, 44, RX_BYTES);
    number = bench->rx_of_head[head];
    at = driver_host(&bench->driver, bench->rx[number], RX_BYTES);
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
    if (bench->recycle) {
        give_rx(bench, number);
        driver_kick(&bench->driver, RX);
    }
    return true;
}

static struct packet expect(struct bench *bench, uint16_t op)
{
    struct packet packet = {0};

    assert_true(receive(bench, &packet));
    assert_int_equal(packet.op, op);
    return packet;
}

static void expect_nothing(struct bench *bench)
{
    struct packet packet;

    assert_false(receive(bench, &packet));
}

/* A connection that the guest opened from (guest_port). */
static void open_from_guest(struct bench *bench, uint32_t guest_port)
{
    struct packet packet;

    send_op(bench, guest_port, PORT, REQUEST, 0);
    packet = expect(bench, RESPONSE);
    assert_int_equal(packet.src_port, PORT);
    assert_int_equal(packet.dst_port, guest_port);
    assert_int_equal(packet.src_cid, VSOCK_HOST_CID);
    assert_int_equal(packet.alloc, BUFFER);
}

static void expect_text(int fd, const char *text)
{
    char got[256] = "";
    ssize_t count = read(fd, got, sizeof got - 1);

    assert_int_equal(count, strlen(text));
    assert_string_equal(got, text);
}

static void expect_end(int fd)
{
    char byte;

    assert_int_equal(read(fd, &byte, 1), 0);
}

static bool is_open(struct bench *bench, uint32_t guest_port)
{
    struct packet packet;

    send_op(bench, guest_port, PORT, CREDIT_REQUEST, 0);
    return receive(bench, &packet) && packet.op == CREDIT_UPDATE;
}

/* ---- opening ---- */

static void test_vsock_tells_its_context_id(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(driver_config(&bench->driver, 0, 8), CID);
}

static void test_vsock_guest_connects_and_talks(void **state)
{
    struct bench *bench = *state;
    struct packet packet;

    open_from_guest(bench, 7);
    send_data(bench, 7, PORT, "hello", 5);
    expect_text(bench->accepted, "hello");
    assert_int_equal(write(bench->accepted, "world!", 6), 6);
    packet = expect(bench, RW);
    assert_int_equal(packet.bytes, 6);
    assert_memory_equal(packet.data, "world!", 6);
    assert_int_equal(packet.forward, 5);
    expect_nothing(bench);
}

static void test_vsock_refuses_ports_that_nobody_serves(void **state)
{
    struct bench *bench = *state;
    struct packet packet;

    send_op(bench, 7, PORT + 1, REQUEST, 0);
    packet = expect(bench, RST);
    assert_int_equal(packet.src_port, PORT + 1);
    assert_int_equal(packet.dst_port, 7);
    expect_nothing(bench);
}

static void test_vsock_host_connects_to_guest(void **state)
{
    struct bench *bench = *state;
    struct packet packet;
    uint32_t port;
    int ours;
    int theirs;

    pair(&ours, &theirs);
    assert_int_equal(write(ours, "early", 5), 5);
    assert_int_equal(vsock_connect(bench->vsock, 99, theirs, &port, NULL), 0);
    packet = expect(bench, REQUEST);
    assert_int_equal(packet.dst_port, 99);
    assert_int_equal(packet.src_port, port);
    /* Nothing but the request before the guest has accepted. */
    expect_nothing(bench);
    send_op(bench, 99, port, RESPONSE, 0);
    packet = expect(bench, RW);
    assert_memory_equal(packet.data, "early", 5);
    send_data(bench, 99, port, "late", 4);
    expect_text(ours, "late");
    close(ours);
}

static void test_vsock_guest_refuses_the_host(void **state)
{
    struct bench *bench = *state;
    uint32_t port;
    int ours;
    int theirs;

    pair(&ours, &theirs);
    assert_int_equal(vsock_connect(bench->vsock, 99, theirs, &port, NULL), 0);
    expect(bench, REQUEST);
    send_op(bench, 99, port, RST, 0);
    expect_end(ours);
    close(ours);
}

static void test_vsock_host_may_connect_before_the_driver_lives(void **state)
{
    struct bench *bench = make(0);
    int ours;
    int theirs;

    (void)state;
    pair(&ours, &theirs);
    assert_int_equal(vsock_connect(bench->vsock, 99, theirs, NULL, NULL), 0);
    settle(bench);
    /* The driver begins with a reset, which must not lose the request. */
    start_driver(bench);
    expect(bench, REQUEST);
    close(ours);
    unmake(bench);
}

static void test_vsock_takes_stream_sockets_only(void **state)
{
    struct bench *bench = *state;
    int fd[2];

    assert_int_equal(pipe(fd), 0);
    assert_int_equal(vsock_connect(bench->vsock, 1, fd[0], NULL, NULL),
                     SM_EINVAL);
    /* It was ours all the same: closed. */
    assert_int_equal(fcntl(fd[0], F_GETFD), -1);
    close(fd[1]);
}

/* ---- closing ---- */

static void test_vsock_guest_closes(void **state)
{
    struct bench *bench = *state;

    open_from_guest(bench, 7);
    send_data(bench, 7, PORT, "bye", 3);
    send_op(bench, 7, PORT, SHUTDOWN, VSOCK_SHUT_BOTH);
    expect(bench, RST);
    expect_text(bench->accepted, "bye");
    expect_end(bench->accepted);
    assert_false(is_open(bench, 7));
}

static void test_vsock_host_closes(void **state)
{
    struct bench *bench = *state;
    struct packet packet;

    open_from_guest(bench, 7);
    assert_int_equal(write(bench->accepted, "bye", 3), 3);
    close(bench->accepted);
    bench->accepted = -1;
    expect(bench, RW);
    packet = expect(bench, SHUTDOWN);
    assert_int_equal(packet.flags, VSOCK_SHUT_BOTH);
    expect_nothing(bench);
    /* The guest's answer ends it; then the ports are free again. */
    send_op(bench, 7, PORT, RST, 0);
    open_from_guest(bench, 7);
}

static void test_vsock_guest_half_closes(void **state)
{
    struct bench *bench = *state;
    struct packet packet;

    open_from_guest(bench, 7);
    send_data(bench, 7, PORT, "question", 8);
    send_op(bench, 7, PORT, SHUTDOWN, VSOCK_SHUT_SEND);
    expect_text(bench->accepted, "question");
    expect_end(bench->accepted);
    assert_int_equal(write(bench->accepted, "answer", 6), 6);
    packet = expect(bench, RW);
    assert_memory_equal(packet.data, "answer", 6);
    close(bench->accepted);
    bench->accepted = -1;
    packet = expect(bench, SHUTDOWN);
    assert_int_equal(packet.flags, VSOCK_SHUT_BOTH);
    send_op(bench, 7, PORT, SHUTDOWN, VSOCK_SHUT_BOTH);
    expect(bench, RST);
}

static void test_vsock_host_half_closes(void **state)
{
    struct bench *bench = *state;
    struct packet packet;

    open_from_guest(bench, 7);
    assert_int_equal(write(bench->accepted, "question", 8), 8);
    assert_int_equal(shutdown(bench->accepted, SHUT_WR), 0);
    expect(bench, RW);
    packet = expect(bench, SHUTDOWN);
    assert_int_equal(packet.flags, VSOCK_SHUT_SEND);
    send_data(bench, 7, PORT, "answer", 6);
    expect_text(bench->accepted, "answer");
    send_op(bench, 7, PORT, SHUTDOWN, VSOCK_SHUT_BOTH);
    expect(bench, RST);
    expect_end(bench->accepted);
}

/* The host's program goes away while the guest still sends. */
static void test_vsock_guest_learns_that_nobody_listens(void **state)
{
    struct bench *bench = *state;
    struct packet packet;

    open_from_guest(bench, 7);
    assert_int_equal(shutdown(bench->accepted, SHUT_RD), 0);
    send_data(bench, 7, PORT, "lost", 4);
    packet = expect(bench, SHUTDOWN);
    assert_int_equal(packet.flags, VSOCK_SHUT_RECEIVE);
    /* The other direction still works. */
    assert_int_equal(write(bench->accepted, "still", 5), 5);
    expect(bench, RW);
}

static void test_vsock_guest_stops_receiving(void **state)
{
    struct bench *bench = *state;

    open_from_guest(bench, 7);
    send_op(bench, 7, PORT, SHUTDOWN, VSOCK_SHUT_RECEIVE);
    assert_int_equal(send(bench->accepted, "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    send_data(bench, 7, PORT, "still", 5);
    expect_text(bench->accepted, "still");
}

/* ---- credit ---- */

static void test_vsock_sends_no_more_than_the_guest_has_room_for(void **state)
{
    static char block[100000];
    struct bench *bench = *state;
    struct packet packet = packet_of(7, PORT, REQUEST);
    uint32_t received = 0;

    packet.alloc = 10000;
    send_raw(bench, &packet);
    expect(bench, RESPONSE);
    assert_int_equal(write(bench->accepted, block, sizeof block), sizeof block);
    while (received < 10000) {
        packet = expect(bench, RW);
        received += packet.bytes;
    }
    assert_int_equal(received, 10000);
    /* It asks once, and is silent then. */
    expect(bench, CREDIT_REQUEST);
    expect_nothing(bench);
    packet = packet_of(7, PORT, CREDIT_UPDATE);
    packet.alloc = 10000;
    packet.forward = 4000;
    send_raw(bench, &packet);
    received = expect(bench, RW).bytes;
    assert_int_equal(received, 4000);
    expect(bench, CREDIT_REQUEST);
    expect_nothing(bench);
}

static void test_vsock_resets_who_claims_more_than_was_sent(void **state)
{
    struct bench *bench = *state;
    struct packet packet = packet_of(7, PORT, CREDIT_UPDATE);

    open_from_guest(bench, 7);
    packet.forward = 1;
    send_raw(bench, &packet);
    expect(bench, RST);
    expect_end(bench->accepted);
}

/* The host's program does not read: the guest's bytes wait, no more than it
 * was promised, and none is lost. */
static void test_vsock_keeps_what_the_host_does_not_take(void **state)
{
    struct bench *bench = *state;
    uint8_t block[4096];
    uint32_t sent = 0;
    uint32_t read_bytes = 0;
    uint32_t forward = 0;
    struct packet packet;

    open_from_guest(bench, 7);
    /* Stop when all credit is used up. */
    while (sent - forward + sizeof block <= BUFFER) {
        for (size_t i = 0; i < sizeof block; i++)
            block[i] = (uint8_t)((sent + i) % 251);
        send_data(bench, 7, PORT, block, sizeof block);
        sent += sizeof block;
        while (receive(bench, &packet)) {
            assert_int_equal(packet.op, CREDIT_UPDATE);
            forward = packet.forward;
        }
    }
    assert_true(sent > BUFFER); /* the socket has a buffer of its own */
    assert_true(forward < sent);
    while (read_bytes < sent) {
        ssize_t count = read(bench->accepted, block, sizeof block);

        assert_true(count > 0);
        for (ssize_t i = 0; i < count; i++)
            assert_int_equal(block[i], (read_bytes + (uint32_t)i) % 251);
        read_bytes += (uint32_t)count;
        settle(bench);
    }
    while (receive(bench, &packet))
        forward = packet.forward;
    /* At least half of the buffer is free for more. */
    assert_true(sent - forward <= BUFFER / 2);
    assert_true(is_open(bench, 7));
}

static void test_vsock_resets_who_sends_without_credit(void **state)
{
    static const uint8_t block[4096];
    struct bench *bench = *state;
    struct packet packet = {0};
    unsigned sent = 0;

    open_from_guest(bench, 7);
    while (packet.op != RST && sent < 1000) {
        send_data(bench, 7, PORT, block, sizeof block);
        sent++;
        (void)receive(bench, &packet);
    }
    assert_int_equal(packet.op, RST);
    assert_false(is_open(bench, 7));
}

/* A close behind data that waits: the data first. */
static void test_vsock_close_waits_for_the_data(void **state)
{
    static const uint8_t block[32768];
    struct bench *bench = *state;
    uint8_t got[4096];
    uint32_t sent = 0;
    uint32_t read_bytes = 0;
    uint32_t forward = 0;
    ssize_t count;
    struct packet packet;

    open_from_guest(bench, 7);
    while (sent - forward + sizeof block <= BUFFER) {
        send_data(bench, 7, PORT, block, sizeof block);
        sent += sizeof block;
        while (receive(bench, &packet))
            forward = packet.forward;
    }
    send_op(bench, 7, PORT, SHUTDOWN, VSOCK_SHUT_BOTH);
    expect_nothing(bench);
    while (read_bytes < sent) {
        count = read(bench->accepted, got, sizeof got);
        assert_true(count > 0);
        read_bytes += (uint32_t)count;
        settle(bench);
    }
    expect_end(bench->accepted);
    while (receive(bench, &packet) && packet.op != RST)
        ;
    assert_int_equal(packet.op, RST);
}

/* ---- back-pressure and limits ---- */

static void test_vsock_does_not_read_without_guest_buffers(void **state)
{
    static char block[65536];
    struct bench *bench = *state;
    struct packet packet;
    unsigned packets = 0;
    ssize_t written = 0;
    ssize_t count;

    open_from_guest(bench, 7);
    bench->recycle = false;
    while ((count = write(bench->accepted, block, sizeof block)) > 0) {
        written += count;
        settle(bench);
    }
    assert_int_equal(errno, EAGAIN);
    assert_true(written < 2 << 20);
    while (receive(bench, &packet))
        packets++;
    assert_int_equal(packets, RX_BUFFERS);
    /* Each buffer that comes back is filled. */
    give_rx(bench, 0);
    driver_kick(&bench->driver, RX);
    expect(bench, RW);
    expect_nothing(bench);
}

static void test_vsock_refusals_are_bounded(void **state)
{
    struct bench *bench = *state;
    unsigned answers = 0;
    struct packet packet;

    bench->recycle = false;
    for (uint32_t port = 1; port <= 200; port++) {
        struct packet request = packet_of(port, 5, REQUEST);
        struct driver *driver = &bench->driver;

        /* The device stops taking packets once it has enough to answer. */
        if ((uint16_t)(driver->queue[TX].avail_index -
                       driver->virtio->queue[TX].state.next_avail) ==
            DRIVER_QUEUE_SIZE)
            break;
        send_raw(bench, &request);
    }
    while (receive(bench, &packet)) {
        assert_int_equal(packet.op, RST);
        answers++;
    }
    assert_int_equal(answers, RX_BUFFERS);
    /* With buffers again, every packet is answered. */
    bench->recycle = true;
    for (unsigned i = 0; i < RX_BUFFERS; i++)
        give_rx(bench, i);
    driver_kick(&bench->driver, RX);
    while (receive(bench, &packet))
        answers++;
    assert_int_equal(answers, bench->driver.queue[TX].avail_index);
    assert_false(driver_needs_reset(&bench->driver));
}

static void test_vsock_refuses_more_connections_than_configured(void **state)
{
    struct bench *bench = make(2);
    int first;
    int ours;
    int theirs;

    (void)state;
    start_driver(bench);
    open_from_guest(bench, 1);
    first = bench->accepted;
    bench->accepted = -1;
    open_from_guest(bench, 2);
    send_op(bench, 3, PORT, REQUEST, 0);
    expect(bench, RST);
    pair(&ours, &theirs);
    assert_int_equal(vsock_connect(bench->vsock, 9, theirs, NULL, NULL),
                     SM_ELIMIT);
    expect_end(ours);
    close(ours);
    /* One that waits for nothing but the guest's last word makes room. */
    close(bench->accepted);
    bench->accepted = -1;
    expect(bench, SHUTDOWN);
    open_from_guest(bench, 3);
    close(first);
    unmake(bench);
}

static void test_vsock_serves_1000_connections(void **state)
{
    enum { COUNT = 1000 };
    struct bench *bench = *state;
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
        open_from_guest(bench, i);
        host[i] = bench->accepted;
        bench->accepted = -1;
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        send_data(bench, i, PORT, &i, sizeof i);
        assert_int_equal(write(host[i], &i, sizeof i), sizeof i);
    }
    while (receive(bench, &packet)) {
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
    for (echoes = 0; receive(bench, &packet); echoes++)
        assert_int_equal(packet.op, SHUTDOWN);
    assert_int_equal(echoes, COUNT);
}

/* ---- bad packets ---- */

static void test_vsock_answers_strangers_with_rst(void **state)
{
    struct bench *bench = *state;

    for (uint16_t op = 2; op <= 9; op++) {
        struct packet packet = packet_of(1, 2, op);

        send_raw(bench, &packet);
        if (op != RST)
            expect(bench, RST);
        expect_nothing(bench);
    }
}

static void test_vsock_ignores_false_senders(void **state)
{
    struct bench *bench = *state;
    struct packet packet = packet_of(1, PORT, REQUEST);

    packet.src_cid = CID + 1;
    send_raw(bench, &packet);
    expect_nothing(bench);
    assert_int_equal(bench->accepts, 0);
}

static void test_vsock_refuses_other_types_and_other_machines(void **state)
{
    struct bench *bench = *state;
    struct packet packet = packet_of(1, PORT, REQUEST);

    packet.type = 2;
    send_raw(bench, &packet);
    assert_int_equal(expect(bench, RST).type, 2);
    packet.type = 1;
    packet.dst_cid = 77;
    send_raw(bench, &packet);
    assert_int_equal(expect(bench, RST).src_cid, 77);
    assert_int_equal(bench->accepts, 0);
}

static void test_vsock_second_request_resets(void **state)
{
    struct bench *bench = *state;

    open_from_guest(bench, 7);
    send_op(bench, 7, PORT, REQUEST, 0);
    expect(bench, RST);
    expect_end(bench->accepted);
}

static void test_vsock_truncated_packet_asks_for_reset(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer = {.at = bench->tx, .bytes = 43};

    driver_request(&bench->driver, TX, &buffer, 1);
    assert_true(driver_needs_reset(&bench->driver));
}

static void test_vsock_lying_length_asks_for_reset(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer = {.at = bench->tx, .bytes = 44};
    uint8_t *at = driver_host(&bench->driver, bench->tx, 44);

    store_le32(at + 24, 1);
    driver_request(&bench->driver, TX, &buffer, 1);
    assert_true(driver_needs_reset(&bench->driver));
}

static void test_vsock_small_receive_buffer_asks_for_reset(void **state)
{
    struct bench *bench = make(0);
    struct driver_buffer buffer = {
        .at = GPA(DRIVER_MEMORY_AT), .bytes = 44, .write = true};

    (void)state;
    driver_start(&bench->driver, 0);
    bench->tx = driver_alloc(&bench->driver, 44);
    driver_request(&bench->driver, RX, &buffer, 1);
    send_op(bench, 1, PORT, REQUEST, 0);
    assert_true(driver_needs_reset(&bench->driver));
    unmake(bench);
}

/* ---- resets and records ---- */

static void test_vsock_reset_drops_what_the_driver_knew(void **state)
{
    struct bench *bench = *state;

    open_from_guest(bench, 7);
    driver_write(&bench->driver, VIRTIO_MMIO_STATUS, 0);
    settle(bench);
    expect_end(bench->accepted);
    start_driver(bench);
    open_from_guest(bench, 7);
}

static void test_vsock_transport_reset_is_told(void **state)
{
    struct bench *bench = *state;
    struct driver_buffer buffer = {
        .at = driver_alloc(&bench->driver, 4), .bytes = 4, .write = true};
    uint32_t id;
    uint32_t written;

    open_from_guest(bench, 7);
    memset(driver_host(&bench->driver, buffer.at, 4), 0xff, 4);
    assert_int_equal(vsock_set_guest_cid(bench->vsock, CID + 1, NULL), 0);
    vsock_drop_all(bench->vsock);
    expect_end(bench->accepted);
    assert_false(driver_take_used(&bench->driver, EVENT, &id, &written));
    /* It waits until the guest has a buffer. */
    driver_request(&bench->driver, EVENT, &buffer, 1);
    assert_true(driver_take_used(&bench->driver, EVENT, &id, &written));
    assert_int_equal(written, 4);
    assert_int_equal(load_le32(driver_host(&bench->driver, buffer.at, 4)), 0);
    assert_int_equal(driver_config(&bench->driver, 0, 8), CID + 1);
}

static void save(struct bench *bench, struct buf *record)
{
    buf_init(record, 1 << 20);
    device_save(bench->driver.device, record);
    assert_false(record->failed);
}

/* A device of its own over the same guest memory takes the record. */
static void move_to_new_device(struct bench *bench, const struct buf *record)
{
    struct wire_reader from;

    device_free(bench->driver.device);
    bench->driver.kicked = 0; /* kicks are not part of a record */
    make_device(bench, 0);
    wire_read(&from, record->data, record->size);
    assert_int_equal(device_load(bench->driver.device, &from, NULL), 0);
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
    struct bench *bench = *state;
    struct packet packet;
    struct buf record;
    unsigned count = 0;
    uint32_t sent = 0;
    uint32_t forward = 0;
    uint32_t waiting;
    int ours;
    int theirs;

    open_from_guest(bench, 7);
    while (sent - forward + sizeof block <= BUFFER) {
        send_data(bench, 7, PORT, block, sizeof block);
        sent += sizeof block;
        while (receive(bench, &packet))
            forward = packet.forward;
    }
    waiting = sent - forward;
    assert_true(waiting > BUFFER / 2);
    close(bench->accepted);
    bench->accepted = -1;
    /* The loop has not seen that: the record is of before. */
    save(bench, &record);
    move_to_new_device(bench, &record);

    vsock_each(bench->vsock, count_connection, &count);
    assert_int_equal(count, 1);
    pair(&ours, &theirs);
    assert_int_equal(vsock_adopt(bench->vsock, 7, PORT, theirs, NULL), 0);
    virtio_device_resume(vsock_device(bench->vsock));
    settle(bench);
    for (uint32_t got = 0; got < BUFFER - BUFFER / 2;) {
        char part[4096];
        ssize_t bytes = read(ours, part, sizeof part);

        assert_true(bytes > 0);
        got += (uint32_t)bytes;
        settle(bench);
    }
    while (receive(bench, &packet))
        assert_int_equal(packet.op, CREDIT_UPDATE);
    assert_int_equal(write(ours, "again", 5), 5);
    packet = expect(bench, RW);
    assert_memory_equal(packet.data, "again", 5);
    close(ours);
    buf_done(&record);
}

static void test_vsock_orphans_end_on_resume(void **state)
{
    struct bench *bench = *state;
    struct buf record;
    int first;

    open_from_guest(bench, 7);
    first = bench->accepted;
    bench->accepted = -1;
    open_from_guest(bench, 8);
    save(bench, &record);
    move_to_new_device(bench, &record);
    expect_nothing(bench);
    virtio_device_resume(vsock_device(bench->vsock));
    expect(bench, RST);
    expect(bench, RST);
    expect_nothing(bench);
    open_from_guest(bench, 7);
    close(first);
    buf_done(&record);
}

static void test_vsock_adopt_refuses_what_is_not_there(void **state)
{
    struct bench *bench = *state;
    int ours;
    int theirs;

    open_from_guest(bench, 7);
    pair(&ours, &theirs);
    assert_int_equal(vsock_adopt(bench->vsock, 8, PORT, theirs, NULL),
                     SM_ENOENT);
    expect_end(ours);
    close(ours);
    pair(&ours, &theirs);
    assert_int_equal(vsock_adopt(bench->vsock, 7, PORT, theirs, NULL),
                     SM_ESTATE);
    close(ours);
}

static void test_vsock_load_survives_flipped_bits(void **state)
{
    struct bench *bench = *state;
    struct buf record;

    open_from_guest(bench, 7);
    open_from_guest(bench, 8);
    save(bench, &record);
    for (size_t bit = 0; bit < 8 * record.size; bit++) {
        struct wire_reader from;

        record.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        wire_read(&from, record.data, record.size);
        (void)device_load(bench->driver.device, &from, NULL);
        bench->driver.kicked = 7;
        settle(bench);
        record.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < record.size; size++) {
        struct wire_reader from;

        wire_read(&from, record.data, size);
        assert_int_equal(device_load(bench->driver.device, &from, NULL),
                         SM_EIMAGE);
    }
    buf_done(&record);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
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
        CASE(test_vsock_sends_no_more_than_the_guest_has_room_for),
        CASE(test_vsock_resets_who_claims_more_than_was_sent),
        CASE(test_vsock_keeps_what_the_host_does_not_take),
        CASE(test_vsock_resets_who_sends_without_credit),
        CASE(test_vsock_close_waits_for_the_data),
        CASE(test_vsock_does_not_read_without_guest_buffers),
        CASE(test_vsock_refusals_are_bounded),
        cmocka_unit_test(test_vsock_refuses_more_connections_than_configured),
        CASE(test_vsock_serves_1000_connections),
        CASE(test_vsock_answers_strangers_with_rst),
        CASE(test_vsock_ignores_false_senders),
        CASE(test_vsock_refuses_other_types_and_other_machines),
        CASE(test_vsock_second_request_resets),
        CASE(test_vsock_truncated_packet_asks_for_reset),
        CASE(test_vsock_lying_length_asks_for_reset),
        cmocka_unit_test(test_vsock_small_receive_buffer_asks_for_reset),
        CASE(test_vsock_reset_drops_what_the_driver_knew),
        CASE(test_vsock_transport_reset_is_told),
        CASE(test_vsock_connection_outlives_a_snapshot),
        CASE(test_vsock_orphans_end_on_resume),
        CASE(test_vsock_adopt_refuses_what_is_not_there),
        CASE(test_vsock_load_survives_flipped_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
