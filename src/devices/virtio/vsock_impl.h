/* vsock_impl.h: what the files of the socket device share.
 *
 *   vsock.c             the device: life, configuration, what the machine calls
 *   vsock_connections.c the table of connections; their host ends
 *   vsock_receive.c     host to guest: fills the rx queue
 *   vsock_transmit.c    guest to host: serves the tx queue
 *   vsock_record.c      save and load
 *
 * How data moves towards the guest
 *   A connection that has something for the guest, be it a reply or data that
 *   its fd may hold, stands in the ready list. vsock_pump() takes one after
 *   the other, lets each send one packet, and puts it back at the end if there
 *   is more. It stops when the list is empty or the guest has left no buffer.
 *   A connection without credit is not in the list; a packet from the guest
 *   that brings credit puts it back.
 */
#ifndef SM_DEVICES_VIRTIO_VSOCK_IMPL_H
#define SM_DEVICES_VIRTIO_VSOCK_IMPL_H

#include "base/queue.h"
#include "devices/virtio/vsock.h"

enum { VSOCK_QUEUE_RX, VSOCK_QUEUE_TX, VSOCK_QUEUE_EVENT, VSOCK_QUEUES };

enum { VSOCK_TYPE_STREAM = 1 };

/* Operations (virtio 1.2, 5.10.6). */
enum {
    VSOCK_OP_REQUEST = 1,
    VSOCK_OP_RESPONSE = 2,
    VSOCK_OP_RST = 3,
    VSOCK_OP_SHUTDOWN = 4,
    VSOCK_OP_RW = 5,
    VSOCK_OP_CREDIT_UPDATE = 6,
    VSOCK_OP_CREDIT_REQUEST = 7
};

/* Packets that wait for a guest buffer: vsock_connection_state.pending. */
enum {
    VSOCK_PENDING_RST = 1 << 0, /* and then the connection is gone */
    VSOCK_PENDING_REQUEST = 1 << 1,
    VSOCK_PENDING_RESPONSE = 1 << 2,
    VSOCK_PENDING_CREDIT_UPDATE = 1 << 3,
    VSOCK_PENDING_CREDIT_REQUEST = 1 << 4,
    VSOCK_PENDING_ALL = (1 << 5) - 1
};

enum {
    VSOCK_BUCKETS = 1024,
    VSOCK_REFUSALS_MAX = 64,
    VSOCK_FIRST_HOST_PORT = 0x40000000 /* of connections that we begin */
};

struct vsock_connection {
    struct vsock_connection_state state;
    struct vsock *vsock;
    int fd; /* -1: none (any more, or not yet after a load) */
    struct loop_watch *watch;
    struct queue waiting; /* from the guest, not yet taken by fd */
    bool readable;        /* fd may have data, or its end */
    bool starved;         /* no credit; CREDIT_REQUEST was sent */
    bool is_ready;        /* in the ready list */
    struct vsock_connection *next_ready;
    struct vsock_connection *next; /* in its bucket */
};

/* An RST for a packet that belongs to no connection. */
struct vsock_refusal {
    uint64_t host_cid;
    uint32_t host_port;
    uint32_t guest_port;
    uint16_t type;
};

struct vsock {
    struct virtio_device device;
    struct vsock_config config;
    struct notifier reset; /* the driver has reset the device: to the loop */
    struct loop_watch *reset_watch;
    bool reset_pending; /* connections that the driver knew are to be dropped */
    bool has_orphans;   /* a record was loaded: connections without fd */
    bool tx_blocked;    /* tx waits for room among the refusals */
    unsigned count;
    struct vsock_connection *bucket[VSOCK_BUCKETS];
    struct vsock_connection *first_ready;
    struct vsock_connection *last_ready;
    unsigned refusals; /* the oldest is refusal[0] */
    struct vsock_refusal refusal[VSOCK_REFUSALS_MAX];
    uint32_t next_host_port;
    struct vsock_counters counters; /* atomic: read by others */
    bool event_pending; /* TRANSPORT_RESET waits for a guest buffer */
};

static inline struct vsock *vsock_of(struct virtio_device *device)
{
    return CONTAINER_OF(device, struct vsock, device);
}

/* All of these want the device's lock held. */

/* ---- vsock_connections.c ---- */

struct vsock_connection *vsock_find(const struct vsock *vsock,
                                    uint32_t guest_port, uint32_t host_port);
/* A connection in the table, without fd, in (phase). NULL: out of memory. */
struct vsock_connection *vsock_add(struct vsock *vsock, uint32_t guest_port,
                                   uint32_t host_port, enum vsock_phase phase);
/* Close its fd, take it out of the table and free it. */
void vsock_remove(struct vsock_connection *connection);
/* Call (fn) for each connection, which it may remove. */
void vsock_for_all(struct vsock *vsock,
                   void (*fn)(struct vsock_connection *connection));
void vsock_make_ready(struct vsock_connection *connection);
/* Take the first out of the ready list, NULL if it is empty. */
struct vsock_connection *vsock_take_ready(struct vsock *vsock);
/* Send (packet), one of VSOCK_PENDING_*, as soon as there is a buffer. */
void vsock_send_soon(struct vsock_connection *connection, unsigned packet);

/* Make (fd) the connection's host end. */
int vsock_attach(struct vsock_connection *connection, int fd,
                 struct sm_error *err);
/* Watch what matters now. */
void vsock_update_watch(struct vsock_connection *connection);
/* Hand bytes that wait to the host's end, then what follows from that. */
void vsock_drain(struct vsock_connection *connection);
/* The host's end will not receive, will not send any more: (directions). */
void vsock_host_shut(struct vsock_connection *connection, unsigned directions);
/* Give the host's end up: its other side sees the end. */
void vsock_close_host(struct vsock_connection *connection);

/* ---- vsock_receive.c ---- */

/* Send what is ready, as far as there are buffers. */
void vsock_pump(struct vsock *vsock);
/* Bytes that may be sent to the guest now. */
uint32_t vsock_credit(const struct vsock_connection_state *state);
/* Send the event that waits. */
void vsock_send_event(struct vsock *vsock);

/* ---- vsock_transmit.c ---- */

void vsock_transmit(struct vsock *vsock);

/* ---- vsock.c ---- */

/* Do what a reset of the device left for the loop's thread. */
void vsock_settle(struct vsock *vsock);

/* ---- vsock_record.c ---- */

void vsock_save(struct virtio_device *device, struct buf *to);
int vsock_load(struct virtio_device *device, struct wire_reader *from,
               struct sm_error *err);

#endif
