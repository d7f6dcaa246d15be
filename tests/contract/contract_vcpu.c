/* contract_vcpu.c: making, running and kicking vcpus. */
#include "contract.h"

#include "base/bytes.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>

/* ---- ids ---- */

/* A vcpu made and freed on a thread of its own. */
struct other {
    struct hv_vm *vm;
    uint32_t id;
    struct hv_reg power;
    int rc;
};

static void *make_other(void *context)
{
    struct other *other = context;
    struct hv_vcpu *vcpu;

    other->power = (struct hv_reg){.group = HV_POWER};
    other->rc = hv_vcpu_new(other->vm, other->id, &vcpu, NULL);
    if (!other->rc)
        other->rc = hv_regs_get(vcpu, &other->power, 1, NULL);
    hv_vcpu_free(vcpu);
    return NULL;
}

static int run_other(struct other *other)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, make_other, other), 0);
    pthread_join(thread, NULL);
    return other->rc;
}

static void test_hv_vcpu_ids_are_in_range_and_made_once(void **state)
{
    struct contract contract;
    struct hv_vcpu *vcpu;

    (void)state;
    contract_map(&contract, 2);
    assert_int_equal(hv_vcpu_new(contract.vm, 2, &vcpu, NULL), SM_EINVAL);
    assert_null(vcpu);
    assert_int_equal(hv_vcpu_new(contract.vm, UINT32_MAX, &vcpu, NULL),
                     SM_EINVAL);
    contract_vcpu(&contract);
    assert_true(hv_vcpu_new(contract.vm, 0, &vcpu, NULL) < 0);
    assert_null(vcpu);
    contract_stop(&contract);
}

static void test_hv_only_the_first_vcpu_runs_at_reset(void **state)
{
    struct hv_reg power = {.group = HV_POWER};
    struct contract contract;
    struct other other;

    (void)state;
    contract_setup(&contract, 2);
    contract_vcpu(&contract);
    assert_int_equal(hv_regs_get(contract.vcpu, &power, 1, NULL), 0);
    assert_int_equal(power.value, HV_POWER_RUNNING);
    other = (struct other){.vm = contract.vm, .id = 1};
    assert_int_equal(run_other(&other), 0);
    assert_int_equal(other.power.value, HV_POWER_OFF);
    contract_stop(&contract);
}

static void test_hv_wires_come_after_the_last_vcpu(void **state)
{
    struct hv_io_match match = {.at = CONTRACT_MMIO, .size = 4};
    struct contract contract;
    struct notifier notifier;
    struct other other;
    struct hv_vm *vm;

    (void)state;
    assert_int_equal(notifier_init(&notifier, NULL), 0);
    contract_setup(&contract, 2);
    vm = contract.vm;
    assert_true(vm->caps.irqfd && vm->caps.ioeventfd);
    contract_vcpu(&contract);
    assert_int_equal(hv_irqfd_attach(vm, 5, &notifier, NULL), SM_ESTATE);
    assert_int_equal(hv_ioeventfd_attach(vm, &match, &notifier, NULL),
                     SM_ESTATE);
    other = (struct other){.vm = vm, .id = 1};
    assert_int_equal(run_other(&other), 0);
    assert_int_equal(hv_irqfd_attach(vm, 5, &notifier, NULL), 0);
    assert_int_equal(hv_ioeventfd_attach(vm, &match, &notifier, NULL), 0);
    contract_stop(&contract);
    notifier_done(&notifier);
}

/* ---- exits and answers ---- */

static const uint8_t answer_bytes[] = {0x81, 0x72, 0x63, 0x54,
                                       0x45, 0x36, 0x27, 0x18};
#define WRITTEN UINT64_C(0xf1e2d3c4b5a69788)

static void test_hv_port_writes_hold_what_was_written(void **state)
{
    static const struct contract_act acts[] = {
        {ACT_PIO_WRITE, 1, CONTRACT_PORT, WRITTEN},
        {ACT_PIO_WRITE, 2, CONTRACT_PORT, WRITTEN},
        {ACT_PIO_WRITE, 4, CONTRACT_PORT, WRITTEN},
    };
    struct contract contract;
    uint8_t written[8];

    (void)state;
    store_le64(written, WRITTEN);
    contract_start(&contract, acts, ARRAY_LEN(acts));
    for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
        contract_expect_pio(&contract, acts[i].size, true);
        assert_memory_equal(contract.exit.pio.data, written, acts[i].size);
    }
    contract_stop(&contract);
}

static void test_hv_memory_writes_hold_what_was_written(void **state)
{
    static const struct contract_act acts[] = {
        {ACT_MMIO_WRITE, 1, CONTRACT_MMIO + 1, WRITTEN},
        {ACT_MMIO_WRITE, 2, CONTRACT_MMIO + 2, WRITTEN},
        {ACT_MMIO_WRITE, 4, CONTRACT_MMIO + 4, WRITTEN},
        {ACT_MMIO_WRITE, 8, CONTRACT_MMIO + 8, WRITTEN},
    };
    struct contract contract;
    uint8_t written[8];

    (void)state;
    store_le64(written, WRITTEN);
    contract_start(&contract, acts, ARRAY_LEN(acts));
    for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
        contract_expect_mmio(&contract, acts[i].at, acts[i].size, true);
        assert_memory_equal(contract.exit.mmio.data, written, acts[i].size);
    }
    contract_stop(&contract);
}

/* What the guest writes back is (expected). */
static void expect_echo(struct contract *contract, const uint8_t *expected,
                        unsigned size)
{
    contract_expect_mmio(contract, CONTRACT_ECHO, size, true);
    assert_memory_equal(contract->exit.mmio.data, expected, size);
}

static void test_hv_answers_of_port_reads_reach_the_guest(void **state)
{
    static const uint8_t sizes[] = {1, 2, 4};
    static const uint8_t ones[] = {0xff, 0xff, 0xff, 0xff};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        const struct contract_act acts[] = {
            {ACT_PIO_READ, sizes[i], CONTRACT_PORT, 0},
            {ACT_ECHO, sizes[i], 0, 0},
            {ACT_PIO_READ, sizes[i], CONTRACT_PORT, 0},
            {ACT_ECHO, sizes[i], 0, 0},
        };
        struct contract contract;

        contract_start(&contract, acts, ARRAY_LEN(acts));
        contract_expect_pio(&contract, sizes[i], false);
        assert_memory_equal(contract.exit.pio.data, ones, sizes[i]);
        memcpy(contract.exit.pio.data, answer_bytes, sizes[i]);
        expect_echo(&contract, answer_bytes, sizes[i]);
        contract_expect_pio(&contract, sizes[i], false);
        expect_echo(&contract, ones, sizes[i]);
        contract_stop(&contract);
    }
}

static void test_hv_answers_of_memory_reads_reach_the_guest(void **state)
{
    static const uint8_t sizes[] = {1, 2, 4, 8};
    static const uint8_t ones[] = {0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 0xff, 0xff};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        const struct contract_act acts[] = {
            {ACT_MMIO_READ, sizes[i], CONTRACT_MMIO, 0},
            {ACT_ECHO, sizes[i], 0, 0},
            {ACT_MMIO_READ, sizes[i], CONTRACT_MMIO, 0},
            {ACT_ECHO, sizes[i], 0, 0},
        };
        struct contract contract;

        contract_start(&contract, acts, ARRAY_LEN(acts));
        contract_expect_mmio(&contract, CONTRACT_MMIO, sizes[i], false);
        assert_memory_equal(contract.exit.mmio.data, ones, sizes[i]);
        memcpy(contract.exit.mmio.data, answer_bytes, sizes[i]);
        expect_echo(&contract, answer_bytes, sizes[i]);
        contract_expect_mmio(&contract, CONTRACT_MMIO, sizes[i], false);
        expect_echo(&contract, ones, sizes[i]);
        contract_stop(&contract);
    }
}

static void test_hv_halt_is_an_exit_and_the_vcpu_goes_on(void **state)
{
    static const struct contract_act acts[] = {
        {ACT_HALT, 0, 0, 0}, {ACT_PIO_WRITE, 1, CONTRACT_PORT, 1}};
    struct contract contract;

    (void)state;
    contract_start(&contract, acts, ARRAY_LEN(acts));
    contract_expect(&contract, HV_EXIT_HALT);
    contract_expect_pio(&contract, 1, true);
    contract_stop(&contract);
}

static void test_hv_triple_fault_is_a_shutdown(void **state)
{
    static const struct contract_act acts[] = {{ACT_SHUTDOWN, 0, 0, 0}};
    struct contract contract;

    (void)state;
    contract_start(&contract, acts, ARRAY_LEN(acts));
    contract_expect(&contract, HV_EXIT_SHUTDOWN);
    contract_stop(&contract);
}

/* The first and the third write are no exits: the wires take them. */
static void test_hv_ioeventfd_takes_the_writes_that_match(void **state)
{
    static const struct contract_act acts[] = {
        {ACT_MMIO_WRITE, 4, CONTRACT_MMIO, 5},
        {ACT_MMIO_WRITE, 4, CONTRACT_MMIO, 4},
        {ACT_MMIO_WRITE, 2, CONTRACT_MMIO + 8, 9},
        {ACT_PIO_WRITE, 1, CONTRACT_PORT, 1},
        {ACT_MMIO_WRITE, 4, CONTRACT_MMIO, 5},
    };
    const struct hv_io_match valued = {
        .at = CONTRACT_MMIO, .size = 4, .has_value = true, .value = 5};
    const struct hv_io_match any = {.at = CONTRACT_MMIO + 8};
    struct contract contract;
    struct notifier first;
    struct notifier second;

    (void)state;
    assert_int_equal(notifier_init(&first, NULL), 0);
    assert_int_equal(notifier_init(&second, NULL), 0);
    contract_start(&contract, acts, ARRAY_LEN(acts));
    assert_int_equal(hv_ioeventfd_attach(contract.vm, &valued, &first, NULL),
                     0);
    assert_int_equal(hv_ioeventfd_attach(contract.vm, &any, &second, NULL), 0);
    assert_false(notifier_clear(&first));
    contract_expect_mmio(&contract, CONTRACT_MMIO, 4, true);
    assert_int_equal(contract.exit.mmio.data[0], 4);
    assert_true(notifier_clear(&first));
    assert_false(notifier_clear(&second));
    contract_expect_pio(&contract, 1, true);
    assert_true(notifier_clear(&second));
    assert_int_equal(hv_ioeventfd_detach(contract.vm, &valued, &first, NULL),
                     0);
    contract_expect_mmio(&contract, CONTRACT_MMIO, 4, true);
    assert_int_equal(contract.exit.mmio.data[0], 5);
    assert_false(notifier_clear(&first));
    contract_stop(&contract);
    notifier_done(&first);
    notifier_done(&second);
}

/* ---- kicks ---- */

static void test_hv_kicks_before_the_run_are_one_exit(void **state)
{
    static const struct contract_act acts[] = {
        {ACT_PIO_WRITE, 1, CONTRACT_PORT, 1}};
    struct contract contract;

    (void)state;
    contract_start(&contract, acts, ARRAY_LEN(acts));
    hv_vcpu_kick(&contract.vcpu, 1);
    hv_vcpu_kick(&contract.vcpu, 1);
    hv_vcpu_kick(&contract.vcpu, 1);
    contract_expect(&contract, HV_EXIT_KICKED);
    contract_expect_pio(&contract, 1, true);
    hv_vcpu_kick(&contract.vcpu, 1);
    contract_expect(&contract, HV_EXIT_KICKED);
    contract_stop(&contract);
}

static void test_hv_kick_loses_no_answer_and_no_write(void **state)
{
    static const struct contract_act acts[] = {
        {ACT_MMIO_READ, 4, CONTRACT_MMIO, 0},
        {ACT_ECHO, 4, 0, 0},
        {ACT_PIO_WRITE, 1, CONTRACT_PORT, 0x5a},
    };
    struct contract contract;

    (void)state;
    contract_start(&contract, acts, ARRAY_LEN(acts));
    contract_expect_mmio(&contract, CONTRACT_MMIO, 4, false);
    memcpy(contract.exit.mmio.data, answer_bytes, 4);
    hv_vcpu_kick(&contract.vcpu, 1);
    contract_expect(&contract, HV_EXIT_KICKED);
    expect_echo(&contract, answer_bytes, 4);
    hv_vcpu_kick(&contract.vcpu, 1);
    contract_expect(&contract, HV_EXIT_KICKED);
    contract_expect_pio(&contract, 1, true);
    assert_int_equal(contract.exit.pio.data[0], 0x5a);
    contract_stop(&contract);
}

enum { KICKS = 50 };

struct kicker {
    struct hv_vcpu *vcpu;
    sem_t go; /* the vcpu is about to run */
};

static void *kick(void *context)
{
    struct kicker *kicker = context;

    for (unsigned i = 0; i < KICKS; i++) {
        while (sem_wait(&kicker->go) != 0)
            ;
        hv_vcpu_kick(&kicker->vcpu, 1);
    }
    return NULL;
}

static void test_hv_kick_from_another_thread_ends_each_run(void **state)
{
    struct contract contract;
    struct kicker kicker;
    pthread_t thread;

    (void)state;
    contract_start(&contract, NULL, 0);
    kicker.vcpu = contract.vcpu;
    assert_int_equal(sem_init(&kicker.go, 0, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, kick, &kicker), 0);
    for (unsigned i = 0; i < KICKS; i++) {
        sem_post(&kicker.go);
        contract_expect(&contract, HV_EXIT_KICKED);
    }
    pthread_join(thread, NULL);
    sem_destroy(&kicker.go);
    contract_stop(&contract);
}

static void test_hv_vcpu_with_a_kick_on_its_way_can_be_freed(void **state)
{
    struct contract contract;

    (void)state;
    contract_start(&contract, NULL, 0);
    hv_vcpu_kick(&contract.vcpu, 1);
    contract_stop(&contract);
    /* The next one on this thread does not get it. */
    contract_start(&contract, &(struct contract_act){ACT_HALT, 0, 0, 0}, 1);
    contract_expect(&contract, HV_EXIT_HALT);
    contract_stop(&contract);
}

const struct CMUnitTest vcpu_tests[] = {
    cmocka_unit_test(test_hv_vcpu_ids_are_in_range_and_made_once),
    cmocka_unit_test(test_hv_only_the_first_vcpu_runs_at_reset),
    cmocka_unit_test(test_hv_wires_come_after_the_last_vcpu),
    cmocka_unit_test(test_hv_port_writes_hold_what_was_written),
    cmocka_unit_test(test_hv_memory_writes_hold_what_was_written),
    cmocka_unit_test(test_hv_answers_of_port_reads_reach_the_guest),
    cmocka_unit_test(test_hv_answers_of_memory_reads_reach_the_guest),
    cmocka_unit_test(test_hv_halt_is_an_exit_and_the_vcpu_goes_on),
    cmocka_unit_test(test_hv_triple_fault_is_a_shutdown),
    cmocka_unit_test(test_hv_ioeventfd_takes_the_writes_that_match),
    cmocka_unit_test(test_hv_kicks_before_the_run_are_one_exit),
    cmocka_unit_test(test_hv_kick_loses_no_answer_and_no_write),
    cmocka_unit_test(test_hv_kick_from_another_thread_ends_each_run),
    cmocka_unit_test(test_hv_vcpu_with_a_kick_on_its_way_can_be_freed),
};
const size_t vcpu_test_count = ARRAY_LEN(vcpu_tests);
