/* contract_state.c: registers, records and clocks. */
#include "contract.h"

#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

enum { RECORD_MAX = 1 << 20, REGS = 24 };

/* A value for everything that has no meaning to a processor that stands
 * still; ordered by group. */
static const struct hv_reg samples[REGS] = {
    {HV_X86_GENERAL, HV_X86_RAX, 0x1111111111111111, 0},
    {HV_X86_GENERAL, HV_X86_RCX, 0x2222222222222222, 0},
    {HV_X86_GENERAL, HV_X86_RDX, 0x3333333333333333, 0},
    {HV_X86_GENERAL, HV_X86_RBX, 0x4444444444444444, 0},
    {HV_X86_GENERAL, HV_X86_RSP, 0x5555555555555555, 0},
    {HV_X86_GENERAL, HV_X86_RBP, 0x6666666666666666, 0},
    {HV_X86_GENERAL, HV_X86_RSI, 0x7777777777777777, 0},
    {HV_X86_GENERAL, HV_X86_RDI, 0x8888888888888888, 0},
    {HV_X86_GENERAL, HV_X86_R8, 0x9999999999999999, 0},
    {HV_X86_GENERAL, HV_X86_R9, 0xaaaaaaaaaaaaaaaa, 0},
    {HV_X86_GENERAL, HV_X86_R10, 0xbbbbbbbbbbbbbbbb, 0},
    {HV_X86_GENERAL, HV_X86_R11, 0xcccccccccccccccc, 0},
    {HV_X86_GENERAL, HV_X86_R12, 0xdddddddddddddddd, 0},
    {HV_X86_GENERAL, HV_X86_R13, 0xeeeeeeeeeeeeeeee, 0},
    {HV_X86_GENERAL, HV_X86_R14, 0x0123456789abcdef, 0},
    {HV_X86_GENERAL, HV_X86_R15, UINT64_MAX, 0},
    {HV_X86_GENERAL, HV_X86_RIP, 0x1234, 0},
    {HV_X86_GENERAL, HV_X86_RFLAGS, 0x46, 0},
    /* base, limit 0xffff, selector 0x1200, read-write data of real mode */
    {HV_X86_SEGMENTS, HV_X86_DS, 0x12000, 0x009312000000ffff},
    {HV_X86_CONTROL, HV_X86_CR2, 0xfedcba98, 0},
    {HV_X86_CONTROL, HV_X86_CR3, 0x5000, 0},
    {HV_X86_DEBUG, 0, 0x1000, 0},
    {HV_X86_DEBUG, 3, 0x2000, 0},
    {HV_X86_MSRS, 0xc0000082, 0xffffffff81000000, 0}, /* LSTAR */
};

static void expect_samples(struct hv_vcpu *vcpu)
{
    struct hv_reg regs[REGS];
    struct sm_error err;

    for (unsigned i = 0; i < REGS; i++)
        regs[i] = (struct hv_reg){.group = samples[i].group,
                                  .number = samples[i].number,
                                  .value = 0x5a,
                                  .high = 0x5a};
    contract_ok(hv_regs_get(vcpu, regs, REGS, &err), &err);
    for (unsigned i = 0; i < REGS; i++) {
        assert_int_equal(regs[i].group, samples[i].group);
        assert_int_equal(regs[i].number, samples[i].number);
        assert_int_equal(regs[i].value, samples[i].value);
        assert_int_equal(regs[i].high, samples[i].high);
    }
}

static void test_hv_registers_keep_what_is_set(void **state)
{
    struct contract contract;
    struct sm_error err;

    (void)state;
    contract_setup(&contract, 1);
    contract_vcpu(&contract);
    contract_ok(hv_regs_set(contract.vcpu, samples, REGS, &err), &err);
    expect_samples(contract.vcpu);
    contract_stop(&contract);
}

static void test_hv_registers_are_set_in_order(void **state)
{
    const struct hv_reg twice[] = {{HV_X86_GENERAL, HV_X86_RAX, 1, 0},
                                   {HV_X86_CONTROL, HV_X86_CR2, 2, 0},
                                   {HV_X86_GENERAL, HV_X86_RAX, 3, 0}};
    struct hv_reg rax = twice[0];
    struct contract contract;

    (void)state;
    contract_map(&contract, 1);
    contract_vcpu(&contract);
    assert_int_equal(hv_regs_set(contract.vcpu, twice, 3, NULL), 0);
    assert_int_equal(hv_regs_get(contract.vcpu, &rax, 1, NULL), 0);
    assert_int_equal(rax.value, 3);
    assert_int_equal(hv_regs_set(contract.vcpu, NULL, 0, NULL), 0);
    assert_int_equal(hv_regs_get(contract.vcpu, NULL, 0, NULL), 0);
    contract_stop(&contract);
}

static void test_hv_registers_that_are_not_there_are_refused(void **state)
{
    static const struct hv_reg none[] = {
        {0, 0, 0, 0},
        {HV_X86_GENERAL, HV_X86_GENERAL_COUNT, 0, 0},
        {HV_X86_SEGMENTS, HV_X86_SEGMENT_COUNT, 0, 0},
        {HV_X86_CONTROL, 1, 0, 0},
        {HV_X86_CONTROL, HV_X86_APIC_BASE + 1, 0, 0},
        {HV_X86_DEBUG, 4, 0, 0},
        {HV_X86_DEBUG, 8, 0, 0},
        {HV_X86_XCRS, 1, 1, 0},
        {HV_X86_EVENTS, HV_X86_EVENT_COUNT, 0, 0},
        {HV_X86_MSRS, 0x4ff00ff0, 0, 0},
        {HV_POWER, 1, 0, 0},
        {99, 0, 0, 0},
        {UINT32_MAX, UINT32_MAX, 0, 0},
    };
    const struct hv_reg power = {HV_POWER, 0, HV_POWER_COUNT, 0};
    struct contract contract;

    (void)state;
    contract_setup(&contract, 1);
    contract_vcpu(&contract);
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        struct hv_reg reg = none[i];
        struct sm_error err = {0};

        assert_int_equal(hv_regs_get(contract.vcpu, &reg, 1, &err), SM_EINVAL);
        assert_int_equal(err.code, SM_EINVAL);
        assert_int_equal(hv_regs_set(contract.vcpu, &none[i], 1, NULL),
                         SM_EINVAL);
    }
    assert_int_equal(hv_regs_set(contract.vcpu, &power, 1, NULL), SM_EINVAL);
    contract_stop(&contract);
}

/* ---- records ---- */

/* A record of a vcpu with the samples in it. */
static void save_samples(struct buf *to)
{
    struct contract contract;
    struct sm_error err;

    buf_init(to, RECORD_MAX);
    contract_setup(&contract, 1);
    contract_vcpu(&contract);
    assert_true(contract.vm->caps.save);
    contract_ok(hv_regs_set(contract.vcpu, samples, REGS, &err), &err);
    contract_ok(hv_vcpu_save(contract.vcpu, to, &err), &err);
    contract_stop(&contract);
}

/* Load the first (bytes) of (record) from memory that ends there. */
static int load(struct hv_vcpu *vcpu, const struct buf *record, size_t bytes,
                struct sm_error *err)
{
    uint8_t *copy = malloc(bytes + !bytes);
    struct wire_reader from = {.at = copy, .left = bytes};
    int rc;

    assert_non_null(copy);
    memcpy(copy, record->data, bytes);
    rc = hv_vcpu_load(vcpu, &from, err);
    if (!rc)
        assert_true(wire_end(&from));
    free(copy);
    return rc;
}

static void test_hv_saved_vcpu_is_the_same_on_another_machine(void **state)
{
    struct contract contract;
    struct sm_error err;
    struct buf record;
    struct buf again;

    (void)state;
    save_samples(&record);
    buf_init(&again, RECORD_MAX);
    contract_setup(&contract, 1);
    contract_vcpu(&contract);
    contract_ok(load(contract.vcpu, &record, record.size, &err), &err);
    expect_samples(contract.vcpu);
    contract_ok(hv_vcpu_save(contract.vcpu, &again, &err), &err);
    assert_int_equal(again.size, record.size);
    contract_stop(&contract);
    buf_done(&again);
    buf_done(&record);
}

static void test_hv_truncated_records_are_refused_and_change_nothing(
    void **state)
{
    enum { EVERY_BELOW = 512, STRIDE = 37, EVERY_LAST = 64 };
    struct hv_reg rax = {HV_X86_GENERAL, HV_X86_RAX, 77, 0};
    struct contract contract;
    struct buf record;

    (void)state;
    save_samples(&record);
    contract_setup(&contract, 1);
    contract_vcpu(&contract);
    assert_int_equal(hv_regs_set(contract.vcpu, &rax, 1, NULL), 0);
    for (size_t bytes = 0; bytes < record.size;) {
        struct sm_error err = {0};

        assert_int_equal(load(contract.vcpu, &record, bytes, &err), SM_EPROTO);
        assert_int_equal(err.code, SM_EPROTO);
        bytes += bytes < EVERY_BELOW || bytes + EVERY_LAST > record.size
                     ? 1
                     : (size_t)STRIDE;
    }
    assert_int_equal(hv_regs_get(contract.vcpu, &rax, 1, NULL), 0);
    assert_int_equal(rax.value, 77);
    contract_stop(&contract);
    buf_done(&record);
}

static void test_hv_records_of_another_kind_are_refused(void **state)
{
    struct contract contract;
    struct buf record;

    (void)state;
    save_samples(&record);
    contract_setup(&contract, 1);
    contract_vcpu(&contract);
    record.data[0] ^= 0x80; /* version */
    assert_int_equal(load(contract.vcpu, &record, record.size, NULL),
                     SM_ENOTSUP);
    record.data[0] ^= 0x80;
    record.data[4] ^= 0x80; /* groups */
    assert_int_equal(load(contract.vcpu, &record, record.size, NULL),
                     SM_EPROTO);
    record.data[4] ^= 0x80;
    record.data[8] ^= 0x80; /* number of the first group */
    assert_int_equal(load(contract.vcpu, &record, record.size, NULL),
                     SM_EPROTO);
    record.data[8] ^= 0x80;
    store_le32(record.data + 12, UINT32_MAX); /* its count */
    assert_int_equal(load(contract.vcpu, &record, record.size, NULL),
                     SM_EPROTO);
    contract_stop(&contract);
    buf_done(&record);
}

static void test_hv_save_waits_for_an_access_to_be_finished(void **state)
{
    static const struct contract_act acts[] = {
        {ACT_MMIO_READ, 4, CONTRACT_MMIO, 0}};
    struct hv_reg rax = {HV_X86_GENERAL, HV_X86_RAX, 0, 0};
    struct contract contract;
    struct sm_error err;
    struct buf record;

    (void)state;
    buf_init(&record, RECORD_MAX);
    contract_setup(&contract, 1);
    contract_vcpu(&contract);
    contract_host.act(&contract, acts, ARRAY_LEN(acts));
    contract_expect_mmio(&contract, CONTRACT_MMIO, 4, false);
    assert_int_equal(hv_vcpu_save(contract.vcpu, &record, NULL), SM_ESTATE);
    hv_vcpu_kick(&contract.vcpu, 1);
    contract_expect(&contract, HV_EXIT_KICKED);
    contract_ok(hv_vcpu_save(contract.vcpu, &record, &err), &err);
    contract_ok(hv_regs_get(contract.vcpu, &rax, 1, &err), &err);
    contract_stop(&contract);
    buf_done(&record);
}

static void test_hv_save_says_when_there_is_no_room(void **state)
{
    struct contract contract;
    struct buf record;

    (void)state;
    buf_init(&record, 100);
    contract_setup(&contract, 1);
    contract_vcpu(&contract);
    assert_int_equal(hv_vcpu_save(contract.vcpu, &record, NULL), SM_ENOMEM);
    contract_stop(&contract);
    buf_done(&record);
}

static void test_hv_interrupt_controller_saves_and_loads(void **state)
{
    struct contract contract;
    struct wire_reader from;
    struct sm_error err;
    struct buf record;

    (void)state;
    buf_init(&record, RECORD_MAX);
    contract_setup(&contract, 1);
    contract_vcpu(&contract);
    contract_ok(hv_intc_save(contract.vm, &record, &err), &err);
    assert_true(record.size > 0);
    for (size_t bytes = 0; bytes < record.size; bytes++) {
        from = (struct wire_reader){.at = record.data, .left = bytes};
        assert_int_equal(hv_intc_load(contract.vm, &from, NULL), SM_EPROTO);
    }
    from = (struct wire_reader){.at = record.data, .left = record.size};
    contract_ok(hv_intc_load(contract.vm, &from, &err), &err);
    assert_true(wire_end(&from));
    contract_stop(&contract);
    buf_done(&record);
}

/* ---- clocks ---- */

static void test_hv_clock_goes_on_from_where_it_is_set(void **state)
{
    const uint64_t ref = UINT64_C(1) << 50;
    const uint64_t slack = UINT64_C(1) << 40; /* minutes */
    struct hv_pvclock pvclock;
    struct contract contract;
    struct sm_error err;
    uint64_t now = hv_ticks(contract_host.hv);
    uint64_t saved = 0;

    (void)state;
    contract_setup(&contract, 1);
    contract_vcpu(&contract);
    contract_ok(hv_vcpu_clock_load(contract.vcpu, now, ref, &err), &err);
    assert_true(hv_ticks(contract_host.hv) >= now);
    contract_ok(hv_vcpu_clock_save(contract.vcpu, now, &saved, &err), &err);
    assert_in_range(saved, ref - slack, ref + slack);
    contract_ok(
        hv_vcpu_clock_save(contract.vcpu, now + 2 * slack, &saved, &err), &err);
    assert_in_range(saved, ref + slack, ref + 3 * slack);
    contract_ok(hv_pvclock_save(contract.vm, &pvclock, &err), &err);
    contract_ok(hv_pvclock_load(contract.vm, &pvclock, &err), &err);
    contract_ok(hv_vcpu_resumed(contract.vcpu, &err), &err);
    if (!contract_host.hv->timer_unmask)
        assert_int_equal(hv_timer_unmask(contract.vcpu, NULL), SM_ENOTSUP);
    contract_stop(&contract);
}

const struct CMUnitTest state_tests[] = {
    cmocka_unit_test(test_hv_registers_keep_what_is_set),
    cmocka_unit_test(test_hv_registers_are_set_in_order),
    cmocka_unit_test(test_hv_registers_that_are_not_there_are_refused),
    cmocka_unit_test(test_hv_saved_vcpu_is_the_same_on_another_machine),
    cmocka_unit_test(test_hv_truncated_records_are_refused_and_change_nothing),
    cmocka_unit_test(test_hv_records_of_another_kind_are_refused),
    cmocka_unit_test(test_hv_save_waits_for_an_access_to_be_finished),
    cmocka_unit_test(test_hv_save_says_when_there_is_no_room),
    cmocka_unit_test(test_hv_interrupt_controller_saves_and_loads),
    cmocka_unit_test(test_hv_clock_goes_on_from_where_it_is_set),
};
const size_t state_test_count = ARRAY_LEN(state_tests);
