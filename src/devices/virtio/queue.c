/* queue.c: split virtqueues; how they work is in queue.h. */
#include "devices/virtio/queue.h"

#include "base/bytes.h"

#include <assert.h>
#include <stdatomic.h>

/* Offsets in the rings. */
enum {
    RING_FLAGS = 0,
    RING_INDEX = 2,
    RING_ENTRIES = 4,
    AVAIL_ENTRY_BYTES = 2,
    USED_ENTRY_BYTES = 8,
    RING_EVENT_BYTES = 2,
    DESC_ALIGN = 16,
    AVAIL_ALIGN = 2,
    USED_ALIGN = 4
};

/* A descriptor as it is in guest memory, little endian. */
struct wire_descriptor {
    uint8_t address[8];
    uint8_t bytes[4];
    uint8_t flags[2];
    uint8_t next[2];
};
_Static_assert(sizeof(struct wire_descriptor) == VQ_DESCRIPTOR_BYTES,
               "virtio 1.2, 2.7.5");

/* Our copy of one. */
struct descriptor {
    struct gpa at;
    uint32_t bytes;
    uint16_t flags;
    uint16_t next;
};

/* A table of descriptors: the queue's own, or an indirect one. */
struct table {
    struct gpa at;
    uint16_t count;
    bool indirect;
};

static int break_queue(struct vq *vq, const char *why)
{
    if (!vq->broken)
        vq->broken = why;
    return SM_EGUEST;
}

/* ---- life ---- */

void vq_init(struct vq *vq, const struct gmem *mem, uint16_t size_max)
{
    assert(size_max && size_max <= VQ_SIZE_MAX &&
           is_aligned(size_max, size_max));
    *vq = (struct vq){.mem = mem, .size_max = size_max};
}

void vq_reset(struct vq *vq)
{
    vq_init(vq, vq->mem, vq->size_max);
}

static uint64_t avail_bytes(uint16_t size)
{
    return RING_ENTRIES + AVAIL_ENTRY_BYTES * (uint64_t)size + RING_EVENT_BYTES;
}

static uint64_t used_bytes(uint16_t size)
{
    return RING_ENTRIES + USED_ENTRY_BYTES * (uint64_t)size + RING_EVENT_BYTES;
}

/* NULL, or what is wrong with where the driver wants the queue. */
static const char *check_place(const struct vq *vq)
{
    const struct vq_state *state = &vq->state;

    if (!state->size || state->size > vq->size_max ||
        state->size & (state->size - 1))
        return "queue size is no power of two or too large";
    if (!is_aligned(state->desc.v, DESC_ALIGN) ||
        !is_aligned(state->avail.v, AVAIL_ALIGN) ||
        !is_aligned(state->used.v, USED_ALIGN))
        return "ring is not aligned";
    if (!gmem_valid(vq->mem, state->desc,
                    (uint64_t)VQ_DESCRIPTOR_BYTES * state->size) ||
        !gmem_valid(vq->mem, state->avail, avail_bytes(state->size)) ||
        !gmem_valid(vq->mem, state->used, used_bytes(state->size)))
        return "ring is not in memory";
    return NULL;
}

int vq_start(struct vq *vq, struct sm_error *err)
{
    const char *wrong = check_place(vq);

    if (wrong) {
        break_queue(vq, wrong);
        return fail(err, SM_EGUEST, "%s", wrong);
    }
    vq->state.next_avail = 0;
    vq->state.next_used = 0;
    vq->state.signalled = 0;
    vq->state.ready = true;
    return 0;
}

void vq_stop(struct vq *vq)
{
    vq->state.ready = false;
}

/* ---- ring indices ---- */

/* The rings were found to lie in guest memory, aligned, when the queue was
 * started, and memory does not go away. */
static uint16_t load16(const struct vq *vq, struct gpa at)
{
    uint16_t value = 0;
    bool ok = gmem_load16(vq->mem, at, &value);

    assert(ok);
    (void)ok;
    return value;
}

static void store16(const struct vq *vq, struct gpa at, uint16_t value)
{
    bool ok = gmem_store16(vq->mem, at, value);

    assert(ok);
    (void)ok;
}

static struct gpa avail_entry(const struct vq *vq, uint16_t index)
{
    return gpa_add(vq->state.avail,
                   RING_ENTRIES +
                       AVAIL_ENTRY_BYTES * (uint64_t)(index % vq->state.size));
}

static struct gpa used_entry(const struct vq *vq, uint16_t index)
{
    return gpa_add(vq->state.used,
                   RING_ENTRIES +
                       USED_ENTRY_BYTES * (uint64_t)(index % vq->state.size));
}

/* In the available ring, written by the driver. */
static struct gpa used_event(const struct vq *vq)
{
    return gpa_add(vq->state.avail, avail_bytes(vq->state.size) - 2);
}

/* In the used ring, written by us. */
static struct gpa avail_event(const struct vq *vq)
{
    return gpa_add(vq->state.used, used_bytes(vq->state.size) - 2);
}

/* ---- taking requests ---- */

static bool read_descriptor(const struct vq *vq, const struct table *table,
                            uint16_t index, struct descriptor *copy)
{
    struct wire_descriptor wire;

    if (!gmem_read(vq->mem,
                   gpa_add(table->at, (uint64_t)VQ_DESCRIPTOR_BYTES * index),
                   &wire, sizeof wire))
        return false;
    *copy = (struct descriptor){
        .at = GPA(load_le64(wire.address)),
        .bytes = load_le32(wire.bytes),
        .flags = load_le16(wire.flags),
        .next = load_le16(wire.next),
    };
    return true;
}

/* Append a descriptor with data to the chain. */
static int add_segment(struct vq *vq, struct vq_chain *chain,
                       const struct descriptor *descriptor)
{
    bool write = descriptor->flags & VQ_DESC_WRITE;

    if (chain->count == VQ_SEGMENTS_MAX)
        return break_queue(vq, "descriptor chain is too long");
    if (!descriptor->bytes)
        return break_queue(vq, "descriptor is empty");
    if (!gmem_valid(vq->mem, descriptor->at, descriptor->bytes))
        return break_queue(vq, "descriptor points outside of memory");
    if (!write && chain->count > chain->readable)
        return break_queue(vq, "readable descriptor behind a writable one");
    chain->segment[chain->count++] = (struct vq_segment){
        .at = descriptor->at,
        .bytes = descriptor->bytes,
    };
    if (write) {
        chain->write_left += descriptor->bytes;
    } else {
        chain->readable++;
        chain->read_left += descriptor->bytes;
    }
    if (chain->read_left + chain->write_left > UINT32_MAX)
        return break_queue(vq, "descriptor chain of more than 4 GiB");
    return 0;
}

/* The table that an indirect descriptor points to. */
static int enter_indirect(struct vq *vq, struct table *table,
                          const struct descriptor *descriptor)
{
    uint32_t count = descriptor->bytes / VQ_DESCRIPTOR_BYTES;

    if (!vq->indirect)
        return break_queue(vq, "indirect descriptor was not negotiated");
    if (table->indirect)
        return break_queue(vq, "indirect descriptor in an indirect table");
    if (descriptor->flags & VQ_DESC_NEXT)
        return break_queue(vq, "indirect descriptor with a next one");
    if (!count || descriptor->bytes % VQ_DESCRIPTOR_BYTES)
        return break_queue(vq, "indirect table of a senseless size");
    if (count > UINT16_MAX ||
        !gmem_valid(vq->mem, descriptor->at, descriptor->bytes))
        return break_queue(vq, "indirect table is not in memory");
    *table = (struct table){
        .at = descriptor->at,
        .count = (uint16_t)count,
        .indirect = true,
    };
    return 0;
}

/*
 * Copy the chain that begins at (head). A table of n descriptors has chains of
 * at most n: one that takes more steps is a loop.
 */
static int walk(struct vq *vq, uint16_t head, struct vq_chain *chain)
{
    struct table table = {.at = vq->state.desc, .count = vq->state.size};
    uint16_t index = head;
    uint32_t steps = 0;

    for (;;) {
        struct descriptor descriptor;
        int rc;

        if (index >= table.count)
            return break_queue(vq, "descriptor index is outside of its table");
        if (steps++ == table.count)
            return break_queue(vq, "descriptor chain is a loop");
        if (!read_descriptor(vq, &table, index, &descriptor))
            return break_queue(vq, "descriptor is not in memory");
        if (descriptor.flags & VQ_DESC_INDIRECT) {
            rc = enter_indirect(vq, &table, &descriptor);
            index = 0;
            steps = 0;
            if (rc)
                return rc;
            continue;
        }
        rc = add_segment(vq, chain, &descriptor);
        if (rc || !(descriptor.flags & VQ_DESC_NEXT))
            return rc;
        index = descriptor.next;
    }
}

static void start_chain(const struct vq *vq, struct vq_chain *chain,
                        uint16_t head)
{
    /* Not the whole struct: the segments need no zeroes. */
    chain->mem = vq->mem;
    chain->head = head;
    chain->count = 0;
    chain->readable = 0;
    chain->read_segment = 0;
    chain->read_offset = 0;
    chain->write_offset = 0;
    chain->read_left = 0;
    chain->write_left = 0;
    chain->written = 0;
}

int vq_pop(struct vq *vq, struct vq_chain *chain)
{
    uint16_t index;
    int rc;

    if (vq->broken)
        return SM_EGUEST;
    if (!vq->state.ready)
        return 0;
    /* Acquires; partner: the driver's barrier between ring entry and idx. */
    index = load16(vq, gpa_add(vq->state.avail, RING_INDEX));
    if (index == vq->state.next_avail)
        return 0;
    if ((uint16_t)(index - vq->state.next_avail) > vq->state.size)
        return break_queue(vq, "available index jumped");
    start_chain(vq, chain, load16(vq, avail_entry(vq, vq->state.next_avail)));
    rc = walk(vq, chain->head, chain);
    if (rc)
        return rc;
    chain->write_segment = chain->readable;
    vq->state.next_avail++;
    return 1;
}

void vq_unpop(struct vq *vq)
{
    vq->state.next_avail--;
}

/* ---- giving them back ---- */

void vq_push_head(struct vq *vq, uint16_t head, uint32_t written)
{
    uint8_t entry[USED_ENTRY_BYTES];
    bool ok;

    if (!vq->state.ready)
        return;
    store_le32(entry, head);
    store_le32(entry + 4, written);
    ok = gmem_write(vq->mem, used_entry(vq, vq->state.next_used), entry,
                    sizeof entry);
    assert(ok);
    (void)ok;
    vq->state.next_used++;
    /* Releases; partner: the driver's barrier between idx and ring entry. */
    store16(vq, gpa_add(vq->state.used, RING_INDEX), vq->state.next_used);
}

void vq_push(struct vq *vq, const struct vq_chain *chain)
{
    vq_push_head(vq, chain->head, (uint32_t)chain->written);
}

bool vq_needs_interrupt(struct vq *vq)
{
    uint16_t before = vq->state.signalled;
    uint16_t now = vq->state.next_used;
    uint16_t event;

    if (!vq->state.ready || before == now)
        return false;
    vq->state.signalled = now;
    /* Our idx must be visible before we look whether the driver sleeps.
     * Partner: the driver's barrier between writing used_event (or the flag)
     * and looking at idx once more. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!vq->event_idx)
        return !(load16(vq, gpa_add(vq->state.avail, RING_FLAGS)) &
                 VQ_AVAIL_NO_INTERRUPT);
    /* Whether `event` is among [before, now), virtio 1.2, 2.7.7. */
    event = load16(vq, used_event(vq));
    return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

void vq_kicks_off(struct vq *vq)
{
    /* With EVENT_IDX an old avail_event does it, until idx has gone round. */
    if (vq->state.ready && !vq->event_idx)
        store16(vq, gpa_add(vq->state.used, RING_FLAGS), VQ_USED_NO_NOTIFY);
}

bool vq_kicks_on(struct vq *vq)
{
    if (!vq->state.ready || vq->broken)
        return false;
    if (vq->event_idx)
        store16(vq, avail_event(vq), vq->state.next_avail);
    else
        store16(vq, gpa_add(vq->state.used, RING_FLAGS), 0);
    /* Our wish must be visible before we look at idx once more. Partner: the
     * driver's barrier between counting idx up and looking at the wish. */
    atomic_thread_fence(memory_order_seq_cst);
    return load16(vq, gpa_add(vq->state.avail, RING_INDEX)) !=
           vq->state.next_avail;
}

/* ---- records ---- */

void vq_save(const struct vq *vq, struct buf *to)
{
    const struct vq_state *state = &vq->state;

    wire_put_u16(to, state->size);
    wire_put_u8(to, state->ready);
    wire_put_u64(to, state->desc.v);
    wire_put_u64(to, state->avail.v);
    wire_put_u64(to, state->used.v);
    wire_put_u16(to, state->next_avail);
    wire_put_u16(to, state->next_used);
    wire_put_u16(to, state->signalled);
}

int vq_load(struct vq *vq, struct wire_reader *from, struct sm_error *err)
{
    struct vq fresh = {.mem = vq->mem, .size_max = vq->size_max};
    struct vq_state *state = &fresh.state;
    const char *wrong;
    uint8_t ready;

    state->size = wire_u16(from);
    ready = wire_u8(from);
    state->ready = ready;
    state->desc = GPA(wire_u64(from));
    state->avail = GPA(wire_u64(from));
    state->used = GPA(wire_u64(from));
    state->next_avail = wire_u16(from);
    state->next_used = wire_u16(from);
    state->signalled = wire_u16(from);
    if (!wire_ok(from) || ready > 1)
        return fail(err, SM_EIMAGE, "queue: record is damaged");
    wrong = ready ? check_place(&fresh) : NULL;
    if (wrong)
        return fail(err, SM_EIMAGE, "queue: %s", wrong);
    *vq = fresh;
    return 0;
}
