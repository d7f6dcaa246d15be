/* guest_window.S: reads a word of the window each time it is asked to, by an
 * answer that is not zero, and writes one behind it. */
#include "guest.h"

GUEST guest_window
1:  mov GUEST_WINDOW, %eax
    REPORT
    movl $0x5a5a, GUEST_WINDOW + 4
    in $0x20, %al
    test %al, %al
    jnz 1b
    DONE
GUEST_END guest_window
