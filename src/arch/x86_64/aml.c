/* aml.c: ACPI machine language; see aml.h. Numbers in comments are sections of
 * ACPI 6.4. */
#include "arch/x86_64/aml.h"

#include "base/bytes.h"
#include "base/wire.h"

#include <assert.h>

enum {
    /* 20.2: opcodes */
    OP_ZERO = 0x00,
    OP_ONE = 0x01,
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_METHOD = 0x14,
    OP_DUAL_NAME = 0x2e,
    OP_EXTENDED = 0x5b,
    OP_EXTENDED_DEVICE = 0x82,
    OP_NOTIFY = 0x86,
    /* 6.4: resource descriptors */
    RESOURCE_PORTS = 0x47,
    RESOURCE_END = 0x79,
    RESOURCE_MEMORY32 = 0x86,
    RESOURCE_INTERRUPT = 0x89,
    LENGTH_BYTES = 3,
    SEGMENT_CHARS = 4
};

/* Room for a length (20.2.4), to be filled in by aml_close(). */
static size_t open_length(struct buf *to)
{
    static const uint8_t room[LENGTH_BYTES];
    size_t at = to->size;

    buf_append(to, room, sizeof room);
    return at;
}

void aml_close(struct buf *to, size_t open)
{
    size_t length = to->size - open;

    if (to->failed)
        return;
    assert(length < 1 << 20);
    /* Two bytes follow; four bits are in the first. */
    to->data[open] = (uint8_t)(2 << 6 | (length & 15));
    store_le16(to->data + open + 1, (uint16_t)(length >> 4));
}

static void put_segment(struct buf *to, const char *name, size_t length)
{
    char segment[SEGMENT_CHARS] = {'_', '_', '_', '_'};

    assert(length > 0 && length <= SEGMENT_CHARS);
    memcpy(segment, name, length);
    buf_append(to, segment, sizeof segment);
}

/* 20.2.2: one segment, or two with a dot between them. */
static void put_name(struct buf *to, const char *name)
{
    const char *dot;

    if (*name == '\\')
        wire_put_u8(to, (uint8_t)*name++);
    dot = strchr(name, '.');
    if (dot) {
        wire_put_u8(to, OP_DUAL_NAME);
        put_segment(to, name, (size_t)(dot - name));
        name = dot + 1;
    }
    put_segment(to, name, strlen(name));
}

size_t aml_scope_open(struct buf *to, const char *name)
{
    size_t open;

    wire_put_u8(to, OP_SCOPE);
    open = open_length(to);
    put_name(to, name);
    return open;
}

size_t aml_device_open(struct buf *to, const char *name)
{
    size_t open;

    wire_put_u8(to, OP_EXTENDED);
    wire_put_u8(to, OP_EXTENDED_DEVICE);
    open = open_length(to);
    put_name(to, name);
    return open;
}

size_t aml_method_open(struct buf *to, const char *name, unsigned arguments,
                       bool serialized)
{
    size_t open;

    wire_put_u8(to, OP_METHOD);
    open = open_length(to);
    put_name(to, name);
    wire_put_u8(to, (uint8_t)(arguments | (serialized ? 8u : 0)));
    return open;
}

size_t aml_package_open(struct buf *to, uint8_t elements)
{
    size_t open;

    wire_put_u8(to, OP_PACKAGE);
    open = open_length(to);
    wire_put_u8(to, elements);
    return open;
}

/* A buffer (20.2.5.4) whose size is a word that the end fills in. */
size_t aml_resources_open(struct buf *to)
{
    size_t open;

    wire_put_u8(to, OP_BUFFER);
    open = open_length(to);
    wire_put_u8(to, OP_WORD);
    wire_put_u16(to, 0);
    return open;
}

void aml_resources_close(struct buf *to, size_t open)
{
    size_t size_at = open + LENGTH_BYTES + 1;

    wire_put_u8(to, RESOURCE_END);
    wire_put_u8(to, 0); /* checksum: 0 counts as right (6.4.2.9) */
    if (!to->failed)
        store_le16(to->data + size_at, (uint16_t)(to->size - size_at - 2));
    aml_close(to, open);
}

void aml_name(struct buf *to, const char *name)
{
    wire_put_u8(to, OP_NAME);
    put_name(to, name);
}

void aml_integer(struct buf *to, uint32_t value)
{
    if (value <= 1) {
        wire_put_u8(to, value ? OP_ONE : OP_ZERO);
    } else if (value <= UINT8_MAX) {
        wire_put_u8(to, OP_BYTE);
        wire_put_u8(to, (uint8_t)value);
    } else if (value <= UINT16_MAX) {
        wire_put_u8(to, OP_WORD);
        wire_put_u16(to, (uint16_t)value);
    } else {
        wire_put_u8(to, OP_DWORD);
        wire_put_u32(to, value);
    }
}

void aml_string(struct buf *to, const char *string)
{
    wire_put_u8(to, OP_STRING);
    buf_append(to, string, strlen(string) + 1);
}

/* Three letters of five bits and four hex digits, big-endian (19.3.4). */
void aml_eisa_id(struct buf *to, const char *id)
{
    uint32_t value = 0;

    assert(strlen(id) == 7);
    for (unsigned i = 0; i < 3; i++)
        value = value << 5 | (uint32_t)(id[i] - 0x40);
    for (unsigned i = 3; i < 7; i++)
        value = value << 4 |
                (uint32_t)(id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10);
    wire_put_u8(to, OP_DWORD);
    wire_put_u32(to, __builtin_bswap32(value));
}

void aml_notify(struct buf *to, const char *object, uint8_t value)
{
    wire_put_u8(to, OP_NOTIFY);
    put_name(to, object);
    aml_integer(to, value);
}

/* 6.4.3.4 */
void aml_memory(struct buf *to, uint32_t at, uint32_t bytes)
{
    wire_put_u8(to, RESOURCE_MEMORY32);
    wire_put_u16(to, 9);
    wire_put_u8(to, 1); /* writable */
    wire_put_u32(to, at);
    wire_put_u32(to, bytes);
}

/* 6.4.2.5 */
void aml_ports(struct buf *to, uint16_t port, uint8_t count)
{
    wire_put_u8(to, RESOURCE_PORTS);
    wire_put_u8(to, 1); /* all 16 address bits count */
    wire_put_u16(to, port);
    wire_put_u16(to, port);
    wire_put_u8(to, 1); /* alignment */
    wire_put_u8(to, count);
}

/* 6.4.3.6 */
void aml_interrupt(struct buf *to, uint32_t gsi)
{
    wire_put_u8(to, RESOURCE_INTERRUPT);
    wire_put_u16(to, 6);
    wire_put_u8(to, 0x03); /* the device consumes it; edge */
    wire_put_u8(to, 1);    /* one interrupt */
    wire_put_u32(to, gsi);
}
