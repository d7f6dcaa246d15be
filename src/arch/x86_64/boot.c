/* boot.c: memory and registers as the kernel's 64-bit entry wants them; see
 * boot.h. */
#include "arch/x86_64/boot.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/layout.h"

#include "base/bytes.h"

#include <assert.h>
#include <sys/stat.h>

enum { PAGE_BYTES = 4096 };

/* Segment attributes as in hv_x86_segment(). */
enum {
    CODE64 = 0xa09b, /* code, readable, accessed, present, 64-bit, 4 KiB */
    DATA = 0xc093,   /* data, writable, accessed, present, 32-bit, 4 KiB */
    TSS64 = 0x008b,  /* busy 64-bit TSS, present                          */
    /* Selectors that the boot protocol asks for. */
    BOOT_CS = 0x10,
    BOOT_DS = 0x18,
    BOOT_TR = 0x20
};

enum {
    MSR_MISC_ENABLE = 0x1a0,
    MISC_ENABLE_FAST_STRINGS = 1 << 0,
    MSR_MTRR_DEF_TYPE = 0x2ff,
    MTRR_ENABLE_WRITE_BACK = 1 << 11 | 6
};

#define CR0_PE   (1u << 0)
#define CR0_ET   (1u << 4)
#define CR0_NE   (1u << 5)
#define CR0_PG   (1u << 31)
#define CR4_PAE  (1u << 5)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define RFLAGS_1 (1u << 1)

/* ------------------------------------------------------------- structures */

/* The first GiB at its own address, in pages of 2 MiB. */
static bool put_page_tables(const struct gmem *mem)
{
    enum { PRESENT = 1, WRITABLE = 2, LARGE = 1 << 7, ENTRIES = 512 };
    uint8_t *pml4 = gmem_span(mem, GPA(X86_BOOT_PML4), PAGE_BYTES);
    uint8_t *pdpt = gmem_span(mem, GPA(X86_BOOT_PDPT), PAGE_BYTES);
    uint8_t *pd = gmem_span(mem, GPA(X86_BOOT_PD), PAGE_BYTES);

    if (!pml4 || !pdpt || !pd)
        return false;
    store_le64(pml4, X86_BOOT_PDPT | PRESENT | WRITABLE);
    store_le64(pdpt, X86_BOOT_PD | PRESENT | WRITABLE);
    for (uint64_t i = 0; i < ENTRIES; i++)
        store_le64(pd + 8 * i, i * 2 * MIB | PRESENT | WRITABLE | LARGE);
    return true;
}

/* A descriptor of a flat segment (SDM 3, 3.4.5). */
static uint64_t flat_descriptor(unsigned attributes)
{
    return 0xffff | (uint64_t)0xf << 48 | (uint64_t)attributes << 40;
}

static bool put_gdt(const struct gmem *mem)
{
    uint8_t gdt[4 * 8] = {0};

    store_le64(gdt + BOOT_CS, flat_descriptor(CODE64));
    store_le64(gdt + BOOT_DS, flat_descriptor(DATA));
    return gmem_write(mem, GPA(X86_BOOT_GDT), gdt, sizeof gdt);
}

/* A setup_data record (boot.rst): next u64, type u32, length u32, bytes. */
static bool put_seed(const struct gmem *mem, const uint8_t *seed)
{
    enum { TYPE_RNG_SEED = 9, HEADER = 16 };
    uint8_t record[HEADER + ARCH_SEED_BYTES] = {0};

    store_le32(record + 8, TYPE_RNG_SEED);
    store_le32(record + 12, ARCH_SEED_BYTES);
    memcpy(record + HEADER, seed, ARCH_SEED_BYTES);
    return gmem_write(mem, GPA(X86_BOOT_SEED), record, sizeof record);
}

static int put_acpi(const struct arch_boot_config *config, struct sm_error *err)
{
    struct buf tables;
    int rc;

    buf_init(&tables, ACPI_TABLES_MAX);
    rc = acpi_build(config->machine, GPA(X86_ACPI), &tables, err);
    if (!rc &&
        !gmem_write(config->memory, GPA(X86_ACPI), tables.data, tables.size))
        rc = fail(err, SM_EINVAL, "no memory at %#llx", X86_ACPI);
    buf_done(&tables);
    return rc;
}

static int put_cmdline(const struct arch_boot_config *config, uint32_t max,
                       struct sm_error *err)
{
    size_t bytes = strlen(config->cmdline);

    if (bytes > max)
        return fail(err, SM_EINVAL,
                    "kernel command line of %zu bytes: at most %u", bytes, max);
    if (!gmem_write(config->memory, GPA(X86_BOOT_CMDLINE), config->cmdline,
                    bytes + 1))
        return fail(err, SM_EINVAL, "no memory at %#llx", X86_BOOT_CMDLINE);
    return 0;
}

/* As high as kernel and memory allow, where it is out of the way. */
static int put_initrd(const struct arch_boot_config *config,
                      const struct arch_layout *layout,
                      const struct kernel_image *kernel, struct arch_range *ret,
                      struct sm_error *err)
{
    struct file_range from = {.fd = config->initrd_fd, .what = "initrd"};
    uint64_t top = min_u64(layout->ram[0].bytes, kernel->initrd_max + 1);
    struct stat status;

    *ret = (struct arch_range){0};
    if (config->initrd_fd < 0)
        return 0;
    if (fstat(config->initrd_fd, &status) != 0)
        return fail_os(err, "initrd");
    if (!S_ISREG(status.st_mode) || !status.st_size)
        return fail(err, SM_EIMAGE, "initrd: not a file with something in it");
    from.bytes = (uint64_t)status.st_size;
    if (top < kernel->end || from.bytes > top - kernel->end ||
        align_down(top - from.bytes, PAGE_BYTES) < kernel->end)
        return fail(err, SM_ENOSPC,
                    "initrd of %llu KiB does not fit behind the kernel, which "
                    "ends at %llu MiB: memory of at least %llu MiB is needed",
                    (unsigned long long)(from.bytes / KIB),
                    (unsigned long long)(kernel->end / MIB + 1),
                    (unsigned long long)((kernel->end + from.bytes) / MIB + 2));
    ret->at = GPA(align_down(top - from.bytes, PAGE_BYTES));
    ret->bytes = from.bytes;
    return load_range(config->memory, ret->at, &from, err);
}

/* -------------------------------------------------------------- registers */

static void put_reg(struct arch_entry *to, struct hv_reg reg)
{
    assert(to->count < ARCH_ENTRY_REGS);
    to->reg[to->count++] = reg;
}

static void put_plain(struct arch_entry *to, uint32_t group, uint32_t number,
                      uint64_t value)
{
    put_reg(to, (struct hv_reg){group, number, value, 0});
}

/* Long mode, flat segments, interrupts off, zero page in RSI. */
static void fill_entry(struct arch_entry *to, uint64_t entry)
{
    static const enum hv_x86_segment data[] = {HV_X86_ES, HV_X86_SS, HV_X86_DS,
                                               HV_X86_FS, HV_X86_GS};

    to->count = 0;
    put_reg(to, hv_x86_segment(HV_X86_CS, BOOT_CS, 0, UINT32_MAX, CODE64));
    for (size_t i = 0; i < ARRAY_LEN(data); i++)
        put_reg(to, hv_x86_segment(data[i], BOOT_DS, 0, UINT32_MAX, DATA));
    put_reg(to, hv_x86_segment(HV_X86_TR, BOOT_TR, 0, 0x67, TSS64));
    put_reg(to, hv_x86_segment(HV_X86_LDTR, 0, 0, 0, 0));
    put_reg(to, hv_x86_segment(HV_X86_GDTR, 0, X86_BOOT_GDT, 31, 0));
    put_reg(to, hv_x86_segment(HV_X86_IDTR, 0, 0, 0, 0));
    put_plain(to, HV_X86_CONTROL, HV_X86_CR0,
              CR0_PE | CR0_ET | CR0_NE | CR0_PG);
    put_plain(to, HV_X86_CONTROL, HV_X86_CR3, X86_BOOT_PML4);
    put_plain(to, HV_X86_CONTROL, HV_X86_CR4, CR4_PAE);
    put_plain(to, HV_X86_CONTROL, HV_X86_EFER, EFER_LME | EFER_LMA);
    for (uint32_t n = HV_X86_RAX; n <= HV_X86_R15; n++)
        put_plain(to, HV_X86_GENERAL, n, n == HV_X86_RSI ? X86_BOOT_PARAMS : 0);
    put_plain(to, HV_X86_GENERAL, HV_X86_RIP, entry);
    put_plain(to, HV_X86_GENERAL, HV_X86_RFLAGS, RFLAGS_1);
    /* What firmware would have switched on. Linux takes PAT for broken where
     * the MTRRs are off. */
    put_plain(to, HV_X86_MSRS, MSR_MISC_ENABLE, MISC_ENABLE_FAST_STRINGS);
    put_plain(to, HV_X86_MSRS, MSR_MTRR_DEF_TYPE, MTRR_ENABLE_WRITE_BACK);
}

/* ------------------------------------------------------------------- boot */

int arch_boot(const struct arch_boot_config *config, struct arch_entry *ret,
              struct sm_error *err)
{
    const struct gmem *mem = config->memory;
    struct kernel_image kernel;
    struct arch_layout layout;
    struct boot_params params = {
        .layout = &layout,
        .kernel = &kernel,
        .cmdline = GPA(X86_BOOT_CMDLINE),
        .rsdp = GPA(X86_ACPI),
        .setup_data = GPA(config->seed ? X86_BOOT_SEED : 0),
    };
    uint8_t *page = gmem_span(mem, GPA(X86_BOOT_PARAMS), PAGE_BYTES);
    int rc = arch_layout(config->machine, &layout, err);

    if (!rc)
        rc = kernel_load(config->kernel_fd, mem, &kernel, err);
    if (!rc)
        rc = put_initrd(config, &layout, &kernel, &params.initrd, err);
    if (!rc)
        rc = put_cmdline(config, kernel.cmdline_max, err);
    if (!rc)
        rc = put_acpi(config, err);
    if (rc)
        return rc;
    if (!page || !put_page_tables(mem) || !put_gdt(mem) ||
        (config->seed && !put_seed(mem, config->seed)))
        return fail(err, SM_EINVAL, "no memory below 1 MiB");
    boot_params_fill(page, &params);
    fill_entry(ret, kernel.entry);
    return 0;
}

int arch_vcpu_boot(struct hv_vcpu *vcpu, const struct arch_entry *entry,
                   struct sm_error *err)
{
    return hv_regs_set(vcpu, entry->reg, entry->count, err);
}
