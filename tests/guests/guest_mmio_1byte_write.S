/* guest_mmio_1byte_write.S: a store of 1 byte is seen. */
#include "guest.h"

GUEST guest_mmio_1byte_write
    mov $GUEST_MMIO, %rdi
    mov $0x11, %rax
    mov %al, (%rdi)
    DONE
GUEST_END guest_mmio_1byte_write
