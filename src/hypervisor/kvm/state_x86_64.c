/* state_x86_64.c: a vcpu as a record and back; see kvm.h and
 * hypervisor/state.h.
 *
 * Order of loading
 *   control registers and XCR0 before the FPU's state, which depends on it;
 *   the frequency of the TSC before everything that counts in it; the APIC's
 *   base (a control register) before the APIC; events and power last, since
 *   they are about what happens next. The timer's deadline waits for
 *   clock_load.
 */
#include "hypervisor/kvm/kvm.h"

#include "base/bytes.h"
#include "base/own.h"
#include "hypervisor/state.h"

#include <stdlib.h>
#include <string.h>

enum { MSR_TSC_DEADLINE = 0x6e0, LIST_MAX = 64 };

/* A vcpu's lists, and the registers that each has to have. */
static const uint32_t general_numbers[] = {0, 1,  2,  3,  4,  5,  6,  7,  8,
                                           9, 10, 11, 12, 13, 14, 15, 16, 17};
static const uint32_t segment_numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
static const uint32_t control_numbers[] = {
    HV_X86_CR0, HV_X86_CR2,  HV_X86_CR3,      HV_X86_CR4,
    HV_X86_CR8, HV_X86_EFER, HV_X86_APIC_BASE};
static const uint32_t xcr_numbers[] = {0};
static const uint32_t debug_numbers[] = {0, 1, 2, 3, 6, 7};
static const uint32_t tsc_numbers[] = {HV_X86_TSC_KHZ};
static const uint32_t event_numbers[] = {
    HV_X86_EVENT_EXCEPTION, HV_X86_EVENT_INTERRUPT, HV_X86_EVENT_SHADOW,
    HV_X86_EVENT_NMI, HV_X86_EVENT_SIPI};
static const uint32_t power_numbers[] = {0};

struct list {
    enum hv_group group;
    const uint32_t *numbers;
    unsigned count;
};

#define LIST(group, numbers)                                                   \
    {                                                                          \
        group, numbers, ARRAY_LEN(numbers)                                     \
    }

static const struct list general = LIST(HV_X86_GENERAL, general_numbers);
static const struct list segments = LIST(HV_X86_SEGMENTS, segment_numbers);
static const struct list control = LIST(HV_X86_CONTROL, control_numbers);
static const struct list xcrs = LIST(HV_X86_XCRS, xcr_numbers);
static const struct list debug = LIST(HV_X86_DEBUG, debug_numbers);
static const struct list tsc = LIST(HV_X86_TSC, tsc_numbers);
static const struct list events = LIST(HV_X86_EVENTS, event_numbers);
static const struct list power = LIST(HV_POWER, power_numbers);

/*
 * The MSRs that make up a vcpu of ours, ascending: those that the guest can
 * write with the CPUID of arch/x86_64/cpuid.c and that are in no other group.
 * A host that lacks one leaves it out of the record.
 */
static const uint32_t msrs[] = {
    0x3b,  /* TSC_ADJUST                        */
    0x48,  /* SPEC_CTRL                         */
    0x10a, /* ARCH_CAPABILITIES                 */
    0x174, /* SYSENTER_CS                       */
    0x175, /* SYSENTER_ESP                      */
    0x176, /* SYSENTER_EIP                      */
    0x1a0, /* MISC_ENABLE                       */
    0x1d9, /* DEBUGCTL                          */
    0x200, /* MTRR, eight pairs                 */
    0x201,      0x202, 0x203, 0x204, 0x205, 0x206, 0x207, 0x208, 0x209,
    0x20a,      0x20b, 0x20c, 0x20d, 0x20e, 0x20f, 0x250, /* MTRR, fixed */
    0x258,      0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e,
    0x26f,      0x277, /* PAT                               */
    0x2ff,             /* MTRR_DEF_TYPE                     */
    0x6e0,             /* TSC_DEADLINE                      */
    0xda0,             /* XSS                               */
    0x4b564d00,        /* kvmclock: wall clock              */
    0x4b564d01,        /* kvmclock: system time             */
    0x4b564d02,        /* asynchronous page faults: on      */
    0x4b564d03,        /* stolen time                       */
    0x4b564d04,        /* paravirtual end of interrupt      */
    0x4b564d05,        /* polling in HLT                    */
    0x4b564d06,        /* asynchronous page faults: vector  */
    0xc0000081,        /* STAR                              */
    0xc0000082,        /* LSTAR                             */
    0xc0000083,        /* CSTAR                             */
    0xc0000084,        /* SFMASK                            */
    0xc0000102,        /* KERNEL_GS_BASE                    */
    0xc0000103,        /* TSC_AUX                           */
    0xc0010015,        /* HWCR (AMD)                        */
    0xc001011f,        /* VIRT_SPEC_CTRL (AMD)              */
};

_Static_assert(ARRAY_LEN(msrs) <= LIST_MAX, "msrs");

/* ----------------------------------------------------------------- save --- */

static int save_list(struct kvm_vcpu *vcpu, const struct list *list,
                     struct buf *to, struct sm_error *err)
{
    struct hv_reg regs[LIST_MAX];
    int rc;

    for (unsigned i = 0; i < list->count; i++)
        regs[i] =
            (struct hv_reg){.group = list->group, .number = list->numbers[i]};
    rc = kvm_regs_get(&vcpu->base, regs, list->count, err);
    if (!rc)
        state_put_list(to, list->group, regs, list->count);
    return rc;
}

static void save_msrs(struct kvm_vcpu *vcpu, struct buf *to)
{
    struct hv_reg regs[LIST_MAX];
    unsigned count = 0;

    for (size_t i = 0; i < ARRAY_LEN(msrs); i++) {
        regs[count] = (struct hv_reg){.number = msrs[i]};
        if (kvm_msr_get(vcpu, msrs[i], &regs[count].value))
            count++;
    }
    state_put_list(to, HV_X86_MSRS, regs, count);
}

/* Bytes of KVM's XSAVE area: at least its first 4096, more with AMX. */
static size_t xsave_bytes(const struct kvm_vcpu *vcpu)
{
    int bytes = kvm_ioctl_value(kvm_vm_of(vcpu->base.vm)->fd,
                                KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);

    return bytes > (int)sizeof(struct kvm_xsave) ? (size_t)bytes
                                                 : sizeof(struct kvm_xsave);
}

static int save_fpu(struct kvm_vcpu *vcpu, struct buf *to, struct sm_error *err)
{
    size_t bytes = xsave_bytes(vcpu);
    AUTO_FREE uint8_t *area = calloc(1, bytes);
    unsigned long request =
        bytes > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE;

    if (!area)
        return fail(err, SM_ENOMEM, "XSAVE area");
    if (kvm_ioctl(vcpu->fd, request, area) < 0)
        return fail_os(err, "KVM_GET_XSAVE");
    state_put_blob(to, HV_X86_FPU, area, bytes);
    return 0;
}

static int save_lapic(struct kvm_vcpu *vcpu, struct buf *to,
                      struct sm_error *err)
{
    struct kvm_lapic_state lapic;

    if (kvm_ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic) < 0)
        return fail_os(err, "KVM_GET_LAPIC");
    state_put_blob(to, HV_X86_LAPIC, &lapic, sizeof lapic);
    return 0;
}

static int save_all(struct kvm_vcpu *vcpu, struct buf *to, struct sm_error *err)
{
    int rc;

    state_put_header(to);
    rc = save_list(vcpu, &general, to, err);
    if (!rc)
        rc = save_list(vcpu, &segments, to, err);
    if (!rc)
        rc = save_list(vcpu, &control, to, err);
    if (!rc)
        rc = save_list(vcpu, &xcrs, to, err);
    if (!rc)
        rc = save_fpu(vcpu, to, err);
    if (!rc)
        rc = save_list(vcpu, &debug, to, err);
    if (!rc)
        rc = save_list(vcpu, &tsc, to, err);
    if (rc)
        return rc;
    save_msrs(vcpu, to);
    rc = save_lapic(vcpu, to, err);
    if (!rc)
        rc = save_list(vcpu, &events, to, err);
    if (!rc)
        rc = save_list(vcpu, &power, to, err);
    return rc;
}

int kvm_vcpu_save(struct hv_vcpu *base, struct buf *to, struct sm_error *err)
{
    struct kvm_vcpu *vcpu = kvm_vcpu_of(base);
    int rc;

    if (vcpu->unfinished)
        return fail(err, SM_ESTATE,
                    "vcpu %u: an access is not finished: kick it and run it",
                    base->id);
    rc = save_all(vcpu, to, err);
    if (!rc && to->failed)
        rc = fail(err, SM_ENOMEM, "state");
    return rc ? wrap(err, rc, "vcpu %u", base->id) : 0;
}

/* ----------------------------------------------------------------- load --- */

/* The whole record, decoded before anything is set. */
struct loaded {
    struct hv_reg general[ARRAY_LEN(general_numbers)];
    struct hv_reg segments[ARRAY_LEN(segment_numbers)];
    struct hv_reg control[ARRAY_LEN(control_numbers)];
    struct hv_reg xcrs[ARRAY_LEN(xcr_numbers)];
    struct hv_reg debug[ARRAY_LEN(debug_numbers)];
    struct hv_reg tsc[ARRAY_LEN(tsc_numbers)];
    struct hv_reg msrs[LIST_MAX];
    struct hv_reg events[ARRAY_LEN(event_numbers)];
    struct hv_reg power[ARRAY_LEN(power_numbers)];
    unsigned msr_count;
    const uint8_t *fpu;
    size_t fpu_bytes;
    const uint8_t *lapic;
};

/* A list with exactly the registers that (list) says. */
static int read_list(struct wire_reader *from, const struct list *list,
                     struct hv_reg *regs, struct sm_error *err)
{
    unsigned count = 0;
    int rc = state_get_list(from, list->group, regs, list->count, &count, err);

    if (rc)
        return rc;
    for (unsigned i = 0; i < list->count; i++)
        if (count != list->count || regs[i].number != list->numbers[i])
            return fail(err, SM_EPROTO, "vcpu state: group %d lacks %#x",
                        list->group, list->numbers[i]);
    return 0;
}

/* Only MSRs that we would have saved. */
static int read_msrs(struct wire_reader *from, struct loaded *to,
                     struct sm_error *err)
{
    size_t known = 0;
    int rc = state_get_list(from, HV_X86_MSRS, to->msrs, ARRAY_LEN(msrs),
                            &to->msr_count, err);

    for (unsigned i = 0; i < to->msr_count && !rc; i++) {
        while (known < ARRAY_LEN(msrs) && msrs[known] < to->msrs[i].number)
            known++;
        if (known == ARRAY_LEN(msrs) || msrs[known] != to->msrs[i].number)
            rc =
                fail(err, SM_EPROTO, "vcpu state: MSR %#x", to->msrs[i].number);
    }
    return rc;
}

static int read_lapic(struct wire_reader *from, struct loaded *to,
                      struct sm_error *err)
{
    size_t bytes = 0;
    int rc = state_get_blob(from, HV_X86_LAPIC, &to->lapic, &bytes, err);

    if (!rc && bytes != KVM_APIC_REG_SIZE)
        rc = fail(err, SM_EPROTO, "vcpu state: local APIC of %zu bytes", bytes);
    return rc;
}

static int read_all(struct wire_reader *from, struct loaded *to,
                    struct sm_error *err)
{
    int rc = state_get_header(from, err);

    if (!rc)
        rc = read_list(from, &general, to->general, err);
    if (!rc)
        rc = read_list(from, &segments, to->segments, err);
    if (!rc)
        rc = read_list(from, &control, to->control, err);
    if (!rc)
        rc = read_list(from, &xcrs, to->xcrs, err);
    if (!rc)
        rc = state_get_blob(from, HV_X86_FPU, &to->fpu, &to->fpu_bytes, err);
    if (!rc)
        rc = read_list(from, &debug, to->debug, err);
    if (!rc)
        rc = read_list(from, &tsc, to->tsc, err);
    if (!rc)
        rc = read_msrs(from, to, err);
    if (!rc)
        rc = read_lapic(from, to, err);
    if (!rc)
        rc = read_list(from, &events, to->events, err);
    if (!rc)
        rc = read_list(from, &power, to->power, err);
    return rc;
}

static int load_fpu(struct kvm_vcpu *vcpu, const struct loaded *from,
                    struct sm_error *err)
{
    size_t bytes = xsave_bytes(vcpu);
    AUTO_FREE uint8_t *area = calloc(1, bytes);

    if (!area)
        return fail(err, SM_ENOMEM, "XSAVE area");
    if (from->fpu_bytes > bytes)
        return fail(err, SM_ENOTSUP,
                    "XSAVE area of %zu bytes: this host has %zu",
                    from->fpu_bytes, bytes);
    memcpy(area, from->fpu, from->fpu_bytes);
    if (kvm_ioctl(vcpu->fd, KVM_SET_XSAVE, area) < 0)
        return fail(err, SM_EPROTO, "vcpu state: XSAVE area is refused");
    return 0;
}

static int load_lapic(struct kvm_vcpu *vcpu, const struct loaded *from,
                      struct sm_error *err)
{
    struct kvm_lapic_state lapic;

    memcpy(&lapic, from->lapic, sizeof lapic);
    if (kvm_ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic) < 0)
        return fail(err, SM_EPROTO, "vcpu state: local APIC is refused");
    return 0;
}

static int load_msrs(struct kvm_vcpu *vcpu, const struct loaded *from,
                     struct sm_error *err)
{
    union {
        struct kvm_msrs header;
        uint8_t bytes[sizeof(struct kvm_msrs) +
                      LIST_MAX * sizeof(struct kvm_msr_entry)];
    } list = {0};
    uint32_t count = 0;
    int done;

    vcpu->tsc_deadline = 0;
    for (unsigned i = 0; i < from->msr_count; i++) {
        if (from->msrs[i].number == MSR_TSC_DEADLINE) {
            vcpu->tsc_deadline = from->msrs[i].value;
            continue;
        }
        list.header.entries[count].index = from->msrs[i].number;
        list.header.entries[count++].data = from->msrs[i].value;
    }
    list.header.nmsrs = count;
    done = kvm_ioctl(vcpu->fd, KVM_SET_MSRS, &list);
    if (done < 0)
        return fail_os(err, "KVM_SET_MSRS");
    if ((uint32_t)done < count)
        return fail(err, SM_ENOTSUP, "MSR %#x: %#llx is refused by this host",
                    list.header.entries[done].index,
                    (unsigned long long)list.header.entries[done].data);
    return 0;
}

/* Registers that KVM refuses could not have come from a running vcpu. */
static int load_list(struct kvm_vcpu *vcpu, const struct hv_reg *regs,
                     unsigned count, struct sm_error *err)
{
    int rc = kvm_regs_set(&vcpu->base, regs, count, err);

    if (rc == SM_EINVAL)
        rc = SM_EPROTO;
    if (rc && err)
        err->code = rc;
    return rc;
}

#define LOAD(vcpu, list, err) load_list(vcpu, list, ARRAY_LEN(list), err)

static int load_all(struct kvm_vcpu *vcpu, const struct loaded *from,
                    struct sm_error *err)
{
    struct hv_reg
        system[ARRAY_LEN(segment_numbers) + ARRAY_LEN(control_numbers)];
    int rc;

    /* One block of KVM: its parts make sense only together. */
    memcpy(system, from->segments, sizeof from->segments);
    memcpy(system + ARRAY_LEN(segment_numbers), from->control,
           sizeof from->control);
    rc = LOAD(vcpu, system, err);
    if (!rc)
        rc = LOAD(vcpu, from->xcrs, err);
    if (!rc)
        rc = load_fpu(vcpu, from, err);
    if (!rc)
        rc = LOAD(vcpu, from->debug, err);
    if (!rc)
        rc = LOAD(vcpu, from->tsc, err);
    if (!rc)
        rc = load_msrs(vcpu, from, err);
    if (!rc)
        rc = load_lapic(vcpu, from, err);
    if (!rc)
        rc = LOAD(vcpu, from->general, err);
    if (!rc)
        rc = LOAD(vcpu, from->events, err);
    if (!rc)
        rc = LOAD(vcpu, from->power, err);
    return rc;
}

int kvm_vcpu_load(struct hv_vcpu *base, struct wire_reader *from,
                  struct sm_error *err)
{
    struct loaded loaded = {0};
    int rc = read_all(from, &loaded, err);

    if (!rc)
        rc = load_all(kvm_vcpu_of(base), &loaded, err);
    return rc ? wrap(err, rc, "vcpu %u", base->id) : 0;
}
