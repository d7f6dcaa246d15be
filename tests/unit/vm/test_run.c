/* test_run.c: the vcpu threads: exits reach the devices, answers reach the
 * guest, and a machine ends once. */
#include "arch/arch.h"
#include "base/bytes.h"
#include "devices/power.h"
#include "devices/pvpanic.h"
#include "played.h"
#include "unit.h"

#include <string.h>

enum { SERIAL = 0x3f8, LINE_STATUS = SERIAL + 5, NOBODYS_PORT = 0x700 };

static void test_run_only_the_first_vcpu_is_booted(void **state)
{
    struct hv_reg rip = {.group = HV_X86_GENERAL, .number = HV_X86_RIP};
    struct hv_reg power = {.group = HV_POWER};
    struct played played;

    (void)state;
    played_init(&played, 2, NULL);
    played_start(&played);
    assert_true(fake_script_wait_idle(played.script, 0));
    assert_true(fake_script_wait_idle(played.script, 1));
    assert_true(fake_reg(played.script, 0, &rip));
    assert_int_equal(rip.value, PLAYED_ENTRY);
    assert_true(fake_reg(played.script, 1, &rip));
    assert_int_not_equal(rip.value, PLAYED_ENTRY);
    assert_true(fake_reg(played.script, 1, &power));
    assert_int_equal(power.value, HV_POWER_OFF);
    played_done(&played);
}

static void test_run_port_writes_reach_the_serial_port(void **state)
{
    struct fake_step string = FAKE_PIO_WRITE(SERIAL, 1, 0);
    struct played played;

    (void)state;
    played_init(&played, 1, NULL);
    played_add(&played, 0, FAKE_PIO_WRITE(SERIAL, 1, 'h'));
    played_add(&played, 0, FAKE_PIO_WRITE(SERIAL, 1, 'i'));
    /* REP OUTSB: several bytes in one exit. */
    string.exit.pio.count = 4;
    memcpy(string.data, " you", 4);
    played_add(&played, 0, string);
    played_start(&played);
    played_wait(&played, 0, 3);
    assert_string_equal(played.console, "hi you");
    played_done(&played);
}

static void test_run_reads_are_answered_by_devices(void **state)
{
    struct fake_step string = FAKE_PIO_READ(LINE_STATUS, 1);
    struct played played;

    (void)state;
    played_init(&played, 1, NULL);
    played_add(&played, 0, FAKE_MMIO_READ(arch_virtio_place(0).at, 4));
    played_add(&played, 0,
               FAKE_MMIO_READ(arch_virtio_place(VM_SLOT_VSOCK).at + 8, 4));
    played_add(&played, 0, FAKE_PIO_READ(LINE_STATUS, 1));
    string.exit.pio.count = 3;
    played_add(&played, 0, string);
    played_start(&played);
    played_wait(&played, 0, 4);
    assert_int_equal(played_read(&played, 0), 0x74726976); /* "virt" */
    assert_int_equal(played_read(&played, 1), 19);         /* vsock */
    assert_int_equal(played_read(&played, 2), 0x60); /* transmitter empty */
    assert_int_equal(played_read(&played, 3), 0x606060);
    played_done(&played);
}

static void test_run_reads_of_nothing_are_all_ones(void **state)
{
    struct played played;

    (void)state;
    played_init(&played, 1, NULL);
    played_add(&played, 0, FAKE_PIO_READ(NOBODYS_PORT, 2));
    played_add(&played, 0, FAKE_MMIO_READ(0xe0000000, 8));
    played_add(&played, 0, FAKE_PIO_WRITE(NOBODYS_PORT, 4, 1));
    played_add(&played, 0, FAKE_MMIO_WRITE(0xe0000000, 8, 1));
    played_start(&played);
    played_wait(&played, 0, 4);
    assert_int_equal(played_read(&played, 0), 0xffff);
    assert_true(played_read(&played, 1) == UINT64_MAX);
    assert_int_equal(played.ends, 0);
    played_done(&played);
}

static void test_run_unknown_msrs_are_refused(void **state)
{
    struct fake_step read = FAKE_EXIT(HV_EXIT_MSR);
    struct fake_step write = FAKE_EXIT(HV_EXIT_MSR);
    struct played played;

    (void)state;
    read.exit.msr.index = write.exit.msr.index = 0x1234;
    write.exit.msr.write = true;
    played_init(&played, 1, NULL);
    played_add(&played, 0, read);
    played_add(&played, 0, write);
    played_start(&played);
    played_wait(&played, 0, 2);
    assert_true(fake_script_step(played.script, 0, 0).refused);
    assert_true(fake_script_step(played.script, 0, 1).refused);
    played_done(&played);
}

static void test_run_goes_on_after_exits_that_need_nothing(void **state)
{
    struct played played;

    (void)state;
    played_init(&played, 1, NULL);
    played_add(&played, 0, FAKE_EXIT(HV_EXIT_KICKED));
    played_add(&played, 0, FAKE_EXIT(HV_EXIT_HALT));
    played_add(&played, 0, FAKE_EXIT(HV_EXIT_TIMER));
    played_add(&played, 0, FAKE_EXIT(HV_EXIT_EOI));
    played_start(&played);
    played_wait(&played, 0, 4);
    assert_int_equal(played.ends, 0);
    played_done(&played);
}

static void test_run_serves_every_vcpu(void **state)
{
    enum { VCPUS = 4, EACH = 8 };
    unsigned seen[VCPUS] = {0};
    struct played played;

    (void)state;
    played_init(&played, VCPUS, NULL);
    for (uint32_t id = 0; id < VCPUS; id++)
        for (unsigned i = 0; i < EACH; i++)
            played_add(&played, id, FAKE_PIO_WRITE(SERIAL, 1, '0' + id));
    played_start(&played);
    for (uint32_t id = 0; id < VCPUS; id++)
        played_wait(&played, id, EACH);
    assert_int_equal(played.console_bytes, VCPUS * EACH);
    for (size_t i = 0; i < played.console_bytes; i++)
        seen[(played.console[i] - '0') % VCPUS]++;
    for (uint32_t id = 0; id < VCPUS; id++)
        assert_int_equal(seen[id], EACH);
    played_done(&played);
}

/* ---- interrupts' ends ---- */

enum { PIN_VECTOR = 0x44, PIN_LEVEL = 1 << 15 };

static void add_ioapic(struct played *played, uint32_t reg, uint32_t value)
{
    uint64_t at = arch_place(ARCH_IOAPIC).at;

    played_add(played, 0, FAKE_MMIO_WRITE(at, 4, reg));
    played_add(played, 0, FAKE_MMIO_WRITE(at + 0x10, 4, value));
}

static void test_run_end_of_interrupt_reaches_the_ioapic(void **state)
{
    uint32_t entry = 0x10 + 2 * arch_place(ARCH_SERIAL).gsi;
    struct fake_step end = FAKE_EXIT(HV_EXIT_EOI);
    struct played played;
    struct hv_msi msi[2];

    (void)state;
    played_init(&played, 1, NULL);
    add_ioapic(&played, entry, PIN_VECTOR | PIN_LEVEL);
    /* "Transmitter empty" holds the line up: OUT2, then the interrupt on. */
    played_add(&played, 0, FAKE_PIO_WRITE(SERIAL + 4, 1, 8));
    played_add(&played, 0, FAKE_PIO_WRITE(SERIAL + 1, 1, 2));
    played_start(&played);
    played_wait(&played, 0, 4);
    assert_int_equal(fake_msis(played.script, msi, 2), 1);
    assert_int_equal(msi[0].data & 0xff, PIN_VECTOR);
    end.exit.eoi.vector = PIN_VECTOR + 1;
    played_add(&played, 0, end);
    played_wait(&played, 0, 5);
    assert_int_equal(fake_msis(played.script, NULL, 0), 1);
    end.exit.eoi.vector = PIN_VECTOR;
    played_add(&played, 0, end);
    played_wait(&played, 0, 6);
    assert_int_equal(fake_msis(played.script, msi, 2), 2);
    assert_int_equal(msi[1].data, msi[0].data);
    assert_int_equal(msi[1].address, msi[0].address);
    played_done(&played);
}

/* ---- ends ---- */

static struct fake_step system_step(enum hv_system_event event)
{
    struct fake_step step = FAKE_EXIT(HV_EXIT_SYSTEM);

    step.exit.system = event;
    return step;
}

static void test_run_machine_ends_once_for_its_reason(void **state)
{
    const struct {
        struct fake_step step;
        enum vm_end_kind kind;
    } table[] = {
        {FAKE_PIO_WRITE(POWER_PORT + POWER_SLEEP_CONTROL, 1,
                        POWER_S5_TYPE << 2 | POWER_SLEEP_ENABLE),
         VM_END_POWER_OFF},
        {FAKE_PIO_WRITE(POWER_PORT + POWER_RESET, 1, POWER_RESET_VALUE),
         VM_END_REBOOT},
        {FAKE_PIO_WRITE(PVPANIC_PORT, 1, PVPANIC_PANICKED), VM_END_PANIC},
        {FAKE_PIO_WRITE(PVPANIC_PORT, 1, PVPANIC_CRASHLOAD), VM_END_CRASH},
        {FAKE_EXIT(HV_EXIT_SHUTDOWN), VM_END_CRASH},
        {system_step(HV_SYSTEM_POWER_OFF), VM_END_POWER_OFF},
        {system_step(HV_SYSTEM_RESET), VM_END_REBOOT},
        {system_step(HV_SYSTEM_CRASH), VM_END_CRASH},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct played played;

        played_init(&played, 2, NULL);
        played_add(&played, 0, table[i].step);
        played_start(&played);
        played_expect_end(&played, table[i].kind);
        /* Whatever another vcpu does then is no second end. */
        played_add(&played, 1, FAKE_PIO_WRITE(PVPANIC_PORT, 1, 3));
        played_wait(&played, 1, 1);
        played_expect_end(&played, table[i].kind);
        played_done(&played);
    }
}

static void test_run_first_of_two_ends_counts(void **state)
{
    struct played played;

    (void)state;
    played_init(&played, 2, NULL);
    played_add(&played, 0,
               FAKE_PIO_WRITE(POWER_PORT + POWER_RESET, 1, POWER_RESET_VALUE));
    played_start(&played);
    played_wait(&played, 0, 1);
    played_add(&played, 1, FAKE_PIO_WRITE(PVPANIC_PORT, 1, PVPANIC_PANICKED));
    played_wait(&played, 1, 1);
    /* Both came before the loop looked. */
    played_expect_end(&played, VM_END_REBOOT);
    played_done(&played);
}

static void test_run_hypervisor_error_tells_the_instruction(void **state)
{
    struct fake_step step = FAKE_EXIT(HV_EXIT_ERROR);
    const uint8_t instruction[] = {0x0f, 0xae, 0x55};
    struct played played;

    (void)state;
    step.exit.error.what = "cannot emulate an instruction";
    step.exit.error.code = 17;
    step.exit.error.detail = 1;
    memcpy(step.exit.error.instruction, instruction, sizeof instruction);
    step.exit.error.instruction_bytes = sizeof instruction;
    played_init(&played, 1, NULL);
    played_add(&played, 0, step);
    played_start(&played);
    played_expect_end(&played, VM_END_FAILED);
    assert_int_equal(played.end.error.code, SM_EGUEST);
    assert_non_null(strstr(played.end.error.message, "vcpu 0: "));
    assert_non_null(strstr(played.end.error.message, step.exit.error.what));
    assert_non_null(strstr(played.end.error.message, "(17, 0x1)"));
    assert_non_null(strstr(played.end.error.message, "instruction 0fae55"));
    played_done(&played);
}

static void test_run_exception_is_told_by_its_numbers(void **state)
{
    struct fake_step step = FAKE_EXIT(HV_EXIT_EXCEPTION);
    struct played played;

    (void)state;
    step.exit.exception.syndrome = 0x92000046;
    step.exit.exception.at = GPA(0x9000000);
    played_init(&played, 1, NULL);
    played_add(&played, 0, step);
    played_start(&played);
    played_expect_end(&played, VM_END_FAILED);
    assert_int_equal(played.end.error.code, SM_EGUEST);
    assert_non_null(strstr(played.end.error.message, "0x92000046"));
    assert_non_null(strstr(played.end.error.message, "0x9000000"));
    played_done(&played);
}

static void test_run_failure_of_the_host_names_the_vcpu(void **state)
{
    struct fake_step step = {.fails = SM_EIO};
    struct played played;

    (void)state;
    played_init(&played, 2, NULL);
    played_add(&played, 1, step);
    played_start(&played);
    played_expect_end(&played, VM_END_FAILED);
    assert_int_equal(played.end.error.code, SM_EIO);
    assert_non_null(strstr(played.end.error.message, "vcpu 1"));
    played_done(&played);
}

/* ---- stopping ---- */

static void test_run_vm_free_stops_vcpus_that_wait(void **state)
{
    enum { VCPUS = 3 };
    struct played played;

    (void)state;
    played_init(&played, VCPUS, NULL);
    played_start(&played);
    for (uint32_t id = 0; id < VCPUS; id++)
        assert_true(fake_script_wait_idle(played.script, id));
    vm_free(played.vm);
    played.vm = NULL;
    for (uint32_t id = 0; id < VCPUS; id++)
        assert_int_equal(fake_script_kicks(played.script, id), 1);
    assert_int_equal(played.ends, 0);
    played_done(&played);
}

static void test_run_vm_free_stops_a_machine_that_never_ran(void **state)
{
    struct played played;
    struct sm_error err;

    (void)state;
    played_init(&played, 2, NULL);
    played_add(&played, 0, FAKE_PIO_WRITE(SERIAL, 1, 'x'));
    assert_int_equal(played_make(&played, &err), 0);
    vm_free(played.vm);
    played.vm = NULL;
    assert_false(fake_script_step(played.script, 0, 0).answered);
    assert_int_equal(played.console_bytes, 0);
    played_done(&played);
}

static void test_run_end_that_nobody_waits_for_is_dropped(void **state)
{
    struct played played;

    (void)state;
    played_init(&played, 1, NULL);
    played_add(&played, 0, FAKE_PIO_WRITE(PVPANIC_PORT, 1, PVPANIC_PANICKED));
    played_start(&played);
    played_wait(&played, 0, 1);
    vm_free(played.vm);
    played.vm = NULL;
    loop_turn(played.loop, 0);
    assert_int_equal(played.ends, 0);
    played_done(&played);
}

static void test_run_vcpu_that_cannot_be_made_fails_vm_new(void **state)
{
    const uint32_t vcpus = 3;

    (void)state;
    for (uint32_t id = 0; id < vcpus; id++) {
        struct fake_options options = {.fail_vcpu_new = true,
                                       .failing_vcpu = id};
        char name[] = "vcpu 0";
        struct played played;
        struct sm_error err;

        name[5] = (char)('0' + id);
        played_init(&played, vcpus, &options);
        assert_int_equal(played_make(&played, &err), SM_EIO);
        assert_int_equal(err.code, SM_EIO);
        assert_non_null(strstr(err.message, name));
        assert_null(played.vm);
        played_done(&played);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_only_the_first_vcpu_is_booted),
        cmocka_unit_test(test_run_port_writes_reach_the_serial_port),
        cmocka_unit_test(test_run_reads_are_answered_by_devices),
        cmocka_unit_test(test_run_reads_of_nothing_are_all_ones),
        cmocka_unit_test(test_run_unknown_msrs_are_refused),
        cmocka_unit_test(test_run_goes_on_after_exits_that_need_nothing),
        cmocka_unit_test(test_run_serves_every_vcpu),
        cmocka_unit_test(test_run_end_of_interrupt_reaches_the_ioapic),
        cmocka_unit_test(test_run_machine_ends_once_for_its_reason),
        cmocka_unit_test(test_run_first_of_two_ends_counts),
        cmocka_unit_test(test_run_hypervisor_error_tells_the_instruction),
        cmocka_unit_test(test_run_exception_is_told_by_its_numbers),
        cmocka_unit_test(test_run_failure_of_the_host_names_the_vcpu),
        cmocka_unit_test(test_run_vm_free_stops_vcpus_that_wait),
        cmocka_unit_test(test_run_vm_free_stops_a_machine_that_never_ran),
        cmocka_unit_test(test_run_end_that_nobody_waits_for_is_dropped),
        cmocka_unit_test(test_run_vcpu_that_cannot_be_made_fails_vm_new),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
