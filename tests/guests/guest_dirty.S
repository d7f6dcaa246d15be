/* guest_dirty.S: writes the pages at 0x20000 and 0x23000, reads 0x22000. */
#include "guest.h"

GUEST guest_dirty
    movl $1, 0x20000
    movl $1, 0x23ffc
    mov 0x22000, %eax
    DONE
GUEST_END guest_dirty
