/* test_boot.c: kernels are recognised, checked and laid out; wrong ones are
 * refused with what to pass. */
#include "arch/arch.h"
#include "arch/x86_64/layout.h"
#include "unit.h"

#include "base/bytes.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FILE_MAX = 64 * 1024, LOAD_AT = 0x1000000, SEGMENT_AT = 0x1000 };

struct machine {
    struct arch_config config;
    struct gmem mem;
    struct arch_entry entry;
    uint8_t file[FILE_MAX];
    size_t file_bytes;
};

static struct machine machine;

static int set_up(void **state)
{
    struct arch_layout layout;
    struct sm_error err;

    (void)state;
    memset(&machine, 0, sizeof machine);
    machine.config = (struct arch_config){
        .memory_bytes = 64 * MIB, .vcpus = 1, .virtio_slots = 4};
    gmem_init(&machine.mem);
    assert_int_equal(arch_layout(&machine.config, &layout, &err), 0);
    return gmem_add(&machine.mem, layout.ram[0].at, layout.ram[0].bytes, &err);
}

static int tear_down(void **state)
{
    (void)state;
    gmem_done(&machine.mem);
    return 0;
}

static int make_fd(const void *bytes, size_t count)
{
    int fd = memfd_create("kernel", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, count), count);
    return fd;
}

/* Boot what is in machine.file. */
static int boot(const char *cmdline, int initrd_fd, struct sm_error *err)
{
    static const uint8_t seed[ARCH_SEED_BYTES] = {1, 2, 3};
    struct arch_boot_config config = {
        .machine = &machine.config,
        .memory = &machine.mem,
        .kernel_fd = make_fd(machine.file, machine.file_bytes),
        .initrd_fd = initrd_fd,
        .cmdline = cmdline,
        .seed = seed,
    };
    int rc = arch_boot(&config, &machine.entry, err);

    close(config.kernel_fd);
    return rc;
}

/* A vmlinux of one segment: (bytes) of file, 4096 more of memory. */
static uint8_t *make_vmlinux(uint64_t bytes)
{
    uint8_t *file = machine.file;
    uint8_t *ph = file + 64;

    memcpy(file, "\177ELF\2\1\1", 7);
    store_le16(file + 16, 2);
    store_le16(file + 18, 62);
    store_le64(file + 24, LOAD_AT + 0x40);
    store_le64(file + 32, 64);
    store_le16(file + 54, 56);
    store_le16(file + 56, 1);
    store_le32(ph, 1);
    store_le64(ph + 8, SEGMENT_AT);
    store_le64(ph + 24, LOAD_AT);
    store_le64(ph + 32, bytes);
    store_le64(ph + 40, bytes + 4096);
    memset(file + SEGMENT_AT, 0x5a, bytes);
    machine.file_bytes = SEGMENT_AT + bytes;
    return ph;
}

/* A bzImage of three sectors of set-up and (bytes) of kernel. */
static uint8_t *make_bzimage(uint64_t bytes)
{
    uint8_t *file = machine.file;

    file[0x1f1] = 3;
    store_le16(file + 0x1fe, 0xaa55);
    file[0x201] = 0x6a;
    memcpy(file + 0x202, "HdrS", 4);
    store_le16(file + 0x206, 0x20f);
    store_le32(file + 0x22c, 0x7fffffff);
    store_le16(file + 0x236, 1);
    store_le32(file + 0x238, 2047);
    store_le64(file + 0x258, LOAD_AT);
    store_le32(file + 0x260, 0x100000);
    memset(file + 4 * 512, 0xa5, bytes);
    machine.file_bytes = 4 * 512 + bytes;
    return file;
}

static uint64_t entry_reg(uint32_t group, uint32_t number)
{
    const struct hv_reg *found = NULL;

    for (unsigned i = 0; i < machine.entry.count; i++)
        if (machine.entry.reg[i].group == group &&
            machine.entry.reg[i].number == number)
            found = &machine.entry.reg[i];
    assert_non_null(found);
    return found->value;
}

static const uint8_t *memory(uint64_t at)
{
    const uint8_t *host = gmem_span(&machine.mem, GPA(at), 4096);

    assert_non_null(host);
    return host;
}

static void refused(int code, const char *word)
{
    struct sm_error err = {0};

    assert_int_equal(boot("", -1, &err), code);
    if (!strstr(err.message, word))
        print_error("%s\n", err.message);
    assert_non_null(strstr(err.message, word));
}

static void test_boot_enters_a_vmlinux_in_long_mode(void **state)
{
    struct sm_error err;

    (void)state;
    make_vmlinux(8192);
    assert_int_equal(boot("console=ttyS0", -1, &err), 0);
    assert_int_equal(entry_reg(HV_X86_GENERAL, HV_X86_RIP), LOAD_AT + 0x40);
    assert_int_equal(entry_reg(HV_X86_GENERAL, HV_X86_RSI), X86_BOOT_PARAMS);
    assert_int_equal(entry_reg(HV_X86_CONTROL, HV_X86_CR3), X86_BOOT_PML4);
    assert_int_equal(entry_reg(HV_X86_CONTROL, HV_X86_EFER), 0x500);
    assert_int_equal(memory(LOAD_AT)[8191], 0x5a);
    assert_int_equal(memory(LOAD_AT + 8192)[0], 0);
    assert_string_equal((const char *)memory(X86_BOOT_CMDLINE - 0x800) + 0x800,
                        "console=ttyS0");
}

static void test_boot_enters_a_bzimage_at_its_64_bit_entry(void **state)
{
    struct sm_error err;

    (void)state;
    make_bzimage(4096);
    assert_int_equal(boot("", -1, &err), 0);
    assert_int_equal(entry_reg(HV_X86_GENERAL, HV_X86_RIP), LOAD_AT + 0x200);
    assert_int_equal(memory(LOAD_AT)[0], 0xa5);
    /* The header came along into the zero page. */
    assert_int_equal(load_le64(memory(X86_BOOT_PARAMS) + 0x258), LOAD_AT);
}

static void test_boot_zero_page_tells_the_memory(void **state)
{
    const uint8_t *page = memory(X86_BOOT_PARAMS);
    struct sm_error err;
    uint64_t ram = 0;

    (void)state;
    make_vmlinux(4096);
    assert_int_equal(boot("x", -1, &err), 0);
    assert_memory_equal(page + 0x202, "HdrS", 4);
    assert_int_equal(load_le64(page + 0x70), X86_ACPI);
    assert_memory_equal(memory(X86_ACPI), "RSD PTR ", 8);
    assert_int_equal(load_le64(page + 0x250), X86_BOOT_SEED);
    for (unsigned i = 0; i < page[0x1e8]; i++) {
        const uint8_t *entry = page + 0x2d0 + 20 * i;

        if (load_le32(entry + 16) == 1)
            ram += load_le64(entry + 8);
    }
    /* All but the hole below 1 MiB. */
    assert_int_equal(ram, 64 * MIB - (MIB - X86_CONVENTIONAL_END));
}

static void test_boot_seed_is_a_record_of_setup_data(void **state)
{
    const uint8_t *record = memory(X86_BOOT_SEED - 0x100) + 0x100;
    struct sm_error err;

    (void)state;
    make_vmlinux(4096);
    assert_int_equal(boot("", -1, &err), 0);
    assert_int_equal(load_le64(record), 0);
    assert_int_equal(load_le32(record + 8), 9); /* SETUP_RNG_SEED */
    assert_int_equal(load_le32(record + 12), ARCH_SEED_BYTES);
    assert_int_equal(record[16], 1);
    assert_int_equal(record[18], 3);
}

static void test_boot_places_the_initrd_in_whole_pages_at_the_end(void **state)
{
    const uint8_t *page = memory(X86_BOOT_PARAMS);
    uint8_t initrd[5000];
    struct sm_error err;
    int fd;

    (void)state;
    memset(initrd, 0x77, sizeof initrd);
    fd = make_fd(initrd, sizeof initrd);
    make_vmlinux(4096);
    assert_int_equal(boot("", fd, &err), 0);
    assert_int_equal(load_le32(page + 0x218), 64 * MIB - 8192);
    assert_int_equal(load_le32(page + 0x21c), sizeof initrd);
    assert_memory_equal(memory(64 * MIB - 8192), initrd, 4096);
    close(fd);
}

static void test_boot_initrd_that_does_not_fit_is_refused(void **state)
{
    int fd = memfd_create("initrd", MFD_CLOEXEC);
    struct sm_error err;

    (void)state;
    make_vmlinux(4096);
    assert_int_equal(ftruncate(fd, 60 * MIB), 0);
    assert_int_equal(boot("", fd, &err), SM_ENOSPC);
    assert_non_null(strstr(err.message, "initrd"));
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(boot("", fd, &err), SM_EIMAGE);
    close(fd);
}

static void test_boot_command_line_has_a_limit(void **state)
{
    char cmdline[ARCH_CMDLINE_MAX + 2];
    struct sm_error err;

    (void)state;
    make_vmlinux(4096);
    memset(cmdline, 'x', sizeof cmdline);
    cmdline[ARCH_CMDLINE_MAX + 1] = '\0';
    assert_int_equal(boot(cmdline, -1, &err), SM_EINVAL);
    cmdline[ARCH_CMDLINE_MAX] = '\0';
    assert_int_equal(boot(cmdline, -1, &err), 0);
}

static void test_boot_refuses_what_is_no_kernel(void **state)
{
    (void)state;
    machine.file_bytes = 0;
    refused(SM_EIMAGE, "vmlinux");
    memcpy(machine.file, "#!/bin/sh\n", 10);
    machine.file_bytes = 10;
    refused(SM_EIMAGE, "bzImage");
    memset(machine.file, 'a', FILE_MAX);
    machine.file_bytes = FILE_MAX;
    refused(SM_EIMAGE, "bzImage");
}

static void test_boot_refuses_other_machines(void **state)
{
    (void)state;
    make_vmlinux(4096);
    store_le16(machine.file + 18, 183); /* aarch64 */
    refused(SM_EIMAGE, "another machine (183)");
    make_vmlinux(4096);
    store_le16(machine.file + 16, 1); /* an object file */
    refused(SM_EIMAGE, "no vmlinux");
}

static void test_boot_refuses_damaged_vmlinux(void **state)
{
    uint8_t *ph = make_vmlinux(4096);

    (void)state;
    store_le64(ph + 32, UINT64_MAX); /* file size */
    refused(SM_EIMAGE, "damaged");
    make_vmlinux(4096);
    store_le64(ph + 8, UINT64_MAX - 100); /* offset */
    refused(SM_EIMAGE, "damaged");
    make_vmlinux(4096);
    store_le64(ph + 40, UINT64_MAX); /* memory size */
    refused(SM_EIMAGE, "damaged");
    make_vmlinux(4096);
    store_le64(ph + 24, 0x1000); /* over our own structures */
    refused(SM_EIMAGE, "1 MiB to 1 GiB");
    make_vmlinux(4096);
    store_le64(machine.file + 24, 0x10); /* entry */
    refused(SM_EIMAGE, "entry");
    make_vmlinux(4096);
    store_le64(machine.file + 32, UINT64_C(1) << 40); /* header table */
    refused(SM_EIMAGE, "kernel");
    make_vmlinux(4096);
    machine.file_bytes -= 100;
    refused(SM_EIMAGE, "damaged");
    make_vmlinux(4096);
    store_le64(ph + 24, 512 * MIB); /* more memory than there is */
    refused(SM_ENOSPC, "64");
}

static void test_boot_refuses_damaged_bzimage(void **state)
{
    (void)state;
    make_bzimage(4096);
    store_le16(machine.file + 0x236, 0);
    refused(SM_EIMAGE, "64-bit entry");
    make_bzimage(4096);
    store_le16(machine.file + 0x206, 0x200);
    refused(SM_EIMAGE, "64-bit entry");
    make_bzimage(4096);
    machine.file_bytes = 1500;
    refused(SM_EIMAGE, "truncated");
    make_bzimage(4096);
    store_le32(machine.file + 0x260, 100); /* smaller than the file */
    refused(SM_EIMAGE, "larger");
    make_bzimage(4096);
    store_le64(machine.file + 0x258, UINT64_MAX - 10);
    refused(SM_EIMAGE, "larger");
}

/* Any byte of the headers may be anything: there is an answer, no crash. */
static void test_boot_survives_any_header(void **state)
{
    struct sm_error err;

    (void)state;
    srand(1);
    for (unsigned round = 0; round < 4000; round++) {
        if (round % 2)
            make_vmlinux(4096);
        else
            make_bzimage(4096);
        for (unsigned i = 0; i < 4; i++)
            machine.file[(round % 2 ? 16 : 0x1f1) + rand() % 112] =
                (uint8_t)rand();
        (void)boot("", -1, &err);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_boot_enters_a_vmlinux_in_long_mode),
        TEST(test_boot_enters_a_bzimage_at_its_64_bit_entry),
        TEST(test_boot_zero_page_tells_the_memory),
        TEST(test_boot_seed_is_a_record_of_setup_data),
        TEST(test_boot_places_the_initrd_in_whole_pages_at_the_end),
        TEST(test_boot_initrd_that_does_not_fit_is_refused),
        TEST(test_boot_command_line_has_a_limit),
        TEST(test_boot_refuses_what_is_no_kernel),
        TEST(test_boot_refuses_other_machines),
        TEST(test_boot_refuses_damaged_vmlinux),
        TEST(test_boot_refuses_damaged_bzimage),
        TEST(test_boot_survives_any_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
