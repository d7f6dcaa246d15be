/* wire.h: little-endian records, written and read with one check at the end.
 *
 * How it works
 *   A writer appends to a buf; once the buf is full or memory is out, `failed`
 *   sticks in the buf. A reader walks bytes that it does not own; the first
 *   read that does not fit sets `failed`, and from then on every read gives
 *   zero, an empty string or NULL. So a decoder reads all its fields and asks
 *   wire_ok() once. Strings and blobs carry a u32 length; a string may hold no
 *   NUL. Nothing is allocated by the size that a record claims.
 */
#ifndef SM_BASE_WIRE_H
#define SM_BASE_WIRE_H

#include "base/buf.h"

struct wire_reader {
    const uint8_t *at;
    size_t left;
    bool failed;
    bool no_memory; /* it failed for want of memory, not for the record */
};

void wire_put_u8(struct buf *to, uint8_t value);
void wire_put_u16(struct buf *to, uint16_t value);
void wire_put_u32(struct buf *to, uint32_t value);
void wire_put_u64(struct buf *to, uint64_t value);
/* u32 length, then the bytes. */
void wire_put_blob(struct buf *to, const void *bytes, size_t count);
/* The bytes of a C string as a blob; NULL is written as "". */
void wire_put_string(struct buf *to, const char *string);

void wire_read(struct wire_reader *from, const void *bytes, size_t count);
uint8_t wire_u8(struct wire_reader *from);
uint16_t wire_u16(struct wire_reader *from);
uint32_t wire_u32(struct wire_reader *from);
uint64_t wire_u64(struct wire_reader *from);
/* A view into the record, *count bytes long; NULL when it failed. */
const uint8_t *wire_blob(struct wire_reader *from, size_t *count);
/* A copy that the caller frees; NULL when it failed, memory is out or the
 * bytes hold a NUL. */
char *wire_string(struct wire_reader *from);
/* (count) copied bytes without a length in front. */
bool wire_bytes(struct wire_reader *from, void *to, size_t count);

/* A copy or list of the record found no memory. */
void wire_no_memory(struct wire_reader *from);
/* What to say of a record that is refused: SM_ENOMEM if memory was out, else
 * SM_EPROTO. (what) names it: "malformed (what)", "(what): out of memory". */
int wire_refuse(const struct wire_reader *from, struct sm_error *err,
                const char *what);

/* Nothing failed so far. */
static inline bool wire_ok(const struct wire_reader *from)
{
    return !from->failed;
}

/* Nothing failed and nothing is left over. */
static inline bool wire_end(const struct wire_reader *from)
{
    return !from->failed && from->left == 0;
}

#endif
