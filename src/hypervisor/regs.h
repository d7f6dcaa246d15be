/* regs.h: the registers of a vcpu by portable names.
 *
 * How it works
 *   A register is (group, number); its value is 64 bits, with 64 more for the
 *   few that need them. The names mean the same on every backend, so arch/
 *   describes the first state of a vcpu as a plain array of `struct hv_reg`,
 *   and a saved state taken under one hypervisor can be read under another.
 *   A backend translates names; it has no opinion on values.
 *
 *   Two groups are not lists of registers but blobs (X86_FPU, X86_LAPIC);
 *   they exist in saved states only (hypervisor/state.h).
 *
 *   Numbers are part of the snapshot format: they are never changed and never
 *   used again for something else.
 */
#ifndef SM_HYPERVISOR_REGS_H
#define SM_HYPERVISOR_REGS_H

#include <stdint.h>

struct hv_reg {
    uint32_t group;  /* enum hv_group                                  */
    uint32_t number; /* what it counts depends on the group, see below */
    uint64_t value;
    uint64_t high; /* bits 64 to 127, or what the group says; else 0 */
};

enum hv_group {
    /* x86_64 */
    HV_X86_GENERAL = 1,  /* enum hv_x86_general                             */
    HV_X86_SEGMENTS = 2, /* enum hv_x86_segment; see hv_x86_segment()       */
    HV_X86_CONTROL = 3,  /* enum hv_x86_control                             */
    HV_X86_MSRS = 4,     /* the MSR's index                                 */
    HV_X86_FPU = 5,      /* blob: XSAVE area, standard format (SDM 1, 13.4) */
    HV_X86_XCRS = 6,     /* the XCR's index; only 0 exists                  */
    HV_X86_DEBUG = 7,    /* n of DRn: 0 to 3, 6, 7                          */
    HV_X86_LAPIC = 8,    /* blob: 1 KiB of xAPIC registers (SDM 3, 11.4.1)  */
    HV_X86_EVENTS = 9,   /* enum hv_x86_event                               */
    HV_X86_TSC = 10,     /* enum hv_x86_tsc                                 */
    /* both */
    HV_POWER = 32, /* 0: enum hv_power                                  */
    /* aarch64, the record of hypervisor/state.h in this order */
    HV_A64_CORE = 65,   /* enum hv_a64_core                                 */
    HV_A64_SIMD = 66,   /* n of Qn, 128 bits                                */
    HV_A64_SYS = 67,    /* HV_A64_SYSREG(op0, op1, crn, crm, op2)           */
    HV_A64_ICC = 68,    /* GIC CPU interface: HV_A64_SYSREG()               */
    HV_A64_REDIST = 69, /* GIC redistributor: offset in its two frames      */
    HV_A64_ICH = 70,    /* GIC virtual interface control: HV_A64_SYSREG()   */
    HV_A64_TIMER = 71   /* 0: virtual counter offset (CNTVOFF_EL2)          */
};

/* Order of the instruction encoding. */
enum hv_x86_general {
    HV_X86_RAX,
    HV_X86_RCX,
    HV_X86_RDX,
    HV_X86_RBX,
    HV_X86_RSP,
    HV_X86_RBP,
    HV_X86_RSI,
    HV_X86_RDI,
    HV_X86_R8,
    HV_X86_R9,
    HV_X86_R10,
    HV_X86_R11,
    HV_X86_R12,
    HV_X86_R13,
    HV_X86_R14,
    HV_X86_R15,
    HV_X86_RIP,
    HV_X86_RFLAGS,
    HV_X86_GENERAL_COUNT
};

enum hv_x86_segment {
    HV_X86_ES,
    HV_X86_CS,
    HV_X86_SS,
    HV_X86_DS,
    HV_X86_FS,
    HV_X86_GS,
    HV_X86_LDTR,
    HV_X86_TR,
    HV_X86_GDTR, /* base and limit only */
    HV_X86_IDTR, /* base and limit only */
    HV_X86_SEGMENT_COUNT
};

/*
 * A segment register: value is the base; high holds the limit in bytes (bits
 * 0 to 31, granularity applied), the selector (32 to 47) and the attributes
 * (48 to 63) as in bytes 5 and 6 of a descriptor, with the four bits of the
 * limit zero (SDM 3, 3.4.5): type, S, DPL, P, -, AVL, L, D/B, G. A segment
 * that is not present is unusable.
 */
static inline struct hv_reg hv_x86_segment(enum hv_x86_segment number,
                                           uint16_t selector, uint64_t base,
                                           uint32_t limit, uint16_t attributes)
{
    return (struct hv_reg){
        .group = HV_X86_SEGMENTS,
        .number = (uint32_t)number,
        .value = base,
        .high = limit | (uint64_t)selector << 32 | (uint64_t)attributes << 48,
    };
}

enum hv_x86_control {
    HV_X86_CR0 = 0,
    HV_X86_CR2 = 2,
    HV_X86_CR3 = 3,
    HV_X86_CR4 = 4,
    HV_X86_CR8 = 8,
    HV_X86_EFER = 16,
    HV_X86_APIC_BASE = 17
};

/* What is on its way into a vcpu. Flags that are not named are zero. */
enum hv_x86_event {
    /* 0-7 vector, 8 has error code, 9 injected, 10 pending, 11 has payload,
     * 32-63 error code */
    HV_X86_EVENT_EXCEPTION = 0,
    HV_X86_EVENT_PAYLOAD = 1,      /* CR2 or DR6 that goes with the exception */
    HV_X86_EVENT_INTERRUPT = 2,    /* 0-7 vector, 8 software, 9 injected      */
    HV_X86_EVENT_SHADOW = 3,       /* 0 STI or 1 MOV SS just executed         */
    HV_X86_EVENT_NMI = 4,          /* 0 injected, 1 pending, 2 masked         */
    HV_X86_EVENT_SIPI = 5,         /* vector of the start-up interrupt        */
    HV_X86_EVENT_TRIPLE_FAULT = 6, /* 0 pending */
    HV_X86_EVENT_COUNT
};

enum hv_x86_tsc {
    HV_X86_TSC_COUNTER = 0, /* guest's counter; see hv_vcpu_clock_save() */
    HV_X86_TSC_KHZ = 1
};

/* Whether a vcpu executes, and what it waits for if not. */
enum hv_power {
    HV_POWER_RUNNING = 0,
    HV_POWER_OFF = 1,    /* x86: waits for INIT; aarch64: PSCI CPU_ON  */
    HV_POWER_INIT = 2,   /* x86: INIT arrived, waits for SIPI          */
    HV_POWER_SIPI = 3,   /* x86: SIPI arrived, about to start          */
    HV_POWER_HALTED = 4, /* HLT or WFI: waits for an interrupt         */
    HV_POWER_COUNT
};

enum hv_a64_core {
    HV_A64_X0 = 0, /* X0 to X30 are 0 to 30 */
    HV_A64_FP = 29,
    HV_A64_LR = 30,
    HV_A64_PC = 32,
    HV_A64_CPSR = 33,
    HV_A64_FPSR = 34,
    HV_A64_FPCR = 35
};

/* A system register by its encoding (Arm ARM, C5.1.2). */
#define HV_A64_SYSREG(op0, op1, crn, crm, op2)                                 \
    ((uint32_t)((op0) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2)))
#define HV_A64_MPIDR_EL1 HV_A64_SYSREG(3, 0, 0, 0, 5)

#endif
