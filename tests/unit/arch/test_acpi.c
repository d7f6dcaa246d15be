/* test_acpi.c: the tables are whole, say what the machine has, and compile. */
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/layout.h"
#include "unit.h"

#include "base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT X86_ACPI

extern char **environ;

struct tables {
    struct buf bytes;
    const uint8_t *fadt, *madt, *dsdt;
};

static const uint8_t *at(const struct tables *tables, uint64_t gpa)
{
    assert_in_range(gpa, AT, AT + tables->bytes.size - 1);
    return tables->bytes.data + (gpa - AT);
}

/* The bytes of a table, or of the RSDP, add up to zero. */
static void check_sum(const uint8_t *table, size_t bytes)
{
    uint8_t sum = 0;

    while (bytes--)
        sum = (uint8_t)(sum + *table++);
    assert_int_equal(sum, 0);
}

static const uint8_t *check_table(const struct tables *tables, uint64_t gpa,
                                  const char *signature)
{
    const uint8_t *table = at(tables, gpa);
    uint32_t bytes = load_le32(table + 4);

    assert_memory_equal(table, signature, 4);
    assert_true(gpa - AT + bytes <= tables->bytes.size);
    check_sum(table, bytes);
    return table;
}

static void build(struct tables *tables, uint32_t vcpus, uint32_t slots,
                  bool serial)
{
    const struct arch_config config = {.memory_bytes = 64 * MIB,
                                       .vcpus = vcpus,
                                       .virtio_slots = slots,
                                       .serial = serial};
    const uint8_t *xsdt;
    struct sm_error err;

    buf_init(&tables->bytes, ACPI_TABLES_MAX);
    assert_int_equal(acpi_build(&config, GPA(AT), &tables->bytes, &err), 0);
    assert_memory_equal(tables->bytes.data, "RSD PTR ", 8);
    check_sum(tables->bytes.data, 20);
    check_sum(tables->bytes.data, 36);
    xsdt = check_table(tables, load_le64(tables->bytes.data + 24), "XSDT");
    assert_int_equal(load_le32(xsdt + 4), 36 + 2 * 8);
    tables->fadt = check_table(tables, load_le64(xsdt + 36), "FACP");
    tables->madt = check_table(tables, load_le64(xsdt + 44), "APIC");
    tables->dsdt = check_table(tables, load_le64(tables->fadt + 140), "DSDT");
}

static void test_acpi_madt_has_every_processor_once(void **state)
{
    struct tables tables;
    const uint8_t *entry;

    (void)state;
    build(&tables, ARCH_VCPUS_MAX, 0, false);
    entry = tables.madt + 44;
    for (uint32_t id = 0; id < ARCH_VCPUS_MAX; id++, entry += 8) {
        assert_int_equal(entry[0], 0); /* local APIC */
        assert_int_equal(entry[1], 8);
        assert_int_equal(entry[3], id);
        assert_int_equal(load_le32(entry + 4), 1);
    }
    assert_int_equal(entry[0], 1); /* I/O APIC */
    assert_int_equal(load_le32(entry + 4), X86_IOAPIC);
    assert_int_equal(load_le32(entry + 8), 0);
    assert_ptr_equal(entry + entry[1],
                     tables.madt + load_le32(tables.madt + 4));
    buf_done(&tables.bytes);
}

static void test_acpi_fadt_names_the_power_registers(void **state)
{
    struct tables tables;

    (void)state;
    build(&tables, 1, 0, false);
    assert_true(load_le32(tables.fadt + 112) & 1 << 20); /* HW_REDUCED */
    assert_true(load_le32(tables.fadt + 112) & 1 << 10); /* reset works */
    assert_int_equal(load_le64(tables.fadt + 120), X86_POWER_PORT + 2);
    assert_int_equal(tables.fadt[128], X86_RESET_VALUE);
    assert_int_equal(load_le64(tables.fadt + 248), X86_POWER_PORT);
    assert_int_equal(load_le64(tables.fadt + 260), X86_POWER_PORT + 1);
    buf_done(&tables.bytes);
}

/* A table that does not fit is an error, not half a table. */
static void test_acpi_tables_that_do_not_fit_are_refused(void **state)
{
    const struct arch_config config = {.vcpus = 1, .virtio_slots = 18};
    struct sm_error err;
    struct buf buf;
    size_t whole;

    (void)state;
    buf_init(&buf, ACPI_TABLES_MAX);
    assert_int_equal(acpi_build(&config, GPA(AT), &buf, &err), 0);
    whole = buf.size;
    buf_done(&buf);
    for (size_t cap = 0; cap < whole; cap += 7) {
        buf_init(&buf, cap);
        assert_int_equal(acpi_build(&config, GPA(AT), &buf, &err), SM_ELIMIT);
        buf_done(&buf);
    }
}

/* ---- the compiler's opinion ------------------------------------------- */

/* Run iasl in (dir) with two arguments, quietly; its exit status, or -1. */
static int run_iasl(const char *dir, const char *option, const char *file)
{
    char *const argv[] = {"iasl", (char *)(uintptr_t)option,
                          (char *)(uintptr_t)file, NULL};
    posix_spawn_file_actions_t actions;
    int status = -1;
    pid_t pid;
    int rc;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, dir);
    posix_spawn_file_actions_addopen(&actions, 1, "log",
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    rc = posix_spawnp(&pid, "iasl", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc)
        return -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
}

static void put_file(const char *dir, const char *name, const uint8_t *table)
{
    char path[PATH_MAX];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s.dat", dir, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(table, load_le32(table + 4), 1, file), 1);
    assert_int_equal(fclose(file), 0);
}

static void drop_folder(const char *dir)
{
    static const char *const names[] = {
        "/DSDT.dat", "/DSDT.dsl", "/DSDT.aml", "/FACP.dat", "/FACP.dsl",
        "/FACP.aml", "/APIC.dat", "/APIC.dsl", "/APIC.aml", "/log"};
    char path[PATH_MAX];

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

static void check_with_iasl(const char *dir, uint32_t vcpus, uint32_t slots)
{
    static const char *const names[] = {"DSDT", "FACP", "APIC"};
    char file[16];
    struct tables tables;

    build(&tables, vcpus, slots, slots > 0);
    put_file(dir, "DSDT", tables.dsdt);
    put_file(dir, "FACP", tables.fadt);
    put_file(dir, "APIC", tables.madt);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(file, sizeof file, "%s.dat", names[i]);
        assert_int_equal(run_iasl(dir, "-d", file), 0);
        snprintf(file, sizeof file, "%s.dsl", names[i]);
        assert_int_equal(run_iasl(dir, "-we", file), 0);
    }
    buf_done(&tables.bytes);
}

/* What is written disassembles, and that compiles without a warning. */
static void test_acpi_tables_compile(void **state)
{
    char dir[] = "/tmp/test_acpi.XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(dir));
    if (run_iasl(dir, "-v", NULL) < 0) {
        drop_folder(dir);
        print_message("iasl is not installed (package acpica-tools)\n");
        skip();
    }
    check_with_iasl(dir, 1, 0);
    check_with_iasl(dir, 4, 6);
    check_with_iasl(dir, ARCH_VCPUS_MAX, ARCH_VIRTIO_MAX);
    drop_folder(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acpi_madt_has_every_processor_once),
        cmocka_unit_test(test_acpi_fadt_names_the_power_registers),
        cmocka_unit_test(test_acpi_tables_that_do_not_fit_are_refused),
        cmocka_unit_test(test_acpi_tables_compile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
