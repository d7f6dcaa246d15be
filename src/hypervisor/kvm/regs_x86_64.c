/* regs_x86_64.c: registers by name, those that KVM has in blocks; see kvm.h.
 *
 * How it works
 *   KVM reads and writes registers in blocks: general, segments with control
 *   registers, debug. A call walks over its array and keeps the block that
 *   the present register is in; a changed block is written back when the walk
 *   leaves it. So an array that is ordered by group costs one read and one
 *   write per block, and the order that the caller chose is kept.
 */
#include "hypervisor/kvm/kvm.h"

#include <stddef.h>
#include <string.h>

enum block { BLOCK_NONE, BLOCK_GENERAL, BLOCK_SYSTEM, BLOCK_DEBUG };

struct walk {
    struct kvm_vcpu *vcpu;
    enum block block; /* which of the union is filled */
    bool changed;
    union block_data {
        struct kvm_regs general;
        struct kvm_sregs system;
        struct kvm_debugregs debug;
        uint8_t bytes[sizeof(struct kvm_sregs)];
    } data;
};

static const struct {
    unsigned long get;
    unsigned long set;
    const char *name;
} block_ioctl[] = {
    [BLOCK_GENERAL] = {KVM_GET_REGS, KVM_SET_REGS, "general registers"},
    [BLOCK_SYSTEM] = {KVM_GET_SREGS, KVM_SET_SREGS, "system registers"},
    [BLOCK_DEBUG] = {KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, "debug registers"},
};

static enum block block_of(uint32_t group)
{
    switch (group) {
    case HV_X86_GENERAL:
        return BLOCK_GENERAL;
    case HV_X86_SEGMENTS:
    case HV_X86_CONTROL:
        return BLOCK_SYSTEM;
    case HV_X86_DEBUG:
        return BLOCK_DEBUG;
    default:
        return BLOCK_NONE;
    }
}

/* Write the present block back if it was changed. */
static int leave_block(struct walk *walk, struct sm_error *err)
{
    bool changed = walk->changed;

    walk->changed = false;
    if (changed && kvm_ioctl(walk->vcpu->fd, block_ioctl[walk->block].set,
                             &walk->data) < 0)
        return fail_os(err, "set %s", block_ioctl[walk->block].name);
    return 0;
}

static int enter_block(struct walk *walk, enum block block,
                       struct sm_error *err)
{
    int rc;

    if (walk->block == block)
        return 0;
    rc = leave_block(walk, err);
    if (rc)
        return rc;
    walk->block = block;
    if (block != BLOCK_NONE &&
        kvm_ioctl(walk->vcpu->fd, block_ioctl[block].get, &walk->data) < 0)
        return fail_os(err, "get %s", block_ioctl[block].name);
    return 0;
}

#define GENERAL(name) offsetof(struct kvm_regs, name)
#define SYSTEM(name)  offsetof(struct kvm_sregs, name)
#define DEBUG(name)   offsetof(struct kvm_debugregs, name)

static const uint16_t general_at[HV_X86_GENERAL_COUNT] = {
    [HV_X86_RAX] = GENERAL(rax), [HV_X86_RCX] = GENERAL(rcx),
    [HV_X86_RDX] = GENERAL(rdx), [HV_X86_RBX] = GENERAL(rbx),
    [HV_X86_RSP] = GENERAL(rsp), [HV_X86_RBP] = GENERAL(rbp),
    [HV_X86_RSI] = GENERAL(rsi), [HV_X86_RDI] = GENERAL(rdi),
    [HV_X86_R8] = GENERAL(r8),   [HV_X86_R9] = GENERAL(r9),
    [HV_X86_R10] = GENERAL(r10), [HV_X86_R11] = GENERAL(r11),
    [HV_X86_R12] = GENERAL(r12), [HV_X86_R13] = GENERAL(r13),
    [HV_X86_R14] = GENERAL(r14), [HV_X86_R15] = GENERAL(r15),
    [HV_X86_RIP] = GENERAL(rip), [HV_X86_RFLAGS] = GENERAL(rflags),
};

/* CR1, CR5 and so on do not exist; no control register is at offset 0. */
static const uint16_t control_at[] = {
    [HV_X86_CR0] = SYSTEM(cr0),
    [HV_X86_CR2] = SYSTEM(cr2),
    [HV_X86_CR3] = SYSTEM(cr3),
    [HV_X86_CR4] = SYSTEM(cr4),
    [HV_X86_CR8] = SYSTEM(cr8),
    [HV_X86_EFER] = SYSTEM(efer),
    [HV_X86_APIC_BASE] = SYSTEM(apic_base),
};

static const uint16_t segment_at[HV_X86_SEGMENT_COUNT] = {
    [HV_X86_ES] = SYSTEM(es),    [HV_X86_CS] = SYSTEM(cs),
    [HV_X86_SS] = SYSTEM(ss),    [HV_X86_DS] = SYSTEM(ds),
    [HV_X86_FS] = SYSTEM(fs),    [HV_X86_GS] = SYSTEM(gs),
    [HV_X86_LDTR] = SYSTEM(ldt), [HV_X86_TR] = SYSTEM(tr),
    [HV_X86_GDTR] = SYSTEM(gdt), [HV_X86_IDTR] = SYSTEM(idt),
};

/* Where in its block the 64-bit register is; false: there is none. */
static bool find_plain(const struct hv_reg *reg, size_t *at)
{
    switch (reg->group) {
    case HV_X86_GENERAL:
        if (reg->number >= HV_X86_GENERAL_COUNT)
            return false;
        *at = general_at[reg->number];
        return true;
    case HV_X86_CONTROL:
        if (reg->number > HV_X86_APIC_BASE || !control_at[reg->number])
            return false;
        *at = control_at[reg->number];
        return true;
    case HV_X86_DEBUG:
        if (reg->number > 7 || reg->number == 4 || reg->number == 5)
            return false;
        *at = reg->number == 6   ? DEBUG(dr6)
              : reg->number == 7 ? DEBUG(dr7)
                                 : DEBUG(db) + 8 * reg->number;
        return true;
    default:
        return false;
    }
}

static bool is_table(uint32_t segment)
{
    return segment == HV_X86_GDTR || segment == HV_X86_IDTR;
}

static void get_segment(const uint8_t *block, struct hv_reg *reg)
{
    const uint8_t *at = block + segment_at[reg->number];
    struct kvm_dtable table;
    struct kvm_segment segment;
    unsigned attributes;

    if (is_table(reg->number)) {
        memcpy(&table, at, sizeof table);
        *reg = hv_x86_segment(reg->number, 0, table.base, table.limit, 0);
        return;
    }
    memcpy(&segment, at, sizeof segment);
    attributes = (segment.type & 15u) | (segment.s & 1u) << 4 |
                 (segment.dpl & 3u) << 5 |
                 (unsigned)(segment.present && !segment.unusable) << 7 |
                 (segment.avl & 1u) << 12 | (segment.l & 1u) << 13 |
                 (segment.db & 1u) << 14 | (segment.g & 1u) << 15;
    *reg = hv_x86_segment(reg->number, segment.selector, segment.base,
                          segment.limit, (uint16_t)attributes);
}

static void set_segment(uint8_t *block, const struct hv_reg *reg)
{
    uint8_t *at = block + segment_at[reg->number];
    unsigned attributes = (unsigned)(reg->high >> 48);
    struct kvm_dtable table = {.base = reg->value,
                               .limit = (uint16_t)reg->high};
    struct kvm_segment segment = {
        .base = reg->value,
        .limit = (uint32_t)reg->high,
        .selector = (uint16_t)(reg->high >> 32),
        .type = attributes & 15,
        .s = attributes >> 4 & 1,
        .dpl = attributes >> 5 & 3,
        .present = attributes >> 7 & 1,
        .avl = attributes >> 12 & 1,
        .l = attributes >> 13 & 1,
        .db = attributes >> 14 & 1,
        .g = attributes >> 15 & 1,
        .unusable = !(attributes >> 7 & 1),
    };

    if (is_table(reg->number))
        memcpy(at, &table, sizeof table);
    else
        memcpy(at, &segment, sizeof segment);
}

static int unknown(const struct hv_reg *reg, struct sm_error *err)
{
    return fail(err, SM_EINVAL, "no register %#x in group %u", reg->number,
                reg->group);
}

static int get_one(struct walk *walk, struct hv_reg *reg, struct sm_error *err)
{
    enum block block = block_of(reg->group);
    size_t at;
    int rc = enter_block(walk, block, err);

    if (rc)
        return rc;
    if (block == BLOCK_NONE)
        return kvm_extra_get(walk->vcpu, reg, err);
    if (reg->group == HV_X86_SEGMENTS && reg->number < HV_X86_SEGMENT_COUNT) {
        get_segment(walk->data.bytes, reg);
        return 0;
    }
    if (!find_plain(reg, &at))
        return unknown(reg, err);
    memcpy(&reg->value, walk->data.bytes + at, sizeof reg->value);
    reg->high = 0;
    return 0;
}

static int set_one(struct walk *walk, const struct hv_reg *reg,
                   struct sm_error *err)
{
    enum block block = block_of(reg->group);
    size_t at;
    int rc = enter_block(walk, block, err);

    if (rc)
        return rc;
    if (block == BLOCK_NONE)
        return kvm_extra_set(walk->vcpu, reg, err);
    if (reg->group == HV_X86_SEGMENTS && reg->number < HV_X86_SEGMENT_COUNT) {
        set_segment(walk->data.bytes, reg);
    } else {
        if (!find_plain(reg, &at))
            return unknown(reg, err);
        memcpy(walk->data.bytes + at, &reg->value, sizeof reg->value);
    }
    walk->changed = true;
    return 0;
}

int kvm_regs_get(struct hv_vcpu *vcpu, struct hv_reg *regs, unsigned count,
                 struct sm_error *err)
{
    struct walk walk = {.vcpu = kvm_vcpu_of(vcpu)};
    int rc = 0;

    for (unsigned i = 0; i < count && !rc; i++)
        rc = get_one(&walk, &regs[i], err);
    return rc;
}

int kvm_regs_set(struct hv_vcpu *vcpu, const struct hv_reg *regs,
                 unsigned count, struct sm_error *err)
{
    struct walk walk = {.vcpu = kvm_vcpu_of(vcpu)};
    int rc = 0;

    for (unsigned i = 0; i < count && !rc; i++)
        rc = set_one(&walk, &regs[i], err);
    if (!rc)
        rc = leave_block(&walk, err);
    return rc;
}
