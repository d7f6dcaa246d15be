/* chain.c: the bytes of a request; see queue.h. Every segment was checked when
 * the chain was popped, so nothing here can miss guest memory. */
#include "devices/virtio/queue.h"

#include "base/bytes.h"

#include <assert.h>

/* A place in a part of a chain: the part ends before segment (end). */
struct cursor {
    uint16_t segment;
    uint16_t end;
    uint32_t offset;
};

/* The next piece in one segment, at most (bytes) long; move over it. */
static struct vq_segment step(const struct vq_chain *chain,
                              struct cursor *cursor, uint64_t bytes)
{
    struct vq_segment piece;
    uint32_t left;

    if (cursor->offset == chain->segment[cursor->segment].bytes) {
        cursor->segment++;
        cursor->offset = 0;
    }
    assert(cursor->segment < cursor->end);
    piece = chain->segment[cursor->segment];
    left = piece.bytes - cursor->offset;
    piece.at = gpa_add(piece.at, cursor->offset);
    piece.bytes = bytes < left ? (uint32_t)bytes : left;
    cursor->offset += piece.bytes;
    return piece;
}

static struct cursor read_cursor(const struct vq_chain *chain)
{
    return (struct cursor){chain->read_segment, chain->readable,
                           chain->read_offset};
}

static struct cursor write_cursor(const struct vq_chain *chain)
{
    return (struct cursor){chain->write_segment, chain->count,
                           chain->write_offset};
}

static void set_read_cursor(struct vq_chain *chain, const struct cursor *to,
                            uint64_t bytes)
{
    chain->read_segment = to->segment;
    chain->read_offset = to->offset;
    chain->read_left -= bytes;
}

static void set_write_cursor(struct vq_chain *chain, const struct cursor *to,
                             uint64_t bytes)
{
    chain->write_segment = to->segment;
    chain->write_offset = to->offset;
    chain->write_left -= bytes;
    chain->written += bytes;
}

static void copy_in(const struct vq_chain *chain, struct cursor *cursor,
                    const void *from, size_t bytes)
{
    const uint8_t *at = from;

    while (bytes) {
        struct vq_segment piece = step(chain, cursor, bytes);
        bool ok = gmem_write(chain->mem, piece.at, at, piece.bytes);

        assert(ok);
        (void)ok;
        at += piece.bytes;
        bytes -= piece.bytes;
    }
}

bool vq_chain_read(struct vq_chain *chain, void *to, size_t bytes)
{
    struct cursor cursor = read_cursor(chain);
    uint8_t *at = to;

    if (bytes > chain->read_left)
        return false;
    for (size_t left = bytes; left;) {
        struct vq_segment piece = step(chain, &cursor, left);
        bool ok = gmem_read(chain->mem, piece.at, at, piece.bytes);

        assert(ok);
        (void)ok;
        at += piece.bytes;
        left -= piece.bytes;
    }
    set_read_cursor(chain, &cursor, bytes);
    return true;
}

bool vq_chain_write(struct vq_chain *chain, const void *from, size_t bytes)
{
    struct cursor cursor = write_cursor(chain);

    if (bytes > chain->write_left)
        return false;
    copy_in(chain, &cursor, from, bytes);
    set_write_cursor(chain, &cursor, bytes);
    return true;
}

static void skip(const struct vq_chain *chain, struct cursor *cursor,
                 uint64_t bytes)
{
    while (bytes)
        bytes -= step(chain, cursor, bytes).bytes;
}

bool vq_chain_write_tail(struct vq_chain *chain, const void *from, size_t bytes)
{
    struct cursor cursor = write_cursor(chain);

    if (bytes > chain->write_left)
        return false;
    skip(chain, &cursor, chain->write_left - bytes);
    copy_in(chain, &cursor, from, bytes);
    chain->write_left -= bytes;
    if (!chain->write_left)
        chain->written += bytes;
    return true;
}

static unsigned spans(const struct vq_chain *chain, struct cursor cursor,
                      uint64_t bytes, struct iovec *to, unsigned max)
{
    unsigned count = 0;

    while (bytes) {
        struct vq_segment piece = step(chain, &cursor, bytes);

        if (count == max)
            return 0;
        to[count].iov_base = gmem_span(chain->mem, piece.at, piece.bytes);
        to[count++].iov_len = piece.bytes;
        bytes -= piece.bytes;
    }
    return count;
}

unsigned vq_chain_readable(const struct vq_chain *chain, uint64_t bytes,
                           struct iovec *to, unsigned max)
{
    if (bytes > chain->read_left)
        return 0;
    return spans(chain, read_cursor(chain), bytes, to, max);
}

unsigned vq_chain_writable(const struct vq_chain *chain, uint64_t bytes,
                           struct iovec *to, unsigned max)
{
    if (bytes > chain->write_left)
        return 0;
    return spans(chain, write_cursor(chain), bytes, to, max);
}

void vq_chain_consumed(struct vq_chain *chain, uint64_t bytes)
{
    struct cursor cursor = read_cursor(chain);

    assert(bytes <= chain->read_left);
    skip(chain, &cursor, bytes);
    set_read_cursor(chain, &cursor, bytes);
}

void vq_chain_wrote(struct vq_chain *chain, uint64_t bytes)
{
    struct cursor cursor = write_cursor(chain);

    assert(bytes <= chain->write_left);
    skip(chain, &cursor, bytes);
    set_write_cursor(chain, &cursor, bytes);
}
