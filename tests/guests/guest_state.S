/* guest_state.S: puts something into registers of each kind, waits, and
 * reports them: what a saved and loaded vcpu must still have. */
#include "guest.h"

GUEST guest_state
    IDT_WITH 0x41, handler
    X2APIC_ON
    mov %cr4, %rax
    or $0x600, %rax /* OSFXSR, OSXMMEXCPT */
    mov %rax, %cr4
    mov $0x12345678, %eax
    movd %eax, %xmm7
    mov $0x1000, %eax
    mov %rax, %dr1
    mov $0xc0000082, %ecx /* LSTAR */
    mov $0x99, %eax
    xor %edx, %edx
    wrmsr
    mov $0x0badcafe, %r15d
    rdtsc
    shl $32, %rdx
    or %rax, %rdx
    mov %rdx, %r14
    xor %ebx, %ebx
    in $0x20, %al
    sti
1:  inc %rbx
    jmp 1b
handler:
    X2APIC_EOI
    movd %xmm7, %eax
    REPORT
    mov %dr1, %rax
    REPORT
    mov $0xc0000082, %ecx
    rdmsr
    REPORT
    mov %r15d, %eax
    REPORT
    /* 1: the counter has not gone back. */
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    cmp %r14, %rax
    setae %al
    movzbl %al, %eax
    REPORT
    DONE
GUEST_END guest_state
