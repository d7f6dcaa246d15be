/* contract_machine.c: machines, memory, wires, and the order of calls. */
#include "contract.h"

#include "base/bytes.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096 };
#define RWX (HV_READ | HV_WRITE | HV_EXEC)

static void test_hv_probe_tells_sane_limits(void **state)
{
    struct contract contract = {0};
    struct hv_caps caps;
    struct sm_error err;

    (void)state;
    contract_host.begin(&contract);
    contract_ok(hv_probe(contract_host.hv, -1, &caps, &err), &err);
    assert_true(caps.map_granule >= PAGE);
    assert_int_equal(caps.map_granule & (caps.map_granule - 1), 0);
    assert_true(caps.vcpus_max >= 1);
    assert_true(caps.gpa_bits == 0 ||
                (caps.gpa_bits >= 36 && caps.gpa_bits <= 52));
    contract_host.end(&contract);
}

static void test_hv_vm_new_refuses_what_there_is_not(void **state)
{
    static const struct {
        uint32_t vcpus;
        uint32_t gpa_bits;
        int code;
    } table[] = {
        {0, 0, SM_EINVAL}, {UINT32_MAX, 0, SM_ENOTSUP}, {1, 64, SM_ENOTSUP}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct hv_vm_config config = {.device_fd = -1,
                                      .vcpus = table[i].vcpus,
                                      .gpa_bits = table[i].gpa_bits};
        struct contract contract = {0};
        struct sm_error err;

        contract_host.begin(&contract);
        assert_int_equal(
            hv_vm_new(contract_host.hv, &config, &contract.vm, &err),
            table[i].code);
        assert_int_equal(err.code, table[i].code);
        assert_null(contract.vm);
        contract_host.end(&contract);
    }
}

static void test_hv_free_takes_null(void **state)
{
    (void)state;
    hv_vm_free(NULL);
    hv_vcpu_free(NULL);
    hv_vcpu_kick(NULL, 0);
}

/* ---- memory ---- */

static uint8_t *take_pages(unsigned count)
{
    void *pages = mmap(NULL, (size_t)count * PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(pages, MAP_FAILED);
    return pages;
}

static void test_hv_map_takes_whole_pages_below_the_limit(void **state)
{
    struct contract contract;
    uint8_t *host = take_pages(4);
    uint64_t end;
    struct hv_vm *vm;

    (void)state;
    contract_new(&contract, 1);
    vm = contract.vm;
    assert_int_equal(vm->caps.map_granule, PAGE);
    end = UINT64_C(1) << vm->config.gpa_bits;
    assert_int_equal(hv_vm_map(vm, GPA(1), host, PAGE, RWX, NULL), SM_EINVAL);
    assert_int_equal(hv_vm_map(vm, GPA(0), host + 1, PAGE, RWX, NULL),
                     SM_EINVAL);
    assert_int_equal(hv_vm_map(vm, GPA(0), host, PAGE - 1, RWX, NULL),
                     SM_EINVAL);
    assert_int_equal(hv_vm_map(vm, GPA(0), host, 0, RWX, NULL), SM_EINVAL);
    assert_int_equal(hv_vm_map(vm, GPA(0), host, PAGE, HV_WRITE, NULL),
                     SM_EINVAL);
    assert_int_equal(hv_vm_map(vm, GPA(0), host, PAGE, RWX | 8, NULL),
                     SM_EINVAL);
    assert_int_equal(hv_vm_map(vm, GPA(end), host, PAGE, RWX, NULL), SM_EINVAL);
    assert_int_equal(
        hv_vm_map(vm, GPA(UINT64_MAX - PAGE + 1), host, 2 * PAGE, RWX, NULL),
        SM_EINVAL);
    assert_int_equal(hv_vm_map(vm, GPA(end - PAGE), host, PAGE, RWX, NULL), 0);
    contract_stop(&contract);
    munmap(host, 4 * PAGE);
}

static void test_hv_map_refuses_overlap_until_unmapped(void **state)
{
    struct contract contract;
    uint8_t *host = take_pages(4);
    struct hv_vm *vm;

    (void)state;
    contract_new(&contract, 1);
    vm = contract.vm;
    assert_int_equal(hv_vm_map(vm, GPA(PAGE), host, 2 * PAGE, RWX, NULL), 0);
    assert_int_equal(hv_vm_map(vm, GPA(0), host, 2 * PAGE, RWX, NULL),
                     SM_EEXIST);
    assert_int_equal(hv_vm_map(vm, GPA(2 * PAGE), host, PAGE, RWX, NULL),
                     SM_EEXIST);
    assert_int_equal(hv_vm_map(vm, GPA(0), host, PAGE, RWX, NULL), 0);
    assert_int_equal(hv_vm_map(vm, GPA(3 * PAGE), host, PAGE, HV_READ, NULL),
                     0);
    assert_int_equal(hv_vm_unmap(vm, GPA(2 * PAGE), NULL), SM_ENOENT);
    assert_int_equal(hv_vm_unmap(vm, GPA(PAGE), NULL), 0);
    assert_int_equal(hv_vm_unmap(vm, GPA(PAGE), NULL), SM_ENOENT);
    assert_int_equal(hv_vm_map(vm, GPA(2 * PAGE), host, PAGE, RWX, NULL), 0);
    contract_stop(&contract);
    munmap(host, 4 * PAGE);
}

static void test_hv_map_has_room_for_a_full_table(void **state)
{
    struct contract contract;
    uint8_t *host = take_pages(1);

    (void)state;
    contract_new(&contract, 1);
    for (uint64_t i = 0; i < HV_MAPS_MAX; i++)
        assert_int_equal(
            hv_vm_map(contract.vm, GPA(2 * i * PAGE), host, PAGE, RWX, NULL),
            0);
    assert_int_equal(hv_vm_map(contract.vm, GPA(2 * HV_MAPS_MAX * PAGE), host,
                               PAGE, RWX, NULL),
                     SM_ELIMIT);
    contract_stop(&contract);
    munmap(host, PAGE);
}

static void test_hv_windows_work_or_say_that_there_are_none(void **state)
{
    const struct gpa at = GPA(GIB);
    struct contract contract;
    struct hv_vm *vm;
    int fd = memfd_create("window", MFD_CLOEXEC);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
    contract_new(&contract, 1);
    vm = contract.vm;
    if (!vm->caps.windows) {
        assert_int_equal(hv_window_new(vm, at, 2 * MIB, NULL), SM_ENOTSUP);
        assert_int_equal(hv_window_map(vm, at, PAGE, fd, 0, HV_READ, NULL),
                         SM_ENOTSUP);
        assert_int_equal(hv_window_unmap(vm, at, PAGE, NULL), SM_ENOTSUP);
    } else {
        assert_int_equal(hv_window_map(vm, at, PAGE, fd, 0, HV_READ, NULL),
                         SM_ENOENT);
        assert_int_equal(hv_window_new(vm, at, 2 * MIB, NULL), 0);
        assert_int_equal(hv_window_new(vm, at, 2 * MIB, NULL), SM_EEXIST);
        assert_int_equal(hv_vm_unmap(vm, at, NULL), SM_ENOENT);
        assert_int_equal(hv_window_map(vm, at, PAGE, fd, 1, HV_READ, NULL),
                         SM_EINVAL);
        assert_int_equal(hv_window_map(vm, gpa_add(at, 2 * MIB - PAGE),
                                       2 * PAGE, fd, 0, HV_READ, NULL),
                         SM_ENOENT);
        assert_int_equal(hv_window_map(vm, gpa_add(at, PAGE), PAGE, fd, PAGE,
                                       HV_READ | HV_WRITE, NULL),
                         0);
        assert_int_equal(hv_window_unmap(vm, gpa_add(at, PAGE), PAGE, NULL), 0);
    }
    contract_stop(&contract);
    close(fd);
}

static void test_hv_dirty_log_works_or_says_that_there_is_none(void **state)
{
    uint64_t bitmap[CONTRACT_RAM_BYTES / PAGE / 64];
    struct contract contract;
    struct hv_vm *vm;

    (void)state;
    contract_map(&contract, 1);
    vm = contract.vm;
    assert_int_equal(hv_dirty_stop(vm, NULL), SM_ESTATE);
    assert_int_equal(
        hv_dirty_fetch(vm, GPA(0), bitmap, ARRAY_LEN(bitmap), NULL), SM_ESTATE);
    if (!vm->caps.dirty_log) {
        assert_int_equal(hv_dirty_start(vm, NULL), SM_ENOTSUP);
        contract_stop(&contract);
        return;
    }
    assert_int_equal(hv_dirty_start(vm, NULL), 0);
    assert_int_equal(hv_dirty_start(vm, NULL), SM_ESTATE);
    assert_int_equal(
        hv_dirty_fetch(vm, GPA(PAGE), bitmap, ARRAY_LEN(bitmap), NULL),
        SM_ENOENT);
    assert_int_equal(
        hv_dirty_fetch(vm, GPA(0), bitmap, ARRAY_LEN(bitmap) - 1, NULL),
        SM_EINVAL);
    assert_int_equal(
        hv_dirty_fetch(vm, GPA(0), bitmap, ARRAY_LEN(bitmap), NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(bitmap); i++)
        assert_int_equal(bitmap[i], 0);
    assert_int_equal(hv_dirty_stop(vm, NULL), 0);
    assert_int_equal(hv_dirty_stop(vm, NULL), SM_ESTATE);
    contract_stop(&contract);
}

/* ---- order ---- */

static void test_hv_calls_that_come_too_early_are_refused(void **state)
{
    struct hv_io_match match = {.at = CONTRACT_MMIO};
    struct wire_reader nothing = {0};
    struct contract contract;
    struct notifier notifier;
    struct hv_vm *vm;
    struct buf to;

    (void)state;
    buf_init(&to, PAGE);
    assert_int_equal(notifier_init(&notifier, NULL), 0);
    contract_map(&contract, 2);
    vm = contract.vm;
    if (vm->caps.save) {
        assert_int_equal(hv_intc_save(vm, &to, NULL), SM_ESTATE);
        assert_int_equal(hv_intc_load(vm, &nothing, NULL), SM_ESTATE);
    }
    assert_int_equal(hv_irq_set(vm, 0, true), SM_EINVAL);
    contract_vcpu(&contract);
    if (vm->caps.save)
        assert_int_equal(hv_vcpu_save(contract.vcpu, &to, NULL), SM_ESTATE);
    assert_int_equal(hv_ioeventfd_attach(vm, &match, &notifier, NULL),
                     vm->caps.ioeventfd ? SM_ESTATE : SM_ENOTSUP);
    contract_stop(&contract);
    notifier_done(&notifier);
    buf_done(&to);
}

static void test_hv_memory_comes_before_the_interrupt_controller(void **state)
{
    struct hv_intc_config intc = {.gsis = HV_X86_GSIS};
    struct hv_intc_config none = {.gsis = 0};
    struct contract contract;
    uint8_t *host = take_pages(1);
    struct hv_vm *vm;

    (void)state;
    contract_map(&contract, 1);
    vm = contract.vm;
    assert_int_equal(hv_intc_new(vm, &none, NULL), SM_EINVAL);
    assert_int_equal(hv_intc_new(vm, &intc, NULL), 0);
    assert_int_equal(hv_intc_new(vm, &intc, NULL), SM_ESTATE);
    assert_int_equal(hv_vm_map(vm, GPA(GIB), host, PAGE, RWX, NULL), SM_ESTATE);
    assert_int_equal(hv_vm_unmap(vm, GPA(0), NULL), SM_ESTATE);
    contract_stop(&contract);
    munmap(host, PAGE);
}

static void test_hv_machine_is_complete_before_its_first_vcpu(void **state)
{
    struct hv_intc_config intc = {.gsis = HV_X86_GSIS};
    struct hv_cpuid_table table;
    struct contract contract;
    uint8_t *host = take_pages(1);
    struct hv_vm *vm;

    (void)state;
    contract_map(&contract, 1);
    vm = contract.vm;
    assert_int_equal(hv_cpuid_get(vm, &table, NULL), 0);
    assert_in_range(table.count, 1, HV_CPUID_MAX);
    contract_vcpu(&contract);
    assert_int_equal(hv_vm_map(vm, GPA(GIB), host, PAGE, RWX, NULL), SM_ESTATE);
    assert_int_equal(hv_intc_new(vm, &intc, NULL), SM_ESTATE);
    assert_int_equal(hv_cpuid_set(vm, &table, NULL), SM_ESTATE);
    hv_vcpu_free(contract.vcpu);
    contract.vcpu = NULL;
    assert_int_equal(hv_vm_map(vm, GPA(GIB), host, PAGE, RWX, NULL), SM_ESTATE);
    contract_stop(&contract);
    munmap(host, PAGE);
}

static void test_hv_cpuid_takes_what_it_gave_and_no_empty_table(void **state)
{
    struct hv_cpuid_table table;
    struct contract contract;

    (void)state;
    contract_new(&contract, 1);
    assert_int_equal(hv_cpuid_get(contract.vm, &table, NULL), 0);
    assert_int_equal(hv_cpuid_set(contract.vm, &table, NULL), 0);
    table.count = 0;
    assert_int_equal(hv_cpuid_set(contract.vm, &table, NULL), SM_EINVAL);
    table.count = HV_CPUID_MAX + 1;
    assert_int_equal(hv_cpuid_set(contract.vm, &table, NULL), SM_EINVAL);
    contract_stop(&contract);
}

/* ---- wires ---- */

static void test_hv_gsis_out_of_range_are_refused(void **state)
{
    struct hv_msi msi = {.address = 0xfee00000, .data = 0x20};
    struct contract contract;
    struct notifier notifier;
    struct hv_vm *vm;

    (void)state;
    assert_int_equal(notifier_init(&notifier, NULL), 0);
    contract_setup(&contract, 1);
    contract_vcpu(&contract);
    vm = contract.vm;
    assert_int_equal(hv_irq_set(vm, HV_X86_GSIS, true), SM_EINVAL);
    assert_int_equal(hv_irq_set(vm, UINT32_MAX, false), SM_EINVAL);
    assert_int_equal(hv_irq_set(vm, HV_X86_GSIS - 1, true), 0);
    assert_int_equal(hv_irq_set(vm, HV_X86_GSIS - 1, false), 0);
    assert_int_equal(hv_msi_send(vm, &msi), 0);
    if (vm->caps.user_ioapic) {
        assert_int_equal(hv_route_set(vm, HV_X86_GSIS, &msi, NULL), SM_EINVAL);
        assert_int_equal(hv_route_set(vm, HV_X86_GSIS - 1, &msi, NULL), 0);
        assert_int_equal(hv_route_set(vm, HV_X86_GSIS - 1, NULL, NULL), 0);
    }
    if (vm->caps.irqfd) {
        assert_int_equal(hv_irqfd_attach(vm, HV_X86_GSIS, &notifier, NULL),
                         SM_EINVAL);
        assert_int_equal(hv_irqfd_detach(vm, HV_X86_GSIS, &notifier, NULL),
                         SM_EINVAL);
        assert_int_equal(hv_irqfd_attach(vm, 5, &notifier, NULL), 0);
        assert_int_equal(hv_irqfd_detach(vm, 5, &notifier, NULL), 0);
        assert_int_equal(hv_irqfd_attach(vm, 5, &notifier, NULL), 0);
    }
    contract_stop(&contract);
    notifier_done(&notifier);
}

static void test_hv_ioeventfd_refuses_places_that_cannot_be(void **state)
{
    static const struct hv_io_match bad[] = {
        {.at = CONTRACT_MMIO, .size = 3},
        {.at = CONTRACT_MMIO, .size = 16},
        {.at = CONTRACT_MMIO, .has_value = true},
        {.at = 0x10000, .pio = true},
        {.at = 0x10, .size = 8, .pio = true},
    };
    struct hv_io_match match = {.at = CONTRACT_MMIO, .size = 4};
    struct contract contract;
    struct notifier notifier;

    (void)state;
    assert_int_equal(notifier_init(&notifier, NULL), 0);
    contract_setup(&contract, 1);
    contract_vcpu(&contract);
    for (size_t i = 0; contract.vm->caps.ioeventfd && i < ARRAY_LEN(bad); i++)
        assert_int_equal(
            hv_ioeventfd_attach(contract.vm, &bad[i], &notifier, NULL),
            SM_EINVAL);
    if (contract.vm->caps.ioeventfd) {
        assert_true(hv_ioeventfd_detach(contract.vm, &match, &notifier, NULL) <
                    0);
        assert_int_equal(
            hv_ioeventfd_attach(contract.vm, &match, &notifier, NULL), 0);
        assert_true(hv_ioeventfd_attach(contract.vm, &match, &notifier, NULL) <
                    0);
        assert_int_equal(
            hv_ioeventfd_detach(contract.vm, &match, &notifier, NULL), 0);
    }
    contract_stop(&contract);
    notifier_done(&notifier);
}

const struct CMUnitTest machine_tests[] = {
    cmocka_unit_test(test_hv_probe_tells_sane_limits),
    cmocka_unit_test(test_hv_vm_new_refuses_what_there_is_not),
    cmocka_unit_test(test_hv_free_takes_null),
    cmocka_unit_test(test_hv_map_takes_whole_pages_below_the_limit),
    cmocka_unit_test(test_hv_map_refuses_overlap_until_unmapped),
    cmocka_unit_test(test_hv_map_has_room_for_a_full_table),
    cmocka_unit_test(test_hv_windows_work_or_say_that_there_are_none),
    cmocka_unit_test(test_hv_dirty_log_works_or_says_that_there_is_none),
    cmocka_unit_test(test_hv_calls_that_come_too_early_are_refused),
    cmocka_unit_test(test_hv_memory_comes_before_the_interrupt_controller),
    cmocka_unit_test(test_hv_machine_is_complete_before_its_first_vcpu),
    cmocka_unit_test(test_hv_cpuid_takes_what_it_gave_and_no_empty_table),
    cmocka_unit_test(test_hv_gsis_out_of_range_are_refused),
    cmocka_unit_test(test_hv_ioeventfd_refuses_places_that_cannot_be),
};
const size_t machine_test_count = ARRAY_LEN(machine_tests);
