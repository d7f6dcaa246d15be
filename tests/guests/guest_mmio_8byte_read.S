/* guest_mmio_8byte_read.S: a load of 8 bytes gets the answer. */
#include "guest.h"

GUEST guest_mmio_8byte_read
    mov $GUEST_MMIO, %rdi
    xor %eax, %eax
    mov (%rdi), %rax
    REPORT
    shr $32, %rax
    REPORT
    DONE
GUEST_END guest_mmio_8byte_read
