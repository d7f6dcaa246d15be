/* virtio_queue.c: fuzzes the queue reader, while memory changes under it. */
#include "virtio_input.h"

#include "base/bytes.h"

#include <stdlib.h>

enum { MEMORY_AT = 0x10000, MEMORY_BYTES = 0x10000, RINGS_BYTES = 2048 };

/* A chain that was handed out must be what queue.h promises. */
static void check(const struct gmem *mem, const struct vq_chain *chain)
{
    uint64_t readable = 0;
    uint64_t writable = 0;

    if (chain->count > VQ_SEGMENTS_MAX || chain->readable > chain->count)
        abort();
    for (unsigned i = 0; i < chain->count; i++) {
        const struct vq_segment *segment = &chain->segment[i];

        if (!segment->bytes || !gmem_valid(mem, segment->at, segment->bytes))
            abort();
        *(i < chain->readable ? &readable : &writable) += segment->bytes;
    }
    if (readable != chain->read_left || writable != chain->write_left ||
        readable + writable > UINT32_MAX)
        abort();
}

/* Read and write the chain's bytes in pieces. */
static void use(struct fuzz_input *input, struct vq_chain *chain)
{
    static uint8_t bytes[4096];
    struct iovec span[VQ_SEGMENTS_MAX];

    for (int i = 0; i < 8; i++) {
        size_t count = fuzz_u16(input) % sizeof bytes;
        unsigned spans;

        switch (fuzz_u8(input) % 5) {
        case 0:
            (void)vq_chain_read(chain, bytes, count);
            break;
        case 1:
            (void)vq_chain_write(chain, bytes, count);
            break;
        case 2:
            (void)vq_chain_write_tail(chain, bytes, count % 4);
            break;
        case 3:
            spans = vq_chain_writable(chain, count, span, VQ_SEGMENTS_MAX);
            for (unsigned s = 0; s < spans; s++)
                memset(span[s].iov_base, 0xa5, span[s].iov_len);
            if (spans)
                vq_chain_wrote(chain, count);
            break;
        default:
            spans = vq_chain_readable(chain, count, span, fuzz_u8(input));
            for (unsigned s = 0; s < spans; s++)
                memcpy(bytes, span[s].iov_base,
                       min_u64(span[s].iov_len, sizeof bytes));
            if (spans)
                vq_chain_consumed(chain, count);
            break;
        }
    }
}

/* Rings as a good driver would have filled them, then a few changes. */
static void fill_rings(struct fuzz_input *input, const struct vq *vq,
                       const struct gmem *mem)
{
    struct driver driver = {.mem = *mem};

    for (uint16_t i = 0; i < vq->state.size; i++) {
        struct driver_buffer buffer = {
            .at = GPA(MEMORY_AT + 4096 + 128u * i),
            .bytes = 128,
            .write = i & 1,
        };
        uint8_t head[2];

        driver_describe(&driver, vq->state.desc, i, &buffer,
                        i & 1 ? 0 : VQ_DESC_NEXT, (uint16_t)(i + 1));
        store_le16(head, i & 0xfe);
        (void)gmem_write(mem, gpa_add(vq->state.avail, 4 + 2u * i), head,
                         sizeof head);
    }
    for (unsigned i = fuzz_u8(input) % 32; i; i--) {
        uint8_t bytes[8];
        uint16_t at = fuzz_u16(input) % (RINGS_BYTES - 8);

        fuzz_bytes(input, bytes, sizeof bytes);
        (void)gmem_write(mem, GPA(MEMORY_AT + at), bytes, sizeof bytes);
    }
}

/* Let idx be (count) ahead of what was popped. */
static void offer(const struct vq *vq, const struct gmem *mem, uint16_t count)
{
    (void)gmem_store16(mem, gpa_add(vq->state.avail, 2),
                       (uint16_t)(vq->state.next_avail + count));
}

static void run(struct fuzz_input *input, struct gmem *mem)
{
    struct vq_chain chain;
    struct vq vq;
    int popped;

    vq_init(&vq, mem, 64);
    vq.state.size = (uint16_t)(1u << fuzz_u8(input) % 7);
    vq.state.desc = GPA(MEMORY_AT);
    vq.state.avail = GPA(MEMORY_AT + 1024);
    vq.state.used = GPA(MEMORY_AT + 1200 + fuzz_u8(input) % 64);
    vq.event_idx = fuzz_u8(input) & 1;
    vq.indirect = fuzz_u8(input) & 1;
    if (vq_start(&vq, NULL) != 0)
        return;
    vq.state.next_avail = fuzz_u16(input);
    vq.state.next_used = vq.state.signalled = fuzz_u16(input);
    fill_rings(input, &vq, mem);
    offer(&vq, mem, fuzz_u8(input) % 80);
    fuzz_race(input, mem, GPA(MEMORY_AT), RINGS_BYTES);
    for (int i = 0; i < 200 && input->left; i++) {
        popped = vq_pop(&vq, &chain);
        if (popped < 0) {
            if (!vq.broken || vq_pop(&vq, &chain) != SM_EGUEST)
                abort();
            break;
        }
        if (!popped) {
            (void)vq_kicks_on(&vq);
            vq_kicks_off(&vq);
            offer(&vq, mem, fuzz_u8(input) % 80);
            continue;
        }
        check(mem, &chain);
        if (fuzz_u8(input) % 8 == 0) {
            vq_unpop(&vq);
            continue;
        }
        use(input, &chain);
        vq_push(&vq, &chain);
        (void)vq_needs_interrupt(&vq);
    }
    fuzz_race(NULL, NULL, GPA(0), 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct fuzz_input input = {bytes, count};
    /* On the heap, so that ASan guards both ends. */
    uint8_t *host = calloc(1, MEMORY_BYTES);
    struct gmem mem;

    if (!host)
        abort();
    gmem_init(&mem);
    if (gmem_add_host(&mem, GPA(MEMORY_AT), MEMORY_BYTES, host, NULL) != 0)
        abort();
    run(&input, &mem);
    gmem_done(&mem);
    free(host);
    return 0;
}
