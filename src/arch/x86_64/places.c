/* places.c: where memory and devices lie; see arch.h and layout.h. */
#include "arch/arch.h"
#include "arch/x86_64/layout.h"

#include "base/bytes.h"

#define MEMORY_MIN (32 * MIB)
/* 2^46 bytes, what every processor with virtualization can address and then
 * some; the host's own limit is caps.gpa_bits. */
#define MEMORY_MAX (UINT64_C(1) << 46)
#define BLOCK      (2 * MIB)

static int check(const struct arch_config *config, struct sm_error *err)
{
    if (config->memory_bytes < MEMORY_MIN || config->memory_bytes > MEMORY_MAX)
        return fail(err, SM_EINVAL, "memory of %llu KiB: %llu MiB to %llu TiB",
                    (unsigned long long)(config->memory_bytes / KIB),
                    (unsigned long long)(MEMORY_MIN / MIB),
                    (unsigned long long)(MEMORY_MAX / GIB / 1024));
    if (!is_aligned(config->memory_bytes, BLOCK))
        return fail(err, SM_EINVAL, "memory of %llu KiB: a multiple of 2 MiB",
                    (unsigned long long)(config->memory_bytes / KIB));
    if (!is_aligned(config->window_bytes, BLOCK) ||
        config->window_bytes > MEMORY_MAX)
        return fail(err, SM_EINVAL,
                    "shared-memory window of %llu KiB: a multiple of 2 MiB",
                    (unsigned long long)(config->window_bytes / KIB));
    if (!config->vcpus || config->vcpus > ARCH_VCPUS_MAX)
        return fail(err, SM_EINVAL, "%u vcpus: 1 to %d", config->vcpus,
                    ARCH_VCPUS_MAX);
    if (config->virtio_slots > ARCH_VIRTIO_MAX)
        return fail(err, SM_EINVAL, "%u devices: at most %d",
                    config->virtio_slots, ARCH_VIRTIO_MAX);
    return 0;
}

/* Bits of an address below (end). */
static uint32_t bits_for(uint64_t end)
{
    uint32_t bits = 0;

    while (bits < 63 && end > UINT64_C(1) << bits)
        bits++;
    return bits;
}

int arch_layout(const struct arch_config *config, struct arch_layout *ret,
                struct sm_error *err)
{
    uint64_t low = min_u64(config->memory_bytes, X86_LOW_RAM_END);
    uint64_t high = config->memory_bytes - low;
    uint64_t end = X86_HIGH_RAM + high;
    int rc = check(config, err);

    if (rc)
        return rc;
    *ret = (struct arch_layout){
        .ram = {{GPA(0), low}, {GPA(X86_HIGH_RAM), high}},
        .ram_count = high ? 2 : 1,
    };
    if (config->window_bytes) {
        ret->window.at = GPA(align_up(end, X86_WINDOW_ALIGN));
        ret->window.bytes = config->window_bytes;
        end = ret->window.at.v + ret->window.bytes;
    }
    ret->gpa_bits = bits_for(end);
    return 0;
}

struct arch_place arch_place(enum arch_device device)
{
    static const struct arch_place places[] = {
        [ARCH_SERIAL] = {true, true, X86_SERIAL_PORT, X86_SERIAL_PORTS,
                         X86_GSI_SERIAL},
        [ARCH_POWER] = {true, true, X86_POWER_PORT, X86_POWER_PORTS, 0},
        [ARCH_PANIC] = {true, true, X86_PANIC_PORT, 1, 0},
        [ARCH_IOAPIC] = {true, false, X86_IOAPIC, X86_IOAPIC_BYTES, 0},
        [ARCH_GENERATION] = {true, false, X86_GENERATION, ARCH_GENERATION_BYTES,
                             X86_GSI_GENERATION},
    };

    return places[device];
}

struct arch_place arch_virtio_place(uint32_t slot)
{
    return (struct arch_place){
        .present = true,
        .at = X86_VIRTIO + slot * X86_VIRTIO_STRIDE,
        .bytes = X86_VIRTIO_BYTES,
        .gsi = X86_GSI_VIRTIO + slot,
    };
}

_Static_assert(X86_GSI_VIRTIO + ARCH_VIRTIO_MAX <= HV_X86_GSIS, "gsis");
