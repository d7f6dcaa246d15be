/* acpi.c: the tables by which a guest learns what it has; see acpi.h. Numbers
 * in comments are sections of ACPI 6.4. */
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/aml.h"
#include "arch/x86_64/layout.h"

#include "base/bytes.h"
#include "base/wire.h"

enum {
    TABLE_HEADER_BYTES = 36,
    TABLE_LENGTH_AT = 4,
    TABLE_CHECKSUM_AT = 9,
    TABLE_ALIGN = 16,
    RSDP_BYTES = 36,
    FADT_BYTES = 276
};

/* ---------------------------------------------------------- all tables --- */

/* 5.2.6; length and checksum are filled in by end_table(). Returns where the
 * table begins. */
static size_t begin_table(struct buf *to, const char *signature,
                          uint8_t revision)
{
    size_t at;

    while (to->size % TABLE_ALIGN && !to->failed)
        wire_put_u8(to, 0);
    at = to->size;
    buf_append(to, signature, 4);
    wire_put_u32(to, 0);
    wire_put_u8(to, revision);
    wire_put_u8(to, 0);
    buf_append(to, "SUPERM", 6);
    buf_append(to, "MACHINE ", 8);
    wire_put_u32(to, 1);
    buf_append(to, "SMVM", 4);
    wire_put_u32(to, 1);
    return at;
}

/* What makes the bytes add up to zero. */
static uint8_t checksum(const uint8_t *bytes, size_t count)
{
    unsigned sum = 0;

    while (count--)
        sum += *bytes++;
    return (uint8_t)-sum;
}

static void end_table(struct buf *to, size_t at)
{
    size_t bytes = to->size - at;

    if (to->failed)
        return;
    store_le32(to->data + at + TABLE_LENGTH_AT, (uint32_t)bytes);
    to->data[at + TABLE_CHECKSUM_AT] = checksum(to->data + at, bytes);
}

/* ----------------------------------------------------------------- DSDT --- */

static void put_virtio(struct buf *to, uint32_t slot)
{
    struct arch_place place = arch_virtio_place(slot);
    const char name[] = {'V', 'I', (char)('0' + slot / 10),
                         (char)('0' + slot % 10), '\0'};
    size_t device = aml_device_open(to, name);
    size_t resources;

    aml_name(to, "_HID");
    aml_string(to, "LNRO0005");
    aml_name(to, "_UID");
    aml_integer(to, slot);
    aml_name(to, "_CRS");
    resources = aml_resources_open(to);
    aml_memory(to, (uint32_t)place.at, (uint32_t)place.bytes);
    aml_interrupt(to, place.gsi);
    aml_resources_close(to, resources);
    aml_close(to, device);
}

static void put_serial(struct buf *to)
{
    size_t device = aml_device_open(to, "COM1");
    size_t resources;

    aml_name(to, "_HID");
    aml_eisa_id(to, "PNP0501");
    aml_name(to, "_UID");
    aml_integer(to, 0);
    aml_name(to, "_CRS");
    resources = aml_resources_open(to);
    aml_ports(to, X86_SERIAL_PORT, X86_SERIAL_PORTS);
    aml_interrupt(to, X86_GSI_SERIAL);
    aml_resources_close(to, resources);
    aml_close(to, device);
}

/* QEMU docs/specs/pvpanic. */
static void put_panic(struct buf *to)
{
    size_t device = aml_device_open(to, "PEVT");
    size_t resources;

    aml_name(to, "_HID");
    aml_string(to, "QEMU0001");
    aml_name(to, "_CRS");
    resources = aml_resources_open(to);
    aml_ports(to, X86_PANIC_PORT, 1);
    aml_resources_close(to, resources);
    aml_close(to, device);
}

/*
 * The VM generation id ("Virtual Machine Generation ID", Microsoft, 2012):
 * ADDR says where its 16 bytes are. On hardware-reduced machines the notice
 * that they changed comes through a generic event device (5.6.9).
 */
static void put_generation(struct buf *to)
{
    size_t device = aml_device_open(to, "VGEN");
    size_t inner;

    aml_name(to, "_HID");
    aml_string(to, "SMVM0001");
    aml_name(to, "_CID");
    inner = aml_package_open(to, 2);
    aml_string(to, "VM_Gen_Counter");
    aml_string(to, "VMGENCTR"); /* what Linux looks for */
    aml_close(to, inner);
    aml_name(to, "_DDN");
    aml_string(to, "VM_Gen_Counter");
    aml_name(to, "ADDR");
    inner = aml_package_open(to, 2);
    aml_integer(to, (uint32_t)X86_GENERATION);
    aml_integer(to, 0);
    aml_close(to, inner);
    aml_close(to, device);

    device = aml_device_open(to, "GED");
    aml_name(to, "_HID");
    aml_string(to, "ACPI0013");
    aml_name(to, "_CRS");
    inner = aml_resources_open(to);
    aml_interrupt(to, X86_GSI_GENERATION);
    aml_resources_close(to, inner);
    inner = aml_method_open(to, "_EVT", 1, true);
    aml_notify(to, "\\_SB.VGEN", 0x80);
    aml_close(to, inner);
    aml_close(to, device);
}

/* 7.4.2: what to write into the sleep control register for soft-off. */
static void put_s5(struct buf *to)
{
    size_t package;

    aml_name(to, "\\_S5");
    package = aml_package_open(to, 2);
    aml_integer(to, X86_S5_TYPE);
    aml_integer(to, 0);
    aml_close(to, package);
}

static size_t put_dsdt(struct buf *to, const struct arch_config *config)
{
    size_t at = begin_table(to, "DSDT", 2);
    size_t scope = aml_scope_open(to, "\\_SB");

    for (uint32_t slot = 0; slot < config->virtio_slots; slot++)
        put_virtio(to, slot);
    if (config->serial)
        put_serial(to);
    put_panic(to);
    put_generation(to);
    aml_close(to, scope);
    put_s5(to);
    end_table(to, at);
    return at;
}

/* --------------------------------------------------------- FADT and MADT ---
 */

/* 5.2.3.2: a byte-wide register at a port. */
static void store_port(uint8_t *to, uint16_t port)
{
    to[0] = 1; /* system I/O */
    to[1] = 8; /* bits */
    to[3] = 1; /* accessed as bytes */
    store_le64(to + 4, port);
}

/* 5.2.9. Fields that are not named are zero: no fixed hardware. */
static size_t put_fadt(struct buf *to, uint64_t dsdt)
{
    enum {
        DSDT = 40,
        BOOT_ARCH = 109,
        FLAGS = 112,
        RESET_REG = 116,
        RESET_VALUE = 128,
        MINOR = 131,
        X_DSDT = 140,
        SLEEP_CONTROL = 244,
        SLEEP_STATUS = 256,
        /* 5.2.9.3 */
        NO_VGA = 1 << 2,
        NO_RTC = 1 << 5,
        /* 5.2.9, flags */
        WBINVD = 1 << 0,
        POWER_BUTTON = 1 << 4, /* not fixed hardware */
        SLEEP_BUTTON = 1 << 5,
        RESET_SUPPORTED = 1 << 10,
        HEADLESS = 1 << 12,
        HW_REDUCED = 1 << 20
    };
    size_t at = begin_table(to, "FACP", 6);
    uint8_t *fadt = buf_room(to, FADT_BYTES - TABLE_HEADER_BYTES);

    if (!fadt)
        return at;
    memset(fadt, 0, FADT_BYTES - TABLE_HEADER_BYTES);
    buf_added(to, FADT_BYTES - TABLE_HEADER_BYTES);
    fadt = to->data + at;
    store_le32(fadt + DSDT, (uint32_t)dsdt);
    store_le16(fadt + BOOT_ARCH, NO_VGA | NO_RTC);
    store_le32(fadt + FLAGS, WBINVD | POWER_BUTTON | SLEEP_BUTTON |
                                 RESET_SUPPORTED | HEADLESS | HW_REDUCED);
    store_port(fadt + RESET_REG, X86_POWER_PORT + 2);
    fadt[RESET_VALUE] = X86_RESET_VALUE;
    fadt[MINOR] = 4;
    store_le64(fadt + X_DSDT, dsdt);
    store_port(fadt + SLEEP_CONTROL, X86_POWER_PORT);
    store_port(fadt + SLEEP_STATUS, X86_POWER_PORT + 1);
    end_table(to, at);
    return at;
}

/* 5.2.12. No PC/AT interrupt controllers. */
static size_t put_madt(struct buf *to, uint32_t vcpus)
{
    size_t at = begin_table(to, "APIC", 5);

    wire_put_u32(to, (uint32_t)X86_LAPIC);
    wire_put_u32(to, 0);
    for (uint32_t id = 0; id < vcpus; id++) {
        wire_put_u8(to, 0); /* processor local APIC (5.2.12.2) */
        wire_put_u8(to, 8);
        wire_put_u8(to, (uint8_t)id); /* processor's UID */
        wire_put_u8(to, (uint8_t)id); /* APIC id */
        wire_put_u32(to, 1);          /* enabled */
    }
    wire_put_u8(to, 1); /* I/O APIC (5.2.12.3) */
    wire_put_u8(to, 12);
    wire_put_u16(to, 0); /* its id, reserved */
    wire_put_u32(to, (uint32_t)X86_IOAPIC);
    wire_put_u32(to, 0); /* its first gsi */
    end_table(to, at);
    return at;
}

/* -------------------------------------------------------- XSDT and RSDP --- */

/* 5.2.8 */
static size_t put_xsdt(struct buf *to, uint64_t fadt, uint64_t madt)
{
    size_t at = begin_table(to, "XSDT", 1);

    wire_put_u64(to, fadt);
    wire_put_u64(to, madt);
    end_table(to, at);
    return at;
}

/* 5.2.5.3, into the room that was left at the beginning. */
static void fill_rsdp(uint8_t *rsdp, uint64_t xsdt)
{
    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 9, "SUPERM", 6);
    rsdp[15] = 2; /* revision */
    store_le32(rsdp + 20, RSDP_BYTES);
    store_le64(rsdp + 24, xsdt);
    rsdp[8] = checksum(rsdp, 20);
    rsdp[32] = checksum(rsdp, RSDP_BYTES);
}

int acpi_build(const struct arch_config *config, struct gpa at, struct buf *to,
               struct sm_error *err)
{
    static const uint8_t room[RSDP_BYTES];
    size_t dsdt;
    size_t fadt;
    size_t madt;
    size_t xsdt;

    buf_append(to, room, sizeof room);
    dsdt = put_dsdt(to, config);
    fadt = put_fadt(to, at.v + dsdt);
    madt = put_madt(to, config->vcpus);
    xsdt = put_xsdt(to, at.v + fadt, at.v + madt);
    if (to->failed)
        return buf_refuse(to, err, "ACPI tables");
    fill_rsdp(to->data, at.v + xsdt);
    return 0;
}
