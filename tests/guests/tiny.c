/* tiny.c: a machine for tiny guests; see tiny.h. */
#include "tiny.h"

#include "arch/arch.h"
#include "base/bytes.h"
#include "unit.h"

enum {
    PML4 = 0x2000,
    PDPT = 0x3000,
    PD = 0x4000,
    GDT = 0x6000,
    CODE64 = 0xa09b,
    DATA = 0xc093,
    TSS64 = 0x008b
};

void must(int rc, const struct sm_error *err)
{
    if (rc)
        print_error("%s\n", err->message);
    assert_int_equal(rc, 0);
}

void tiny_new(struct tiny *tiny, uint32_t vcpus)
{
    struct hv_vm_config config = {.device_fd = -1, .vcpus = vcpus};
    struct sm_error err;

    *tiny = (struct tiny){0};
    gmem_init(&tiny->mem);
    must(hv_vm_new(hv_host(), &config, &tiny->vm, &err), &err);
    must(gmem_add(&tiny->mem, GPA(0), GUEST_RAM_END, &err), &err);
    must(hv_vm_map_memory(tiny->vm, &tiny->mem, &err), &err);
}

void tiny_setup(struct tiny *tiny, uint32_t vcpus)
{
    struct arch_config config = {.memory_bytes = 64 * MIB, .vcpus = vcpus};
    struct sm_error err;

    must(arch_vm_setup(tiny->vm, &config, &err), &err);
}

static void store(struct tiny *tiny, uint64_t at, uint64_t value)
{
    uint8_t bytes[8];

    store_le64(bytes, value);
    assert_true(gmem_write(&tiny->mem, GPA(at), bytes, sizeof bytes));
}

void tiny_load(struct tiny *tiny, const uint8_t *code, size_t bytes)
{
    store(tiny, PML4, PDPT | 3);
    store(tiny, PDPT, PD | 3);
    for (uint64_t i = 0; i < 512; i++)
        store(tiny, PD + 8 * i, i * 2 * MIB | 0x83);
    store(tiny, GDT + GUEST_CS, 0x00af9b000000ffff);
    store(tiny, GDT + GUEST_CS + 8, 0x00cf93000000ffff);
    assert_true(gmem_write(&tiny->mem, GPA(GUEST_CODE), code, bytes));
}

void tiny_enter(struct hv_vcpu *vcpu)
{
    const struct hv_reg regs[] = {
        hv_x86_segment(HV_X86_CS, GUEST_CS, 0, UINT32_MAX, CODE64),
        hv_x86_segment(HV_X86_DS, GUEST_CS + 8, 0, UINT32_MAX, DATA),
        hv_x86_segment(HV_X86_ES, GUEST_CS + 8, 0, UINT32_MAX, DATA),
        hv_x86_segment(HV_X86_SS, GUEST_CS + 8, 0, UINT32_MAX, DATA),
        hv_x86_segment(HV_X86_TR, GUEST_CS + 16, 0, 0x67, TSS64),
        hv_x86_segment(HV_X86_GDTR, 0, GDT, 31, 0),
        {HV_X86_CONTROL, HV_X86_CR0, 0x80000031, 0},
        {HV_X86_CONTROL, HV_X86_CR3, PML4, 0},
        {HV_X86_CONTROL, HV_X86_CR4, 0x20, 0},
        {HV_X86_CONTROL, HV_X86_EFER, 0x500, 0},
        {HV_X86_GENERAL, HV_X86_RIP, GUEST_CODE, 0},
        {HV_X86_GENERAL, HV_X86_RSP, GUEST_STACK, 0},
        {HV_X86_GENERAL, HV_X86_RFLAGS, 2, 0},
    };
    struct sm_error err;

    must(hv_regs_set(vcpu, regs, ARRAY_LEN(regs), &err), &err);
}

void tiny_start(struct tiny *tiny, const uint8_t *code, size_t bytes)
{
    struct sm_error err;

    tiny_new(tiny, 1);
    tiny_load(tiny, code, bytes);
    must(hv_vcpu_new(tiny->vm, 0, &tiny->vcpu, &err), &err);
    tiny_enter(tiny->vcpu);
}

void tiny_stop(struct tiny *tiny)
{
    hv_vcpu_free(tiny->vcpu);
    hv_vm_free(tiny->vm);
    gmem_done(&tiny->mem);
}

void tiny_run(struct tiny *tiny)
{
    struct sm_error err;

    must(hv_vcpu_run(tiny->vcpu, &tiny->exit, &err), &err);
}

void tiny_expect(struct tiny *tiny, enum hv_exit_kind kind)
{
    tiny_run(tiny);
    if (tiny->exit.kind == HV_EXIT_ERROR && kind != HV_EXIT_ERROR)
        print_error("exit: %s (%#llx, %#llx)\n", tiny->exit.error.what,
                    (unsigned long long)tiny->exit.error.code,
                    (unsigned long long)tiny->exit.error.detail);
    assert_int_equal(tiny->exit.kind, kind);
}

void tiny_expect_pio(struct tiny *tiny, uint16_t port, unsigned size,
                     bool write)
{
    tiny_expect(tiny, HV_EXIT_PIO);
    assert_int_equal(tiny->exit.pio.port, port);
    assert_int_equal(tiny->exit.pio.size, size);
    assert_int_equal(tiny->exit.pio.write, write);
}

void tiny_expect_mmio(struct tiny *tiny, uint64_t at, unsigned size, bool write)
{
    tiny_expect(tiny, HV_EXIT_MMIO);
    assert_int_equal(tiny->exit.mmio.at.v, at);
    assert_int_equal(tiny->exit.mmio.size, size);
    assert_int_equal(tiny->exit.mmio.write, write);
}

void tiny_expect_report(struct tiny *tiny, uint32_t value)
{
    tiny_expect_pio(tiny, PORT_REPORT, 4, true);
    assert_int_equal(load_le32(tiny->exit.pio.data), value);
}

void tiny_expect_done(struct tiny *tiny)
{
    tiny_expect_pio(tiny, PORT_DONE, 1, true);
}
