/* setup.c: interrupt controller and processor of a machine; see arch.h. */
#include "arch/arch.h"
#include "arch/x86_64/cpuid.h"

static int make_intc(struct hv_vm *vm, struct sm_error *err)
{
    struct hv_intc_config config = {.gsis = HV_X86_GSIS};

    return hv_intc_new(vm, &config, err);
}

/* What cpuid_make() gives here. */
static int offered(struct hv_vm *vm, uint32_t vcpus, struct hv_cpuid_table *ret,
                   struct sm_error *err)
{
    struct hv_cpuid_table host;
    int rc = hv_cpuid_get(vm, &host, err);

    return rc ? rc : cpuid_make(&host, vcpus, ret, err);
}

int arch_vm_setup(struct hv_vm *vm, const struct arch_config *config,
                  struct sm_error *err)
{
    struct hv_cpuid_table table;
    int rc = offered(vm, config->vcpus, &table, err);

    if (!rc)
        rc = make_intc(vm, err);
    if (!rc)
        rc = hv_cpuid_set(vm, &table, err);
    return rc;
}

/* Record: u32 policy, u32 count, then per entry leaf, subleaf, has_subleaf
 * and four registers, all u32. */
int arch_vm_save(const struct hv_vm *vm, struct buf *to, struct sm_error *err)
{
    const struct hv_cpuid_table *table = &vm->cpuid;

    wire_put_u32(to, CPUID_POLICY_VERSION);
    wire_put_u32(to, table->count);
    for (uint32_t i = 0; i < table->count; i++) {
        const struct hv_cpuid *entry = &table->entry[i];

        wire_put_u32(to, entry->leaf);
        wire_put_u32(to, entry->subleaf);
        wire_put_u32(to, entry->has_subleaf);
        wire_put_u32(to, entry->eax);
        wire_put_u32(to, entry->ebx);
        wire_put_u32(to, entry->ecx);
        wire_put_u32(to, entry->edx);
    }
    return to->failed ? fail(err, SM_ENOMEM, "processor record") : 0;
}

static int read_table(struct wire_reader *from, struct hv_cpuid_table *ret,
                      struct sm_error *err)
{
    uint32_t version = wire_u32(from);

    ret->count = wire_u32(from);
    if (!wire_ok(from) || !ret->count || ret->count > HV_CPUID_MAX)
        return fail(err, SM_EPROTO, "processor record: damaged");
    if (version != CPUID_POLICY_VERSION)
        return fail(err, SM_ENOTSUP, "processor record of version %u: %d",
                    version, CPUID_POLICY_VERSION);
    for (uint32_t i = 0; i < ret->count; i++) {
        struct hv_cpuid *entry = &ret->entry[i];

        entry->leaf = wire_u32(from);
        entry->subleaf = wire_u32(from);
        entry->has_subleaf = wire_u32(from) != 0;
        entry->eax = wire_u32(from);
        entry->ebx = wire_u32(from);
        entry->ecx = wire_u32(from);
        entry->edx = wire_u32(from);
    }
    return wire_ok(from) ? 0
                         : fail(err, SM_EPROTO, "processor record: truncated");
}

int arch_vm_load(struct hv_vm *vm, const struct arch_config *config,
                 struct wire_reader *from, struct sm_error *err)
{
    struct hv_cpuid_table table;
    struct hv_cpuid_table here;
    int rc = read_table(from, &table, err);

    if (!rc)
        rc = offered(vm, config->vcpus, &here, err);
    if (!rc)
        rc = cpuid_check(&table, &here, err);
    if (!rc)
        rc = make_intc(vm, err);
    if (!rc)
        rc = hv_cpuid_set(vm, &table, err);
    return rc;
}
