/* overlay_header.c: how an overlay's file is laid out; see overlay.h.
 *
 * Header page, little endian:
 *
 *     0  char[8]  "SMOVRLY\0"
 *     8  u32      version 1
 *    12  u32      cluster size, 4096
 *    16  u64      size of the disk in bytes
 *    24  u64      size of the base in bytes
 *    32  u8[32]   identity of the base
 *    64  u8[32]   identity of this overlay, random
 *    96  u32      flags: bit 0 frozen
 *   100  zeroes to the end of the page
 *
 * The place of the bitmap and of the data follow from the size of the disk.
 */
#include "base/bytes.h"
#include "block/disk_file.h"
#include "block/overlay_impl.h"

enum {
    PAGE_BYTES = OVERLAY_HEADER_BYTES,
    CLUSTER = OVERLAY_CLUSTER_BYTES,
    HEADER_VERSION = 1,
    HEADER_USED_BYTES = 100,
    FLAG_FROZEN = 1
};

static const char header_magic[8] = "SMOVRLY";

int overlay_header_write(int fd, const struct overlay_header *header,
                         struct sm_error *err)
{
    uint8_t page[PAGE_BYTES] = {0};
    struct iovec span = {.iov_base = page, .iov_len = sizeof page};

    memcpy(page, header_magic, sizeof header_magic);
    store_le32(page + 8, HEADER_VERSION);
    store_le32(page + 12, CLUSTER);
    store_le64(page + 16, header->bytes);
    store_le64(page + 24, header->base_bytes);
    memcpy(page + 32, header->base.bytes, BLOCK_ID_BYTES);
    memcpy(page + 64, header->own.bytes, BLOCK_ID_BYTES);
    store_le32(page + 96, header->frozen ? FLAG_FROZEN : 0);
    return disk_file_write(fd, 0, &span, 1, err);
}

int overlay_header_read(int fd, struct overlay_header *header,
                        struct sm_error *err)
{
    uint8_t page[PAGE_BYTES];
    struct iovec span = {.iov_base = page, .iov_len = sizeof page};
    uint64_t found;
    int rc = disk_file_size(fd, &found, err);

    if (!rc && found < sizeof page)
        return fail(err, SM_EIMAGE, "not an overlay: %llu bytes",
                    (unsigned long long)found);
    if (!rc)
        rc = disk_file_read(fd, 0, &span, 1, err);
    if (rc)
        return rc;
    if (memcmp(page, header_magic, sizeof header_magic) != 0)
        return fail(err, SM_EIMAGE, "not an overlay");
    if (load_le32(page + 8) != HEADER_VERSION)
        return fail(err, SM_ENOTSUP, "overlay of version %u: only %d is known",
                    load_le32(page + 8), HEADER_VERSION);
    header->bytes = load_le64(page + 16);
    header->base_bytes = load_le64(page + 24);
    header->frozen = load_le32(page + 96) == FLAG_FROZEN;
    memcpy(header->base.bytes, page + 32, BLOCK_ID_BYTES);
    memcpy(header->own.bytes, page + 64, BLOCK_ID_BYTES);
    if (load_le32(page + 12) != CLUSTER || load_le32(page + 96) > FLAG_FROZEN ||
        !is_aligned(header->bytes, CLUSTER) ||
        header->bytes < header->base_bytes)
        return fail(err, SM_EIMAGE, "overlay: its header is damaged");
    for (size_t i = HEADER_USED_BYTES; i < sizeof page; i++)
        if (page[i])
            return fail(err, SM_EIMAGE, "overlay: its header is damaged");
    return 0;
}

uint64_t overlay_data_at(uint64_t bytes)
{
    uint64_t clusters = bytes / CLUSTER;

    return PAGE_BYTES + align_up(clusters, BITMAP_PAGE_BITS) / 8;
}

int overlay_file_stretch(int fd, uint64_t bytes, struct sm_error *err)
{
    uint64_t found;
    int rc = disk_file_size(fd, &found, err);

    if (!rc && found)
        return fail(err, SM_EEXIST, "overlay: the file is not empty");
    return rc ? rc : disk_file_stretch(fd, overlay_data_at(bytes) + bytes, err);
}
