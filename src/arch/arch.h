/* arch.h: the portable face of a processor architecture.
 *
 * How it works
 *   One folder per architecture, exactly one of them compiled. It knows where
 *   things lie in the guest's address space, what firmware would have left in
 *   memory, and what the first registers are: bytes and registers, nothing
 *   that runs. vm/ puts the pieces together:
 *
 *     arch_layout       where memory goes           -> gmem_add(), hv_vm_map()
 *     arch_vm_setup     interrupt controller, CPUID  (before the first vcpu)
 *     arch_boot         kernel, initrd, tables -> memory; entry registers
 *     arch_vcpu_boot    entry registers -> vcpu 0    (on the vcpu's thread)
 *
 *   The places of devices are fixed, so that a snapshot and a template mean
 *   the same everywhere: arch_place() and arch_virtio_place().
 *
 *   x86_64 tells its guest about devices by ACPI, aarch64 by a device tree.
 */
#ifndef SM_ARCH_ARCH_H
#define SM_ARCH_ARCH_H

#include "hypervisor/hv.h"
#include "memory/gmem.h"

enum {
    ARCH_RAM_MAX = 2,           /* pieces of memory                       */
    ARCH_VIRTIO_MAX = 18,       /* virtio-mmio slots                      */
    ARCH_VCPUS_MAX = 254,       /* IOAPIC destinations have 8 bits        */
    ARCH_ENTRY_REGS = 48,       /* registers of struct arch_entry         */
    ARCH_SEED_BYTES = 32,       /* arch_boot_config.seed                  */
    ARCH_GENERATION_BYTES = 16, /* ARCH_GENERATION                        */
    ARCH_CMDLINE_MAX = 2047     /* bytes of command line without the NUL     */
};

/* What a machine consists of, as far as its guest is told. */
struct arch_config {
    uint64_t memory_bytes; /* a multiple of 2 MiB, at least 32 MiB         */
    uint64_t window_bytes; /* shared-memory window, a multiple of 2 MiB;
                              0: none                                      */
    uint32_t vcpus;        /* 1 to ARCH_VCPUS_MAX                          */
    uint32_t virtio_slots; /* slots 0 to n - 1 are there, even if empty    */
    bool serial;           /* there is a serial port                       */
};

struct arch_range {
    struct gpa at;
    uint64_t bytes;
};

struct arch_layout {
    struct arch_range ram[ARCH_RAM_MAX];
    unsigned ram_count;
    struct arch_range window; /* .bytes == 0: none                    */
    uint32_t gpa_bits;        /* for hv_vm_config                     */
};

/* SM_EINVAL: a field of (config) is out of the range that is said above. */
int arch_layout(const struct arch_config *config, struct arch_layout *ret,
                struct sm_error *err);

/* Where a device answers. */
struct arch_place {
    bool present; /* false: this architecture has no such device          */
    bool pio;     /* (at) is an x86 port                                  */
    uint64_t at;
    uint64_t bytes;
    uint32_t gsi; /* edge-triggered; 0: it has no interrupt               */
};

enum arch_device {
    ARCH_SERIAL,    /* 16550; with arch_config.serial only             */
    ARCH_POWER,     /* sleep control, sleep status, reset: a byte each */
    ARCH_PANIC,     /* pvpanic, one byte                               */
    ARCH_IOAPIC,    /* x86_64: 82093AA, HV_X86_GSIS pins               */
    ARCH_GENERATION /* 16 bytes of RAM that hold the VM generation id;
                       the gsi says that they changed                  */
};

struct arch_place arch_place(enum arch_device device);
/* (slot) < ARCH_VIRTIO_MAX. The gsi of each slot is its own. */
struct arch_place arch_virtio_place(uint32_t slot);

/* The registers with which vcpu 0 enters the kernel. */
struct arch_entry {
    unsigned count;
    struct hv_reg reg[ARCH_ENTRY_REGS];
};

struct arch_boot_config {
    const struct arch_config *machine;
    const struct gmem *memory; /* as arch_layout() said; reads as zero */
    int kernel_fd; /* a regular file; borrowed; its offset is not used */
    int initrd_fd; /* the same; -1: none                               */
    const char *cmdline;
    /* ARCH_SEED_BYTES of randomness for the guest's generator, used up by it;
     * NULL: none. */
    const uint8_t *seed;
};

/*
 * Put kernel, initrd and tables into memory. What is not written stays
 * untouched, so that it costs nothing.
 *
 * Returns 0, or SM_EIMAGE (not a kernel for this architecture, damaged: with
 * what to pass), SM_EINVAL (command line too long), SM_ENOSPC (kernel or
 * initrd do not fit into memory: with how much would be needed), SM_EIO.
 */
int arch_boot(const struct arch_boot_config *config, struct arch_entry *ret,
              struct sm_error *err);

/*
 * Make the interrupt controller, and choose what the processor looks like.
 * After all memory, before the first vcpu.
 */
int arch_vm_setup(struct hv_vm *vm, const struct arch_config *config,
                  struct sm_error *err);
/* The choice, as a record, and the same set-up with a former choice. load:
 * SM_EPROTO for a record that makes no sense, SM_ENOTSUP with the reason if
 * this host's processor lacks something that the record has. */
int arch_vm_save(const struct hv_vm *vm, struct buf *to, struct sm_error *err);
int arch_vm_load(struct hv_vm *vm, const struct arch_config *config,
                 struct wire_reader *from, struct sm_error *err);

/* Load (entry) into vcpu 0. The others need nothing: the kernel starts them
 * (x86_64: INIT and SIPI, aarch64: PSCI). */
int arch_vcpu_boot(struct hv_vcpu *vcpu, const struct arch_entry *entry,
                   struct sm_error *err);

#endif
