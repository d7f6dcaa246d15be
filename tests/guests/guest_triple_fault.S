/* guest_triple_fault.S: an exception without an IDT ends the vcpu. */
#include "guest.h"

GUEST guest_triple_fault
    pushq $0
    pushw $0
    lidt (%rsp)
    ud2
GUEST_END guest_triple_fault
