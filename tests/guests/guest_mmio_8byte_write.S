/* guest_mmio_8byte_write.S: a store of 8 bytes is seen. */
#include "guest.h"

GUEST guest_mmio_8byte_write
    mov $GUEST_MMIO, %rdi
    mov $0x8877665544332211, %rax
    mov %rax, (%rdi)
    DONE
GUEST_END guest_mmio_8byte_write
