/* cpuid.c: what the guest's CPUID instruction says; see cpuid.h. Leaves and
 * bits: SDM 2A, "CPUID", and AMD APM 3, appendix E. */
#include "arch/x86_64/cpuid.h"

#include "base/bytes.h"

#include <assert.h>

#define BIT(n) (UINT32_C(1) << (n))
#define ALL    UINT32_MAX
/* Bits (first) to (last). */
#define BITS(first, last) (ALL >> (31 - (last)) & ALL << (first))

enum { EAX, EBX, ECX, EDX };

enum {
    LEAF_MAX = 0,
    LEAF_FEATURES = 1,
    LEAF_CACHES = 4,
    LEAF_EXTENDED_FEATURES = 7,
    LEAF_TOPOLOGY = 0xb,
    LEAF_XSAVE = 0xd,
    LEAF_TOPOLOGY_2 = 0x1f
};
#define LEAF_KVM          0x40000000u
#define LEAF_KVM_FEATURES 0x40000001u
#define LEAF_AMD_MAX      0x80000000u
#define LEAF_AMD_FEATURES 0x80000001u
#define LEAF_AMD_SIZES    0x80000008u
#define LEAF_AMD_CACHES   0x8000001du
#define LEAF_AMD_TOPOLOGY 0x8000001eu

/* x87, SSE, AVX, the three parts of AVX-512, protection keys. */
#define XCR0_KEPT (BITS(0, 2) | BITS(5, 7) | BIT(9))
enum { XSAVE_LEGACY_BYTES = 576 };

/*
 * What is kept of each leaf. ALL: a value (name, size, limit) that is taken as
 * it is; else feature bits, which count in cpuid_check(). Leaves that are not
 * here do not exist for the guest.
 */
struct rule {
    uint32_t leaf;
    bool any_subleaf;
    uint32_t subleaf;
    uint32_t keep[4];
};

static const struct rule rules[] = {
    {LEAF_MAX, .keep = {ALL, ALL, ALL, ALL}},
    {LEAF_FEATURES,
     .keep = {ALL, BITS(0, 15),
              BITS(0, 1)         /* SSE3, PCLMULQDQ                   */
                  | BIT(9)       /* SSSE3                             */
                  | BITS(12, 13) /* FMA, CMPXCHG16B                  */
                  | BIT(17)      /* PCID                              */
                  | BITS(19, 26) /* SSE4, x2APIC, MOVBE, POPCNT,
                                    TSC deadline, AES, XSAVE         */
                  | BITS(28, 31) /* AVX, F16C, RDRAND, hypervisor    */,
              BITS(0, 6)         /* FPU to PAE                        */
                  | BITS(8, 9)   /* CMPXCHG8B, APIC                   */
                  | BITS(11, 13) /* SYSENTER, MTRR, PGE              */
                  | BITS(15, 17) /* CMOV, PAT, PSE-36                */
                  | BIT(19)      /* CLFLUSH                           */
                  | BITS(23, 28) /* MMX, FXSR, SSE, SSE2, SS, HTT    */}},
    {2, .keep = {ALL, ALL, ALL, ALL}},
    {LEAF_CACHES, .any_subleaf = true, .keep = {ALL, ALL, ALL, ALL}},
    {6, .keep = {BIT(2) /* APIC timer always running */, 0, 0, 0}},
    {LEAF_EXTENDED_FEATURES, .subleaf = 0,
     .keep = {ALL,
              BITS(0, 1)         /* FSGSBASE, TSC_ADJUST             */
                  | BIT(3)       /* BMI1                             */
                  | BITS(5, 10)  /* AVX2, FDP, SMEP, BMI2, ERMS,
                                    INVPCID                          */
                  | BIT(13)      /* no FPU CS and DS                 */
                  | BITS(16, 21) /* AVX512F, DQ, RDSEED, ADX, SMAP,
                                    IFMA                             */
                  | BITS(23, 24) /* CLFLUSHOPT, CLWB                 */
                  | BITS(28, 31) /* AVX512CD, SHA, AVX512BW, VL      */,
              BITS(1, 3)        /* AVX512_VBMI, UMIP, PKU           */
                  | BIT(6)      /* AVX512_VBMI2                     */
                  | BITS(8, 12) /* GFNI, VAES, VPCLMULQDQ, VNNI,
                                   BITALG                           */
                  | BIT(14)     /* AVX512_VPOPCNTDQ                 */
                  | BIT(22)     /* RDPID                            */
                  | BIT(25)     /* CLDEMOTE                         */
                  | BITS(27, 28) /* MOVDIRI, MOVDIR64B               */,
              BIT(4)             /* fast short REP MOV               */
                  | BIT(10)      /* MD_CLEAR                         */
                  | BIT(14)      /* SERIALIZE                        */
                  | BIT(23)      /* AVX512_FP16                      */
                  | BITS(26, 29) /* IBRS, STIBP, L1D_FLUSH,
                                    ARCH_CAPABILITIES                */
                  | BIT(31) /* SSBD                             */}},
    {LEAF_EXTENDED_FEATURES, .subleaf = 1,
     .keep = {BITS(4, 5)         /* AVX_VNNI, AVX512_BF16            */
                  | BITS(10, 12) /* fast REP MOVSB, STOSB, CMPSB     */
                  | BIT(23) /* AVX_IFMA                         */,
              0, 0,
              BITS(4, 5) /* AVX_VNNI_INT8, AVX_NE_CONVERT    */
                  | BIT(14) /* PREFETCHI                        */}},
    {LEAF_EXTENDED_FEATURES, .subleaf = 2,
     .keep = {0, 0, 0, BITS(0, 5) /* controls of speculation */}},
    {LEAF_XSAVE, .subleaf = 0, .keep = {XCR0_KEPT, ALL, ALL, 0}},
    {LEAF_XSAVE, .subleaf = 1,
     .keep = {BITS(0, 3) /* XSAVEOPT, XSAVEC, XGETBV, XSAVES */, ALL, 0, 0}},
    {LEAF_XSAVE, .any_subleaf = true, .keep = {ALL, ALL, ALL, ALL}},
    {LEAF_KVM, .keep = {ALL, ALL, ALL, ALL}},
    {LEAF_KVM_FEATURES,
     .keep = {BIT(1)            /* no delay for port I/O            */
                  | BITS(3, 7)  /* kvmclock, asynchronous page
                                   faults, stolen time, EOI, unhalt */
                  | BITS(9, 14) /* TLB flush, IPIs, poll control,
                                   yield, page fault interrupt      */
                  | BIT(24) /* kvmclock is stable               */,
              0, 0, 0}},
    {LEAF_AMD_MAX, .keep = {ALL, ALL, ALL, ALL}},
    {LEAF_AMD_FEATURES,
     .keep = {ALL, ALL,
              BIT(0)           /* LAHF in 64-bit mode              */
                  | BITS(4, 8) /* CR8, ABM, SSE4A, misaligned SSE,
                                  PREFETCHW                        */
                  | BIT(11)    /* XOP                              */
                  | BIT(16)    /* FMA4                             */
                  | BITS(21, 22) /* TBM, topology extensions         */,
              BITS(0, 6) | BITS(8, 9) | BITS(11, 13) | BITS(15, 17) |
                  BIT(20)        /* NX                               */
                  | BITS(22, 27) /* MMXEXT, MMX, FXSR, FFXSR, 1 GiB
                                    pages, RDTSCP                    */
                  | BIT(29) /* long mode                        */}},
    {0x80000002, .keep = {ALL, ALL, ALL, ALL}},
    {0x80000003, .keep = {ALL, ALL, ALL, ALL}},
    {0x80000004, .keep = {ALL, ALL, ALL, ALL}},
    {0x80000005, .keep = {ALL, ALL, ALL, ALL}},
    {0x80000006, .keep = {ALL, ALL, ALL, ALL}},
    {LEAF_AMD_SIZES,
     .keep = {ALL,
              BIT(0)             /* CLZERO                           */
                  | BIT(2)       /* XSAVE keeps error pointers       */
                  | BIT(9)       /* WBNOINVD                         */
                  | BIT(12)      /* IBPB                             */
                  | BITS(14, 18) /* IBRS, STIBP and their kinds      */
                  | BITS(24, 26) /* SSBD                             */
                  | BIT(28) /* PSFD                             */,
              0, 0}},
    {LEAF_AMD_CACHES, .any_subleaf = true, .keep = {ALL, ALL, ALL, ALL}},
    {LEAF_AMD_TOPOLOGY, .keep = {0, 0, 0, 0}},
    {0x80000021, .keep = {BIT(0)       /* no nested data breakpoints       */
                              | BIT(2) /* LFENCE serializes                */
                              | BIT(6) /* null selectors clear the base    */
                              | BIT(8) /* automatic IBRS                   */
                              | BITS(27, 31) /* SBPB, IBPB_BRTYPE, SRSO */,
                          0, 0, 0}},
};

/* The rule for (leaf, subleaf), the exact one first; NULL: not kept. */
static const struct rule *find_rule(const struct hv_cpuid *entry)
{
    const struct rule *found = NULL;

    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (rules[i].leaf != entry->leaf)
            continue;
        if (!rules[i].any_subleaf && rules[i].subleaf == entry->subleaf)
            return &rules[i];
        if (rules[i].any_subleaf)
            found = &rules[i];
    }
    return found;
}

const struct hv_cpuid *cpuid_find(const struct hv_cpuid_table *table,
                                  uint32_t leaf, uint32_t subleaf)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const struct hv_cpuid *entry = &table->entry[i];

        if (entry->leaf == leaf &&
            (!entry->has_subleaf || entry->subleaf == subleaf))
            return entry;
    }
    return NULL;
}

/* ----------------------------------------------------------------- policy */

/* Smallest n with 2^n >= (count). */
static uint32_t bits_for(uint32_t count)
{
    uint32_t bits = 0;

    while (count > UINT32_C(1) << bits)
        bits++;
    return bits;
}

static uint32_t round_up(uint32_t count)
{
    return UINT32_C(1) << bits_for(count);
}

/* How many processors share a cache of (level): all the third, one the
 * others; minus one, for EAX 25-14 of the leaves 4 and 0x8000001d. */
static uint32_t sharing(uint32_t eax, uint32_t vcpus)
{
    uint32_t level = eax >> 5 & 7;
    uint32_t shared = level >= 3 ? round_up(vcpus) - 1 : 0;

    return (eax & ~BITS(14, 25)) | shared << 14;
}

/* One socket of (vcpus) cores of one thread, leaf by leaf. */
static void put_topology(struct hv_cpuid *entry, uint32_t vcpus)
{
    uint32_t cores = round_up(vcpus);

    switch (entry->leaf) {
    case LEAF_FEATURES:
        entry->ebx |= (uint32_t)min_u64(cores, 255) << 16;
        entry->edx = (entry->edx & ~BIT(28)) | (vcpus > 1 ? BIT(28) : 0);
        return;
    case LEAF_CACHES:
        if (!(entry->eax & 31))
            return;
        entry->eax = sharing(entry->eax, vcpus) & ~BITS(26, 31);
        entry->eax |= (uint32_t)(min_u64(cores, 64) - 1) << 26;
        return;
    case LEAF_AMD_SIZES:
        entry->ecx = bits_for(vcpus) << 12 | (vcpus - 1);
        return;
    case LEAF_AMD_CACHES:
        if (entry->eax & 31)
            entry->eax = sharing(entry->eax, vcpus);
        return;
    default:
        return;
    }
}

/* Legacy name of "more than one core", which only AMD has. */
static bool is_amd(const struct hv_cpuid_table *table)
{
    const struct hv_cpuid *vendor = cpuid_find(table, LEAF_MAX, 0);

    return vendor && (vendor->ebx == 0x68747541      /* "Auth" enticAMD   */
                      || vendor->ebx == 0x6f677948); /* "Hygo" nGenuine */
}

/* The highest leaf of each range: the last that we write ourselves. */
static void put_limits(struct hv_cpuid *entry)
{
    switch (entry->leaf) {
    case LEAF_MAX:
        entry->eax = entry->eax >= LEAF_TOPOLOGY_2
                         ? LEAF_TOPOLOGY_2
                         : (uint32_t)min_u64(entry->eax, LEAF_XSAVE);
        return;
    case LEAF_EXTENDED_FEATURES:
        if (!entry->subleaf)
            entry->eax = (uint32_t)min_u64(entry->eax, 2);
        return;
    case LEAF_KVM:
        entry->eax = LEAF_KVM_FEATURES;
        return;
    case LEAF_AMD_MAX:
        entry->eax = (uint32_t)min_u64(entry->eax, 0x80000021);
        return;
    default:
        return;
    }
}

static void append(struct hv_cpuid_table *to, const struct hv_cpuid *entry)
{
    assert(to->count < HV_CPUID_MAX);
    to->entry[to->count++] = *entry;
}

/* Levels of leaf 0xb and 0x1f: thread, core, end. EDX is the backend's. */
static void append_topology(struct hv_cpuid_table *to, uint32_t leaf,
                            uint32_t vcpus)
{
    enum { THREAD = 1, CORE = 2 };
    struct hv_cpuid entry = {.leaf = leaf, .has_subleaf = true};

    entry.ebx = 1;
    entry.ecx = THREAD << 8;
    append(to, &entry);
    entry.subleaf = 1;
    entry.eax = bits_for(vcpus);
    entry.ebx = vcpus;
    entry.ecx = CORE << 8 | 1;
    append(to, &entry);
    entry.subleaf = 2;
    entry.eax = entry.ebx = 0;
    entry.ecx = 2;
    append(to, &entry);
}

/* XSAVE component (subleaf) 2 and up that XCR0_KEPT has not. */
static bool is_dropped_component(const struct hv_cpuid *entry)
{
    return entry->leaf == LEAF_XSAVE && entry->subleaf >= 2 &&
           (entry->subleaf > 31 || !(XCR0_KEPT & BIT(entry->subleaf)));
}

/* EBX and ECX of leaf 0xd: bytes of the largest area that the guest can have;
 * KVM keeps EBX at what XCR0 says. */
static void put_xsave_size(struct hv_cpuid_table *table)
{
    uint32_t bytes = XSAVE_LEGACY_BYTES;

    for (uint32_t i = 0; i < table->count; i++) {
        const struct hv_cpuid *entry = &table->entry[i];

        if (entry->leaf == LEAF_XSAVE && entry->subleaf >= 2 &&
            entry->eax + entry->ebx > bytes)
            bytes = entry->eax + entry->ebx;
    }
    for (uint32_t i = 0; i < table->count; i++)
        if (table->entry[i].leaf == LEAF_XSAVE && !table->entry[i].subleaf)
            table->entry[i].ebx = table->entry[i].ecx = bytes;
}

/* The instruction set that every x86_64 kernel takes for granted, APIC and
 * TSC included. */
static int check_needed(const struct hv_cpuid_table *table,
                        struct sm_error *err)
{
    const uint32_t needed = BIT(0) | BITS(4, 6) | BITS(8, 9) | BIT(13) |
                            BITS(15, 16) | BITS(24, 26);
    const struct hv_cpuid *basic = cpuid_find(table, LEAF_FEATURES, 0);
    const struct hv_cpuid *amd = cpuid_find(table, LEAF_AMD_FEATURES, 0);

    if (!basic || (basic->edx & needed) != needed || !amd ||
        !(amd->edx & BIT(29)))
        return fail(err, SM_ENOTSUP,
                    "CPUID: this hypervisor offers no 64-bit processor");
    return 0;
}

static void keep(struct hv_cpuid *entry, const struct rule *rule)
{
    entry->eax &= rule->keep[EAX];
    entry->ebx &= rule->keep[EBX];
    entry->ecx &= rule->keep[ECX];
    entry->edx &= rule->keep[EDX];
}

int cpuid_make(const struct hv_cpuid_table *host, uint32_t vcpus,
               struct hv_cpuid_table *ret, struct sm_error *err)
{
    const struct hv_cpuid *limit = cpuid_find(host, LEAF_MAX, 0);

    ret->count = 0;
    for (uint32_t i = 0; i < host->count; i++) {
        struct hv_cpuid entry = host->entry[i];
        const struct rule *rule = find_rule(&entry);

        if (!rule || is_dropped_component(&entry))
            continue;
        /* Six more are appended below. */
        if (ret->count + 6 >= HV_CPUID_MAX)
            return fail(err, SM_ENOTSUP, "CPUID: more than %d entries",
                        HV_CPUID_MAX);
        keep(&entry, rule);
        if (entry.leaf == LEAF_FEATURES)
            entry.ecx |= BIT(31); /* hypervisor */
        if (entry.leaf == LEAF_AMD_FEATURES && vcpus > 1 && is_amd(host))
            entry.ecx |= BIT(1);
        put_limits(&entry);
        put_topology(&entry, vcpus);
        append(ret, &entry);
    }
    if (limit && limit->eax >= LEAF_TOPOLOGY)
        append_topology(ret, LEAF_TOPOLOGY, vcpus);
    if (limit && limit->eax >= LEAF_TOPOLOGY_2)
        append_topology(ret, LEAF_TOPOLOGY_2, vcpus);
    put_xsave_size(ret);
    return check_needed(ret, err);
}

/* ------------------------------------------------------------------ check */

/* Registers of (entry) that must be the same on every host that continues the
 * machine, a bit each: the vendor, where XSAVE keeps a component, topology. */
static unsigned same_registers(const struct hv_cpuid *entry)
{
    switch (entry->leaf) {
    case LEAF_MAX:
        return 1 << EBX | 1 << ECX | 1 << EDX;
    case LEAF_XSAVE:
        return entry->subleaf >= 2 ? 1 << EAX | 1 << EBX : 0;
    case LEAF_TOPOLOGY:
    case LEAF_TOPOLOGY_2:
        return 1 << EAX | 1 << EBX | 1 << ECX;
    default:
        return 0;
    }
}

static int check_entry(const struct hv_cpuid *entry,
                       const struct hv_cpuid *offered, struct sm_error *err)
{
    static const char *const names[] = {"EAX", "EBX", "ECX", "EDX"};
    const struct rule *rule = find_rule(entry);
    const uint32_t has[] = {entry->eax, entry->ebx, entry->ecx, entry->edx};
    const uint32_t can[] = {offered->eax, offered->ebx, offered->ecx,
                            offered->edx};
    unsigned same = same_registers(entry);

    for (unsigned i = EAX; i <= EDX; i++) {
        bool features = rule && rule->keep[i] != ALL;

        if ((features && has[i] & ~can[i]) ||
            (same & 1u << i && has[i] != can[i]))
            return fail(err, SM_ENOTSUP,
                        "this processor cannot continue the machine: CPUID "
                        "%#x.%u %s was %#x, is at most %#x",
                        entry->leaf, entry->subleaf, names[i], has[i], can[i]);
    }
    return 0;
}

int cpuid_check(const struct hv_cpuid_table *table,
                const struct hv_cpuid_table *offered, struct sm_error *err)
{
    int rc = check_needed(table, err);

    for (uint32_t i = 0; i < table->count && !rc; i++) {
        const struct hv_cpuid *entry = &table->entry[i];
        const struct hv_cpuid *here =
            cpuid_find(offered, entry->leaf, entry->subleaf);

        if (!here || here->has_subleaf != entry->has_subleaf)
            rc = fail(err, SM_ENOTSUP,
                      "this processor cannot continue the machine: it lacks "
                      "CPUID %#x.%u",
                      entry->leaf, entry->subleaf);
        else
            rc = check_entry(entry, here, err);
    }
    return rc;
}
