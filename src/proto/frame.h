/* frame.h: messages on a byte stream: a 12-byte header, then a payload.
 *
 * How it works
 *   A frame is, little endian:
 *
 *       u32 payload bytes | u16 type | u16 flags | u32 channel | payload
 *
 *   A writer appends frames to a buf. A reader owns one buffer: the caller
 *   receives into frame_reader_room(), says how much came, and takes frames
 *   out until there is no whole one. The header of a frame is checked by the
 *   protocol's own function before room for its payload is set aside, so the
 *   other side cannot make this one allocate more than that function allows.
 */
#ifndef SM_PROTO_FRAME_H
#define SM_PROTO_FRAME_H

#include "base/buf.h"
#include "base/error.h"

enum { FRAME_HEADER_BYTES = 12 };

/* Payload points into the reader and is valid until its next call. */
struct frame {
    uint32_t count; /* bytes of payload */
    uint16_t type;
    uint16_t flags;
    uint32_t channel;
    const uint8_t *payload;
};

/* Looks at everything but the payload. Returns 0, or SM_EPROTO when such a
 * frame must not come here. */
typedef int frame_check_fn(const struct frame *frame, struct sm_error *err);

/* The header of (frame) as bytes. */
void frame_put_header(uint8_t to[FRAME_HEADER_BYTES],
                      const struct frame *frame);

/* Append header and payload. If there is no room, `failed` of (to) says so and
 * nothing of the frame stays in it; the same holds for frame_end(). */
void frame_put(struct buf *to, const struct frame *frame);

/*
 * For payloads that are written field by field: frame_begin() appends a
 * header and returns its place, frame_end() fills in the payload's length.
 */
size_t frame_begin(struct buf *to, uint16_t type, uint32_t channel);
void frame_end(struct buf *to, size_t begin);

struct frame_reader {
    struct buf in; /* bytes that came          */
    size_t taken;  /* of these, already frames */
    size_t chunk;  /* room asked for at once   */
    frame_check_fn *check;
};

/* (chunk): bytes to receive at once; (cap): the longest frame that (check)
 * lets through, header included; raised to (chunk) where it is smaller. */
void frame_reader_init(struct frame_reader *reader, size_t chunk, size_t cap,
                       frame_check_fn *check);
void frame_reader_done(struct frame_reader *reader);

/* Where the next bytes go, and for how many there is room: at least one. NULL
 * if memory is out. Call it only after frame_reader_next() returned 0. */
uint8_t *frame_reader_room(struct frame_reader *reader, size_t *room);
void frame_reader_added(struct frame_reader *reader, size_t count);

/* Returns 1 and the next frame, 0 if there is no whole one yet, or what the
 * check said; after an error the stream is of no use any more. */
int frame_reader_next(struct frame_reader *reader, struct frame *ret,
                      struct sm_error *err);

#endif
