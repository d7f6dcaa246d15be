/* guest_mmio_4byte_read.S: a load of 4 bytes gets the answer. */
#include "guest.h"

GUEST guest_mmio_4byte_read
    mov $GUEST_MMIO, %rdi
    xor %eax, %eax
    mov (%rdi), %eax
    REPORT
    DONE
GUEST_END guest_mmio_4byte_read
