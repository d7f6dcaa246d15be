/* fake.c: machine and vcpus of the fake, and its table; see fake.h. */
#include "hypervisor/fake/inside.h"

#include "base/bytes.h"
#include "platform/clock.h"

#include <stdlib.h>

static void fill_caps(const struct fake_script *script, struct hv_caps *ret)
{
    const struct fake_options none = {0};
    const struct fake_options *options = script ? &script->options : &none;

    *ret = (struct hv_caps){
        .map_granule = 4096,
        .vcpus_max = FAKE_VCPUS_MAX,
        .gpa_bits = FAKE_GPA_BITS,
        .irqfd = !options->no_irqfd,
        .ioeventfd = !options->no_ioeventfd,
        .user_ioapic = !options->no_user_ioapic,
        .save = true,
    };
}

static int probe(int device_fd, struct hv_caps *ret, struct sm_error *err)
{
    (void)device_fd;
    (void)err;
    fill_caps(fake_script_mine(), ret);
    return 0;
}

/* ---- machine ---- */

static int check_config(const struct hv_vm_config *config,
                        const struct fake_script *script, struct sm_error *err)
{
    if (!script)
        return fail(err, SM_ESTATE, "fake: this thread has made no script");
    if (config->vcpus > FAKE_VCPUS_MAX)
        return fail(err, SM_ENOTSUP, "%u vcpus: the fake has at most %d",
                    config->vcpus, FAKE_VCPUS_MAX);
    if (config->gpa_bits > FAKE_GPA_BITS)
        return fail(err, SM_ENOTSUP,
                    "guest addresses of %u bits: the fake has %d",
                    config->gpa_bits, FAKE_GPA_BITS);
    return 0;
}

static int vm_new(const struct hv_vm_config *config, struct hv_vm **ret,
                  struct sm_error *err)
{
    struct fake_script *script = fake_script_mine();
    struct fake_vm *vm;
    int rc = check_config(config, script, err);

    if (rc)
        return rc;
    if (script->vm)
        return fail(err, SM_EBUSY, "fake: a machine plays this script");
    vm = calloc(1, sizeof *vm);
    if (!vm)
        return fail(err, SM_ENOMEM, "machine");
    vm->script = script;
    fill_caps(script, &vm->base.caps);
    pthread_mutex_lock(&script->lock);
    script->vm = &vm->base;
    pthread_mutex_unlock(&script->lock);
    *ret = &vm->base;
    return 0;
}

static void vm_free(struct hv_vm *vm)
{
    struct fake_script *script = fake_script_of(vm);

    pthread_mutex_lock(&script->lock);
    script->vm = NULL;
    for (unsigned i = 0; i < HV_X86_GSIS; i++)
        script->route[i].irqfd = -1;
    for (unsigned i = 0; i < FAKE_WIRES_MAX; i++)
        script->ioeventfd[i].fd = -1;
    pthread_mutex_unlock(&script->lock);
    free(vm);
}

/* hv.c keeps the table of mappings, which is all there is. */
static int vm_map(struct hv_vm *vm, unsigned index, struct sm_error *err)
{
    (void)vm;
    (void)index;
    (void)err;
    return 0;
}

static int vm_unmap(struct hv_vm *vm, unsigned index, struct sm_error *err)
{
    return vm_map(vm, index, err);
}

void *fake_memory(struct fake_script *script, struct gpa at, uint64_t bytes)
{
    void *host = NULL;

    pthread_mutex_lock(&script->lock);
    for (unsigned i = 0; script->vm && i < HV_MAPS_MAX; i++) {
        const struct hv_mapping *map = &script->vm->map[i];

        if (at.v >= map->at.v && at.v - map->at.v < map->bytes &&
            bytes <= map->bytes - (at.v - map->at.v))
            host = map->host + (at.v - map->at.v);
    }
    pthread_mutex_unlock(&script->lock);
    return host;
}

static int intc_new(struct hv_vm *vm, const struct hv_intc_config *config,
                    struct sm_error *err)
{
    (void)vm;
    if (config->gsis != HV_X86_GSIS)
        return fail(err, SM_EINVAL, "interrupt controller of %u lines: %d",
                    config->gsis, HV_X86_GSIS);
    return 0;
}

static int intc_save(struct hv_vm *vm, struct buf *to, struct sm_error *err)
{
    wire_put_u32(to, vm->gsis);
    return to->failed ? fail(err, SM_ENOMEM, "interrupt controller") : 0;
}

static int intc_load(struct hv_vm *vm, struct wire_reader *from,
                     struct sm_error *err)
{
    if (wire_u32(from) != vm->gsis || !wire_ok(from))
        return fail(err, SM_EPROTO, "interrupt controller: damaged record");
    return 0;
}

/* A 64-bit processor with everything that has a bit. */
static int cpuid_get(struct hv_vm *vm, struct hv_cpuid_table *ret,
                     struct sm_error *err)
{
    const uint32_t all = UINT32_MAX;
    const struct hv_cpuid leaves[] = {
        {.leaf = 0, .eax = 0xb},
        {.leaf = 1, .ecx = all, .edx = all},
        {.leaf = 7, .has_subleaf = true, .ebx = all, .ecx = all, .edx = all},
        {.leaf = 0x80000000, .eax = 0x80000008},
        {.leaf = 0x80000001, .ecx = all, .edx = all},
        {.leaf = 0x80000008, .eax = FAKE_GPA_BITS | 48 << 8},
    };

    (void)vm;
    (void)err;
    ret->count = ARRAY_LEN(leaves);
    for (uint32_t i = 0; i < ret->count; i++)
        ret->entry[i] = leaves[i];
    return 0;
}

static int cpuid_set(struct hv_vm *vm, struct sm_error *err)
{
    (void)vm;
    (void)err;
    return 0;
}

/* ---- vcpus ---- */

/* Each id once; the script remembers which there are. */
static int vcpu_new(struct hv_vm *vm, uint32_t id, struct hv_vcpu **ret,
                    struct sm_error *err)
{
    struct fake_script *script = fake_script_of(vm);
    struct fake_part *part = &script->part[id];
    struct fake_vcpu *vcpu;
    bool made;

    if (script->options.fail_vcpu_new && script->options.failing_vcpu == id)
        return fail(err, SM_EIO, "vcpu %u: its script says so", id);
    vcpu = calloc(1, sizeof *vcpu);
    if (!vcpu)
        return fail(err, SM_ENOMEM, "vcpu %u", id);
    pthread_mutex_lock(&script->lock);
    made = part->made;
    part->made = true;
    pthread_mutex_unlock(&script->lock);
    if (made) {
        free(vcpu);
        return fail(err, SM_EEXIST, "vcpu %u: it was made before", id);
    }
    vcpu->base.vm = vm;
    vcpu->base.id = id;
    vcpu->script = script;
    fake_regs_reset(vcpu);
    pthread_mutex_lock(&script->lock);
    part->vcpu = vcpu;
    pthread_mutex_unlock(&script->lock);
    *ret = &vcpu->base;
    return 0;
}

static void vcpu_free(struct hv_vcpu *vcpu)
{
    struct fake_script *script = fake_vcpu_of(vcpu)->script;

    pthread_mutex_lock(&script->lock);
    script->part[vcpu->id].vcpu = NULL;
    pthread_mutex_unlock(&script->lock);
    free(fake_vcpu_of(vcpu));
}

static int clock_save(struct hv_vcpu *vcpu, uint64_t now, uint64_t *ref,
                      struct sm_error *err)
{
    (void)err;
    *ref = now + fake_vcpu_of(vcpu)->clock_offset;
    return 0;
}

static int clock_load(struct hv_vcpu *vcpu, uint64_t now, uint64_t ref,
                      struct sm_error *err)
{
    (void)err;
    fake_vcpu_of(vcpu)->clock_offset = ref - now;
    return 0;
}

const struct hv_ops hv_fake = {
    .name = "fake",
    .probe = probe,
    .vm_new = vm_new,
    .vm_free = vm_free,
    .vm_map = vm_map,
    .vm_unmap = vm_unmap,
    .intc_new = intc_new,
    .intc_save = intc_save,
    .intc_load = intc_load,
    .irq_set = fake_irq_set,
    .msi_send = fake_msi_send,
    .route_set = fake_route_set,
    .irqfd_attach = fake_irqfd_attach,
    .irqfd_detach = fake_irqfd_detach,
    .ioeventfd_attach = fake_ioeventfd_attach,
    .ioeventfd_detach = fake_ioeventfd_detach,
    .cpuid_get = cpuid_get,
    .cpuid_set = cpuid_set,
    .vcpu_new = vcpu_new,
    .vcpu_free = vcpu_free,
    .vcpu_run = fake_vcpu_run,
    .vcpu_kick = fake_vcpu_kick,
    .regs_get = fake_regs_get,
    .regs_set = fake_regs_set,
    .vcpu_save = fake_vcpu_save,
    .vcpu_load = fake_vcpu_load,
    .ticks = clock_monotonic_ns,
    .clock_save = clock_save,
    .clock_load = clock_load,
};
