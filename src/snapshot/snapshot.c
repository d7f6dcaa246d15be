/* snapshot.c: the state file of a snapshot; see snapshot.h. */
#include "snapshot/snapshot.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/file.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAGIC_BYTES = 8,
    HEADER_BYTES = 24, /* magic, version, checksum, bytes behind it */
    STATE_BYTES_MAX = 256 << 20
};

static const char magic[MAGIC_BYTES] = {'S', 'M', 'S', 'T', 'A', 'T', 'E', 0};

/* CRC-32 as in IEEE 802.3, by halves of a byte: a state is a few KiB. */
static uint32_t checksum(const uint8_t *bytes, size_t count)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static int write_state(struct vm *vm, const char *label,
                       const struct snapshot_place *to, struct sm_error *err)
{
    uint8_t header[HEADER_BYTES];
    struct buf state;
    struct buf file;
    int rc;

    buf_init(&state, STATE_BYTES_MAX);
    buf_init(&file, STATE_BYTES_MAX);
    rc = vm_save(vm, &state, err);
    wire_put_string(&file, label);
    wire_put_blob(&file, state.data, state.size);
    if (!rc && (state.failed || file.failed))
        rc = fail(err, SM_ENOMEM, "out of memory");
    if (!rc) {
        memcpy(header, magic, MAGIC_BYTES);
        store_le32(header + 8, SNAPSHOT_VERSION);
        store_le32(header + 12, checksum(file.data, file.size));
        store_le64(header + 16, file.size);
        rc = file_write_at(to->fd, header, sizeof header, to->at, err);
    }
    if (!rc)
        rc = file_write_at(to->fd, file.data, file.size, to->at + HEADER_BYTES,
                           err);
    buf_done(&state);
    buf_done(&file);
    return rc ? wrap(err, rc, "state of the snapshot") : 0;
}

/* The memory first: it sets the size of a file that is for both. */
int snapshot_write(struct vm *vm, const char *label,
                   const struct snapshot_place *state, int memory_fd,
                   uint64_t *memory_bytes, struct sm_error *err)
{
    int rc;

    if (strlen(label) > SNAPSHOT_LABEL_MAX)
        return fail(err, SM_EINVAL, "snapshot: label of more than %d bytes",
                    SNAPSHOT_LABEL_MAX);
    rc = snapshot_write_memory(vm_memory(vm), memory_fd, memory_bytes, err);
    return rc ? rc : write_state(vm, label, state, err);
}

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
    if (checksum(bytes + HEADER_BYTES, size - HEADER_BYTES) !=
        load_le32(bytes + 12))
        return fail(err, SM_EIMAGE, "damaged: the checksum is wrong");
    *ret_count = size;
    *ret = own_take(bytes);
    return 0;
}

int snapshot_read(const struct snapshot_place *place, const char *label,
                  struct snapshot *ret, struct sm_error *err)
{
    AUTO_FREE uint8_t *bytes = NULL;
    struct wire_reader from;
    const uint8_t *state;
    const uint8_t *found;
    size_t found_count;
    size_t state_count;
    size_t count = 0;
    int rc = read_place(place, &bytes, &count, err);

    if (rc)
        return wrap(err, rc, "state of the snapshot");
    wire_read(&from, bytes + HEADER_BYTES, count - HEADER_BYTES);
    found = wire_blob(&from, &found_count);
    state = wire_blob(&from, &state_count);
    if (!wire_end(&from))
        return fail(err, SM_EIMAGE, "state of the snapshot: damaged");
    if (found_count != strlen(label) || memcmp(found, label, found_count) != 0)
        return fail(err, SM_ENOENT,
                    "state of the snapshot: it is of something else");
    *ret = (struct snapshot){.state = state, .state_count = state_count};
    ret->bytes = own_take(bytes);
    return 0;
}

void snapshot_done(struct snapshot *snapshot)
{
    free(snapshot->bytes);
    *snapshot = (struct snapshot){0};
}
