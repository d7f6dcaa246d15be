/* vm.c: a machine from its parts, and its end; see vm.h. */
#include "vm/inside.h"

#include "base/own.h"
#include "platform/random.h"
#include "platform/usage.h"

static void step(struct vm *vm, const char *what)
{
    vm->config.events->step(vm->config.context, what);
}

void vm_end(struct vm *vm, enum vm_end_kind kind, const struct sm_error *error)
{
    bool first;

    pthread_mutex_lock(&vm->lock);
    first = !vm->ended;
    if (first) {
        vm->ended = true;
        vm->end = (struct vm_end){.kind = kind};
        if (error)
            vm->end.error = *error;
    }
    pthread_mutex_unlock(&vm->lock);
    if (first)
        loop_wake(vm->config.loop);
}

/* On the loop's thread: tell the end, once. */
static void woken(void *context)
{
    struct vm *vm = context;
    bool tell;

    pthread_mutex_lock(&vm->lock);
    tell = vm->ended && !vm->end_told;
    pthread_mutex_unlock(&vm->lock);
    if (!tell)
        return;
    vm->end_told = true;
    vm->config.events->ended(vm->config.context, &vm->end);
}

/* The memory of a saved machine: the layout's regions are all of it. */
static int set_image(struct vm *vm, struct sm_error *err)
{
    const struct vm_saved *saved = vm->config.saved;
    const struct gmem_image image = {
        .fd = saved->memory_fd,
        .differential_fd = saved->differential_fd,
        .bytes = vm->arch.memory_bytes,
        .range = saved->range,
        .count = saved->range_count,
    };

    return gmem_set_image(&vm->mem, &image, err);
}

static int make_memory(struct vm *vm, const struct arch_layout *layout,
                       struct sm_error *err)
{
    int rc = vm->restored ? set_image(vm, err) : 0;

    for (unsigned i = 0; i < layout->ram_count && !rc; i++) {
        struct gpa at = layout->ram[i].at;
        uint64_t bytes = layout->ram[i].bytes;

        rc = vm->restored ? gmem_add_copy(&vm->mem, at, bytes, err)
                          : gmem_add(&vm->mem, at, bytes, err);
    }
    return rc;
}

/* Memory, then the machine around it: in the order that hv.h asks for. */
static int make_machine(struct vm *vm, struct vm_record *record,
                        struct sm_error *err)
{
    struct arch_layout layout;
    struct hv_vm_config config = {.device_fd = vm->config.hv_device_fd,
                                  .vcpus = vm->arch.vcpus};
    int rc = arch_layout(&vm->arch, &layout, err);

    if (!rc)
        rc = make_memory(vm, &layout, err);
    if (rc)
        return rc;
    config.gpa_bits = layout.gpa_bits;
    rc = hv_vm_new(vm->config.hv, &config, &vm->hv, err);
    if (!rc)
        rc = hv_vm_map_memory(vm->hv, &vm->mem, err);
    if (!rc)
        rc = record ? vm_record_load_arch(vm, record, err)
                    : arch_vm_setup(vm->hv, &vm->arch, err);
    if (!rc)
        step(vm, "machine made");
    return rc;
}

static int load_kernel(struct vm *vm, struct sm_error *err)
{
    uint8_t seed[ARCH_SEED_BYTES];
    struct arch_boot_config config = {.machine = &vm->arch,
                                      .memory = &vm->mem,
                                      .kernel_fd = vm->config.kernel_fd,
                                      .initrd_fd = vm->config.initrd_fd,
                                      .cmdline = vm->config.cmdline,
                                      .seed = seed};
    int rc = random_bytes(seed, sizeof seed, err);

    if (!rc)
        rc = arch_boot(&config, &vm->entry, err);
    if (!rc)
        step(vm, "kernel loaded");
    return rc;
}

/* The machine is another one than before, or than any other. The guest's
 * kernel looks when it is told, and draws new random numbers then: before or
 * beside what its agent does, and also for who runs without one. */
static int renew_generation(struct vm *vm, struct sm_error *err)
{
    struct arch_place place = arch_place(ARCH_GENERATION);
    uint8_t id[ARCH_GENERATION_BYTES];
    int rc = random_bytes(id, sizeof id, err);

    if (rc)
        return rc;
    if (!gmem_write(&vm->mem, GPA(place.at), id, sizeof id))
        return fail(err, SM_EINVAL, "machine: no memory for its generation");
    if (vm->restored)
        vm_generation_pulse(vm);
    return 0;
}

/* Pages that are there already need not be asked for one by one. */
static void prepare_memory(struct vm *vm)
{
    const struct vm_saved *saved = vm->config.saved;

    for (size_t i = 0; i < saved->hot_count; i++)
        gmem_prepare(&vm->mem, GPA(saved->hot[i].at), saved->hot[i].bytes);
}

/* vcpus are made by their threads while this one makes the devices and loads
 * the kernel. */
static int build(struct vm *vm, struct vm_record *record, struct sm_error *err)
{
    int rc = make_machine(vm, record, err);

    if (!rc)
        rc = vm_vcpus_start(vm, err);
    if (!rc)
        rc = vm_devices_new(vm, err);
    if (!rc)
        step(vm, "devices made");
    if (!rc && !record)
        rc = load_kernel(vm, err);
    if (!rc && record)
        prepare_memory(vm);
    if (!rc)
        rc = vm_vcpus_made(vm, err);
    if (!rc)
        rc = vm_devices_wire(vm, err);
    if (!rc && record)
        rc = vm_record_load(vm, record, err);
    if (!rc)
        rc = renew_generation(vm, err);
    if (!rc && record)
        step(vm, "state loaded");
    return rc;
}

static int build_saved(struct vm *vm, struct sm_error *err)
{
    struct vm_record *record;
    int rc = vm_record_open(vm, &record, err);

    if (rc)
        return rc;
    rc = build(vm, record, err);
    vm_record_close(record);
    return rc;
}

int vm_new(const struct vm_config *config, struct vm **ret,
           struct sm_error *err)
{
    struct vm *vm = calloc(1, sizeof *vm);
    int rc;

    if (!vm) {
        block_free(config->disk);
        return fail(err, SM_ENOMEM, "machine: out of memory");
    }
    vm->config = *config;
    vm->restored = config->saved != NULL;
    vm->arch = (struct arch_config){
        .memory_bytes = config->memory_bytes,
        .vcpus = config->vcpus,
        .virtio_slots = VM_SLOTS,
        .serial = true,
    };
    gmem_init(&vm->mem);
    pthread_mutex_init(&vm->lock, NULL);
    pthread_cond_init(&vm->changed, NULL);
    loop_on_wake(config->loop, woken, vm);
    rc = vm->restored ? build_saved(vm, err) : build(vm, NULL, err);
    vm->config.saved = NULL;
    if (rc) {
        /* What the hypervisor is says more than what it broke. Once the vcpu
         * threads are gone nobody writes there any more. */
        vm_vcpus_stop(vm);
        if (vm->make_rc && err)
            *err = vm->make_err;
        rc = vm->make_rc ? vm->make_rc : rc;
        vm_free(vm);
        return rc;
    }
    *ret = vm;
    return 0;
}

void vm_run(struct vm *vm)
{
    vm_vcpus_go(vm);
    step(vm, "vcpus running");
}

void vm_pause(struct vm *vm)
{
    vm_vcpus_pause(vm);
}

void vm_resume(struct vm *vm)
{
    vm_vcpus_resume(vm);
}

void vm_measure(struct vm *vm, struct vm_figures *ret)
{
    *ret = (struct vm_figures){.disk = blk_counters(vm->blk),
                               .streams = vsock_counters(vm->vsock)};
    /* They are joined, and their clocks gone, in vm_vcpus_stop() only. */
    for (uint32_t id = 0; id < vm->arch.vcpus; id++)
        ret->vcpu_ns += usage_thread_ns(vm->vcpu[id].thread);
}

void vm_free(struct vm *vm)
{
    if (!vm)
        return;
    loop_on_wake(vm->config.loop, NULL, NULL);
    vm_vcpus_stop(vm);
    vm_devices_free(vm);
    hv_vm_free(vm->hv);
    gmem_done(&vm->mem);
    pthread_cond_destroy(&vm->changed);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}

const struct gmem *vm_memory(const struct vm *vm)
{
    return &vm->mem;
}

int vm_connect(struct vm *vm, uint32_t guest_port, int fd, struct sm_error *err)
{
    return vsock_connect(vm->vsock, guest_port, fd, NULL, err);
}
