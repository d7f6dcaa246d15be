/* virtio_vsock.c: fuzzes the socket device, host's ends included. */
#include "virtio_input.h"

#include "base/bytes.h"
#include "devices/virtio/vsock.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CID = 3, ENDS = 8, PORTS = 4 };

static struct vsock *vsock;
static struct loop *loop;
static int ends[ENDS]; /* of the host's programs */
static unsigned next_end;

/* Our end of a new pair is kept, the other returned. */
static int new_pair(void)
{
    unsigned slot = next_end++ % ENDS;
    int fd[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) != 0)
        abort();
    if (ends[slot] >= 0)
        close(ends[slot]);
    ends[slot] = fd[0];
    return fd[1];
}

static int accept_port(void *context, uint32_t host_port, uint32_t guest_port)
{
    (void)context;
    (void)guest_port;
    return host_port % 2 ? new_pair() : -1;
}

static const struct vsock_ops ops = {.accept = accept_port};

static struct virtio_device *make(struct driver *driver)
{
    struct vsock_config config = {
        .env = driver_env(driver),
        .guest_cid = CID,
        .connections_max = 8,
        .buffer_bytes = VSOCK_BUFFER_MIN,
        .ops = &ops,
    };

    for (int i = 0; i < ENDS; i++)
        ends[i] = -1;
    if (loop_new(&loop, NULL) != 0)
        abort();
    config.loop = loop;
    if (vsock_new(&config, &vsock, NULL) != 0)
        abort();
    return vsock_device(vsock);
}

/* A header between few ports, so that connections are met again. */
static void compose(struct fuzz_input *input, uint8_t *to, size_t bytes)
{
    uint8_t wire[VSOCK_HEADER_BYTES] = {0};
    uint8_t ports = fuzz_u8(input);
    uint8_t host_port = ports >> 4 & 7;

    store_le64(wire, ports & 0x80 ? fuzz_u8(input) : CID);
    store_le64(wire + 8, VSOCK_HOST_CID);
    store_le32(wire + 16, ports % PORTS);
    /* Ports that we take, and those of connections that we begin. */
    store_le32(wire + 20, host_port < 4 ? host_port : 0x3ffffffcu + host_port);
    store_le32(wire + 24, fuzz_u8(input));
    store_le16(wire + 28, 1);
    store_le16(wire + 30, fuzz_u8(input) % 9);
    store_le32(wire + 32, fuzz_u8(input) % 5);
    store_le32(wire + 36, fuzz_u16(input));
    store_le32(wire + 40, fuzz_u8(input));
    memcpy(to, wire, min_u64(bytes, sizeof wire));
}

static void host(struct driver *driver, struct fuzz_input *input)
{
    static char bytes[8192];
    uint8_t what = fuzz_u8(input);
    int *end = &ends[what / 16 % ENDS];

    (void)driver;
    switch (what % 10) {
    case 0:
        (void)vsock_connect(vsock, fuzz_u8(input) % PORTS, new_pair(), NULL,
                            NULL);
        break;
    case 1:
    case 2:
        if (*end >= 0)
            (void)!send(*end, bytes, fuzz_u16(input) % sizeof bytes,
                        MSG_NOSIGNAL);
        break;
    case 3:
        if (*end >= 0)
            (void)!recv(*end, bytes, sizeof bytes, 0);
        break;
    case 4:
        if (*end >= 0)
            (void)!shutdown(*end, fuzz_u8(input) % 3);
        break;
    case 5:
        if (*end >= 0)
            close(*end);
        *end = -1;
        break;
    case 6:
        (void)vsock_adopt(vsock, fuzz_u8(input) % PORTS, fuzz_u8(input) % 4,
                          new_pair(), NULL);
        break;
    case 7:
        vsock_drop_all(vsock);
        break;
    case 8:
        virtio_device_resume(vsock_device(vsock));
        break;
    default:
        loop_turn(loop, 0);
        break;
    }
    loop_turn(loop, 0);
}

static void done(void)
{
    for (int i = 0; i < ENDS; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    loop_free(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static const struct fuzz_kind kind = {
        .make = make, .compose = compose, .host = host, .done = done};

    fuzz_virtio(&kind, bytes, count);
    return 0;
}
