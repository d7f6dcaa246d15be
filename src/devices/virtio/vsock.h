/* vsock.h: the virtio socket device (virtio 1.2, 5.10), stream sockets.
 *
 * How it works
 *   Guest and host talk through connections, each between a port in the guest
 *   and a port of the host (context id 2). On our side each connection is one
 *   end of a unix stream socket; what the host's program does with the other
 *   end, the guest's program sees on its socket:
 *
 *     guest program  <- AF_VSOCK ->  virtqueues  <- us ->  fd  <-> host program
 *
 *   Packets have a header of 44 bytes (ports, operation, length, credit):
 *     REQUEST, RESPONSE   open; RST refuses, and ends at any time
 *     RW                  data
 *     SHUTDOWN            one side will not send (or not receive) any more:
 *                         shutdown(2) on the other side. With both bits it is
 *                         a close: answered with RST when all data is through
 *     CREDIT_UPDATE,      how much room the receiver has: each side may send
 *     CREDIT_REQUEST      only what fits the other's buffer
 *
 * Memory is bounded
 *   Guest to host: data goes straight from guest memory into the fd; what does
 *   not fit waits in the connection's buffer of at most `buffer_bytes`, which
 *   is the credit the guest gets. A guest that sends more than its credit is
 *   disconnected. Host to guest: data goes from the fd straight into guest
 *   buffers; without buffers or credit the fd is not read, so the host's
 *   program blocks. Replies that wait for a guest buffer are bits in the
 *   connection; for refusals there is a small list, and when it is full the
 *   guest's packets wait in its own queue. At most `connections_max`
 *   connections; above, requests are refused.
 *
 * Snapshots
 *   A connection is plain data (`struct vsock_connection_state` and the bytes
 *   in its buffer) and goes into the record. After a load each is without an
 *   fd: the machine looks at them with vsock_each() and gives those that it
 *   wants to go on a new fd with vsock_adopt(); virtio_device_resume() resets
 *   the others. Or it drops all with vsock_drop_all(), which tells the driver
 *   by the event TRANSPORT_RESET. Bytes that the host had written into its end
 *   and that we had not read are not ours and not in the record.
 *
 * Threads
 *   The loop's thread only, but for what a transport calls. Callbacks come
 *   with the device's lock held and must not call back.
 */
#ifndef SM_DEVICES_VIRTIO_VSOCK_H
#define SM_DEVICES_VIRTIO_VSOCK_H

#include "devices/virtio/virtio.h"
#include "platform/loop.h"

enum {
    VSOCK_HOST_CID = 2,
    VSOCK_GUEST_CID_MIN = 3,
    VSOCK_HEADER_BYTES = 44,
    VSOCK_PACKET_MAX = 65536, /* bytes of data that Linux puts in one packet */
    VSOCK_CONNECTIONS_MAX = 4096, /* upper limit of connections_max */
    VSOCK_BUFFER_MIN = 4096,
    VSOCK_BUFFER_MAX = 1 << 20
};

struct vsock;

struct vsock_ops {
    /*
     * The guest wants to connect from (guest_port) to the host's (host_port).
     * Returns a stream socket, ours from now on, or -1: refuse.
     */
    int (*accept)(void *context, uint32_t host_port, uint32_t guest_port);
};

struct vsock_config {
    struct virtio_env env;
    struct loop *loop;           /* outlives the device */
    uint64_t guest_cid;          /* VSOCK_GUEST_CID_MIN .. 0xfffffffe */
    unsigned connections_max;    /* 0: 1024 */
    uint32_t buffer_bytes;       /* per connection; 0: 128 KiB */
    const struct vsock_ops *ops; /* NULL: every request is refused */
    void *context;
};

enum vsock_phase {
    VSOCK_CONNECTING, /* our REQUEST waits for RESPONSE (-> OPEN) or RST     */
    VSOCK_OPEN,       /* data flows; a direction ends by SHUTDOWN            */
    VSOCK_CLOSING     /* both directions over on our side, fd closed; the
                         guest's RST, or our want of room, ends it           */
};

/* Directions, as in SHUTDOWN packets: the sender will not receive, will not
 * send any more. */
enum { VSOCK_SHUT_RECEIVE = 1, VSOCK_SHUT_SEND = 2, VSOCK_SHUT_BOTH = 3 };

/* What the guest knows of a connection. Counters are modulo 2^32. */
struct vsock_connection_state {
    uint32_t guest_port;
    uint32_t host_port;
    enum vsock_phase phase;
    uint8_t pending;       /* replies that wait for a guest buffer */
    uint8_t guest_shut;    /* VSOCK_SHUT_* that the guest has declared */
    uint8_t host_shut;     /* ... that the host's end has come to */
    uint8_t host_told;     /* ... of these, what the guest was told */
    uint32_t peer_alloc;   /* the guest's buffer, bytes */
    uint32_t peer_forward; /* bytes that the guest's program has taken */
    uint32_t sent;         /* bytes that we sent */
    uint32_t received;     /* bytes that we received */
    uint32_t forward;      /* of these, bytes handed to the host's end */
    uint32_t told_forward; /* ... as last told to the guest */
};

/* Data that went through since the device was made, without headers. */
struct vsock_counters {
    uint64_t in_bytes; /* to the guest */
    uint64_t out_bytes;
};

int vsock_new(const struct vsock_config *config, struct vsock **ret,
              struct sm_error *err);
struct virtio_device *vsock_device(struct vsock *vsock);
/* Any thread. */
struct vsock_counters vsock_counters(const struct vsock *vsock);

/*
 * Connect to (guest_port) in the guest. (fd) is a stream socket, the device's
 * from now on whatever happens; its other end sees end of file if the guest
 * refuses, and may be written to at once. Connecting before the driver is live
 * is fine: the request waits. *host_port, if not NULL, is the port used.
 *
 * Errors: SM_ELIMIT (too many connections), SM_ENOMEM, SM_EINVAL (no socket).
 */
int vsock_connect(struct vsock *vsock, uint32_t guest_port, int fd,
                  uint32_t *host_port, struct sm_error *err);

/* Call (fn) for each connection without an fd: after a load. */
void vsock_each(struct vsock *vsock,
                void (*fn)(void *context,
                           const struct vsock_connection_state *state),
                void *context);
/* Go on with a loaded connection on (fd), the device's whatever happens.
 * Errors: SM_ENOENT, SM_ESTATE (has an fd), SM_EINVAL, SM_ENOMEM. */
int vsock_adopt(struct vsock *vsock, uint32_t guest_port, uint32_t host_port,
                int fd, struct sm_error *err);
/* End all connections and tell the driver that the transport was reset: it
 * resets its own ends and reads the context id anew. */
void vsock_drop_all(struct vsock *vsock);
/* The guest's context id, for a clone; to be followed by vsock_drop_all(). */
int vsock_set_guest_cid(struct vsock *vsock, uint64_t guest_cid,
                        struct sm_error *err);

#endif
