/* run.c: the vcpu threads: run, answer exits, run again. */
#include "vm/inside.h"

#include "base/bytes.h"
#include "hypervisor/soundness.h"

enum {
    /* RAM that the probing loop borrows: neither boot data nor kernel. */
    SOUNDNESS_PAGE = 0x9000
};

/* One port access after the other: a string instruction has several. */
static void answer_pio(struct vm *vm, struct hv_exit *exit)
{
    for (uint32_t i = 0; i < exit->pio.count; i++) {
        uint8_t *data = exit->pio.data + (size_t)i * exit->pio.size;
        uint8_t value[8] = {0};
        uint64_t read;

        if (exit->pio.write) {
            memcpy(value, data, exit->pio.size);
            bus_write(&vm->ports, exit->pio.port, exit->pio.size,
                      load_le64(value));
        } else {
            bus_read(&vm->ports, exit->pio.port, exit->pio.size, &read);
            store_le64(value, read);
            memcpy(data, value, exit->pio.size);
        }
    }
}

static void answer_mmio(struct vm *vm, struct hv_exit *exit)
{
    uint8_t value[8] = {0};
    uint64_t read;

    if (exit->mmio.write) {
        memcpy(value, exit->mmio.data, exit->mmio.size);
        bus_write(&vm->mmio, exit->mmio.at.v, exit->mmio.size,
                  load_le64(value));
    } else {
        bus_read(&vm->mmio, exit->mmio.at.v, exit->mmio.size, &read);
        store_le64(value, read);
        memcpy(exit->mmio.data, value, exit->mmio.size);
    }
}

static void end_by_system_event(struct vm *vm, enum hv_system_event event)
{
    switch (event) {
    case HV_SYSTEM_POWER_OFF:
        vm_end(vm, VM_END_POWER_OFF, NULL);
        break;
    case HV_SYSTEM_RESET:
        vm_end(vm, VM_END_REBOOT, NULL);
        break;
    case HV_SYSTEM_CRASH:
        vm_end(vm, VM_END_CRASH, NULL);
        break;
    }
}

static void end_by_error(struct vm *vm, uint32_t id, const struct hv_exit *exit)
{
    struct sm_error err;
    char bytes[2 * HV_INSTRUCTION_MAX + 1] = "";

    for (unsigned i = 0;
         i < exit->error.instruction_bytes && i < HV_INSTRUCTION_MAX; i++) {
        static const char digits[] = "0123456789abcdef";

        bytes[2 * i] = digits[exit->error.instruction[i] >> 4];
        bytes[2 * i + 1] = digits[exit->error.instruction[i] & 15];
        bytes[2 * i + 2] = '\0';
    }
    fail(&err, SM_EGUEST,
         "vcpu %u: the hypervisor cannot go on: %s (%llu, %#llx)%s%s", id,
         exit->error.what, (unsigned long long)exit->error.code,
         (unsigned long long)exit->error.detail,
         bytes[0] ? ", instruction " : "", bytes);
    vm_end(vm, VM_END_FAILED, &err);
}

/* Nobody decodes these yet: they are told as they are. */
static void end_by_exception(struct vm *vm, uint32_t id,
                             const struct hv_exit *exit)
{
    struct sm_error err;

    fail(&err, SM_EGUEST,
         "vcpu %u: exception that is not known: syndrome %#llx at %#llx "
         "(virtual %#llx)",
         id, (unsigned long long)exit->exception.syndrome,
         (unsigned long long)exit->exception.at.v,
         (unsigned long long)exit->exception.virt);
    vm_end(vm, VM_END_FAILED, &err);
}

bool vm_answer(struct vm_vcpu *own, struct hv_exit *exit)
{
    struct vm *vm = own->vm;
    uint32_t id = own->id;

    switch (exit->kind) {
    case HV_EXIT_PIO:
        answer_pio(vm, exit);
        return true;
    case HV_EXIT_MMIO:
        answer_mmio(vm, exit);
        return true;
    case HV_EXIT_EOI:
        if (vm->ioapic)
            ioapic_end_of_interrupt(vm->ioapic, exit->eoi.vector);
        return true;
    case HV_EXIT_MSR:
        *exit->msr.refuse = true;
        return true;
    case HV_EXIT_KICKED:
    case HV_EXIT_HALT:
    case HV_EXIT_TIMER:
        return true;
    case HV_EXIT_SHUTDOWN:
        vm_end(vm, VM_END_CRASH, NULL);
        return false;
    case HV_EXIT_SYSTEM:
        end_by_system_event(vm, exit->system);
        return false;
    case HV_EXIT_EXCEPTION:
        end_by_exception(vm, id, exit);
        return false;
    case HV_EXIT_ERROR:
        break;
    }
    end_by_error(vm, id, exit);
    return false;
}

/* With the lock held: wait for the end of (phase), and do errands meanwhile. */
static void wait_in(struct vm *vm, struct vm_vcpu *own, enum vm_phase phase)
{
    while (vm->phase == phase) {
        vm_errand *errand = own->errand;
        struct sm_error err;
        int rc;

        if (!errand) {
            pthread_cond_wait(&vm->changed, &vm->lock);
            continue;
        }
        pthread_mutex_unlock(&vm->lock);
        rc = errand(own, vm->errand_context, &err);
        pthread_mutex_lock(&vm->lock);
        own->errand = NULL;
        if (rc && !vm->errand_rc) {
            vm->errand_rc = wrap(&err, rc, "vcpu %u", own->id);
            vm->errand_err = err;
        }
        vm->errands--;
        pthread_cond_broadcast(&vm->changed);
    }
}

/* Wait while the machine is paused. False: it is to stop. */
static bool may_run(struct vm *vm, struct vm_vcpu *own)
{
    bool running;

    if (__atomic_load_n(&vm->phase, __ATOMIC_ACQUIRE) == VM_RUNNING)
        return true;
    pthread_mutex_lock(&vm->lock);
    own->parked = true;
    pthread_cond_broadcast(&vm->changed);
    wait_in(vm, own, VM_PAUSED);
    own->parked = false;
    running = vm->phase == VM_RUNNING;
    pthread_mutex_unlock(&vm->lock);
    /* A courtesy: nothing depends on it but what the guest's log says. */
    if (running)
        hv_vcpu_resumed(own->vcpu, NULL);
    return running;
}

static void run(struct vm *vm, struct vm_vcpu *own)
{
    struct sm_error err;
    int rc = 0;

    if (own->id == 0 && !vm->restored)
        rc = arch_vcpu_boot(own->vcpu, &vm->entry, &err);
    while (!rc && may_run(vm, own)) {
        struct hv_exit exit;

        rc = hv_vcpu_run(own->vcpu, &exit, &err);
        if (!rc && !vm_answer(own, &exit))
            return;
    }
    if (rc) {
        wrap(&err, rc, "vcpu %u", own->id);
        vm_end(vm, VM_END_FAILED, &err);
    }
}

/* Is the hypervisor worth booting a kernel on? Costs microseconds where the
 * answer is yes. */
static int check_soundness(struct vm *vm, struct hv_vcpu *vcpu,
                           struct sm_error *err)
{
    struct hv_soundness soundness;
    int rc;

    /* A saved machine ran here before, and has no memory to spare. */
    if (vm->config.trust_hypervisor || vm->restored)
        return 0;
    rc =
        hv_soundness_vcpu(vcpu, &vm->mem, GPA(SOUNDNESS_PAGE), &soundness, err);
    return rc ? rc : hv_soundness_check(&soundness, err);
}

/* Make the vcpu and say so; then wait for what comes next. */
static enum vm_phase make(struct vm *vm, struct vm_vcpu *own)
{
    struct hv_vcpu *vcpu = NULL;
    struct sm_error err;
    int rc = hv_vcpu_new(vm->hv, own->id, &vcpu, &err);
    enum vm_phase phase;

    if (!rc && own->id == 0)
        rc = check_soundness(vm, vcpu, &err);
    pthread_mutex_lock(&vm->lock);
    own->vcpu = vcpu;
    if (rc && !vm->make_rc) {
        vm->make_rc = rc;
        vm->make_err = err;
    }
    vm->made++;
    pthread_cond_broadcast(&vm->changed);
    wait_in(vm, own, VM_MAKING);
    phase = vm->phase;
    pthread_mutex_unlock(&vm->lock);
    return phase;
}

static void *vcpu_main(void *argument)
{
    struct vm_vcpu *own = argument;
    struct vm *vm = own->vm;
    struct hv_vcpu *vcpu;

    if (make(vm, own) != VM_STOPPING)
        run(vm, own);
    /* A kick under way holds the lock, so it never meets a freed vcpu. */
    pthread_mutex_lock(&vm->lock);
    vcpu = own->vcpu;
    own->vcpu = NULL;
    pthread_cond_broadcast(&vm->changed);
    pthread_mutex_unlock(&vm->lock);
    hv_vcpu_free(vcpu);
    return NULL;
}

int vm_vcpus_start(struct vm *vm, struct sm_error *err)
{
    for (uint32_t id = 0; id < vm->arch.vcpus; id++) {
        struct vm_vcpu *own = &vm->vcpu[id];
        int status;

        own->vm = vm;
        own->id = id;
        status = pthread_create(&own->thread, NULL, vcpu_main, own);
        if (status)
            return fail_errno(err, status, "thread for vcpu %u", id);
        own->has_thread = true;
    }
    return 0;
}

int vm_vcpus_made(struct vm *vm, struct sm_error *err)
{
    int rc;

    pthread_mutex_lock(&vm->lock);
    while (vm->made < vm->arch.vcpus)
        pthread_cond_wait(&vm->changed, &vm->lock);
    rc = vm->make_rc;
    if (rc && err)
        *err = vm->make_err;
    pthread_mutex_unlock(&vm->lock);
    return rc;
}

static void set_phase(struct vm *vm, enum vm_phase phase)
{
    __atomic_store_n(&vm->phase, phase, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&vm->changed);
}

void vm_vcpus_go(struct vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    set_phase(vm, VM_RUNNING);
    pthread_mutex_unlock(&vm->lock);
}

/* With the lock held: have every vcpu look at (phase). */
static void interrupt(struct vm *vm, enum vm_phase phase)
{
    struct hv_vcpu *kicked[ARCH_VCPUS_MAX];
    unsigned count = 0;

    set_phase(vm, phase);
    for (uint32_t id = 0; id < ARRAY_LEN(vm->vcpu); id++)
        if (vm->vcpu[id].vcpu)
            kicked[count++] = vm->vcpu[id].vcpu;
    hv_vcpu_kick(kicked, count);
}

static bool somebody_runs(const struct vm *vm)
{
    for (uint32_t id = 0; id < ARRAY_LEN(vm->vcpu); id++)
        if (vm->vcpu[id].vcpu && !vm->vcpu[id].parked)
            return true;
    return false;
}

void vm_vcpus_pause(struct vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    if (vm->phase == VM_RUNNING)
        interrupt(vm, VM_PAUSED);
    while (vm->phase == VM_PAUSED && somebody_runs(vm))
        pthread_cond_wait(&vm->changed, &vm->lock);
    pthread_mutex_unlock(&vm->lock);
}

void vm_vcpus_resume(struct vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    if (vm->phase == VM_PAUSED)
        set_phase(vm, VM_RUNNING);
    pthread_mutex_unlock(&vm->lock);
}

int vm_vcpus_do(struct vm *vm, vm_errand *errand, void *context,
                struct sm_error *err)
{
    int rc;

    pthread_mutex_lock(&vm->lock);
    vm->errand_context = context;
    vm->errand_rc = 0;
    for (uint32_t id = 0; id < ARRAY_LEN(vm->vcpu); id++) {
        if (!vm->vcpu[id].vcpu)
            continue;
        vm->vcpu[id].errand = errand;
        vm->errands++;
    }
    pthread_cond_broadcast(&vm->changed);
    while (vm->errands)
        pthread_cond_wait(&vm->changed, &vm->lock);
    rc = vm->errand_rc;
    if (rc && err)
        *err = vm->errand_err;
    pthread_mutex_unlock(&vm->lock);
    return rc;
}

void vm_vcpus_stop(struct vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    interrupt(vm, VM_STOPPING);
    pthread_mutex_unlock(&vm->lock);
    for (uint32_t id = 0; id < ARRAY_LEN(vm->vcpu); id++) {
        if (vm->vcpu[id].has_thread)
            pthread_join(vm->vcpu[id].thread, NULL);
        vm->vcpu[id].has_thread = false;
    }
}
