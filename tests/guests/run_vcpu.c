/* run_vcpu.c: tiny guests about running, ending and kicking vcpus. */
#include "run.h"

#include "base/bytes.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

TINY_GUEST(guest_halt);
TINY_GUEST(guest_triple_fault);
TINY_GUEST(guest_spin);
TINY_GUEST(guest_smp);

static void test_halt_is_an_exit_without_an_interrupt_controller(void **state)
{
    struct tiny tiny;

    (void)state;
    tiny_start(&tiny, TINY_CODE(guest_halt));
    tiny_expect(&tiny, HV_EXIT_HALT);
    tiny_expect_done(&tiny);
    tiny_stop(&tiny);
}

static void test_triple_fault_is_a_shutdown(void **state)
{
    struct tiny tiny;

    (void)state;
    tiny_start(&tiny, TINY_CODE(guest_triple_fault));
    tiny_expect(&tiny, HV_EXIT_SHUTDOWN);
    tiny_stop(&tiny);
}

static void test_kick_before_the_run_ends_it_once(void **state)
{
    struct tiny tiny;

    (void)state;
    tiny_start(&tiny, TINY_CODE(guest_halt));
    hv_vcpu_kick(&tiny.vcpu, 1);
    hv_vcpu_kick(&tiny.vcpu, 1);
    tiny_expect(&tiny, HV_EXIT_KICKED);
    tiny_expect(&tiny, HV_EXIT_HALT);
    tiny_stop(&tiny);
}

/* ---- kicks from another thread --------------------------------------- */

enum { KICKS = 200, KICK_LIMIT_MS = 100 };

struct kicker {
    struct hv_vcpu *vcpu;
    sem_t go;         /* the vcpu is about to run */
    uint64_t sent_ns; /* of the last kick; read after its exit */
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void *kick_often(void *context)
{
    struct kicker *kicker = context;

    for (unsigned i = 0; i < KICKS; i++) {
        while (sem_wait(&kicker->go) != 0)
            ;
        __atomic_store_n(&kicker->sent_ns, now_ns(), __ATOMIC_RELEASE);
        hv_vcpu_kick(&kicker->vcpu, 1);
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void test_kick_ends_a_run_soon_and_the_guest_goes_on(void **state)
{
    struct hv_reg rbx = {.group = HV_X86_GENERAL, .number = HV_X86_RBX};
    uint64_t latency[KICKS];
    uint64_t before = 0;
    struct kicker kicker;
    struct sm_error err;
    struct tiny tiny;
    pthread_t thread;

    (void)state;
    tiny_start(&tiny, TINY_CODE(guest_spin));
    kicker.vcpu = tiny.vcpu;
    sem_init(&kicker.go, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, kick_often, &kicker), 0);
    for (unsigned i = 0; i < KICKS; i++) {
        sem_post(&kicker.go);
        tiny_expect(&tiny, HV_EXIT_KICKED);
        latency[i] =
            now_ns() - __atomic_load_n(&kicker.sent_ns, __ATOMIC_ACQUIRE);
    }
    pthread_join(thread, NULL);
    sem_destroy(&kicker.go);
    assert_int_equal(hv_regs_get(tiny.vcpu, &rbx, 1, &err), 0);
    assert_true(rbx.value > before);
    qsort(latency, KICKS, sizeof latency[0], compare);
    printf("kick latency: median %llu us, longest %llu us\n",
           (unsigned long long)latency[KICKS / 2] / 1000,
           (unsigned long long)latency[KICKS - 1] / 1000);
    assert_true(latency[KICKS / 2] < KICK_LIMIT_MS * NS_PER_MS);
    tiny_stop(&tiny);
}

/* A kick during an access: the answer arrives first. */
static void test_kick_does_not_lose_an_answer(void **state)
{
    TINY_GUEST(guest_mmio_4byte_read);
    struct tiny tiny;

    (void)state;
    tiny_start(&tiny, TINY_CODE(guest_mmio_4byte_read));
    tiny_expect_mmio(&tiny, GUEST_MMIO, 4, false);
    store_le32(tiny.exit.mmio.data, 0x1234);
    hv_vcpu_kick(&tiny.vcpu, 1);
    tiny_expect(&tiny, HV_EXIT_KICKED);
    tiny_expect_report(&tiny, 0x1234);
    tiny_expect_done(&tiny);
    tiny_stop(&tiny);
}

/* ---- several vcpus ----------------------------------------------------- */

enum { CPUS = 4 };

struct other {
    struct tiny *tiny;
    uint32_t id;
    struct hv_vcpu *vcpu;
    sem_t made;
    pthread_t thread;
    int rc;
    struct hv_exit exit; /* what it reported */
    uint32_t reported;
    struct sm_error err;
};

/* Runs in a thread, where cmocka's assertions must not be used. */
static void *run_other(void *context)
{
    struct other *other = context;

    other->rc =
        hv_vcpu_new(other->tiny->vm, other->id, &other->vcpu, &other->err);
    sem_post(&other->made);
    if (other->rc)
        return NULL;
    other->rc = hv_vcpu_run(other->vcpu, &other->exit, &other->err);
    if (!other->rc && other->exit.kind == HV_EXIT_PIO)
        other->reported = load_le32(other->exit.pio.data);
    hv_vcpu_free(other->vcpu);
    return NULL;
}

static void test_others_start_by_init_and_sipi(void **state)
{
    struct other others[CPUS] = {{0}};
    struct sm_error err;
    struct tiny tiny;

    (void)state;
    tiny_new(&tiny, CPUS);
    tiny_setup(&tiny, CPUS);
    tiny_load(&tiny, TINY_CODE(guest_smp));
    assert_int_equal(hv_vcpu_new(tiny.vm, 0, &tiny.vcpu, &err), 0);
    tiny_enter(tiny.vcpu);
    for (uint32_t i = 1; i < CPUS; i++) {
        others[i].tiny = &tiny;
        others[i].id = i;
        sem_init(&others[i].made, 0, 0);
        assert_int_equal(
            pthread_create(&others[i].thread, NULL, run_other, &others[i]), 0);
        while (sem_wait(&others[i].made) != 0)
            ;
    }
    tiny_expect_done(&tiny);
    for (uint32_t i = 1; i < CPUS; i++) {
        pthread_join(others[i].thread, NULL);
        sem_destroy(&others[i].made);
        assert_int_equal(others[i].rc, 0);
        assert_int_equal(others[i].exit.kind, HV_EXIT_PIO);
        assert_int_equal(others[i].reported, i);
    }
    tiny_stop(&tiny);
}

/* A vcpu that nobody starts waits in the run until it is kicked. */
static void test_kick_ends_the_wait_of_a_vcpu_that_was_not_started(void **state)
{
    struct other other = {.id = 1};
    struct sm_error err;
    struct tiny tiny;

    (void)state;
    tiny_new(&tiny, 2);
    tiny_setup(&tiny, 2);
    assert_int_equal(hv_vcpu_new(tiny.vm, 0, &tiny.vcpu, &err), 0);
    other.tiny = &tiny;
    sem_init(&other.made, 0, 0);
    assert_int_equal(pthread_create(&other.thread, NULL, run_other, &other), 0);
    while (sem_wait(&other.made) != 0)
        ;
    assert_int_equal(other.rc, 0);
    hv_vcpu_kick(&other.vcpu, 1);
    pthread_join(other.thread, NULL);
    sem_destroy(&other.made);
    assert_int_equal(other.exit.kind, HV_EXIT_KICKED);
    tiny_stop(&tiny);
}

const struct CMUnitTest vcpu_tests[] = {
    cmocka_unit_test(test_halt_is_an_exit_without_an_interrupt_controller),
    cmocka_unit_test(test_triple_fault_is_a_shutdown),
    cmocka_unit_test(test_kick_before_the_run_ends_it_once),
    cmocka_unit_test(test_kick_ends_a_run_soon_and_the_guest_goes_on),
    cmocka_unit_test(test_kick_does_not_lose_an_answer),
    cmocka_unit_test(test_others_start_by_init_and_sipi),
    cmocka_unit_test(test_kick_ends_the_wait_of_a_vcpu_that_was_not_started),
};
const size_t vcpu_test_count = ARRAY_LEN(vcpu_tests);
