/* queue.c: bytes that wait; see queue.h. */
#include "base/queue.h"

#include <assert.h>

/* Bytes that were taken stay in front until they outnumber the rest, so the
 * buffer below is at most twice as long as what waits. */
void queue_init(struct queue *queue, size_t cap)
{
    buf_init(&queue->buf, 2 * cap);
    queue->taken = 0;
}

void queue_done(struct queue *queue)
{
    buf_done(&queue->buf);
    queue->taken = 0;
}

bool queue_put(struct queue *queue, const void *bytes, size_t count)
{
    bool done;

    if (count > queue->buf.cap / 2 - queue_count(queue))
        return false;
    done = buf_append(&queue->buf, bytes, count);
    buf_forgive(&queue->buf);
    return done;
}

void queue_drop(struct queue *queue, size_t count)
{
    assert(count <= queue_count(queue));
    queue->taken += count;
    if (queue->taken >= queue_count(queue)) {
        buf_consume(&queue->buf, queue->taken);
        queue->taken = 0;
    }
}
