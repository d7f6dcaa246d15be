/* guest_spin.S: never leaves by itself: only a kick ends the run. RBX counts,
 * so that it can be seen to go on. */
#include "guest.h"

GUEST guest_spin
    xor %ebx, %ebx
1:  inc %rbx
    jmp 1b
GUEST_END guest_spin
