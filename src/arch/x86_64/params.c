/* params.c: the zero page, what a boot loader tells Linux; see boot.h.
 * Offsets: Documentation/x86/zero-page.rst and boot.rst. */
#include "arch/x86_64/boot.h"
#include "arch/x86_64/layout.h"

#include "base/bytes.h"

enum {
    ACPI_RSDP = 0x070,
    E820_COUNT = 0x1e8,
    BOOT_FLAG = 0x1fe,
    HEADER_MAGIC = 0x202,
    TYPE_OF_LOADER = 0x210,
    RAMDISK_IMAGE = 0x218,
    RAMDISK_SIZE = 0x21c,
    CMD_LINE_PTR = 0x228,
    CMDLINE_SIZE = 0x238,
    SETUP_DATA = 0x250,
    E820_TABLE = 0x2d0,
    E820_ENTRY_BYTES = 20,
    E820_RAM = 1,
    E820_RESERVED = 2,
    LOADER_UNDEFINED = 0xff /* "a loader without an id" */
};

static void put_e820(uint8_t *page, uint64_t at, uint64_t end, uint32_t type)
{
    uint8_t *entry = page + E820_TABLE + page[E820_COUNT] * E820_ENTRY_BYTES;

    store_le64(entry, at);
    store_le64(entry + 8, end - at);
    store_le32(entry + 16, type);
    page[E820_COUNT]++;
}

static void put_memory(uint8_t *page, const struct arch_layout *layout)
{
    put_e820(page, 0, X86_CONVENTIONAL_END, E820_RAM);
    put_e820(page, X86_RESERVED, X86_RESERVED_END, E820_RESERVED);
    put_e820(page, X86_KERNEL_MIN, layout->ram[0].bytes, E820_RAM);
    if (layout->ram_count > 1)
        put_e820(page, layout->ram[1].at.v,
                 layout->ram[1].at.v + layout->ram[1].bytes, E820_RAM);
}

void boot_params_fill(uint8_t *page, const struct boot_params *params)
{
    const struct kernel_image *kernel = params->kernel;

    /* A vmlinux has no header of its own: the fields below are all that the
     * kernel looks at. */
    memcpy(page + SETUP_HEADER, kernel->header, kernel->header_bytes);
    store_le16(page + BOOT_FLAG, 0xaa55);
    memcpy(page + HEADER_MAGIC, "HdrS", 4);
    page[TYPE_OF_LOADER] = LOADER_UNDEFINED;
    store_le32(page + RAMDISK_IMAGE, (uint32_t)params->initrd.at.v);
    store_le32(page + RAMDISK_SIZE, (uint32_t)params->initrd.bytes);
    store_le32(page + CMD_LINE_PTR, (uint32_t)params->cmdline.v);
    store_le32(page + CMDLINE_SIZE, kernel->cmdline_max);
    store_le64(page + SETUP_DATA, params->setup_data.v);
    store_le64(page + ACPI_RSDP, params->rsdp.v);
    put_memory(page, params->layout);
}
