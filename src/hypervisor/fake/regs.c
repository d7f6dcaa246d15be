/* regs.c: registers by name, and a vcpu as a record; see fake.h.
 *
 * How it works
 *   The names that exist are a table in the order of the record of
 *   hypervisor/state.h; a vcpu has a value for each. So saving and loading are
 *   one walk over the table. The two blobs of the record are zero.
 */
#include "hypervisor/fake/inside.h"

#include "base/bytes.h"
#include "hypervisor/state.h"

#include <assert.h>
#include <string.h>

enum { FPU_BYTES = 576, LAPIC_BYTES = 1024, GROUPS = 9 };

struct group {
    enum hv_group group;
    unsigned count;
    const uint32_t *numbers; /* ascending; NULL: 0 to count - 1 */
};

static const uint32_t control[] = {HV_X86_CR0,      HV_X86_CR2, HV_X86_CR3,
                                   HV_X86_CR4,      HV_X86_CR8, HV_X86_EFER,
                                   HV_X86_APIC_BASE};
static const uint32_t debug[] = {0, 1, 2, 3, 6, 7};
static const uint32_t tsc[] = {HV_X86_TSC_KHZ};
/* MISC_ENABLE, PAT, MTRR_DEF_TYPE, then those of SYSCALL and GS. */
static const uint32_t msrs[] = {0x1a0,      0x277,      0x2ff,      0xc0000081,
                                0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102};
static const uint32_t events[] = {HV_X86_EVENT_EXCEPTION,
                                  HV_X86_EVENT_INTERRUPT, HV_X86_EVENT_SHADOW,
                                  HV_X86_EVENT_NMI, HV_X86_EVENT_SIPI};

static const struct group groups[GROUPS] = {
    {HV_X86_GENERAL, HV_X86_GENERAL_COUNT, NULL},
    {HV_X86_SEGMENTS, HV_X86_SEGMENT_COUNT, NULL},
    {HV_X86_CONTROL, ARRAY_LEN(control), control},
    {HV_X86_XCRS, 1, NULL}, /* and behind it the blob of the FPU */
    {HV_X86_DEBUG, ARRAY_LEN(debug), debug},
    {HV_X86_TSC, ARRAY_LEN(tsc), tsc},
    {HV_X86_MSRS, ARRAY_LEN(msrs), msrs}, /* ... of the local APIC */
    {HV_X86_EVENTS, ARRAY_LEN(events), events},
    {HV_POWER, 1, NULL},
};

_Static_assert(HV_X86_GENERAL_COUNT + HV_X86_SEGMENT_COUNT +
                       ARRAY_LEN(control) + 1 + ARRAY_LEN(debug) +
                       ARRAY_LEN(tsc) + ARRAY_LEN(msrs) + ARRAY_LEN(events) +
                       1 <=
                   FAKE_REGS,
               "registers");

static struct hv_reg *find(struct fake_vcpu *vcpu, uint32_t group,
                           uint32_t number)
{
    struct hv_reg *reg = vcpu->reg;

    for (unsigned i = 0; i < GROUPS; i++)
        for (unsigned k = 0; k < groups[i].count; k++, reg++)
            if (reg->group == group && reg->number == number)
                return reg;
    return NULL;
}

void fake_regs_reset(struct fake_vcpu *vcpu)
{
    struct hv_reg *reg = vcpu->reg;

    for (unsigned i = 0; i < GROUPS; i++)
        for (unsigned k = 0; k < groups[i].count; k++)
            *reg++ = (struct hv_reg){
                .group = groups[i].group,
                .number = groups[i].numbers ? groups[i].numbers[k] : k};
    find(vcpu, HV_X86_GENERAL, HV_X86_RIP)->value = 0xfff0;
    find(vcpu, HV_X86_GENERAL, HV_X86_RFLAGS)->value = 2;
    find(vcpu, HV_X86_XCRS, 0)->value = 1;
    find(vcpu, HV_X86_TSC, HV_X86_TSC_KHZ)->value = NS_PER_S / 1000;
    find(vcpu, HV_POWER, 0)->value =
        vcpu->base.id ? HV_POWER_OFF : HV_POWER_RUNNING;
}

static int unknown(const struct hv_vcpu *vcpu, const struct hv_reg *reg,
                   struct sm_error *err)
{
    return fail(err, SM_EINVAL, "vcpu %u: no register %#x in group %u",
                vcpu->id, reg->number, reg->group);
}

int fake_regs_get(struct hv_vcpu *vcpu, struct hv_reg *regs, unsigned count,
                  struct sm_error *err)
{
    for (unsigned i = 0; i < count; i++) {
        const struct hv_reg *own =
            find(fake_vcpu_of(vcpu), regs[i].group, regs[i].number);

        if (!own)
            return unknown(vcpu, &regs[i], err);
        regs[i] = *own;
    }
    return 0;
}

bool fake_reg(struct fake_script *script, uint32_t vcpu, struct hv_reg *reg)
{
    struct fake_vcpu *of;
    bool found;

    assert(vcpu < FAKE_VCPUS_MAX);
    pthread_mutex_lock(&script->lock);
    of = script->part[vcpu].vcpu;
    found = of && fake_regs_get(&of->base, reg, 1, NULL) == 0;
    pthread_mutex_unlock(&script->lock);
    return found;
}

int fake_regs_set(struct hv_vcpu *vcpu, const struct hv_reg *regs,
                  unsigned count, struct sm_error *err)
{
    for (unsigned i = 0; i < count; i++) {
        struct hv_reg *own =
            find(fake_vcpu_of(vcpu), regs[i].group, regs[i].number);

        if (!own || (own->group == HV_POWER && regs[i].value >= HV_POWER_COUNT))
            return unknown(vcpu, &regs[i], err);
        *own = regs[i];
    }
    return 0;
}

/* ---- records ---- */

static bool is_access(const struct hv_exit *exit)
{
    return exit->kind == HV_EXIT_PIO || exit->kind == HV_EXIT_MMIO ||
           exit->kind == HV_EXIT_MSR;
}

static bool is_unfinished(struct fake_vcpu *vcpu)
{
    struct fake_part *part = &vcpu->script->part[vcpu->base.id];
    bool unfinished;

    pthread_mutex_lock(&vcpu->script->lock);
    unfinished =
        part->unfinished && is_access(&part->step[part->next - 1].exit);
    pthread_mutex_unlock(&vcpu->script->lock);
    return unfinished;
}

int fake_vcpu_save(struct hv_vcpu *base, struct buf *to, struct sm_error *err)
{
    static const uint8_t zero[LAPIC_BYTES];
    struct fake_vcpu *vcpu = fake_vcpu_of(base);
    const struct hv_reg *reg = vcpu->reg;

    if (is_unfinished(vcpu))
        return fail(err, SM_ESTATE, "vcpu %u: an access is not finished",
                    base->id);
    state_put_header(to);
    for (unsigned i = 0; i < GROUPS; i++) {
        state_put_list(to, groups[i].group, reg, groups[i].count);
        reg += groups[i].count;
        if (groups[i].group == HV_X86_XCRS)
            state_put_blob(to, HV_X86_FPU, zero, FPU_BYTES);
        if (groups[i].group == HV_X86_MSRS)
            state_put_blob(to, HV_X86_LAPIC, zero, LAPIC_BYTES);
    }
    return to->failed ? fail(err, SM_ENOMEM, "vcpu %u: state", base->id) : 0;
}

/* One group, with exactly the registers that it has, into (regs). */
static int read_group(struct wire_reader *from, const struct group *group,
                      struct hv_reg *regs, struct sm_error *err)
{
    unsigned count = 0;
    const uint8_t *blob;
    size_t bytes;
    int rc =
        state_get_list(from, group->group, regs, group->count, &count, err);

    if (rc)
        return rc;
    for (unsigned i = 0; i < group->count; i++)
        if (count != group->count ||
            regs[i].number != (group->numbers ? group->numbers[i] : i))
            return fail(err, SM_EPROTO, "vcpu state: group %d is not ours",
                        group->group);
    if (group->group == HV_X86_XCRS)
        rc = state_get_blob(from, HV_X86_FPU, &blob, &bytes, err);
    if (group->group == HV_X86_MSRS)
        rc = state_get_blob(from, HV_X86_LAPIC, &blob, &bytes, err);
    return rc;
}

int fake_vcpu_load(struct hv_vcpu *base, struct wire_reader *from,
                   struct sm_error *err)
{
    struct hv_reg loaded[FAKE_REGS] = {0};
    struct hv_reg *regs = loaded;
    int rc = state_get_header(from, err);

    for (unsigned i = 0; i < GROUPS && !rc; i++) {
        rc = read_group(from, &groups[i], regs, err);
        regs += groups[i].count;
    }
    if (!rc && regs[-1].value >= HV_POWER_COUNT)
        rc = fail(err, SM_EPROTO, "vcpu state: power %llu",
                  (unsigned long long)regs[-1].value);
    if (rc)
        return wrap(err, rc, "vcpu %u", base->id);
    memcpy(fake_vcpu_of(base)->reg, loaded, sizeof loaded);
    return 0;
}
