/* pax_write.c: entries into a stream; see pax.h. */
#include "files/pax.h"

#include "base/bytes.h"
#include "base/wire.h"

#include <stdio.h>
#include <stdlib.h>

/* What the octal fields hold: owners and parts of device numbers, sizes,
 * times. */
enum { ID_MAX = 07777777 };
#define SIZE_MAX_OCTAL UINT64_C(077777777777)
#define TIME_MAX_OCTAL INT64_C(077777777777)

uint32_t pax_checksum(const struct pax_header *header)
{
    const uint8_t *bytes = (const uint8_t *)header;
    size_t from = offsetof(struct pax_header, checksum);
    uint32_t sum = 0;

    for (size_t i = 0; i < PAX_RECORD; i++)
        sum += i >= from && i < from + sizeof header->checksum ? ' ' : bytes[i];
    return sum;
}

int pax_writer_init(struct pax_writer *writer, const struct pax_output *to,
                    struct sm_error *err)
{
    *writer = (struct pax_writer){.to = *to, .bytes = malloc(PAX_BUFFER)};
    buf_init(&writer->extra, PAX_EXTRA_MAX);
    return writer->bytes ? 0 : fail(err, SM_ENOMEM, "tar: out of memory");
}

void pax_writer_done(struct pax_writer *writer)
{
    free(writer->bytes);
    buf_done(&writer->extra);
}

static int flush(struct pax_writer *writer, struct sm_error *err)
{
    size_t count = writer->used;

    writer->used = 0;
    return count
               ? writer->to.write(writer->to.context, writer->bytes, count, err)
               : 0;
}

static int put_bytes(struct pax_writer *writer, const void *bytes, size_t count,
                     struct sm_error *err)
{
    const uint8_t *from = bytes;
    int rc = 0;

    while (!rc && count > 0) {
        size_t some = min_u64(count, PAX_BUFFER - writer->used);

        memcpy(writer->bytes + writer->used, from, some);
        writer->used += some;
        from += some;
        count -= some;
        if (writer->used == PAX_BUFFER)
            rc = flush(writer, err);
    }
    return rc;
}

static size_t padding_of(uint64_t count)
{
    return (size_t)(align_up(count, PAX_RECORD) - count);
}

static int put_padding(struct pax_writer *writer, size_t count,
                       struct sm_error *err)
{
    static const uint8_t zeros[2 * PAX_RECORD];

    return put_bytes(writer, zeros, count, err);
}

/* ---- extra records ---- */

/* A record counts its own length, digits included. */
static size_t record_length(size_t rest)
{
    size_t digits = 1;

    for (size_t limit = 10; rest + digits >= limit; limit *= 10)
        digits++;
    return rest + digits;
}

static void add_record(struct buf *extra, const char *key, const char *name,
                       const void *value, size_t count)
{
    size_t rest = 1 + strlen(key) + strlen(name) + 1 + count + 1;

    buf_print(extra, "%zu %s%s=", record_length(rest), key, name);
    buf_append(extra, value, count);
    buf_append(extra, "\n", 1);
}

static void add_text(struct buf *extra, const char *key, const char *text)
{
    add_record(extra, key, "", text, strlen(text));
}

static void add_number(struct buf *extra, const char *key, uint64_t number)
{
    char text[32];

    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    add_text(extra, key, text);
}

/* Seconds and their fraction; before 1970 the fraction goes the other way:
 * -1 s and 750 ms is "-0.25". */
static void add_time(struct buf *extra, int64_t seconds, uint32_t ns)
{
    uint64_t whole = (uint64_t)seconds;
    char text[48];

    if (seconds < 0) {
        whole = 0 - whole - (ns > 0);
        ns = ns > 0 ? (uint32_t)NS_PER_S - ns : 0;
    }
    snprintf(text, sizeof text, "%s%llu.%09u", seconds < 0 ? "-" : "",
             (unsigned long long)whole, ns);
    add_text(extra, "mtime", text);
}

static void add_xattrs(struct buf *extra, const struct pax_entry *entry)
{
    struct wire_reader from;

    wire_read(&from, entry->xattrs, entry->xattrs_count);
    while (from.left > 0 && wire_ok(&from)) {
        char *name = wire_string(&from);
        size_t count = 0;
        const uint8_t *value = wire_blob(&from, &count);

        if (!name || !value)
            extra->failed = true;
        else
            add_record(extra, "SCHILY.xattr.", name, value, count);
        free(name);
    }
}

static void add_extra(struct buf *extra, const struct pax_entry *entry,
                      uint64_t stored)
{
    if (entry->pieces) {
        add_text(extra, "GNU.sparse.major", "1");
        add_text(extra, "GNU.sparse.minor", "0");
        add_text(extra, "GNU.sparse.name", entry->name);
        add_number(extra, "GNU.sparse.realsize", entry->size);
    } else if (strlen(entry->name) > sizeof((struct pax_header *)0)->name) {
        add_text(extra, "path", entry->name);
    }
    if (strlen(entry->link) > sizeof((struct pax_header *)0)->link)
        add_text(extra, "linkpath", entry->link);
    if (stored > SIZE_MAX_OCTAL)
        add_number(extra, "size", stored);
    if (entry->uid > ID_MAX)
        add_number(extra, "uid", entry->uid);
    if (entry->gid > ID_MAX)
        add_number(extra, "gid", entry->gid);
    if (entry->major > ID_MAX)
        add_number(extra, "SCHILY.devmajor", entry->major);
    if (entry->minor > ID_MAX)
        add_number(extra, "SCHILY.devminor", entry->minor);
    if (entry->mtime_ns || entry->mtime_s < 0 ||
        entry->mtime_s > TIME_MAX_OCTAL)
        add_time(extra, entry->mtime_s, entry->mtime_ns);
    add_xattrs(extra, entry);
}

/* ---- headers ---- */

/* (size) - 1 octal digits and a NUL; what does not fit stands in an extra
 * record. */
static void put_octal(char *to, size_t size, uint64_t value)
{
    to[--size] = '\0';
    while (size > 0) {
        to[--size] = (char)('0' + (value & 7));
        value >>= 3;
    }
}

/* As much as there is room for, without a NUL where it just fits. */
static void put_text(char *to, size_t size, const char *text)
{
    memcpy(to, text, strnlen(text, size));
}

static int put_header(struct pax_writer *writer, const struct pax_entry *entry,
                      char type, uint64_t stored, struct sm_error *err)
{
    struct pax_header header = {.magic = "ustar", .version = {'0', '0'}};

    put_text(header.name, sizeof header.name, entry->name);
    put_text(header.link, sizeof header.link, entry->link);
    put_octal(header.mode, sizeof header.mode, entry->mode);
    put_octal(header.uid, sizeof header.uid, min_u64(entry->uid, ID_MAX));
    put_octal(header.gid, sizeof header.gid, min_u64(entry->gid, ID_MAX));
    put_octal(header.size, sizeof header.size, min_u64(stored, SIZE_MAX_OCTAL));
    put_octal(header.mtime, sizeof header.mtime,
              entry->mtime_s < 0
                  ? 0
                  : min_u64((uint64_t)entry->mtime_s, TIME_MAX_OCTAL));
    put_octal(header.major, sizeof header.major, min_u64(entry->major, ID_MAX));
    put_octal(header.minor, sizeof header.minor, min_u64(entry->minor, ID_MAX));
    header.type = type;
    put_octal(header.checksum, sizeof header.checksum - 1,
              pax_checksum(&header));
    header.checksum[7] = ' ';
    return put_bytes(writer, &header, sizeof header, err);
}

/* Where the data is, as the first part of the content; filled up to a record.
 * Takes the place of the extra records, which have been written. */
static void make_map(struct buf *map, const struct pax_entry *entry)
{
    buf_clear(map);
    buf_print(map, "%zu\n", entry->piece_count);
    for (size_t i = 0; i < entry->piece_count; i++)
        buf_print(map, "%llu\n%llu\n",
                  (unsigned long long)entry->pieces[i].offset,
                  (unsigned long long)entry->pieces[i].count);
}

static uint64_t data_of(const struct pax_entry *entry)
{
    uint64_t sum = 0;

    if (entry->type != PAX_FILE)
        return 0;
    if (!entry->pieces)
        return entry->size;
    for (size_t i = 0; i < entry->piece_count; i++)
        sum += entry->pieces[i].count;
    return sum;
}

static int put_extra(struct pax_writer *writer, const struct pax_entry *entry,
                     uint64_t stored, struct sm_error *err)
{
    const struct pax_entry extra = {.mode = 0644,
                                    .mtime_s =
                                        entry->mtime_s < 0 ? 0 : entry->mtime_s,
                                    .name = "PaxHeader",
                                    .link = ""};
    size_t count;
    int rc;

    buf_clear(&writer->extra);
    add_extra(&writer->extra, entry, stored);
    if (writer->extra.failed)
        return fail(err, SM_ELIMIT,
                    "%s: its extended attributes and names take more than %d "
                    "bytes",
                    entry->name, PAX_EXTRA_MAX);
    count = writer->extra.size;
    if (count == 0)
        return 0;
    rc = put_header(writer, &extra, 'x', count, err);
    if (!rc)
        rc = put_bytes(writer, writer->extra.data, count, err);
    return rc ? rc : put_padding(writer, padding_of(count), err);
}

int pax_put(struct pax_writer *writer, const struct pax_entry *entry,
            bool content, struct sm_error *err)
{
    uint64_t data = data_of(entry);
    struct buf map;
    size_t map_bytes;
    int rc;

    buf_init(&map, 48 * (PAX_PIECES_MAX + 1));
    if (entry->pieces)
        make_map(&map, entry);
    map_bytes = map.size + padding_of(map.size);
    rc = map.failed ? fail(err, SM_ENOMEM, "%s: out of memory", entry->name)
                    : put_extra(writer, entry, map_bytes + data, err);
    if (!rc)
        rc =
            put_header(writer, entry, (char)entry->type, map_bytes + data, err);
    if (!rc && content) {
        rc = put_bytes(writer, map.data, map.size, err);
        if (!rc)
            rc = put_padding(writer, padding_of(map.size), err);
        writer->left = data;
        writer->padding = padding_of(data);
    }
    buf_done(&map);
    return rc;
}

uint8_t *pax_room(struct pax_writer *writer, size_t *room)
{
    *room = min_u64(writer->left, PAX_BUFFER - writer->used);
    return writer->bytes + writer->used;
}

int pax_added(struct pax_writer *writer, size_t count, struct sm_error *err)
{
    int rc = 0;

    writer->used += count;
    writer->left -= count;
    if (writer->used == PAX_BUFFER)
        rc = flush(writer, err);
    if (!rc && writer->left == 0) {
        rc = put_padding(writer, writer->padding, err);
        writer->padding = 0;
    }
    return rc;
}

int pax_put_end(struct pax_writer *writer, struct sm_error *err)
{
    int rc = put_padding(writer, 2 * PAX_RECORD, err);

    return rc ? rc : flush(writer, err);
}
