/* kernel_image.c: fuzzes the reading of kernels: any file is loaded or
 * refused. The first byte chooses what it begins like. */
#include "arch/x86_64/boot.h"

#include "base/bytes.h"
#include "platform/file.h"

#include <stdlib.h>
#include <unistd.h>

enum { FILE_MAX = 16 * 1024, MEMORY = 32 };

/* The marks by which files are told apart; the rest is the fuzzer's. */
static void mark(uint8_t *file, uint8_t kind)
{
    static const uint8_t elf[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};

    if (kind == 1) {
        memcpy(file, elf, sizeof elf);
        store_le16(file + 16, 2);
        store_le16(file + 18, 62);
        store_le16(file + 54, 56);
    } else if (kind == 2) {
        store_le16(file + 0x1fe, 0xaa55);
        memcpy(file + 0x202, "HdrS", 4);
        store_le16(file + 0x206, 0x20f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static uint8_t file[FILE_MAX];
    struct kernel_image image;
    struct sm_error err;
    struct gmem mem;
    int fd;

    if (!count || count > FILE_MAX)
        return 0;
    memset(file, 0, sizeof file);
    memcpy(file, bytes + 1, count - 1);
    mark(file, bytes[0] % 3);
    gmem_init(&mem);
    if (gmem_add(&mem, GPA(0), MEMORY * MIB, &err) ||
        file_in_memory("kernel", &fd, &err))
        abort();
    if (file_write_at(fd, file, bytes[0] % 3 ? sizeof file : count - 1, 0,
                      &err))
        abort();
    /* What was accepted lies where the machine has memory. */
    if (kernel_load(fd, &mem, &image, &err) == 0 &&
        (image.entry < image.start || image.entry >= image.end ||
         !gmem_valid(&mem, GPA(image.start), image.end - image.start)))
        abort();
    close(fd);
    gmem_done(&mem);
    return 0;
}
