/* extra_x86_64.c: registers by name, those without a block: MSRs, XCR0, TSC,
 * events, power; see kvm.h. */
#include "hypervisor/kvm/kvm.h"

#include <errno.h>

enum { MSR_TSC = 0x10 };

/* KVM's list with one entry. */
union one_msr {
    struct kvm_msrs header;
    uint8_t bytes[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

bool kvm_msr_get(struct kvm_vcpu *vcpu, uint32_t index, uint64_t *value)
{
    union one_msr msr = {.header.nmsrs = 1};

    msr.header.entries[0].index = index;
    if (kvm_ioctl(vcpu->fd, KVM_GET_MSRS, &msr) != 1)
        return false;
    *value = msr.header.entries[0].data;
    return true;
}

bool kvm_msr_set(struct kvm_vcpu *vcpu, uint32_t index, uint64_t value)
{
    union one_msr msr = {.header.nmsrs = 1};

    msr.header.entries[0].index = index;
    msr.header.entries[0].data = value;
    return kvm_ioctl(vcpu->fd, KVM_SET_MSRS, &msr) == 1;
}

/* XCR0 of a processor without XSAVE, as far as it can be said to have one:
 * x87 state only. KVM then has no XCR and refuses to set one. */
enum { XCR0_WITHOUT_XSAVE = 1 };

static int get_xcr0(struct kvm_vcpu *vcpu, struct hv_reg *reg,
                    struct sm_error *err)
{
    struct kvm_xcrs xcrs;

    if (kvm_ioctl(vcpu->fd, KVM_GET_XCRS, &xcrs) < 0)
        return fail_os(err, "KVM_GET_XCRS");
    reg->value = XCR0_WITHOUT_XSAVE;
    for (uint32_t i = 0; i < xcrs.nr_xcrs && i < KVM_MAX_XCRS; i++)
        if (xcrs.xcrs[i].xcr == 0)
            reg->value = xcrs.xcrs[i].value;
    return 0;
}

static int set_xcr0(struct kvm_vcpu *vcpu, const struct hv_reg *reg,
                    struct sm_error *err)
{
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.value = reg->value}}};

    if (kvm_ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs) == 0 ||
        (errno == EINVAL && reg->value == XCR0_WITHOUT_XSAVE))
        return 0;
    return fail_os(err, "XCR0 %#llx", (unsigned long long)reg->value);
}

/* KVM's numbers of enum hv_power. */
static const uint32_t mp_state[HV_POWER_COUNT] = {
    [HV_POWER_RUNNING] = KVM_MP_STATE_RUNNABLE,
    [HV_POWER_OFF] = KVM_MP_STATE_UNINITIALIZED,
    [HV_POWER_INIT] = KVM_MP_STATE_INIT_RECEIVED,
    [HV_POWER_SIPI] = KVM_MP_STATE_SIPI_RECEIVED,
    [HV_POWER_HALTED] = KVM_MP_STATE_HALTED,
};

static int get_power(struct kvm_vcpu *vcpu, struct hv_reg *reg,
                     struct sm_error *err)
{
    struct kvm_mp_state mp;

    if (kvm_ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp) < 0)
        return fail_os(err, "KVM_GET_MP_STATE");
    for (uint32_t i = 0; i < HV_POWER_COUNT; i++) {
        if (mp_state[i] == mp.mp_state) {
            reg->value = i;
            return 0;
        }
    }
    return fail(err, SM_EIO, "KVM_GET_MP_STATE: state %u is not known",
                mp.mp_state);
}

static int set_power(struct kvm_vcpu *vcpu, const struct hv_reg *reg,
                     struct sm_error *err)
{
    struct kvm_mp_state mp;

    if (reg->value >= HV_POWER_COUNT)
        return fail(err, SM_EINVAL, "power state %llu: below %d",
                    (unsigned long long)reg->value, HV_POWER_COUNT);
    mp.mp_state = mp_state[reg->value];
    if (kvm_ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp) < 0)
        return fail_os(err, "power state %llu", (unsigned long long)reg->value);
    return 0;
}

static int get_tsc(struct kvm_vcpu *vcpu, struct hv_reg *reg,
                   struct sm_error *err)
{
    int khz;

    if (reg->number == HV_X86_TSC_COUNTER)
        return kvm_msr_get(vcpu, MSR_TSC, &reg->value)
                   ? 0
                   : fail(err, SM_EIO, "the TSC cannot be read");
    khz = kvm_ioctl_value(vcpu->fd, KVM_GET_TSC_KHZ, 0);
    if (khz < 0)
        return fail_os(err, "KVM_GET_TSC_KHZ");
    reg->value = (uint64_t)khz;
    return 0;
}

/* Writing the frequency makes KVM scale the counter, which not every
 * processor can: what is right already is left alone. */
static int set_tsc(struct kvm_vcpu *vcpu, const struct hv_reg *reg,
                   struct sm_error *err)
{
    struct hv_reg now = *reg;
    int rc;

    if (reg->number == HV_X86_TSC_COUNTER)
        return kvm_msr_set(vcpu, MSR_TSC, reg->value)
                   ? 0
                   : fail(err, SM_EIO, "the TSC cannot be set");
    rc = get_tsc(vcpu, &now, err);
    if (rc || now.value == reg->value)
        return rc;
    if (kvm_ioctl_value(vcpu->fd, KVM_SET_TSC_KHZ, reg->value) < 0)
        return fail(err, SM_ENOTSUP,
                    "TSC of %llu kHz: this host has %llu and cannot scale it",
                    (unsigned long long)reg->value,
                    (unsigned long long)now.value);
    if (!vcpu->host_khz)
        vcpu->host_khz = now.value;
    vcpu->guest_khz = reg->value;
    return 0;
}

/* Bits of enum hv_x86_event. */
enum {
    EVENT_HAS_CODE = 1 << 8,
    EVENT_SOFTWARE = 1 << 8,
    EVENT_INJECTED = 1 << 9,
    EVENT_PENDING = 1 << 10,
    NMI_INJECTED = 1 << 0,
    NMI_PENDING = 1 << 1,
    NMI_MASKED = 1 << 2
};

static uint64_t flag(bool set, unsigned bit)
{
    return set ? bit : 0;
}

static int get_event(struct kvm_vcpu *vcpu, struct hv_reg *reg,
                     struct sm_error *err)
{
    struct kvm_vcpu_events events;

    if (kvm_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
        return fail_os(err, "KVM_GET_VCPU_EVENTS");
    switch (reg->number) {
    case HV_X86_EVENT_EXCEPTION:
        reg->value = events.exception.nr |
                     flag(events.exception.has_error_code, EVENT_HAS_CODE) |
                     flag(events.exception.injected, EVENT_INJECTED) |
                     flag(events.exception.pending, EVENT_PENDING) |
                     (uint64_t)events.exception.error_code << 32;
        return 0;
    case HV_X86_EVENT_INTERRUPT:
        reg->value = events.interrupt.nr |
                     flag(events.interrupt.soft, EVENT_SOFTWARE) |
                     flag(events.interrupt.injected, EVENT_INJECTED);
        return 0;
    case HV_X86_EVENT_SHADOW:
        reg->value =
            flag(events.interrupt.shadow & KVM_X86_SHADOW_INT_STI, 1) |
            flag(events.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS, 2);
        return 0;
    case HV_X86_EVENT_NMI:
        reg->value = flag(events.nmi.injected, NMI_INJECTED) |
                     flag(events.nmi.pending, NMI_PENDING) |
                     flag(events.nmi.masked, NMI_MASKED);
        return 0;
    case HV_X86_EVENT_SIPI:
        reg->value = events.sipi_vector;
        return 0;
    default:
        return fail(err, SM_EINVAL, "no event %u", reg->number);
    }
}

static int change_event(struct kvm_vcpu_events *events,
                        const struct hv_reg *reg, struct sm_error *err)
{
    uint64_t value = reg->value;

    switch (reg->number) {
    case HV_X86_EVENT_EXCEPTION:
        events->exception.nr = (uint8_t)value;
        events->exception.has_error_code = (value & EVENT_HAS_CODE) != 0;
        events->exception.injected = (value & EVENT_INJECTED) != 0;
        events->exception.pending = (value & EVENT_PENDING) != 0;
        events->exception.error_code = (uint32_t)(value >> 32);
        return 0;
    case HV_X86_EVENT_INTERRUPT:
        events->interrupt.nr = (uint8_t)value;
        events->interrupt.soft = (value & EVENT_SOFTWARE) != 0;
        events->interrupt.injected = (value & EVENT_INJECTED) != 0;
        return 0;
    case HV_X86_EVENT_SHADOW:
        events->interrupt.shadow =
            (uint8_t)((value & 1 ? KVM_X86_SHADOW_INT_STI : 0) |
                      (value & 2 ? KVM_X86_SHADOW_INT_MOV_SS : 0));
        events->flags |= KVM_VCPUEVENT_VALID_SHADOW;
        return 0;
    case HV_X86_EVENT_NMI:
        events->nmi.injected = (value & NMI_INJECTED) != 0;
        events->nmi.pending = (value & NMI_PENDING) != 0;
        events->nmi.masked = (value & NMI_MASKED) != 0;
        events->flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
        return 0;
    case HV_X86_EVENT_SIPI:
        events->sipi_vector = (uint32_t)value;
        events->flags |= KVM_VCPUEVENT_VALID_SIPI_VECTOR;
        return 0;
    default:
        return fail(err, SM_EINVAL, "no event %u", reg->number);
    }
}

static int set_event(struct kvm_vcpu *vcpu, const struct hv_reg *reg,
                     struct sm_error *err)
{
    struct kvm_vcpu_events events;
    int rc;

    if (kvm_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
        return fail_os(err, "KVM_GET_VCPU_EVENTS");
    events.flags &= KVM_VCPUEVENT_VALID_NMI_PENDING |
                    KVM_VCPUEVENT_VALID_SIPI_VECTOR |
                    KVM_VCPUEVENT_VALID_SHADOW;
    rc = change_event(&events, reg, err);
    if (rc)
        return rc;
    if (kvm_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events) < 0)
        return fail_os(err, "event %u: %#llx", reg->number,
                       (unsigned long long)reg->value);
    return 0;
}

static int unknown(const struct hv_reg *reg, struct sm_error *err)
{
    return fail(err, SM_EINVAL, "no register %#x in group %u", reg->number,
                reg->group);
}

int kvm_extra_get(struct kvm_vcpu *vcpu, struct hv_reg *reg,
                  struct sm_error *err)
{
    reg->value = reg->high = 0;
    switch (reg->group) {
    case HV_X86_MSRS:
        return kvm_msr_get(vcpu, reg->number, &reg->value) ? 0
                                                           : unknown(reg, err);
    case HV_X86_XCRS:
        return reg->number ? unknown(reg, err) : get_xcr0(vcpu, reg, err);
    case HV_X86_TSC:
        return reg->number > HV_X86_TSC_KHZ ? unknown(reg, err)
                                            : get_tsc(vcpu, reg, err);
    case HV_X86_EVENTS:
        return get_event(vcpu, reg, err);
    case HV_POWER:
        return reg->number ? unknown(reg, err) : get_power(vcpu, reg, err);
    default:
        return unknown(reg, err);
    }
}

int kvm_extra_set(struct kvm_vcpu *vcpu, const struct hv_reg *reg,
                  struct sm_error *err)
{
    switch (reg->group) {
    case HV_X86_MSRS:
        if (kvm_msr_set(vcpu, reg->number, reg->value))
            return 0;
        return fail(err, SM_EINVAL, "MSR %#x: %#llx is refused", reg->number,
                    (unsigned long long)reg->value);
    case HV_X86_XCRS:
        return reg->number ? unknown(reg, err) : set_xcr0(vcpu, reg, err);
    case HV_X86_TSC:
        return reg->number > HV_X86_TSC_KHZ ? unknown(reg, err)
                                            : set_tsc(vcpu, reg, err);
    case HV_X86_EVENTS:
        return set_event(vcpu, reg, err);
    case HV_POWER:
        return reg->number ? unknown(reg, err) : set_power(vcpu, reg, err);
    default:
        return unknown(reg, err);
    }
}
