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

/* What the kernel's file said. */
struct kernel_image {
    uint64_t entry; /* guest-physical                                   */
    uint64_t start; /* the memory that the kernel needs for itself      */
    uint64_t end;
    uint64_t initrd_max;  /* last byte that the initrd may have              */
    uint32_t cmdline_max; /* bytes without the NUL                          */
    bool has_header;      /* bzImage: (header) goes into the zero page        */
    uint16_t header_bytes;
    uint8_t header[256]; /* from offset 0x1f1 of the file                   */
};

/* Recognise the file, check it, load it. Errors as arch_boot(). */
int kernel_load(int fd, const struct gmem *mem, struct kernel_image *ret,
                struct sm_error *err);

/* Fill the zero page (4096 bytes, all zero before). */
struct boot_params_config {
    const struct arch_layout *layout;
    const struct kernel_image *kernel;
    struct arch_range initrd; /* .bytes == 0: none                    */
    struct gpa cmdline;
    uint32_t cmdline_bytes; /* without the NUL                        */
    struct gpa rsdp;
    struct gpa setup_data; /* .v == 0: none                           */
};
void boot_params_fill(uint8_t *page, const struct boot_params_config *config);

#endif
