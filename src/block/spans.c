/* spans.c: walking a list of iovecs; see spans.h. */
#include "block/spans.h"

#include <assert.h>
#include <string.h>

/* The next piece that lies in one iovec, at most (bytes) long; move over it. */
static struct iovec step(struct spans *spans, uint64_t bytes)
{
    struct iovec piece;
    size_t left;

    while (spans->count && spans->offset == spans->at[0].iov_len) {
        spans->at++;
        spans->count--;
        spans->offset = 0;
    }
    assert(spans->count);
    left = spans->at[0].iov_len - spans->offset;
    piece.iov_base = (char *)spans->at[0].iov_base + spans->offset;
    piece.iov_len = bytes < left ? (size_t)bytes : left;
    spans->offset += piece.iov_len;
    return piece;
}

unsigned spans_take(struct spans *from, uint64_t bytes, struct iovec *to)
{
    unsigned count = 0;

    while (bytes) {
        to[count] = step(from, bytes);
        bytes -= to[count++].iov_len;
    }
    return count;
}

void spans_copy_out(struct spans *from, void *to, size_t bytes)
{
    char *at = to;

    while (bytes) {
        struct iovec piece = step(from, bytes);

        memcpy(at, piece.iov_base, piece.iov_len);
        at += piece.iov_len;
        bytes -= piece.iov_len;
    }
}

void spans_copy_in(struct spans *to, const void *from, size_t bytes)
{
    const char *at = from;

    while (bytes) {
        struct iovec piece = step(to, bytes);

        memcpy(piece.iov_base, at, piece.iov_len);
        at += piece.iov_len;
        bytes -= piece.iov_len;
    }
}

void spans_zero(struct spans *to, uint64_t bytes)
{
    while (bytes) {
        struct iovec piece = step(to, bytes);

        memset(piece.iov_base, 0, piece.iov_len);
        bytes -= piece.iov_len;
    }
}
