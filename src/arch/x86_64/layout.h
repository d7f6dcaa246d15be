/* layout.h: where everything lies in an x86_64 guest's address spaces.
 *
 *   0000'0000 - 0009'fc00  RAM; 0x2000 to 0x7fff used for the boot
 *   000a'0000 - 000d'ffff  nothing is told about it
 *   000e'0000 - 000f'ffff  RAM, reserved: ACPI tables, VM generation id
 *   0010'0000 - c000'0000  RAM, as much as there is
 *   d000'0000              virtio-mmio, 4 KiB per slot
 *   fec0'0000              IOAPIC
 *   fee0'0000              local APICs, MSIs
 *   1'0000'0000            the rest of RAM, then the shared-memory window at
 *                          the next multiple of 1 GiB
 *
 * Snapshots hold these places: a change is a change of their format.
 */
#ifndef SM_ARCH_X86_64_LAYOUT_H
#define SM_ARCH_X86_64_LAYOUT_H

/* RAM */
#define X86_LOW_RAM_END      0xc0000000ULL
#define X86_HIGH_RAM         0x100000000ULL
#define X86_CONVENTIONAL_END 0x9fc00ULL
#define X86_KERNEL_MIN       0x100000ULL /* kernels are loaded above this */

/* Boot. Few pages, so that little memory is touched. */
#define X86_BOOT_PML4    0x2000ULL
#define X86_BOOT_PDPT    0x3000ULL
#define X86_BOOT_PD      0x4000ULL
#define X86_BOOT_GDT     0x6000ULL /* 4 entries                       */
#define X86_BOOT_SEED    0x6100ULL /* setup_data with the seed        */
#define X86_BOOT_CMDLINE 0x6800ULL /* ARCH_CMDLINE_MAX and a NUL      */
#define X86_BOOT_PARAMS  0x7000ULL /* the "zero page"                 */

/* Reserved */
#define X86_RESERVED     0xe0000ULL
#define X86_RESERVED_END 0x100000ULL
#define X86_ACPI         0xe0000ULL /* the RSDP first: old kernels scan */
#define X86_ACPI_END     0xff000ULL
#define X86_GENERATION   0xff000ULL /* VM generation id, 16 bytes       */

/* Devices in memory */
#define X86_VIRTIO        0xd0000000ULL
#define X86_VIRTIO_STRIDE 0x1000ULL
#define X86_VIRTIO_BYTES  0x200ULL /* 0x100 of registers, 0x100 of config */
#define X86_IOAPIC        0xfec00000ULL
#define X86_IOAPIC_BYTES  0x1000ULL
#define X86_LAPIC         0xfee00000ULL

#define X86_WINDOW_ALIGN  0x40000000ULL

/* Devices at ports */
#define X86_SERIAL_PORT  0x3f8
#define X86_SERIAL_PORTS 8
#define X86_POWER_PORT   0x600
#define X86_POWER_PORTS  3
#define X86_PANIC_PORT   0x505

/* What the guest writes there, as FADT and DSDT tell it (ACPI 6.4, 4.8.3.6
 * and 4.8.3.7): sleep type of S5, value of the reset register. */
#define X86_S5_TYPE     5
#define X86_RESET_VALUE 1

/* Pins of the IOAPIC, all edge-triggered */
#define X86_GSI_GENERATION 3
#define X86_GSI_SERIAL     4
#define X86_GSI_VIRTIO     6 /* the first of ARCH_VIRTIO_MAX */

/* In the area of Intel's BIOS, where KVM keeps three pages and one that it
 * needs on processors without "unrestricted guest". */
#define X86_KVM_IDENTITY_MAP 0xfffbc000ULL
#define X86_KVM_TSS          0xfffbd000ULL

#endif
