/* overlay.c: fuzzes the file of an overlay: header, bitmap, and a few calls;
 * then a layer over it, and both made one. */
#include "virtio_input.h"

#include "../unit/devices/spy_block.h"
#include "block/overlay.h"
#include "platform/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DISK = 16 * OVERLAY_CLUSTER_BYTES, HEADER = 4096, BITMAP = 4096 };

static struct block *new_base(void)
{
    struct spy_block *spy = spy_block_new(true);

    if (!spy)
        abort();
    spy->block.bytes = DISK;
    memset(spy->data, 'b', DISK);
    return &spy->block;
}

/* The header that the program itself writes. */
static void read_good_header(uint8_t *header)
{
    struct block *block;
    int fd;
    int copy;

    if (file_in_memory("overlay", &fd, NULL) != 0)
        abort();
    copy = dup(fd);
    if (copy < 0 || overlay_create(fd, new_base(), DISK, &block, NULL) != 0 ||
        file_read_at(copy, header, HEADER, 0, NULL) != 0)
        abort();
    block_free(block);
    close(copy);
}

/* A file of a good overlay, with bytes of header and bitmap changed. */
static int make_file(struct fuzz_input *input)
{
    static uint8_t header[HEADER];
    uint8_t change[16];
    int fd;

    if (!header[0])
        read_good_header(header);
    if (file_in_memory("overlay", &fd, NULL) != 0 ||
        ftruncate(fd, HEADER + BITMAP + DISK) != 0 ||
        file_write_at(fd, header, HEADER, 0, NULL) != 0)
        abort();
    for (unsigned i = fuzz_u8(input) % 4; i; i--) {
        uint64_t at = fuzz_u16(input) % (i % 2 ? 128u : HEADER + BITMAP);
        size_t count = fuzz_u8(input) % sizeof change;

        fuzz_bytes(input, change, count);
        if (file_write_at(fd, change, count, at, NULL) != 0)
            abort();
    }
    if (fuzz_u8(input) % 8 == 0 && ftruncate(fd, fuzz_u32(input) % 131072))
        abort();
    return fd;
}

static void use(struct fuzz_input *input, struct block *block)
{
    static uint8_t bytes[3 * OVERLAY_CLUSTER_BYTES];
    uint64_t used;

    for (int i = 0; i < 32 && input->left; i++) {
        uint8_t what = fuzz_u8(input);
        uint64_t at = what & 0x80 ? fuzz_u64(input) : fuzz_u16(input);
        struct iovec span = {bytes, fuzz_u16(input) % sizeof bytes};

        switch (what % 6) {
        case 0:
            (void)block_read(block, at, &span, 1, NULL);
            break;
        case 1:
            (void)block_write(block, at, &span, 1, NULL);
            break;
        case 2:
            (void)block_write_zeroes(block, at, span.iov_len, true, NULL);
            break;
        case 3:
            (void)block_discard(block, at, span.iov_len, NULL);
            break;
        case 4:
            (void)block_flush(block, NULL);
            break;
        default:
            (void)overlay_used_bytes(block, &used, NULL);
            break;
        }
    }
}

/* Seal the hostile layer, and go on above it. */
static struct block *put_layer_over(struct fuzz_input *input,
                                    struct block *block)
{
    struct block *top;
    int fd;

    if (file_in_memory("top", &fd, NULL) != 0)
        abort();
    if (overlay_split(block, fd, &top, NULL) != 0) {
        close(fd);
        return block;
    }
    use(input, top);
    return top;
}

static void expect_same(struct block *a, struct block *b)
{
    static uint8_t bytes[2][DISK];

    if (a->bytes != b->bytes)
        abort();
    for (uint64_t at = 0; at < 4 * DISK && at < a->bytes; at += DISK) {
        size_t count = a->bytes - at < DISK ? (size_t)(a->bytes - at) : DISK;

        if (block_read_bytes(a, at, bytes[0], count, NULL) != 0)
            return;
        if (block_read_bytes(b, at, bytes[1], count, NULL) != 0 ||
            memcmp(bytes[0], bytes[1], count) != 0)
            abort();
    }
}

/* What a merge makes can be opened, and reads as what it was made of. */
static void merge(struct block *block)
{
    struct block *one;
    int fd;

    if (file_in_memory("merged", &fd, NULL) != 0)
        abort();
    if (overlay_merge(block, fd, NULL) != 0) {
        close(fd);
        return;
    }
    if (overlay_open_chain(new_base(), &fd, 1, &one, NULL) != 0)
        abort();
    expect_same(block, one);
    block_free(one);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct fuzz_input input = {bytes, count};
    struct block *base = new_base();
    struct block *block;
    int fd = make_file(&input);

    if (overlay_open(fd, base, fuzz_u8(&input) & 1, &block, NULL) != 0) {
        block_free(base);
        close(fd);
        return 0;
    }
    use(&input, block);
    if (fuzz_u8(&input) & 1)
        block = put_layer_over(&input, block);
    if (fuzz_u8(&input) & 1)
        (void)overlay_freeze(block, NULL);
    if (fuzz_u8(&input) & 1)
        merge(block);
    block_free(block);
    return 0;
}
