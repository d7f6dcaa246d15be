/* guest_mmio_2byte_read.S: a load of 2 bytes gets the answer. */
#include "guest.h"

GUEST guest_mmio_2byte_read
    mov $GUEST_MMIO, %rdi
    xor %eax, %eax
    mov (%rdi), %ax
    REPORT
    DONE
GUEST_END guest_mmio_2byte_read
