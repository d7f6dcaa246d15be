/* guest.h: what tiny guests begin and end with (assembler).
 *
 * A tiny guest is a few instructions that show one property. It starts in
 * long mode, CPL 0, with interrupts off:
 *
 *     code at GUEST_CODE, stack below GUEST_STACK, memory up to GUEST_RAM_END
 *     the first GiB mapped at its own address; nothing behind GUEST_MMIO
 *
 * It says what it saw by writing to ports; see tiny.h for the host's side.
 */
#ifndef GUESTS_GUEST_H
#define GUESTS_GUEST_H

#define GUEST_STACK      0x9000
#define GUEST_DATA       0xa000
#define GUEST_TRAMPOLINE 0xb000 /* real mode; start-up vector 0x0b */
#define GUEST_CODE       0x10000
#define GUEST_RAM_END    0x100000
#define GUEST_READONLY   0x200000 /* one page, if the test maps it */
#define GUEST_WINDOW     0x400000 /* 2 MiB, if the test makes it */
#define GUEST_MMIO       0x10000000

#define GUEST_CS         0x10
#define PORT_REPORT      0xe0 /* a value that the test looks at */
#define PORT_DONE        0xf4 /* the guest is through */

#ifdef __ASSEMBLER__
/* clang-format off */

.macro GUEST name
    .section .rodata
    .globl \name
    .globl \name\()_end
    .balign 16
\name:
    .code64
.endm

.macro GUEST_END name
\name\()_end:
    .section .note.GNU-stack, "", @progbits
.endm

/* Report EAX. */
.macro REPORT
    out %eax, $PORT_REPORT
.endm

.macro DONE
    out %al, $PORT_DONE
    hlt
.endm

/* Switch the x2APIC on (SDM 3, 11.12). */
.macro X2APIC_ON
    mov $0x1b, %ecx
    rdmsr
    or $0xc00, %eax
    wrmsr
    mov $0x80f, %ecx /* spurious vector: 0xff, APIC enabled */
    mov $0x1ff, %eax
    xor %edx, %edx
    wrmsr
.endm

.macro X2APIC_EOI
    mov $0x80b, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
.endm

/* An interrupt gate for (vector) in a table at GUEST_DATA, which is loaded. */
.macro IDT_WITH vector, handler
    mov $GUEST_DATA + 16 * \vector, %rbx
    lea \handler(%rip), %rax
    mov %ax, (%rbx)
    movw $GUEST_CS, 2(%rbx)
    movw $0x8e00, 4(%rbx)
    shr $16, %rax
    mov %ax, 6(%rbx)
    movl $0, 8(%rbx)
    movl $0, 12(%rbx)
    pushq $GUEST_DATA
    pushw $0xfff
    lidt (%rsp)
    add $10, %rsp
.endm

/* clang-format on */
#endif
#endif
