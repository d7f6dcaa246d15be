/* guest_memory_protection.S: a read-only page reads without an exit; a write
 * to it is an MMIO exit and changes nothing; so is a read of a hole. */
#include "guest.h"

GUEST guest_memory_protection
    mov GUEST_READONLY, %eax
    REPORT
    movl $0xbad, GUEST_READONLY
    mov GUEST_READONLY, %eax
    REPORT
    mov GUEST_READONLY + 0x1000, %eax
    REPORT
    DONE
GUEST_END guest_memory_protection
