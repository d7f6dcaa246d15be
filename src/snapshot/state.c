/* state.c: the state file of a snapshot; see snapshot.h, docs/FORMAT.md. */
#include "base/bytes.h"
#include "base/own.h"
#include "platform/file.h"
#include "snapshot/inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAGIC_BYTES = 8,
    HEADER_BYTES = 24, /* magic, version, checksum, bytes behind it */
    LENGTH_BYTES = 4,  /* in front of a blob                        */
    RANGE_BYTES = 16,
    /* All in front of the machine's record. */
    HEAD_BYTES_MAX = HEADER_BYTES + 3 * LENGTH_BYTES + SNAPSHOT_LABEL_MAX +
                     GMEM_RANGES_MAX * RANGE_BYTES,
    STATE_BYTES_MAX = HEAD_BYTES_MAX + STATE_MACHINE_MAX
};

static const char magic[MAGIC_BYTES] = {'S', 'M', 'S', 'T', 'A', 'T', 'E', 0};

/* CRC-32 as in IEEE 802.3, by halves of a byte: a state is a few KiB. (before)
 * is that of the bytes in front of these, 0 if there are none. */
static uint32_t checksum(uint32_t before, const uint8_t *bytes, size_t count)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = ~before;

    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* ---- writing ---- */

/* The length of a blob. Returns what comes behind it. */
static uint8_t *put_length(uint8_t *to, size_t count)
{
    store_le32(to, (uint32_t)count);
    return to + LENGTH_BYTES;
}

/* All in front of the record's bytes, but not what counts them. Returns its
 * end. */
static uint8_t *put_head(uint8_t *head, const struct state_content *content)
{
    size_t label_count = strlen(content->label);
    uint8_t *to = put_length(head + HEADER_BYTES, label_count);

    memcpy(to, content->label, label_count);
    to = put_length(to + label_count, content->range_count * RANGE_BYTES);
    for (size_t i = 0; i < content->range_count; i++, to += RANGE_BYTES) {
        store_le64(to, content->range[i].at);
        store_le64(to + 8, content->range[i].bytes);
    }
    memcpy(head, magic, MAGIC_BYTES);
    store_le32(head + 8, SNAPSHOT_VERSION);
    return put_length(to, content->machine_count);
}

int state_write(const struct snapshot_place *to,
                const struct state_content *content, struct sm_error *err)
{
    uint8_t head[HEAD_BYTES_MAX];
    size_t count;
    uint32_t sum;
    int rc;

    assert(strlen(content->label) <= SNAPSHOT_LABEL_MAX);
    assert(content->range_count <= GMEM_RANGES_MAX);
    count = (size_t)(put_head(head, content) - head);
    sum = checksum(0, head + HEADER_BYTES, count - HEADER_BYTES);
    store_le32(head + 12,
               checksum(sum, content->machine, content->machine_count));
    store_le64(head + 16, count - HEADER_BYTES + content->machine_count);
    rc = file_write_at(to->fd, head, count, to->at, err);
    return rc ? rc
              : file_write_at(to->fd, content->machine, content->machine_count,
                              to->at + count, err);
}

/* ---- reading ---- */

/* The header fits the file. */
static int check_header(const uint8_t *header, uint64_t size,
                        struct sm_error *err)
{
    uint32_t version = load_le32(header + 8);

    if (memcmp(header, magic, MAGIC_BYTES) != 0)
        return fail(err, SM_EIMAGE, "not the state of a snapshot");
    if (version != SNAPSHOT_VERSION)
        return fail(err, SM_ENOTSUP, "format %u: this version reads %d",
                    version, SNAPSHOT_VERSION);
    if (load_le64(header + 16) != size - HEADER_BYTES)
        return fail(err, SM_EIMAGE, "%llu bytes, expected %llu",
                    (unsigned long long)(size - HEADER_BYTES),
                    (unsigned long long)load_le64(header + 16));
    return 0;
}

static int read_place(const struct snapshot_place *from, uint8_t **ret,
                      size_t *ret_count, struct sm_error *err)
{
    AUTO_FREE uint8_t *bytes = NULL;
    uint64_t size;
    int rc = file_size(from->fd, &size, err);

    if (rc)
        return rc;
    size = size < from->at ? 0 : size - from->at;
    if (size < HEADER_BYTES || size > STATE_BYTES_MAX)
        return fail(err, SM_EIMAGE, "%llu bytes: %d to %d",
                    (unsigned long long)size, HEADER_BYTES, STATE_BYTES_MAX);
    bytes = malloc(size);
    if (!bytes)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = file_read_at(from->fd, bytes, size, from->at, err);
    if (!rc)
        rc = check_header(bytes, size, err);
    if (rc)
        return rc;
    if (checksum(0, bytes + HEADER_BYTES, size - HEADER_BYTES) !=
        load_le32(bytes + 12))
        return fail(err, SM_EIMAGE, "damaged: the checksum is wrong");
    *ret_count = size;
    *ret = own_take(bytes);
    return 0;
}

/* The ranges of the differential. */
static int read_ranges(const uint8_t *bytes, size_t count,
                       struct snapshot *snapshot, struct sm_error *err)
{
    AUTO_FREE struct gmem_range *range = NULL;
    size_t ranges = count / RANGE_BYTES;
    int rc;

    if (count % RANGE_BYTES)
        return fail(err, SM_EIMAGE, "damaged: %zu bytes of ranges", count);
    if (!ranges)
        return 0;
    range = calloc(ranges, sizeof *range);
    if (!range)
        return fail(err, SM_ENOMEM, "out of memory");
    for (size_t i = 0; i < ranges; i++, bytes += RANGE_BYTES)
        range[i] = (struct gmem_range){load_le64(bytes), load_le64(bytes + 8)};
    rc = gmem_check_ranges(range, ranges, err);
    if (rc)
        return rc;
    snapshot->range = own_take(range);
    snapshot->range_count = ranges;
    return 0;
}

static int read_content(const uint8_t *bytes, size_t count, const char *label,
                        struct snapshot *snapshot, struct sm_error *err)
{
    struct wire_reader from;
    const uint8_t *found;
    const uint8_t *ranges;
    size_t found_count;
    size_t ranges_count;

    wire_read(&from, bytes + HEADER_BYTES, count - HEADER_BYTES);
    found = wire_blob(&from, &found_count);
    ranges = wire_blob(&from, &ranges_count);
    snapshot->state = wire_blob(&from, &snapshot->state_count);
    if (!wire_end(&from))
        return fail(err, SM_EIMAGE, "damaged");
    if (found_count != strlen(label) || memcmp(found, label, found_count) != 0)
        return fail(err, SM_ENOENT, "it is of something else");
    return read_ranges(ranges, ranges_count, snapshot, err);
}

int snapshot_read(const struct snapshot_place *place, const char *label,
                  struct snapshot *ret, struct sm_error *err)
{
    AUTO_FREE uint8_t *bytes = NULL;
    struct snapshot snapshot = {0};
    size_t count = 0;
    int rc = read_place(place, &bytes, &count, err);

    if (!rc)
        rc = read_content(bytes, count, label, &snapshot, err);
    if (rc)
        return wrap(err, rc, "state of the snapshot");
    snapshot.bytes = own_take(bytes);
    *ret = snapshot;
    return 0;
}

void snapshot_done(struct snapshot *snapshot)
{
    free(snapshot->bytes);
    free(snapshot->range);
    *snapshot = (struct snapshot){0};
}
