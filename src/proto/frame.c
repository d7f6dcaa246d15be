/* frame.c: messages on a byte stream; see frame.h. */
#include "proto/frame.h"

#include "base/bytes.h"

#include <assert.h>

void frame_put_header(uint8_t to[FRAME_HEADER_BYTES], const struct frame *frame)
{
    store_le32(to, frame->count);
    store_le16(to + 4, frame->type);
    store_le16(to + 6, frame->flags);
    store_le32(to + 8, frame->channel);
}

void frame_put(struct buf *to, const struct frame *frame)
{
    uint8_t header[FRAME_HEADER_BYTES];

    size_t begin = to->size;

    frame_put_header(header, frame);
    buf_append(to, header, sizeof header);
    if (!buf_append(to, frame->payload, frame->count))
        to->size = begin;
}

size_t frame_begin(struct buf *to, uint16_t type, uint32_t channel)
{
    size_t begin = to->size;

    frame_put(to, &(struct frame){.type = type, .channel = channel});
    return begin;
}

void frame_end(struct buf *to, size_t begin)
{
    if (to->failed)
        to->size = begin;
    else
        store_le32(to->data + begin,
                   (uint32_t)(to->size - begin - FRAME_HEADER_BYTES));
}

void frame_reader_init(struct frame_reader *reader, size_t chunk, size_t cap,
                       frame_check_fn *check)
{
    *reader = (struct frame_reader){.chunk = chunk, .check = check};
    /* A whole frame but for its last byte, and then a chunk. */
    buf_init(&reader->in, cap + chunk);
}

void frame_reader_done(struct frame_reader *reader)
{
    buf_done(&reader->in);
}

static void read_header(struct frame *ret, const uint8_t *bytes)
{
    *ret = (struct frame){
        .count = load_le32(bytes),
        .type = load_le16(bytes + 4),
        .flags = load_le16(bytes + 6),
        .channel = load_le32(bytes + 8),
        .payload = bytes + FRAME_HEADER_BYTES,
    };
}

uint8_t *frame_reader_room(struct frame_reader *reader, size_t *room)
{
    struct buf *in = &reader->in;
    size_t wanted = reader->chunk;
    uint8_t *at;

    buf_consume(in, reader->taken);
    reader->taken = 0;
    /* A rare long frame does not keep its memory. */
    if (in->size == 0 && in->capacity > 4 * reader->chunk)
        buf_done(in);
    if (in->size >= FRAME_HEADER_BYTES) {
        struct frame frame;
        size_t missing;

        read_header(&frame, in->data);
        missing = FRAME_HEADER_BYTES + (size_t)frame.count - in->size;
        if (missing > wanted)
            wanted = missing;
    }
    at = buf_room(in, wanted);
    *room = at ? in->capacity - in->size : 0;
    return at;
}

void frame_reader_added(struct frame_reader *reader, size_t count)
{
    buf_added(&reader->in, count);
}

int frame_reader_next(struct frame_reader *reader, struct frame *ret,
                      struct sm_error *err)
{
    size_t left = reader->in.size - reader->taken;
    int rc;

    if (left < FRAME_HEADER_BYTES)
        return 0;
    read_header(ret, reader->in.data + reader->taken);
    rc = reader->check(ret, err);
    if (rc)
        return rc;
    assert(ret->count <= reader->in.cap - FRAME_HEADER_BYTES);
    if (left - FRAME_HEADER_BYTES < ret->count)
        return 0;
    reader->taken += FRAME_HEADER_BYTES + (size_t)ret->count;
    return 1;
}
