/* guest_wild_jump.S: executes where there is no memory. */
#include "guest.h"

GUEST guest_wild_jump
    mov $GUEST_MMIO, %rax
    jmp *%rax
GUEST_END guest_wild_jump
