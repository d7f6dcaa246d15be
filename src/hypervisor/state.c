/* state.c: a vcpu's saved state as a record; see state.h. */
#include "hypervisor/state.h"

enum { ENTRY_BYTES = 4 + 8 + 8 };

void state_put_header(struct buf *to)
{
    wire_put_u32(to, STATE_X86_VERSION);
    wire_put_u32(to, STATE_X86_GROUPS);
}

void state_put_list(struct buf *to, enum hv_group group,
                    const struct hv_reg *regs, unsigned count)
{
    wire_put_u32(to, group);
    wire_put_u32(to, count);
    for (unsigned i = 0; i < count; i++) {
        wire_put_u32(to, regs[i].number);
        wire_put_u64(to, regs[i].value);
        wire_put_u64(to, regs[i].high);
    }
}

void state_put_blob(struct buf *to, enum hv_group group, const void *bytes,
                    size_t count)
{
    wire_put_u32(to, group);
    wire_put_blob(to, bytes, count);
}

int state_get_header(struct wire_reader *from, struct sm_error *err)
{
    uint32_t version = wire_u32(from);
    uint32_t groups = wire_u32(from);

    if (!wire_ok(from))
        return fail(err, SM_EPROTO, "vcpu state: truncated");
    if (version != STATE_X86_VERSION)
        return fail(err, SM_ENOTSUP, "vcpu state of version %u: this is %d",
                    version, STATE_X86_VERSION);
    if (groups != STATE_X86_GROUPS)
        return fail(err, SM_EPROTO, "vcpu state of %u groups: %d", groups,
                    STATE_X86_GROUPS);
    return 0;
}

static int get_group(struct wire_reader *from, enum hv_group group,
                     struct sm_error *err)
{
    uint32_t found = wire_u32(from);

    if (!wire_ok(from))
        return fail(err, SM_EPROTO, "vcpu state: truncated before group %d",
                    group);
    if (found != (uint32_t)group)
        return fail(err, SM_EPROTO, "vcpu state: group %u in place of %d",
                    found, group);
    return 0;
}

int state_get_list(struct wire_reader *from, enum hv_group group,
                   struct hv_reg *regs, unsigned max, unsigned *count,
                   struct sm_error *err)
{
    int rc = get_group(from, group, err);
    uint32_t claimed;

    if (rc)
        return rc;
    claimed = wire_u32(from);
    if (claimed > max || from->left / ENTRY_BYTES < claimed)
        return fail(err, SM_EPROTO, "vcpu state: group %d of %u registers",
                    group, claimed);
    for (uint32_t i = 0; i < claimed; i++) {
        regs[i].group = group;
        regs[i].number = wire_u32(from);
        regs[i].value = wire_u64(from);
        regs[i].high = wire_u64(from);
        if (i && regs[i].number <= regs[i - 1].number)
            return fail(err, SM_EPROTO,
                        "vcpu state: group %d is out of order at %#x", group,
                        regs[i].number);
    }
    *count = claimed;
    return 0;
}

int state_get_blob(struct wire_reader *from, enum hv_group group,
                   const uint8_t **bytes, size_t *count, struct sm_error *err)
{
    int rc = get_group(from, group, err);

    if (rc)
        return rc;
    *bytes = wire_blob(from, count);
    if (!*bytes)
        return fail(err, SM_EPROTO, "vcpu state: group %d is truncated", group);
    return 0;
}
