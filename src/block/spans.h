/* spans.h: walking a list of iovecs piece by piece. */
#ifndef SM_BLOCK_SPANS_H
#define SM_BLOCK_SPANS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* A place in (count) iovecs that the caller keeps. */
struct spans {
    const struct iovec *at;
    unsigned count;
    size_t offset; /* in at[0] */
};

static inline struct spans spans_of(const struct iovec *spans, unsigned count)
{
    return (struct spans){.at = spans, .count = count};
}

/* Put the next (bytes) into (to), which has room for as many iovecs as there
 * are, and move on. Returns how many it took. There are (bytes). */
unsigned spans_take(struct spans *from, uint64_t bytes, struct iovec *to);
/* Copy the next (bytes) from, or to, the spans, and move on. */
void spans_copy_out(struct spans *from, void *to, size_t bytes);
void spans_copy_in(struct spans *to, const void *from, size_t bytes);
/* Zero the next (bytes) and move on. */
void spans_zero(struct spans *to, uint64_t bytes);

#endif
