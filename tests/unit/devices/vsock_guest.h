/* vsock_guest.h: a guest that speaks vsock packets, and the host's program at
 * the other end, for the tests of the socket device. Failures end the test. */
#ifndef SM_TESTS_VSOCK_GUEST_H
#define SM_TESTS_VSOCK_GUEST_H

#include "driver.h"

#include "devices/virtio/vsock.h"

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

struct guest {
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

/* A guest in front of a device for (connections), 0: the default; its driver
 * has not started. guest_set_up() starts it too. */
struct guest *guest_new(unsigned connections);
void guest_free(struct guest *guest);
int guest_set_up(void **state);
int guest_tear_down(void **state);
/* A device of its own over the guest's memory; the former one is gone. */
void guest_make_device(struct guest *guest, unsigned connections);
void guest_start(struct guest *guest);

/* Let happen what happens by itself. */
void guest_settle(struct guest *guest);
void guest_give_rx(struct guest *guest, unsigned number);

/* A packet with the guest's usual addresses and credit. */
struct packet guest_packet(uint32_t guest_port, uint32_t host_port,
                           uint16_t op);
/* Send as it is, and look at nothing. The others settle. */
void guest_send_packet(struct guest *guest, const struct packet *packet);
void guest_send(struct guest *guest, uint32_t guest_port, uint32_t host_port,
                uint16_t op, uint32_t flags);
void guest_send_data(struct guest *guest, uint32_t guest_port,
                     uint32_t host_port, const void *bytes, uint32_t count);

/* The next packet from the device; false if there is none. */
bool guest_receive(struct guest *guest, struct packet *packet);
struct packet guest_expect(struct guest *guest, uint16_t op);
void guest_expect_nothing(struct guest *guest);

/* Connect from (guest_port) to PORT; guest->accepted is the host's end. */
void guest_open(struct guest *guest, uint32_t guest_port);
bool guest_is_open(struct guest *guest, uint32_t guest_port);

/* A socket pair; (ours) is non-blocking. */
void guest_pair(int *ours, int *theirs);
void host_expect_text(int fd, const char *text);
void host_expect_end(int fd);

#endif
