/* guest_mmio_4byte_write.S: a store of 4 bytes is seen. */
#include "guest.h"

GUEST guest_mmio_4byte_write
    mov $GUEST_MMIO, %rdi
    mov $0x44332211, %rax
    mov %eax, (%rdi)
    DONE
GUEST_END guest_mmio_4byte_write
