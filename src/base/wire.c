/* wire.c: little-endian records; see wire.h. */
#include "base/wire.h"

#include "base/bytes.h"

#include <stdlib.h>

void wire_put_u8(struct buf *to, uint8_t value)
{
    buf_append(to, &value, sizeof value);
}

void wire_put_u16(struct buf *to, uint16_t value)
{
    uint8_t bytes[2];

    store_le16(bytes, value);
    buf_append(to, bytes, sizeof bytes);
}

void wire_put_u32(struct buf *to, uint32_t value)
{
    uint8_t bytes[4];

    store_le32(bytes, value);
    buf_append(to, bytes, sizeof bytes);
}

void wire_put_u64(struct buf *to, uint64_t value)
{
    uint8_t bytes[8];

    store_le64(bytes, value);
    buf_append(to, bytes, sizeof bytes);
}

void wire_put_blob(struct buf *to, const void *bytes, size_t count)
{
    if (count > UINT32_MAX) {
        to->failed = true;
        return;
    }
    wire_put_u32(to, (uint32_t)count);
    buf_append(to, bytes, count);
}

void wire_put_string(struct buf *to, const char *string)
{
    wire_put_blob(to, string, string ? strlen(string) : 0);
}

void wire_read(struct wire_reader *from, const void *bytes, size_t count)
{
    *from = (struct wire_reader){.at = bytes, .left = count};
}

/* The next (count) bytes, or NULL and failed. */
static const uint8_t *take(struct wire_reader *from, size_t count)
{
    const uint8_t *at = from->at;

    if (from->failed || count > from->left) {
        from->failed = true;
        return NULL;
    }
    from->at += count;
    from->left -= count;
    return at;
}

uint8_t wire_u8(struct wire_reader *from)
{
    const uint8_t *at = take(from, 1);

    return at ? *at : 0;
}

uint16_t wire_u16(struct wire_reader *from)
{
    const uint8_t *at = take(from, 2);

    return at ? load_le16(at) : 0;
}

uint32_t wire_u32(struct wire_reader *from)
{
    const uint8_t *at = take(from, 4);

    return at ? load_le32(at) : 0;
}

uint64_t wire_u64(struct wire_reader *from)
{
    const uint8_t *at = take(from, 8);

    return at ? load_le64(at) : 0;
}

const uint8_t *wire_blob(struct wire_reader *from, size_t *count)
{
    uint32_t length = wire_u32(from);
    const uint8_t *at = take(from, length);

    *count = at ? length : 0;
    return at;
}

char *wire_string(struct wire_reader *from)
{
    size_t count;
    const uint8_t *at = wire_blob(from, &count);
    char *string;

    if (!at)
        return NULL;
    if (memchr(at, 0, count)) {
        from->failed = true;
        return NULL;
    }
    string = malloc(count + 1);
    if (!string) {
        wire_no_memory(from);
        return NULL;
    }
    memcpy(string, at, count);
    string[count] = '\0';
    return string;
}

void wire_no_memory(struct wire_reader *from)
{
    from->failed = from->no_memory = true;
}

int wire_refuse(const struct wire_reader *from, struct sm_error *err,
                const char *what)
{
    if (from->no_memory)
        return fail(err, SM_ENOMEM, "%s: out of memory", what);
    return fail(err, SM_EPROTO, "malformed %s", what);
}

bool wire_bytes(struct wire_reader *from, void *to, size_t count)
{
    const uint8_t *at = take(from, count);

    if (at)
        memcpy(to, at, count);
    else
        memset(to, 0, count);
    return at != NULL;
}
