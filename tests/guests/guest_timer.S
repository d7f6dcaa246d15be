/* guest_timer.S: arms the TSC-deadline timer, says so, and reports 1 when it
 * fires. How far ahead: the ticks that port 0x20 answers. */
#include "guest.h"

GUEST guest_timer
    IDT_WITH 0x42, handler
    X2APIC_ON
    mov $0x832, %ecx /* LVT timer: TSC deadline, vector 0x42 */
    mov $0x40042, %eax
    xor %edx, %edx
    wrmsr
    in $0x20, %eax
    mov %eax, %ebx
    rdtsc
    add %ebx, %eax
    adc $0, %edx
    mov $0x6e0, %ecx
    wrmsr
    xor %eax, %eax
    REPORT
    sti
1:  hlt
    jmp 1b
handler:
    X2APIC_EOI
    mov $1, %eax
    REPORT
    DONE
GUEST_END guest_timer
