/* guest_interrupt_delivery.S: each interrupt of vector 0x40 reaches the
 * handler, which reports how many came. */
#include "guest.h"

GUEST guest_interrupt_delivery
    IDT_WITH 0x40, handler
    X2APIC_ON
    xor %r8d, %r8d
    mov %r8d, %eax
    REPORT
    sti
1:  hlt
    jmp 1b
handler:
    inc %r8d
    X2APIC_EOI
    mov %r8d, %eax
    REPORT
    iretq
GUEST_END guest_interrupt_delivery
