/* guest_halt.S: HLT is an exit where nobody could ever wake the vcpu. */
#include "guest.h"

GUEST guest_halt
    hlt
    DONE
GUEST_END guest_halt
