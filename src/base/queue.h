/* queue.h: bytes that wait, first in, first out, with a cap.
 *
 * Taking from the front moves nothing; the rest is moved down only when more
 * was taken than is left, so that every byte is copied at most once more.
 */
#ifndef SM_BASE_QUEUE_H
#define SM_BASE_QUEUE_H

#include "base/buf.h"

struct queue {
    struct buf buf;
    size_t taken; /* bytes at the front of buf that are gone */
};

/* At most (cap) bytes wait; no memory is taken yet. */
void queue_init(struct queue *queue, size_t cap);
void queue_done(struct queue *queue);

/* False, and nothing is put, beyond the cap or without memory. */
bool queue_put(struct queue *queue, const void *bytes, size_t count);

static inline size_t queue_count(const struct queue *queue)
{
    return queue->buf.size - queue->taken;
}

/* The first of queue_count() bytes, in one piece. */
static inline const uint8_t *queue_front(const struct queue *queue)
{
    return queue->buf.data + queue->taken;
}

/* (count) <= queue_count(). */
void queue_drop(struct queue *queue, size_t count);

#endif
