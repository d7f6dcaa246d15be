/* cpuid_x86_64.c: CPUID tables in both directions; see kvm.h. */
#include "hypervisor/kvm/kvm.h"

#include <stdlib.h>

/* KVM's table with room for HV_CPUID_MAX entries. */
union kvm_table {
    struct kvm_cpuid2 header;
    uint8_t bytes[sizeof(struct kvm_cpuid2) +
                  HV_CPUID_MAX * sizeof(struct kvm_cpuid_entry2)];
};

/* KVM offers the TSC-deadline timer by a capability (checked in device.c),
 * not in this table, since it depends on the local APIC being in KVM. */
static void add_tsc_deadline(struct hv_cpuid *entry)
{
    if (entry->leaf == 1)
        entry->ecx |= UINT32_C(1) << 24;
}

int kvm_cpuid_offered(int device_fd, struct hv_cpuid_table *ret,
                      struct sm_error *err)
{
    union kvm_table table = {.header.nent = HV_CPUID_MAX};

    if (kvm_ioctl(device_fd, KVM_GET_SUPPORTED_CPUID, &table) < 0)
        return fail_os(err, "KVM_GET_SUPPORTED_CPUID");
    ret->count = table.header.nent;
    for (uint32_t i = 0; i < ret->count; i++) {
        const struct kvm_cpuid_entry2 *from = &table.header.entries[i];

        ret->entry[i] = (struct hv_cpuid){
            .leaf = from->function,
            .subleaf = from->index,
            .has_subleaf = from->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            .eax = from->eax,
            .ebx = from->ebx,
            .ecx = from->ecx,
            .edx = from->edx,
        };
        add_tsc_deadline(&ret->entry[i]);
    }
    return 0;
}

int kvm_cpuid_get(struct hv_vm *vm, struct hv_cpuid_table *ret,
                  struct sm_error *err)
{
    (void)err;
    *ret = kvm_vm_of(vm)->offered;
    return 0;
}

/* Each vcpu takes it when it is made. */
int kvm_cpuid_set(struct hv_vm *vm, struct sm_error *err)
{
    (void)vm;
    (void)err;
    return 0;
}

static void put_id(struct kvm_cpuid_entry2 *entry, uint32_t id)
{
    switch (entry->function) {
    case 1:
        entry->ebx = (entry->ebx & 0x00ffffff) | id << 24;
        return;
    case 0xb:
    case 0x1f:
        entry->edx = id;
        return;
    case 0x8000001e:
        entry->eax = id;
        entry->ebx = (entry->ebx & ~UINT32_C(0xff)) | (id & 0xff);
        return;
    default:
        return;
    }
}

int kvm_cpuid_apply(struct kvm_vcpu *vcpu, struct sm_error *err)
{
    const struct hv_cpuid_table *from = &vcpu->base.vm->cpuid;
    union kvm_table table = {.header.nent = from->count};

    for (uint32_t i = 0; i < from->count; i++) {
        const struct hv_cpuid *entry = &from->entry[i];

        table.header.entries[i] = (struct kvm_cpuid_entry2){
            .function = entry->leaf,
            .index = entry->subleaf,
            .flags = entry->has_subleaf ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
            .eax = entry->eax,
            .ebx = entry->ebx,
            .ecx = entry->ecx,
            .edx = entry->edx,
        };
        put_id(&table.header.entries[i], vcpu->base.id);
    }
    if (kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, &table) < 0)
        return fail_os(err, "KVM_SET_CPUID2");
    return 0;
}
