/* acpi.h: the tables by which an x86_64 guest learns what it has.
 *
 * How it works
 *   Hardware-reduced ACPI 6.4: no fixed hardware, no SCI, no PM timer. Chosen
 *   over the older MP table because one mechanism gives the processors (any
 *   number of them), power-off (sleep control register), reset (reset
 *   register), panic notices (QEMU0001), the VM generation id, and devices
 *   that unmodified distribution kernels find by themselves (LNRO0005 is
 *   virtio-mmio).
 *
 *     RSDP -> XSDT -> FADT -> DSDT (AML: devices, \_S5)
 *                  -> MADT (local APICs, IOAPIC)
 */
#ifndef SM_ARCH_X86_64_ACPI_H
#define SM_ARCH_X86_64_ACPI_H

#include "arch/arch.h"
#include "base/buf.h"

enum { ACPI_TABLES_MAX = 0x1f000 }; /* X86_ACPI_END - X86_ACPI */

/*
 * Append all tables, the RSDP first, as they must lie at (at). (to) is empty
 * and has a cap of at most ACPI_TABLES_MAX. SM_ELIMIT: they do not fit.
 */
int acpi_build(const struct arch_config *config, struct gpa at, struct buf *to,
               struct sm_error *err);

#endif
