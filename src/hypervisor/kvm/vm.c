/* vm.c: a machine, its memory slots, windows and dirty log; see kvm.h. */
#include "hypervisor/kvm/kvm.h"

#include "base/bytes.h"
#include "base/own.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Where KVM keeps an identity map (one page) and a TSS (three) on Intel
 * processors that cannot run real mode directly: the end of the area of the
 * BIOS, where no machine of ours has anything. */
#define IDENTITY_MAP_GPA 0xfffbc000UL
#define TSS_GPA          0xfffbd000UL

static int create_failure(int os_error, struct sm_error *err)
{
    if (os_error == EBUSY)
        return fail(err, SM_EBUSY,
                    "KVM_CREATE_VM: another hypervisor (VirtualBox, VMware) "
                    "holds the processor's virtualization: stop it");
    return fail_errno(err, os_error, "KVM_CREATE_VM");
}

static int create(struct kvm_vm *vm, const struct hv_vm_config *config,
                  struct sm_error *err)
{
    uint64_t identity_map = IDENTITY_MAP_GPA;
    int run_bytes;
    int rc = kvm_open(config->device_fd, &vm->device_fd, err);

    if (!rc)
        rc = kvm_cpuid_offered(vm->device_fd, &vm->offered, err);
    if (!rc)
        rc = kvm_caps_fill(vm->device_fd, &vm->offered, &vm->base.caps, err);
    if (rc)
        return rc;
    if (config->vcpus > vm->base.caps.vcpus_max)
        return fail(err, SM_ENOTSUP, "%u vcpus: KVM has at most %u here",
                    config->vcpus, vm->base.caps.vcpus_max);
    if (config->gpa_bits > vm->base.caps.gpa_bits)
        return fail(err, SM_ENOTSUP,
                    "guest addresses of %u bits: this processor has %u",
                    config->gpa_bits, vm->base.caps.gpa_bits);
    run_bytes = kvm_ioctl_value(vm->device_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_bytes < 0)
        return fail_os(err, "KVM_GET_VCPU_MMAP_SIZE");
    vm->run_bytes = (size_t)run_bytes;
    vm->fd = kvm_ioctl_value(vm->device_fd, KVM_CREATE_VM, 0);
    if (vm->fd < 0)
        return create_failure(errno, err);
    if (kvm_ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0)
        return fail_os(err, "KVM_SET_IDENTITY_MAP_ADDR");
    if (kvm_ioctl_value(vm->fd, KVM_SET_TSS_ADDR, TSS_GPA) < 0)
        return fail_os(err, "KVM_SET_TSS_ADDR");
    return 0;
}

int kvm_vm_new(const struct hv_vm_config *config, struct hv_vm **ret,
               struct sm_error *err)
{
    struct kvm_vm *vm = calloc(1, sizeof *vm);
    int rc;

    if (!vm)
        return fail(err, SM_ENOMEM, "machine");
    vm->device_fd = vm->fd = -1;
    pthread_mutex_init(&vm->routes_lock, NULL);
    rc = create(vm, config, err);
    if (rc) {
        kvm_vm_free(&vm->base);
        return rc;
    }
    *ret = &vm->base;
    return 0;
}

void kvm_vm_free(struct hv_vm *base)
{
    struct kvm_vm *vm = kvm_vm_of(base);

    if (vm->fd >= 0)
        close(vm->fd);
    if (vm->device_fd >= 0)
        close(vm->device_fd);
    /* After the machine is closed nobody reads a window any more. */
    for (unsigned i = 0; i < HV_MAPS_MAX; i++)
        if (base->map[i].window)
            munmap(base->map[i].host, base->map[i].bytes);
    pthread_mutex_destroy(&vm->routes_lock);
    free(vm);
}

/* Tell KVM about slot (index); (bytes) 0 takes it away. */
static int set_slot(struct hv_vm *vm, unsigned index, uint64_t bytes,
                    struct sm_error *err)
{
    const struct hv_mapping *map = &vm->map[index];
    struct kvm_userspace_memory_region region = {
        .slot = index,
        .guest_phys_addr = map->at.v,
        .memory_size = bytes,
        .userspace_addr = (uintptr_t)map->host,
    };

    if (!(map->prot & HV_WRITE))
        region.flags |= KVM_MEM_READONLY;
    if (vm->logging && !map->window)
        region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
    if (kvm_ioctl(kvm_vm_of(vm)->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return fail_os(err, "memory slot %u: %#llx bytes at %#llx", index,
                       (unsigned long long)bytes,
                       (unsigned long long)map->at.v);
    return 0;
}

int kvm_vm_map(struct hv_vm *vm, unsigned index, struct sm_error *err)
{
    return set_slot(vm, index, vm->map[index].bytes, err);
}

int kvm_vm_unmap(struct hv_vm *vm, unsigned index, struct sm_error *err)
{
    return set_slot(vm, index, 0, err);
}

/*
 * A window is one slot over a reserved range of our own address space, so
 * that the slots never change: file pages are mapped into that range, and
 * KVM follows through its MMU notifier.
 */
int kvm_window_new(struct hv_vm *vm, unsigned index, struct sm_error *err)
{
    struct hv_mapping *map = &vm->map[index];
    void *host = mmap(NULL, map->bytes, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int rc;

    if (host == MAP_FAILED)
        return fail_os(err, "window of %llu MiB",
                       (unsigned long long)(map->bytes / MIB));
    map->host = host;
    rc = set_slot(vm, index, map->bytes, err);
    if (rc)
        munmap(host, map->bytes);
    return rc;
}

/* hv.c has checked that the range lies in a window. */
static uint8_t *window_host(const struct hv_vm *vm, struct gpa at)
{
    for (unsigned i = 0; i < HV_MAPS_MAX; i++)
        if (vm->map[i].window && at.v - vm->map[i].at.v < vm->map[i].bytes)
            return vm->map[i].host + (at.v - vm->map[i].at.v);
    return NULL;
}

int kvm_window_map(struct hv_vm *vm, struct gpa at, uint64_t bytes, int fd,
                   uint64_t offset, unsigned prot, struct sm_error *err)
{
    int host_prot = PROT_READ | (prot & HV_WRITE ? PROT_WRITE : 0);

    if (mmap(window_host(vm, at), bytes, host_prot, MAP_SHARED | MAP_FIXED, fd,
             (off_t)offset) == MAP_FAILED)
        return fail_os(err, "window at %#llx", (unsigned long long)at.v);
    return 0;
}

int kvm_window_unmap(struct hv_vm *vm, struct gpa at, uint64_t bytes,
                     struct sm_error *err)
{
    if (mmap(window_host(vm, at), bytes, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
             0) == MAP_FAILED)
        return fail_os(err, "window at %#llx", (unsigned long long)at.v);
    return 0;
}

/* Flags of every slot as vm->logging says. */
static int set_logging(struct hv_vm *vm, bool logging, struct sm_error *err)
{
    int rc = 0;

    vm->logging = logging;
    for (unsigned i = 0; i < HV_MAPS_MAX && !rc; i++)
        if (vm->map[i].bytes && !vm->map[i].window)
            rc = set_slot(vm, i, vm->map[i].bytes, err);
    return rc;
}

int kvm_dirty_start(struct hv_vm *vm, struct sm_error *err)
{
    int rc = set_logging(vm, true, err);

    if (rc)
        set_logging(vm, false, NULL);
    return rc;
}

int kvm_dirty_fetch(struct hv_vm *vm, unsigned index, uint64_t *bitmap,
                    struct sm_error *err)
{
    struct kvm_dirty_log log = {.slot = index, .dirty_bitmap = bitmap};

    if (kvm_ioctl(kvm_vm_of(vm)->fd, KVM_GET_DIRTY_LOG, &log) < 0)
        return fail_os(err, "KVM_GET_DIRTY_LOG of slot %u", index);
    return 0;
}

int kvm_dirty_stop(struct hv_vm *vm, struct sm_error *err)
{
    return set_logging(vm, false, err);
}
