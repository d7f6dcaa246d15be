/* guest_smp.S: INIT and SIPI to all others start them; each reports the APIC
 * id that CPUID gives it. */
#include "guest.h"

GUEST guest_smp
    lea trampoline(%rip), %rsi
    mov $GUEST_TRAMPOLINE, %edi
    mov $trampoline_end - trampoline, %ecx
    cld
    rep movsb
    X2APIC_ON
    mov $0x830, %ecx
    xor %edx, %edx
    mov $0xc4500, %eax /* INIT, all but self */
    wrmsr
    mov $0xc4600 + GUEST_TRAMPOLINE / 0x1000, %eax /* SIPI */
    wrmsr
    DONE
    .code16
trampoline:
    mov $0xb, %eax
    xor %ecx, %ecx
    cpuid
    mov %edx, %eax
    out %eax, $PORT_REPORT
    hlt
trampoline_end:
    .code64
GUEST_END guest_smp
