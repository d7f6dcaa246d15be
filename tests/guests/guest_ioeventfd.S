/* guest_ioeventfd.S: stores of 0, 1 and 2 to the same place, as a driver
 * notifies its queues, then a byte to a port. */
#include "guest.h"

GUEST guest_ioeventfd
    mov $GUEST_MMIO, %rdi
    movl $0, 0x50(%rdi)
    movl $1, 0x50(%rdi)
    movl $2, 0x50(%rdi)
    mov $7, %al
    out %al, $0x40
    DONE
GUEST_END guest_ioeventfd
