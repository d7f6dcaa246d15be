/* contract.c: machines under test, and the suite's main; see contract.h. */
#include "contract.h"

#include "arch/arch.h"
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

void contract_ok(int rc, const struct sm_error *err)
{
    if (rc)
        print_error("%s\n", err->message);
    assert_int_equal(rc, 0);
}

void contract_new(struct contract *contract, uint32_t vcpus)
{
    struct hv_vm_config config = {.device_fd = -1, .vcpus = vcpus};
    struct sm_error err;

    *contract = (struct contract){0};
    gmem_init(&contract->mem);
    contract_host.begin(contract);
    contract_ok(hv_vm_new(contract_host.hv, &config, &contract->vm, &err),
                &err);
}

void contract_map(struct contract *contract, uint32_t vcpus)
{
    struct sm_error err;

    contract_new(contract, vcpus);
    contract_ok(gmem_add(&contract->mem, GPA(0), CONTRACT_RAM_BYTES, &err),
                &err);
    contract_ok(hv_vm_map_memory(contract->vm, &contract->mem, &err), &err);
}

void contract_setup(struct contract *contract, uint32_t vcpus)
{
    struct arch_config config = {.memory_bytes = 64 * MIB, .vcpus = vcpus};
    struct sm_error err;

    contract_map(contract, vcpus);
    contract_ok(arch_vm_setup(contract->vm, &config, &err), &err);
}

void contract_vcpu(struct contract *contract)
{
    struct sm_error err;

    contract_ok(hv_vcpu_new(contract->vm, 0, &contract->vcpu, &err), &err);
    assert_int_equal(contract->vcpu->id, 0);
    assert_ptr_equal(contract->vcpu->vm, contract->vm);
}

void contract_start(struct contract *contract, const struct contract_act *acts,
                    unsigned count)
{
    contract_map(contract, 1);
    contract_vcpu(contract);
    contract_host.act(contract, acts, count);
}

void contract_stop(struct contract *contract)
{
    hv_vcpu_free(contract->vcpu);
    hv_vm_free(contract->vm);
    contract_host.end(contract);
    gmem_done(&contract->mem);
}

void contract_expect(struct contract *contract, enum hv_exit_kind kind)
{
    struct sm_error err;

    contract_ok(hv_vcpu_run(contract->vcpu, &contract->exit, &err), &err);
    if (contract->exit.kind == HV_EXIT_ERROR && kind != HV_EXIT_ERROR)
        print_error("exit: %s (%#llx, %#llx)\n", contract->exit.error.what,
                    (unsigned long long)contract->exit.error.code,
                    (unsigned long long)contract->exit.error.detail);
    assert_int_equal(contract->exit.kind, kind);
}

void contract_expect_mmio(struct contract *contract, uint64_t at, unsigned size,
                          bool write)
{
    contract_expect(contract, HV_EXIT_MMIO);
    assert_int_equal(contract->exit.mmio.at.v, at);
    assert_int_equal(contract->exit.mmio.size, size);
    assert_int_equal(contract->exit.mmio.write, write);
}

void contract_expect_pio(struct contract *contract, unsigned size, bool write)
{
    contract_expect(contract, HV_EXIT_PIO);
    assert_int_equal(contract->exit.pio.port, CONTRACT_PORT);
    assert_int_equal(contract->exit.pio.size, size);
    assert_int_equal(contract->exit.pio.count, 1);
    assert_int_equal(contract->exit.pio.write, write);
}

int main(void)
{
    const struct {
        const struct CMUnitTest *tests;
        size_t count;
    } groups[] = {{machine_tests, machine_test_count},
                  {vcpu_tests, vcpu_test_count},
                  {state_tests, state_test_count}};
    struct CMUnitTest all[64];
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        if (count + groups[i].count > ARRAY_LEN(all))
            return EXIT_FAILURE;
        memcpy(all + count, groups[i].tests,
               groups[i].count * sizeof *groups[i].tests);
        count += groups[i].count;
    }
    return _cmocka_run_group_tests(contract_host.hv->name, all, count, NULL,
                                   NULL);
}
