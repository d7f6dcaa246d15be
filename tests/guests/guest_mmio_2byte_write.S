/* guest_mmio_2byte_write.S: a store of 2 bytes is seen. */
#include "guest.h"

GUEST guest_mmio_2byte_write
    mov $GUEST_MMIO, %rdi
    mov $0x2211, %rax
    mov %ax, (%rdi)
    DONE
GUEST_END guest_mmio_2byte_write
