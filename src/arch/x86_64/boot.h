/* boot.h: the 64-bit boot protocol of Linux on x86.
 *
 * How it works
 *   We do what a boot loader with a firmware under it would have done, and
 *   enter the kernel in long mode (Documentation/x86/boot.rst, "64-bit boot
 *   protocol"; Documentation/x86/zero-page.rst). Two kinds of files:
 *
 *   ELF vmlinux   segments go to their physical addresses, entry is e_entry.
 *   bzImage       the part behind the real-mode set-up goes to the preferred
 *                 address of its header, entry is 0x200 behind that; the
 *                 header must say XLF_KERNEL_64.
 *
 *   Both are hostile input: every number in their headers is checked against
 *   the file and against memory before it is used. Bytes are read from the
 *   file straight into guest memory.
 */
#ifndef SM_ARCH_X86_64_BOOT_H
#define SM_ARCH_X86_64_BOOT_H

#include "arch/arch.h"

/* Where the set-up header begins, in a bzImage as in the zero page, and how
 * much room the zero page has for it. */
enum { SETUP_HEADER = 0x1f1, SETUP_HEADER_MAX = 0x290 - SETUP_HEADER };

/* What the kernel's file said. */
struct kernel_image {
    uint64_t entry; /* guest-physical                                    */
    uint64_t start; /* the memory that the kernel needs for itself       */
    uint64_t end;
    uint64_t initrd_max;   /* last byte that the initrd may have          */
    uint32_t cmdline_max;  /* bytes without the NUL                       */
    uint32_t header_bytes; /* bzImage: of (header); vmlinux: 0           */
    uint8_t header[SETUP_HEADER_MAX]; /* goes into the zero page         */
};

/* Recognise the file, check it, load it. Errors as arch_boot(). */
int kernel_load(int fd, const struct gmem *mem, struct kernel_image *ret,
                struct sm_error *err);

/* Read (bytes) of (fd) at (offset) into guest memory. SM_EIMAGE: the file ends
 * before, SM_ENOSPC: no such memory. (what) for messages. */
struct file_range {
    int fd;
    uint64_t offset;
    uint64_t bytes;
    const char *what;
};
int load_range(const struct gmem *mem, struct gpa to,
               const struct file_range *from, struct sm_error *err);

/* Fill the zero page: 4096 bytes that are all zero before. */
struct boot_params {
    const struct arch_layout *layout;
    const struct kernel_image *kernel;
    struct arch_range initrd; /* .bytes == 0: none */
    struct gpa cmdline;
    struct gpa rsdp;
    struct gpa setup_data; /* .v == 0: none */
};
void boot_params_fill(uint8_t *page, const struct boot_params *params);

#endif
