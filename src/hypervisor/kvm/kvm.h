/* kvm.h: what the files of the KVM backend share. Only they include it.
 *
 * How it works
 *   device.c        /dev/kvm: opening, what it must offer, probe
 *   vm.c            machine, memory slots, windows, dirty log
 *   irq.c           split interrupt controller, routes, messages, wires
 *   vcpu.c          making, running and kicking a vcpu
 *   cpuid_x86_64.c  CPUID tables in both directions
 *   regs_x86_64.c   registers by name: those that KVM has in blocks
 *   extra_x86_64.c  registers by name: all others, one by one
 *   state_x86_64.c  a vcpu as a record and back
 *   clock_x86_64.c  TSC and kvmclock
 *   kvm.c           the table
 *
 * The kick signal
 *   A vcpu in KVM_RUN is stopped by a signal to its thread. The signal is
 *   KVM_KICK_SIGNAL; vcpu_new blocks it in the thread and has KVM unblock it
 *   during KVM_RUN only (KVM_SET_SIGNAL_MASK). So it never reaches a handler,
 *   none is needed, and one that comes before KVM_RUN stays pending and ends
 *   it at once. The process uses this signal for nothing else and does not
 *   ignore it. A seccomp filter needs tgkill, rt_sigprocmask (vcpu_new) and
 *   rt_sigtimedwait.
 */
#ifndef SM_HYPERVISOR_KVM_KVM_H
#define SM_HYPERVISOR_KVM_KVM_H

#include "hypervisor/hv.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>

#define KVM_KICK_SIGNAL SIGRTMIN

struct kvm_route {
    struct hv_msi msi;
    bool live; /* not masked */
};

struct kvm_vm {
    struct hv_vm base;
    int device_fd; /* our own descriptor of /dev/kvm                  */
    int fd;
    size_t run_bytes; /* of a vcpu's struct kvm_run and what follows  */
    struct hv_cpuid_table offered;
    pthread_mutex_t routes_lock;
    struct kvm_route route[HV_X86_GSIS]; /* under routes_lock         */
};

struct kvm_vcpu {
    struct hv_vcpu base;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
    int kicked; /* atomic: a kick is on its way                       */
    /* The last exit was an access that the next KVM_RUN finishes. */
    bool unfinished;
    /* vcpu_load leaves it here for clock_load: a deadline means something
     * only once the counter is right. */
    uint64_t tsc_deadline;
    /* Where KVM scales the TSC: both frequencies; else 0. */
    uint64_t host_khz;
    uint64_t guest_khz;
};

static inline struct kvm_vm *kvm_vm_of(struct hv_vm *vm)
{
    return (struct kvm_vm *)vm;
}

static inline struct kvm_vcpu *kvm_vcpu_of(struct hv_vcpu *vcpu)
{
    return (struct kvm_vcpu *)vcpu;
}

/* ioctl() that goes on after EINTR; for all but KVM_RUN. */
int kvm_ioctl(int fd, unsigned long request, void *argument);
int kvm_ioctl_value(int fd, unsigned long request, unsigned long value);

/* device.c. open: (device_fd) duplicated, or /dev/kvm; checked. */
int kvm_open(int device_fd, int *ret, struct sm_error *err);
int kvm_caps_fill(int fd, const struct hv_cpuid_table *offered,
                  struct hv_caps *ret, struct sm_error *err);
int kvm_probe(int device_fd, struct hv_caps *ret, struct sm_error *err);

/* vm.c */
int kvm_vm_new(const struct hv_vm_config *config, struct hv_vm **ret,
               struct sm_error *err);
void kvm_vm_free(struct hv_vm *vm);
int kvm_vm_map(struct hv_vm *vm, unsigned index, struct sm_error *err);
int kvm_vm_unmap(struct hv_vm *vm, unsigned index, struct sm_error *err);
int kvm_window_new(struct hv_vm *vm, unsigned index, struct sm_error *err);
int kvm_window_map(struct hv_vm *vm, struct gpa at, uint64_t bytes, int fd,
                   uint64_t offset, unsigned prot, struct sm_error *err);
int kvm_window_unmap(struct hv_vm *vm, struct gpa at, uint64_t bytes,
                     struct sm_error *err);
int kvm_dirty_start(struct hv_vm *vm, struct sm_error *err);
int kvm_dirty_fetch(struct hv_vm *vm, unsigned index, uint64_t *bitmap,
                    struct sm_error *err);
int kvm_dirty_stop(struct hv_vm *vm, struct sm_error *err);

/* irq.c */
int kvm_intc_new(struct hv_vm *vm, const struct hv_intc_config *config,
                 struct sm_error *err);
int kvm_intc_save(struct hv_vm *vm, struct buf *to, struct sm_error *err);
int kvm_intc_load(struct hv_vm *vm, struct wire_reader *from,
                  struct sm_error *err);
int kvm_irq_set(struct hv_vm *vm, uint32_t gsi, bool level);
int kvm_msi_send(struct hv_vm *vm, const struct hv_msi *msi);
int kvm_route_set(struct hv_vm *vm, uint32_t gsi, const struct hv_msi *msi,
                  struct sm_error *err);
int kvm_irqfd_attach(struct hv_vm *vm, uint32_t gsi,
                     const struct notifier *notifier, struct sm_error *err);
int kvm_irqfd_detach(struct hv_vm *vm, uint32_t gsi,
                     const struct notifier *notifier, struct sm_error *err);
int kvm_ioeventfd_attach(struct hv_vm *vm, const struct hv_io_match *match,
                         const struct notifier *notifier, struct sm_error *err);
int kvm_ioeventfd_detach(struct hv_vm *vm, const struct hv_io_match *match,
                         const struct notifier *notifier, struct sm_error *err);

/* cpuid_x86_64.c. offered: what KVM can give on this host. apply: the vm's
 * table with (vcpu)'s id. */
int kvm_cpuid_offered(int device_fd, struct hv_cpuid_table *ret,
                      struct sm_error *err);
int kvm_cpuid_apply(struct kvm_vcpu *vcpu, struct sm_error *err);
int kvm_cpuid_get(struct hv_vm *vm, struct hv_cpuid_table *ret,
                  struct sm_error *err);
int kvm_cpuid_set(struct hv_vm *vm, struct sm_error *err);

/* vcpu.c */
int kvm_vcpu_new(struct hv_vm *vm, uint32_t id, struct hv_vcpu **ret,
                 struct sm_error *err);
void kvm_vcpu_free(struct hv_vcpu *vcpu);
int kvm_vcpu_run(struct hv_vcpu *vcpu, struct hv_exit *ret,
                 struct sm_error *err);
void kvm_vcpu_kick(struct hv_vcpu *const *vcpus, unsigned count);

/* regs_x86_64.c */
int kvm_regs_get(struct hv_vcpu *vcpu, struct hv_reg *regs, unsigned count,
                 struct sm_error *err);
int kvm_regs_set(struct hv_vcpu *vcpu, const struct hv_reg *regs,
                 unsigned count, struct sm_error *err);

/* extra_x86_64.c */
int kvm_extra_get(struct kvm_vcpu *vcpu, struct hv_reg *reg,
                  struct sm_error *err);
int kvm_extra_set(struct kvm_vcpu *vcpu, const struct hv_reg *reg,
                  struct sm_error *err);
/* One MSR; false: KVM has none of this index, or refuses the value. */
bool kvm_msr_get(struct kvm_vcpu *vcpu, uint32_t index, uint64_t *value);
bool kvm_msr_set(struct kvm_vcpu *vcpu, uint32_t index, uint64_t value);

/* state_x86_64.c */
int kvm_vcpu_save(struct hv_vcpu *vcpu, struct buf *to, struct sm_error *err);
int kvm_vcpu_load(struct hv_vcpu *vcpu, struct wire_reader *from,
                  struct sm_error *err);

/* clock_x86_64.c */
uint64_t kvm_ticks(void);
int kvm_clock_save(struct hv_vcpu *vcpu, uint64_t now, uint64_t *ref,
                   struct sm_error *err);
int kvm_clock_load(struct hv_vcpu *vcpu, uint64_t now, uint64_t ref,
                   struct sm_error *err);
int kvm_pvclock_save(struct hv_vm *vm, struct hv_pvclock *ret,
                     struct sm_error *err);
int kvm_pvclock_load(struct hv_vm *vm, const struct hv_pvclock *pvclock,
                     struct sm_error *err);
int kvm_vcpu_resumed(struct hv_vcpu *vcpu, struct sm_error *err);

#endif
