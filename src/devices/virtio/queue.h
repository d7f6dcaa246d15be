/* queue.h: split virtqueues, read so that a hostile driver gets nothing.
 *
 * How virtqueues work
 *   A virtqueue is three arrays in guest memory that driver and device share
 *   (virtio 1.2, 2.7). For a queue of N (a power of two):
 *
 *       descriptor table   N x { address 64, length 32, flags 16, next 16 }
 *       available ring     flags 16, idx 16, ring[N] 16, used_event 16
 *       used ring          flags 16, idx 16, ring[N] {id 32, len 32},
 *                          avail_event 16
 *
 *   The driver describes one request as a chain of descriptors linked by
 *   `next`: first the buffers that the device reads, then those that it
 *   writes. It puts the number of the chain's head into the next slot of the
 *   available ring, and then counts idx up. The device takes the heads in
 *   order, does the work, puts {head, bytes written} into the used ring, and
 *   counts that idx up. Each side writes only its own ring; idx counts freely
 *   modulo 65536, so "how many are new" is a subtraction:
 *
 *        driver                                  device
 *        desc[5] = {hdr, 16, NEXT, 6}
 *        desc[6] = {buf, 512, WRITE}
 *        avail.ring[avail.idx % N] = 5
 *        -- barrier --
 *        avail.idx++                             sees idx != its own count
 *        kick, unless told not to        ---->   pops 5, copies desc 5 and 6
 *                                                ... the work ...
 *                                                used.ring[idx % N] = {5, 512}
 *                                                -- barrier --
 *        sees used.idx != its own count  <----   used.idx++
 *                                                interrupt, unless told not to
 *
 *   A descriptor with the flag INDIRECT ends the chain in the main table and
 *   points to a table of its own elsewhere in memory.
 *
 *   Both directions can be told to keep quiet. With EVENT_IDX each side writes
 *   the index at which it next wants to hear from the other (used_event,
 *   avail_event); without it, a flag says "not at all". After asking to be
 *   woken a side must look at the ring once more, behind a full barrier, or
 *   it can sleep on work that came in between.
 *
 * What is done about hostile drivers
 *   The driver's vcpus run while we read. So each index and descriptor is
 *   copied once, the copy is checked, and only the copy is used: vq_pop()
 *   hands out a chain whose every byte was found to lie in guest memory, and a
 *   device has no way to a raw descriptor. The addresses of the rings are
 *   checked when the queue is started and cannot change until it is stopped.
 *   Chains are bounded: as many descriptors as the queue has, no more than
 *   4 GiB, each descriptor at most once. A violation breaks the queue: vq_pop()
 *   says SM_EGUEST now and from then on, and the device asks for its reset.
 *
 * Threads
 *   One thread at a time per queue (virtio.h: the device's lock).
 */
#ifndef SM_DEVICES_VIRTIO_QUEUE_H
#define SM_DEVICES_VIRTIO_QUEUE_H

#include "base/wire.h"
#include "memory/gmem.h"

#include <sys/uio.h>

enum {
    VQ_SIZE_MAX = 256,
    VQ_SEGMENTS_MAX = VQ_SIZE_MAX, /* descriptors with data in one chain */
    /* Bytes of each ring, for a queue of N: 16 N, 6 + 2 N, 6 + 8 N. */
    VQ_DESCRIPTOR_BYTES = 16,
    /* Flags of a descriptor. */
    VQ_DESC_NEXT = 1,
    VQ_DESC_WRITE = 2,
    VQ_DESC_INDIRECT = 4,
    /* Flags of the rings, without EVENT_IDX. */
    VQ_AVAIL_NO_INTERRUPT = 1,
    VQ_USED_NO_NOTIFY = 1
};

/* What the guest knows of the queue; goes into records. */
struct vq_state {
    uint16_t size; /* N */
    bool ready;
    struct gpa desc;
    struct gpa avail;
    struct gpa used;
    uint16_t next_avail; /* heads taken so far, modulo 65536 */
    uint16_t next_used;  /* chains given back so far */
    uint16_t signalled;  /* next_used when the driver was last interrupted */
};

struct vq {
    struct vq_state state;
    const struct gmem *mem;
    uint16_t size_max;  /* what the device offers */
    bool event_idx;     /* negotiated */
    bool indirect;      /* negotiated */
    const char *broken; /* what the driver did wrong, NULL: nothing */
};

/* A piece of guest memory that was checked. */
struct vq_segment {
    struct gpa at;
    uint32_t bytes;
};

/*
 * A request: what the device may read, then what it may write, with a cursor
 * in each. The first (readable) segments are the driver's data, the others up
 * to (count) are room for the device's.
 */
struct vq_chain {
    const struct gmem *mem;
    uint16_t head;
    uint16_t count;
    uint16_t readable;
    uint16_t read_segment;  /* cursor of vq_chain_read() */
    uint16_t write_segment; /* cursor of vq_chain_write() */
    uint32_t read_offset;   /* in that segment */
    uint32_t write_offset;
    uint64_t read_left; /* bytes from the cursor to the end */
    uint64_t write_left;
    uint64_t written; /* bytes before the write cursor */
    struct vq_segment segment[VQ_SEGMENTS_MAX];
};

/* A queue of at most (size_max) descriptors, a power of two up to
 * VQ_SIZE_MAX; stopped. */
void vq_init(struct vq *vq, const struct gmem *mem, uint16_t size_max);

/* Stop, forget everything. */
void vq_reset(struct vq *vq);

/*
 * The driver has set size and addresses in vq->state: check that they make
 * sense (size, alignment as in virtio 1.2, 2.7, whole rings in guest memory)
 * and start with indices 0. SM_EGUEST and vq->broken if they do not.
 */
int vq_start(struct vq *vq, struct sm_error *err);
/* Stop without forgetting the addresses. */
void vq_stop(struct vq *vq);

/*
 * The next request. Returns 1 and *chain, 0 if there is none (or the queue is
 * not ready), SM_EGUEST if the driver broke the rules: vq->broken says how.
 */
int vq_pop(struct vq *vq, struct vq_chain *chain);
/* Put back the chain that was popped last, nothing of it being used; it will
 * be read anew. */
void vq_unpop(struct vq *vq);

/* Give the chain back to the driver, who may read what the device put in with
 * vq_chain_write() and vq_chain_wrote(). */
void vq_push(struct vq *vq, const struct vq_chain *chain);
/* The same for a chain whose head alone was kept. */
void vq_push_head(struct vq *vq, uint16_t head, uint32_t written);

/* Whether the driver wants an interrupt for what was pushed since the last
 * call. Call it once after a batch; if true, interrupt. */
bool vq_needs_interrupt(struct vq *vq);

/* Ask the driver not to kick. A hint. */
void vq_kicks_off(struct vq *vq);
/* Ask the driver to kick. True: there is something in the queue already, pop
 * it now, because the driver may not kick for it. */
bool vq_kicks_on(struct vq *vq);

/* Copy out of the readable part and move the cursor; false if there is less,
 * and then nothing was done. */
bool vq_chain_read(struct vq_chain *chain, void *to, size_t bytes);
/* Copy into the writable part; the same. */
bool vq_chain_write(struct vq_chain *chain, const void *from, size_t bytes);
/*
 * Put (bytes) at the very end of the writable part, for a status behind data:
 * the cursor stays, what is left to write gets shorter. They count as written
 * only if everything before them was, as the used ring wants it (virtio 1.2,
 * 2.7.8.2). So it comes last. False as above.
 */
bool vq_chain_write_tail(struct vq_chain *chain, const void *from,
                         size_t bytes);

/*
 * Host memory behind the next (bytes) of the part, for bulk data that nobody
 * interprets; the cursor does not move. Returns the number of iovecs, at most
 * (max); 0 if there is less than (bytes) or it takes more than (max) of them.
 */
unsigned vq_chain_readable(const struct vq_chain *chain, uint64_t bytes,
                           struct iovec *to, unsigned max);
unsigned vq_chain_writable(const struct vq_chain *chain, uint64_t bytes,
                           struct iovec *to, unsigned max);
/* Move the cursor over (bytes) that were consumed or filled through iovecs;
 * (bytes) <= what is left. */
void vq_chain_consumed(struct vq_chain *chain, uint64_t bytes);
void vq_chain_wrote(struct vq_chain *chain, uint64_t bytes);

/* State as a record; load checks it as vq_start() does, errors SM_EIMAGE. */
void vq_save(const struct vq *vq, struct buf *to);
int vq_load(struct vq *vq, struct wire_reader *from, struct sm_error *err);

#endif
