/* buf.h: a growing array of bytes that is born with its cap. */
#ifndef SM_BASE_BUF_H
#define SM_BASE_BUF_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * data[0 .. size) is filled, room for `capacity` is there, and it never grows
 * beyond `cap`. A failed growth sets `failed`, keeps what was there and makes
 * every later append fail too, so that a writer may check once at its end.
 * `no_memory` tells why: not the cap.
 */
struct buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t cap;
    bool failed;
    bool no_memory;
};

/* (cap) in bytes; no memory is taken yet. */
void buf_init(struct buf *buf, size_t cap);
void buf_done(struct buf *buf);

/* Room for (bytes) more behind the filled part; NULL if cap or memory says
 * no. The caller writes there and then calls buf_added(). */
uint8_t *buf_room(struct buf *buf, size_t bytes);
void buf_added(struct buf *buf, size_t bytes);

bool buf_append(struct buf *buf, const void *bytes, size_t count);
bool buf_print(struct buf *buf, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Drop (count) bytes from the front; (count) <= size. */
void buf_consume(struct buf *buf, size_t count);
/* What to say of a buf that failed: SM_ENOMEM, or SM_ELIMIT with its cap.
 * (what) says what is in it. */
int buf_refuse(const struct buf *buf, struct sm_error *err, const char *what);

/* Forget that it failed. */
static inline void buf_forgive(struct buf *buf)
{
    buf->failed = buf->no_memory = false;
}
static inline void buf_clear(struct buf *buf)
{
    buf->size = 0;
    buf_forgive(buf);
}

/* The content as a string (a NUL is kept behind it), owned by the caller;
 * NULL if it failed. The buffer is empty afterwards. */
char *buf_take_string(struct buf *buf);

#endif
