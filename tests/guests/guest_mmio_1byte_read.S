/* guest_mmio_1byte_read.S: a load of 1 byte gets the answer. */
#include "guest.h"

GUEST guest_mmio_1byte_read
    mov $GUEST_MMIO, %rdi
    xor %eax, %eax
    mov (%rdi), %al
    REPORT
    DONE
GUEST_END guest_mmio_1byte_read
