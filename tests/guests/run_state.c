/* run_state.c: tiny guests that are saved in one machine and go on in another.
 */
#include "run.h"

#include "arch/arch.h"
#include "base/bytes.h"

#include <stdlib.h>

TINY_GUEST(guest_state);
TINY_GUEST(guest_timer);

enum { STATE_VECTOR = 0x41, RECORD_MAX = 64 * 1024 };

static const struct arch_config config = {.memory_bytes = 64 * MIB, .vcpus = 1};

struct saved {
    struct buf arch;
    struct buf intc;
    struct buf vcpu;
    uint8_t *memory;
    uint64_t counter;
    struct hv_pvclock pvclock;
};

static void start(struct tiny *tiny, const uint8_t *code, size_t bytes)
{
    struct sm_error err;

    tiny_new(tiny, 1);
    tiny_setup(tiny, 1);
    tiny_load(tiny, code, bytes);
    must(hv_vcpu_new(tiny->vm, 0, &tiny->vcpu, &err), &err);
    tiny_enter(tiny->vcpu);
}

/* Finish the access in hand, save everything, end the machine. */
static void save(struct tiny *tiny, struct saved *to)
{
    uint64_t now;
    struct sm_error err;

    hv_vcpu_kick(&tiny->vcpu, 1);
    tiny_expect(tiny, HV_EXIT_KICKED);
    buf_init(&to->arch, RECORD_MAX);
    buf_init(&to->intc, RECORD_MAX);
    buf_init(&to->vcpu, RECORD_MAX);
    to->memory = malloc(GUEST_RAM_END);
    assert_non_null(to->memory);
    must(arch_vm_save(tiny->vm, &to->arch, &err), &err);
    must(hv_intc_save(tiny->vm, &to->intc, &err), &err);
    must(hv_vcpu_save(tiny->vcpu, &to->vcpu, &err), &err);
    now = hv_ticks(hv_host());
    must(hv_vcpu_clock_save(tiny->vcpu, now, &to->counter, &err), &err);
    must(hv_pvclock_save(tiny->vm, &to->pvclock, &err), &err);
    assert_true(gmem_read(&tiny->mem, GPA(0), to->memory, GUEST_RAM_END));
    tiny_stop(tiny);
}

/* A machine like the saved one, up to what its vcpu is about to get. */
static void prepare(struct tiny *tiny, const struct saved *from)
{
    struct wire_reader arch;
    struct wire_reader intc;
    struct sm_error err;

    tiny_new(tiny, 1);
    assert_true(gmem_write(&tiny->mem, GPA(0), from->memory, GUEST_RAM_END));
    wire_read(&arch, from->arch.data, from->arch.size);
    must(arch_vm_load(tiny->vm, &config, &arch, &err), &err);
    assert_true(wire_end(&arch));
    wire_read(&intc, from->intc.data, from->intc.size);
    must(hv_intc_load(tiny->vm, &intc, &err), &err);
    assert_true(wire_end(&intc));
    must(hv_vcpu_new(tiny->vm, 0, &tiny->vcpu, &err), &err);
}

static void load(struct tiny *tiny, const struct saved *from)
{
    struct wire_reader vcpu;
    struct sm_error err;

    prepare(tiny, from);
    wire_read(&vcpu, from->vcpu.data, from->vcpu.size);
    must(hv_vcpu_load(tiny->vcpu, &vcpu, &err), &err);
    assert_true(wire_end(&vcpu));
    must(hv_vcpu_clock_load(tiny->vcpu, hv_ticks(hv_host()), from->counter,
                            &err),
         &err);
    must(hv_pvclock_load(tiny->vm, &from->pvclock, &err), &err);
    must(hv_vcpu_resumed(tiny->vcpu, &err), &err);
}

static void drop(struct saved *saved)
{
    buf_done(&saved->arch);
    buf_done(&saved->intc);
    buf_done(&saved->vcpu);
    free(saved->memory);
}

/* guest_state, waiting in its loop. */
static void save_state_guest(struct saved *to)
{
    struct tiny tiny;

    start(&tiny, TINY_CODE(guest_state));
    tiny_expect_pio(&tiny, 0x20, 1, false);
    save(&tiny, to);
}

static void test_vcpu_goes_on_with_all_registers(void **state)
{
    const struct hv_msi msi = {.address = 0xfee00000, .data = STATE_VECTOR};
    struct saved saved;
    struct tiny tiny;

    (void)state;
    save_state_guest(&saved);
    /* Twice from the same record: restoring uses nothing up. */
    for (unsigned i = 0; i < 2; i++) {
        load(&tiny, &saved);
        assert_int_equal(hv_msi_send(tiny.vm, &msi), 0);
        tiny_expect_report(&tiny, 0x12345678); /* SSE */
        tiny_expect_report(&tiny, 0x1000);     /* DR1 */
        tiny_expect_report(&tiny, 0x99);       /* MSR */
        tiny_expect_report(&tiny, 0x0badcafe); /* R15 */
        tiny_expect_report(&tiny, 1);          /* the TSC went on */
        tiny_expect_done(&tiny);
        tiny_stop(&tiny);
    }
    drop(&saved);
}

static void test_counter_goes_on_from_where_it_was(void **state)
{
    struct hv_reg counter = {.group = HV_X86_TSC, .number = HV_X86_TSC_COUNTER};
    struct sm_error err;
    struct saved saved;
    struct tiny tiny;
    uint64_t before;
    uint64_t passed;

    (void)state;
    save_state_guest(&saved);
    before = hv_ticks(hv_host());
    load(&tiny, &saved);
    must(hv_regs_get(tiny.vcpu, &counter, 1, &err), &err);
    passed = hv_ticks(hv_host()) - before;
    assert_true(counter.value >= saved.counter);
    /* It stood still meanwhile: what passed is the time since load(). */
    assert_in_range(counter.value - saved.counter, 0, passed);
    tiny_stop(&tiny);
    drop(&saved);
}

static void test_armed_timer_fires_after_loading(void **state)
{
    struct saved saved;
    struct tiny tiny;

    (void)state;
    start(&tiny, TINY_CODE(guest_timer));
    tiny_expect_pio(&tiny, 0x20, 4, false);
    store_le32(tiny.exit.pio.data, 200 * 1000 * 1000);
    tiny_expect_report(&tiny, 0);
    save(&tiny, &saved);
    load(&tiny, &saved);
    tiny_expect_report(&tiny, 1);
    tiny_expect_done(&tiny);
    tiny_stop(&tiny);
    drop(&saved);
}

static void test_saving_within_an_access_is_refused(void **state)
{
    struct sm_error err;
    struct tiny tiny;
    struct buf record;

    (void)state;
    start(&tiny, TINY_CODE(guest_state));
    tiny_expect_pio(&tiny, 0x20, 1, false);
    buf_init(&record, RECORD_MAX);
    assert_int_equal(hv_vcpu_save(tiny.vcpu, &record, &err), SM_ESTATE);
    buf_done(&record);
    tiny_stop(&tiny);
}

static void test_saving_twice_gives_the_same_record(void **state)
{
    struct wire_reader reader;
    struct saved saved;
    struct sm_error err;
    struct tiny tiny;
    struct buf again;

    (void)state;
    save_state_guest(&saved);
    prepare(&tiny, &saved);
    wire_read(&reader, saved.vcpu.data, saved.vcpu.size);
    must(hv_vcpu_load(tiny.vcpu, &reader, &err), &err);
    buf_init(&again, RECORD_MAX);
    must(hv_vcpu_save(tiny.vcpu, &again, &err), &err);
    assert_int_equal(again.size, saved.vcpu.size);
    assert_memory_equal(again.data, saved.vcpu.data, again.size);
    buf_done(&again);
    tiny_stop(&tiny);
    drop(&saved);
}

static void test_truncated_record_is_refused(void **state)
{
    struct wire_reader reader;
    struct saved saved;
    struct sm_error err;
    struct tiny tiny;

    (void)state;
    save_state_guest(&saved);
    prepare(&tiny, &saved);
    for (size_t size = 0; size < saved.vcpu.size; size += 3) {
        wire_read(&reader, saved.vcpu.data, size);
        assert_int_equal(hv_vcpu_load(tiny.vcpu, &reader, &err), SM_EPROTO);
    }
    tiny_stop(&tiny);
    drop(&saved);
}

/* Damage may go unnoticed or be refused; the host lives, and a good record
 * still loads into the same vcpu. */
static void test_damaged_record_does_no_harm(void **state)
{
    struct wire_reader reader;
    struct saved saved;
    struct sm_error err;
    struct tiny tiny;
    unsigned refused = 0;

    (void)state;
    save_state_guest(&saved);
    prepare(&tiny, &saved);
    for (size_t at = 0; at < saved.vcpu.size; at += 5) {
        int rc;

        saved.vcpu.data[at] ^= 0x81;
        wire_read(&reader, saved.vcpu.data, saved.vcpu.size);
        rc = hv_vcpu_load(tiny.vcpu, &reader, &err);
        saved.vcpu.data[at] ^= 0x81;
        refused += rc != 0;
        assert_true(rc == 0 || rc == SM_EPROTO || rc == SM_ENOTSUP);
    }
    assert_true(refused > 100);
    wire_read(&reader, saved.vcpu.data, saved.vcpu.size);
    must(hv_vcpu_load(tiny.vcpu, &reader, &err), &err);
    tiny_stop(&tiny);
    drop(&saved);
}

const struct CMUnitTest state_tests[] = {
    cmocka_unit_test(test_vcpu_goes_on_with_all_registers),
    cmocka_unit_test(test_counter_goes_on_from_where_it_was),
    cmocka_unit_test(test_armed_timer_fires_after_loading),
    cmocka_unit_test(test_saving_within_an_access_is_refused),
    cmocka_unit_test(test_saving_twice_gives_the_same_record),
    cmocka_unit_test(test_truncated_record_is_refused),
    cmocka_unit_test(test_damaged_record_does_no_harm),
};
const size_t state_test_count = ARRAY_LEN(state_tests);
