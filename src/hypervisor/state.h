/* state.h: a vcpu's saved state as a record.
 *
 * How it works
 *   x86_64, everything little-endian:
 *
 *     u32 version, u32 number of groups, then each group in the order of the
 *     architecture's backends, which all write the same:
 *       list  u32 group, u32 count, count * { u32 number, u64 value, u64 high }
 *             with ascending numbers
 *       blob  u32 group, u32 bytes, bytes
 *
 *     general, segments, control, XCRs, FPU (blob), debug, TSC, MSRs, local
 *     APIC (blob), events, power.
 *
 *   aarch64, as the first supermachine wrote it, so that it means the same on
 *   every backend: u64 offset of the virtual counter; six u32 counts (general,
 *   SIMD, system, ICC, redistributor, ICH), 32 bytes together; then the six
 *   lists of { u32 number, u64 value }, values of SIMD with 16 bytes.
 *
 *   A record may come from anybody: counts are checked against what the
 *   reader has room for, and nothing is set aside by what a record claims.
 */
#ifndef SM_HYPERVISOR_STATE_H
#define SM_HYPERVISOR_STATE_H

#include "base/error.h"
#include "base/wire.h"
#include "hypervisor/regs.h"

enum { STATE_X86_VERSION = 1, STATE_X86_GROUPS = 11 };

void state_put_header(struct buf *to);
void state_put_list(struct buf *to, enum hv_group group,
                    const struct hv_reg *regs, unsigned count);
void state_put_blob(struct buf *to, enum hv_group group, const void *bytes,
                    size_t count);

/* All return 0 or SM_EPROTO with what is wrong; the header SM_ENOTSUP for
 * another version. */
int state_get_header(struct wire_reader *from, struct sm_error *err);
/* At most (max) registers into (regs), *count of them. */
int state_get_list(struct wire_reader *from, enum hv_group group,
                   struct hv_reg *regs, unsigned max, unsigned *count,
                   struct sm_error *err);
/* *bytes is a view into the record. */
int state_get_blob(struct wire_reader *from, enum hv_group group,
                   const uint8_t **bytes, size_t *count, struct sm_error *err);

#endif
