/* kvm.c: KVM as a hypervisor of hv.h; see kvm.h. */
#include "hypervisor/kvm/kvm.h"

const struct hv_ops hv_kvm = {
    .name = "kvm",
    .probe = kvm_probe,
    .vm_new = kvm_vm_new,
    .vm_free = kvm_vm_free,
    .vm_map = kvm_vm_map,
    .vm_unmap = kvm_vm_unmap,
    .window_new = kvm_window_new,
    .window_map = kvm_window_map,
    .window_unmap = kvm_window_unmap,
    .dirty_start = kvm_dirty_start,
    .dirty_fetch = kvm_dirty_fetch,
    .dirty_stop = kvm_dirty_stop,
    .intc_new = kvm_intc_new,
    .intc_save = kvm_intc_save,
    .intc_load = kvm_intc_load,
    .irq_set = kvm_irq_set,
    .msi_send = kvm_msi_send,
    .route_set = kvm_route_set,
    .irqfd_attach = kvm_irqfd_attach,
    .irqfd_detach = kvm_irqfd_detach,
    .ioeventfd_attach = kvm_ioeventfd_attach,
    .ioeventfd_detach = kvm_ioeventfd_detach,
    .cpuid_get = kvm_cpuid_get,
    .cpuid_set = kvm_cpuid_set,
    .vcpu_new = kvm_vcpu_new,
    .vcpu_free = kvm_vcpu_free,
    .vcpu_run = kvm_vcpu_run,
    .vcpu_kick = kvm_vcpu_kick,
    .regs_get = kvm_regs_get,
    .regs_set = kvm_regs_set,
    .vcpu_save = kvm_vcpu_save,
    .vcpu_load = kvm_vcpu_load,
    .ticks = kvm_ticks,
    .clock_save = kvm_clock_save,
    .clock_load = kvm_clock_load,
    .pvclock_save = kvm_pvclock_save,
    .pvclock_load = kvm_pvclock_load,
    .vcpu_resumed = kvm_vcpu_resumed,
};

const struct hv_ops *hv_host(void)
{
    return &hv_kvm;
}
