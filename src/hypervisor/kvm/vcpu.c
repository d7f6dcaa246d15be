/* vcpu.c: making, running and kicking a vcpu; see kvm.h.
 *
 * How a kick is neither lost nor doubled
 *   kick:  kicked = 1; if it was 0: signal the thread
 *   run:   KVM_RUN ended by a signal -> take the signal; was kicked 1? -> 0
 *          and HV_EXIT_KICKED, else it was not for us: run on
 *
 *   The signal is taken before the flag is read: a kick in between has its
 *   flag seen now and leaves a signal behind, which the next run takes
 *   without finding a flag. The other way round a kick in between would lose
 *   its signal and wait for ever.
 */
#include "hypervisor/kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* KVM takes the kernel's signal set: one bit per signal, 8 bytes. */
enum { KERNEL_SIGSET_BYTES = 8 };

/* Linux 5.x and 6.x: a signal during the first KVM_RUN can interrupt the
 * making of a kernel thread, which reports ENOMEM. Another try succeeds. */
enum { ENOMEM_TRIES = 8 };

/* Block the kick signal in this thread, unblock it in KVM_RUN. */
static int set_signals(struct kvm_vcpu *vcpu, struct sm_error *err)
{
    union {
        struct kvm_signal_mask header;
        uint8_t bytes[sizeof(struct kvm_signal_mask) + KERNEL_SIGSET_BYTES];
    } mask = {.header.len = KERNEL_SIGSET_BYTES};
    sigset_t kick;
    sigset_t now;
    int rc;

    sigemptyset(&kick);
    sigaddset(&kick, KVM_KICK_SIGNAL);
    rc = pthread_sigmask(SIG_BLOCK, &kick, &now);
    if (rc)
        return fail_errno(err, rc, "block the kick signal");
    sigdelset(&now, KVM_KICK_SIGNAL);
    memcpy(mask.bytes + sizeof mask.header, &now, KERNEL_SIGSET_BYTES);
    if (kvm_ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &mask) < 0)
        return fail_os(err, "KVM_SET_SIGNAL_MASK");
    return 0;
}

static int create(struct kvm_vcpu *vcpu, struct kvm_vm *vm, uint32_t id,
                  struct sm_error *err)
{
    void *run;
    int rc;

    vcpu->fd = kvm_ioctl_value(vm->fd, KVM_CREATE_VCPU, id);
    if (vcpu->fd < 0)
        return fail_os(err, "KVM_CREATE_VCPU");
    run = mmap(NULL, vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
               vcpu->fd, 0);
    if (run == MAP_FAILED)
        return fail_os(err, "kvm_run");
    vcpu->run = run;
    /* A copy of this process (process_copy()) would hold the vcpu, and with it
     * the machine, for as long as it has this page. */
    if (madvise(run, vm->run_bytes, MADV_DONTFORK) != 0)
        return fail_os(err, "kvm_run: MADV_DONTFORK");
    rc = set_signals(vcpu, err);
    if (!rc && vm->base.cpuid.count)
        rc = kvm_cpuid_apply(vcpu, err);
    return rc;
}

int kvm_vcpu_new(struct hv_vm *vm, uint32_t id, struct hv_vcpu **ret,
                 struct sm_error *err)
{
    struct kvm_vcpu *vcpu = calloc(1, sizeof *vcpu);
    int rc;

    if (!vcpu)
        return fail(err, SM_ENOMEM, "vcpu %u", id);
    vcpu->base.vm = vm;
    vcpu->base.id = id;
    vcpu->fd = -1;
    vcpu->thread = pthread_self();
    rc = create(vcpu, kvm_vm_of(vm), id, err);
    if (rc) {
        kvm_vcpu_free(&vcpu->base);
        return wrap(err, rc, "vcpu %u", id);
    }
    *ret = &vcpu->base;
    return 0;
}

/* A kick that no run will see must not stay pending: the thread may make
 * another vcpu. */
static void take_signal(void)
{
    static const struct timespec at_once;
    sigset_t kick;

    sigemptyset(&kick);
    sigaddset(&kick, KVM_KICK_SIGNAL);
    /* EAGAIN: none is pending. EINTR: another one is handled first. */
    while (sigtimedwait(&kick, NULL, &at_once) < 0 && errno == EINTR)
        ;
}

void kvm_vcpu_free(struct hv_vcpu *base)
{
    struct kvm_vcpu *vcpu = kvm_vcpu_of(base);

    if (vcpu->run)
        munmap(vcpu->run, kvm_vm_of(base->vm)->run_bytes);
    if (vcpu->fd >= 0) {
        close(vcpu->fd);
        take_signal();
    }
    free(vcpu);
}

void kvm_vcpu_kick(struct hv_vcpu *const *vcpus, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct kvm_vcpu *vcpu = kvm_vcpu_of(vcpus[i]);

        if (!__atomic_exchange_n(&vcpu->kicked, 1, __ATOMIC_ACQ_REL))
            pthread_kill(vcpu->thread, KVM_KICK_SIGNAL);
    }
}

/* ---------------------------------------------------------------- exits --- */

static void exit_pio(struct kvm_run *run, struct hv_exit *ret)
{
    ret->kind = HV_EXIT_PIO;
    ret->pio.data = (uint8_t *)run + run->io.data_offset;
    ret->pio.count = run->io.count;
    ret->pio.port = run->io.port;
    ret->pio.size = run->io.size;
    ret->pio.write = run->io.direction == KVM_EXIT_IO_OUT;
    if (!ret->pio.write)
        memset(ret->pio.data, 0xff, (size_t)run->io.size * run->io.count);
}

static void exit_mmio(struct kvm_run *run, struct hv_exit *ret)
{
    ret->kind = HV_EXIT_MMIO;
    ret->mmio.at = GPA(run->mmio.phys_addr);
    ret->mmio.data = run->mmio.data;
    ret->mmio.size = (uint8_t)run->mmio.len;
    ret->mmio.write = run->mmio.is_write;
    if (!ret->mmio.write)
        memset(run->mmio.data, 0xff, sizeof run->mmio.data);
}

static void exit_error(struct hv_exit *ret, const char *what, uint64_t code,
                       uint64_t detail)
{
    ret->kind = HV_EXIT_ERROR;
    ret->error.what = what;
    ret->error.code = code;
    ret->error.detail = detail;
}

static void exit_internal_error(struct kvm_run *run, struct hv_exit *ret)
{
    uint8_t size = run->emulation_failure.insn_size;

    switch (run->internal.suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
        exit_error(ret, "cannot emulate an instruction",
                   KVM_EXIT_INTERNAL_ERROR, run->internal.suberror);
        /* The flags are data[0], size and bytes data[1] and data[2]. */
        if (run->emulation_failure.ndata < 3 || size > HV_INSTRUCTION_MAX ||
            !(run->emulation_failure.flags &
              KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES))
            return;
        memcpy(ret->error.instruction, run->emulation_failure.insn_bytes, size);
        ret->error.instruction_bytes = size;
        return;
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
        exit_error(ret, "an exception broke the delivery of another event",
                   KVM_EXIT_INTERNAL_ERROR, run->internal.suberror);
        return;
    default:
        exit_error(ret, "internal error of KVM", KVM_EXIT_INTERNAL_ERROR,
                   run->internal.suberror);
    }
}

static void exit_system(struct kvm_run *run, struct hv_exit *ret)
{
    ret->kind = HV_EXIT_SYSTEM;
    switch (run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        ret->system = HV_SYSTEM_POWER_OFF;
        return;
    case KVM_SYSTEM_EVENT_RESET:
        ret->system = HV_SYSTEM_RESET;
        return;
    case KVM_SYSTEM_EVENT_CRASH:
        ret->system = HV_SYSTEM_CRASH;
        return;
    default:
        exit_error(ret, "system event that is not known", KVM_EXIT_SYSTEM_EVENT,
                   run->system_event.type);
    }
}

/* What KVM says, in the words of hv.h. */
static void translate(struct kvm_run *run, struct hv_exit *ret)
{
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        exit_pio(run, ret);
        return;
    case KVM_EXIT_MMIO:
        exit_mmio(run, ret);
        return;
    case KVM_EXIT_HLT:
        ret->kind = HV_EXIT_HALT;
        return;
    case KVM_EXIT_SHUTDOWN:
        ret->kind = HV_EXIT_SHUTDOWN;
        return;
    case KVM_EXIT_SYSTEM_EVENT:
        exit_system(run, ret);
        return;
    case KVM_EXIT_IOAPIC_EOI:
        ret->kind = HV_EXIT_EOI;
        ret->eoi.vector = run->eoi.vector;
        return;
    case KVM_EXIT_INTERNAL_ERROR:
        exit_internal_error(run, ret);
        return;
    case KVM_EXIT_FAIL_ENTRY:
        exit_error(ret, "the processor refused the guest's state",
                   KVM_EXIT_FAIL_ENTRY,
                   run->fail_entry.hardware_entry_failure_reason);
        return;
    case KVM_EXIT_UNKNOWN:
        exit_error(ret, "exit of the processor that KVM does not know",
                   KVM_EXIT_UNKNOWN, run->hw.hardware_exit_reason);
        return;
    default:
        exit_error(ret, "exit that was not asked for", run->exit_reason, 0);
    }
}

/* KVM_RUN failed with errno. 0: run again; 1: *ret says why not. */
static int run_failed(struct kvm_vcpu *vcpu, unsigned *tries,
                      struct hv_exit *ret, struct sm_error *err)
{
    switch (errno) {
    case EINTR:
        take_signal();
        if (!__atomic_exchange_n(&vcpu->kicked, 0, __ATOMIC_ACQ_REL))
            return 0;
        ret->kind = HV_EXIT_KICKED;
        return 1;
    case EAGAIN: /* a vcpu that waited for INIT got it */
        return 0;
    case ENOMEM:
        if ((*tries)++ < ENOMEM_TRIES)
            return 0;
        return fail_os(err, "KVM_RUN");
    case EFAULT:
        exit_error(ret, "the guest touched memory that the host cannot give",
                   EFAULT, 0);
        return 1;
    default:
        return fail_os(err, "KVM_RUN");
    }
}

int kvm_vcpu_run(struct hv_vcpu *base, struct hv_exit *ret,
                 struct sm_error *err)
{
    struct kvm_vcpu *vcpu = kvm_vcpu_of(base);
    unsigned tries = 0;
    int rc = 0;

    *ret = (struct hv_exit){0};
    while (!rc) {
        if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
            translate(vcpu->run, ret);
            break;
        }
        rc = run_failed(vcpu, &tries, ret, err);
    }
    if (rc < 0)
        return wrap(err, rc, "vcpu %u", base->id);
    vcpu->unfinished = ret->kind == HV_EXIT_PIO || ret->kind == HV_EXIT_MMIO;
    return 0;
}
