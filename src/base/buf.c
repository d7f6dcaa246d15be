/* buf.c: a growing array of bytes; see buf.h. */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *buf, size_t cap)
{
    *buf = (struct buf){.cap = cap};
}

void buf_done(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){.cap = buf->cap};
}

static size_t next_capacity(const struct buf *buf, size_t wanted)
{
    size_t next = buf->capacity ? buf->capacity : 256;

    while (next < wanted && next <= buf->cap / 2)
        next *= 2;
    return next < wanted || next > buf->cap ? buf->cap : next;
}

uint8_t *buf_room(struct buf *buf, size_t bytes)
{
    if (buf->failed || bytes > buf->cap - buf->size) {
        buf->failed = true;
        return NULL;
    }
    if (buf->size + bytes > buf->capacity || !buf->data) {
        size_t capacity = next_capacity(buf, buf->size + bytes);
        uint8_t *data = realloc(buf->data, capacity ? capacity : 1);

        if (!data) {
            buf->failed = buf->no_memory = true;
            return NULL;
        }
        buf->data = data;
        buf->capacity = capacity;
    }
    return buf->data + buf->size;
}

void buf_added(struct buf *buf, size_t bytes)
{
    assert(bytes <= buf->capacity - buf->size);
    buf->size += bytes;
}

bool buf_append(struct buf *buf, const void *bytes, size_t count)
{
    uint8_t *room = buf_room(buf, count);

    if (!room)
        return false;
    if (count)
        memcpy(room, bytes, count);
    buf->size += count;
    return true;
}

bool buf_print(struct buf *buf, const char *fmt, ...)
{
    va_list ap;
    va_list again;
    uint8_t *room;
    int length;

    va_start(ap, fmt);
    va_copy(again, ap);
    length = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    room = length < 0 ? NULL : buf_room(buf, (size_t)length + 1);
    if (room) {
        vsnprintf((char *)room, (size_t)length + 1, fmt, again);
        buf->size += (size_t)length;
    } else {
        buf->failed = true;
    }
    va_end(again);
    return room != NULL;
}

int buf_refuse(const struct buf *buf, struct sm_error *err, const char *what)
{
    if (buf->no_memory)
        return fail(err, SM_ENOMEM, "%s: out of memory", what);
    return fail(err, SM_ELIMIT, "%s: more than %zu bytes", what, buf->cap);
}

void buf_consume(struct buf *buf, size_t count)
{
    assert(count <= buf->size);
    if (!count)
        return;
    memmove(buf->data, buf->data + count, buf->size - count);
    buf->size -= count;
}

char *buf_take_string(struct buf *buf)
{
    char *string;

    if (!buf_append(buf, "", 1)) {
        buf_done(buf);
        return NULL;
    }
    string = (char *)buf->data;
    buf->data = NULL;
    buf_done(buf);
    return string;
}
