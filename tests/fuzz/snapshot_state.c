/* snapshot_state.c: fuzzes the reader of a snapshot's state file, and the
 * mapping of the two memory files that its ranges ask for. */
#include "base/bytes.h"
#include "base/own.h"
#include "base/wire.h"
#include "platform/file.h"
#include "snapshot/snapshot.h"

#include <stdlib.h>
#include <string.h>

enum {
    MEMORY = 1 << 20,
    LOW = MEMORY / 4 * 3, /* the first of two regions */
    PAGE = 4096,
    HEADER = 24
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* CRC-32 (IEEE 802.3), bit by bit. */
static uint32_t crc_of(const uint8_t *bytes, size_t count)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < 8 * count; i++) {
        crc ^= i % 8 ? 0 : bytes[i / 8];
        crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

/* A file in memory with one letter in each page's first byte. */
static int make_memory(char letter)
{
    int fd;

    must(file_in_memory("memory", &fd, NULL) == 0);
    must(file_set_size(fd, MEMORY, NULL) == 0);
    for (uint64_t at = 0; at < MEMORY; at += PAGE)
        must(file_write_at(fd, &letter, 1, at, NULL) == 0);
    return fd;
}

static bool is_covered(const struct snapshot *snapshot, uint64_t at)
{
    for (size_t i = 0; i < snapshot->range_count; i++)
        if (at >= snapshot->range[i].at &&
            at - snapshot->range[i].at < snapshot->range[i].bytes)
            return true;
    return false;
}

/* What is taken is exactly what the ranges say. */
static void check_memory(const struct gmem *mem,
                         const struct snapshot *snapshot)
{
    for (uint64_t at = 0; at < MEMORY; at += PAGE) {
        uint64_t place = at < LOW ? at : GIB + at - LOW;
        const char *found = gmem_span(mem, GPA(place), PAGE);

        must(*found == (is_covered(snapshot, at) ? 'd' : 'b'));
    }
}

static void map(const struct snapshot *snapshot)
{
    static int base = -1;
    static int differential = -1;
    struct gmem_image image = {.bytes = MEMORY,
                               .range = snapshot->range,
                               .count = snapshot->range_count};
    struct gmem mem;

    if (base < 0) {
        base = make_memory('b');
        differential = make_memory('d');
    }
    image.fd = base;
    image.differential_fd = differential;
    gmem_init(&mem);
    if (gmem_set_image(&mem, &image, NULL) == 0) {
        must(gmem_add_copy(&mem, GPA(0), LOW, NULL) == 0);
        must(gmem_add_copy(&mem, GPA(GIB), MEMORY - LOW, NULL) == 0);
        check_memory(&mem, snapshot);
    }
    gmem_done(&mem);
}

/* The whole file, as it is. */
static void read_file(const uint8_t *bytes, size_t count)
{
    struct snapshot_place place;
    struct snapshot snapshot;

    must(file_in_memory("state", &place.fd, NULL) == 0);
    place.at = 0;
    must(file_write_at(place.fd, bytes, count, 0, NULL) == 0);
    if (snapshot_read(&place, "x", &snapshot, NULL) == 0) {
        map(&snapshot);
        snapshot_done(&snapshot);
    }
    close(place.fd);
}

/* The ranges of a file that is in order otherwise: { u8 gap, u8 pages, u8 odd,
 * u8 how odd } each. Unless one is odd, the list is good. */
static void put_ranges(struct buf *to, const uint8_t *bytes, size_t count)
{
    struct buf list;
    uint64_t at = 0;

    buf_init(&list, 1 << 20);
    for (size_t i = 0; i + 4 <= count; i += 4) {
        bool odd = bytes[i + 2] >= 0xf0;
        uint64_t length = bytes[i + 1] % 4 * PAGE;

        at += bytes[i] % 16 * PAGE;
        wire_put_u64(&list, odd ? at - bytes[i + 3] * UINT64_C(64) : at);
        wire_put_u64(&list, length ? length : PAGE);
        at += length ? length : PAGE;
    }
    wire_put_blob(to, list.data, list.size);
    buf_done(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    uint8_t header[HEADER] = "SMSTATE";
    struct buf file;

    read_file(bytes, count);
    buf_init(&file, 1 << 21);
    buf_append(&file, header, sizeof header);
    if (count && bytes[0] & 1) {
        buf_append(&file, bytes, count); /* a payload that is no such thing */
    } else {
        wire_put_string(&file, "x");
        put_ranges(&file, bytes, count < 64 ? count : count % 64);
        wire_put_blob(&file, bytes, count);
    }
    must(!file.failed);
    store_le32(header + 8, SNAPSHOT_VERSION);
    store_le32(header + 12, crc_of(file.data + HEADER, file.size - HEADER));
    store_le64(header + 16, file.size - HEADER);
    memcpy(file.data, header, HEADER);
    read_file(file.data, file.size);
    buf_done(&file);
    return 0;
}
