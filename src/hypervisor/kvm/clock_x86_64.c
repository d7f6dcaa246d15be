/* clock_x86_64.c: TSC and kvmclock; see kvm.h.
 *
 * How it works
 *   The guest's TSC is the host's plus an offset, which Linux 5.16 lets us
 *   read and write: then one reading of the host's TSC serves all vcpus and
 *   they stay in step to the tick. On older kernels, and where KVM scales the
 *   TSC, the guest's counter itself is read and written; KVM notices that the
 *   vcpus of a machine are set to nearly the same and keeps them in step.
 */
#include "hypervisor/kvm/kvm.h"

#include <errno.h>
#include <x86intrin.h>

enum { MSR_TSC = 0x10, MSR_TSC_DEADLINE = 0x6e0 };

uint64_t kvm_ticks(void)
{
    return __rdtsc();
}

static bool offset_call(struct kvm_vcpu *vcpu, unsigned long request,
                        uint64_t *offset)
{
    struct kvm_device_attr attribute = {
        .group = KVM_VCPU_TSC_CTRL,
        .attr = KVM_VCPU_TSC_OFFSET,
        .addr = (uintptr_t)offset,
    };

    return !vcpu->host_khz && kvm_ioctl(vcpu->fd, request, &attribute) == 0;
}

/* How far the guest's counter went while the host's went (ticks). */
static uint64_t guest_ticks(const struct kvm_vcpu *vcpu, uint64_t ticks)
{
    __extension__ unsigned __int128 scaled = ticks;

    if (!vcpu->host_khz)
        return ticks;
    return (uint64_t)(scaled * vcpu->guest_khz / vcpu->host_khz);
}

int kvm_clock_save(struct hv_vcpu *base, uint64_t now, uint64_t *ref,
                   struct sm_error *err)
{
    struct kvm_vcpu *vcpu = kvm_vcpu_of(base);
    uint64_t offset;
    uint64_t counter;

    if (offset_call(vcpu, KVM_GET_DEVICE_ATTR, &offset)) {
        *ref = now + offset;
        return 0;
    }
    if (!kvm_msr_get(vcpu, MSR_TSC, &counter))
        return fail(err, SM_EIO, "vcpu %u: the TSC cannot be read", base->id);
    *ref = counter - guest_ticks(vcpu, kvm_ticks() - now);
    return 0;
}

int kvm_clock_load(struct hv_vcpu *base, uint64_t now, uint64_t ref,
                   struct sm_error *err)
{
    struct kvm_vcpu *vcpu = kvm_vcpu_of(base);
    uint64_t offset = ref - now;

    if (!offset_call(vcpu, KVM_SET_DEVICE_ATTR, &offset) &&
        !kvm_msr_set(vcpu, MSR_TSC, ref + guest_ticks(vcpu, kvm_ticks() - now)))
        return fail(err, SM_EIO, "vcpu %u: the TSC cannot be set", base->id);
    if (vcpu->tsc_deadline &&
        !kvm_msr_set(vcpu, MSR_TSC_DEADLINE, vcpu->tsc_deadline))
        return fail(err, SM_EPROTO, "vcpu %u: timer deadline %#llx is refused",
                    base->id, (unsigned long long)vcpu->tsc_deadline);
    vcpu->tsc_deadline = 0;
    return 0;
}

int kvm_pvclock_save(struct hv_vm *vm, struct hv_pvclock *ret,
                     struct sm_error *err)
{
    struct kvm_clock_data data;

    if (kvm_ioctl(kvm_vm_of(vm)->fd, KVM_GET_CLOCK, &data) < 0)
        return fail_os(err, "KVM_GET_CLOCK");
    *ret = (struct hv_pvclock){.ns = data.clock, .present = true};
    return 0;
}

/* Without KVM_CLOCK_REALTIME: the clock goes on from where it stood. */
int kvm_pvclock_load(struct hv_vm *vm, const struct hv_pvclock *pvclock,
                     struct sm_error *err)
{
    struct kvm_clock_data data = {.clock = pvclock->ns};

    if (kvm_ioctl(kvm_vm_of(vm)->fd, KVM_SET_CLOCK, &data) < 0)
        return fail_os(err, "KVM_SET_CLOCK");
    return 0;
}

int kvm_vcpu_resumed(struct hv_vcpu *base, struct sm_error *err)
{
    /* EINVAL: the guest does not use kvmclock, so there is nobody to tell. */
    if (kvm_ioctl_value(kvm_vcpu_of(base)->fd, KVM_KVMCLOCK_CTRL, 0) < 0 &&
        errno != EINVAL)
        return fail_os(err, "KVM_KVMCLOCK_CTRL");
    return 0;
}
