/* cpuid.h: what the guest's CPUID instruction says.
 *
 * How it works
 *   The start is what processor and hypervisor offer (hv_cpuid_get). From
 *   that, a table of ours keeps what we have thought about, leaf by leaf and
 *   bit by bit; everything else is zero or absent, also what processors of
 *   the future will bring. So a snapshot depends on nothing but what stands in
 *   that table, and a bit gets in only when its state is saved and restored.
 *   On top come: the hypervisor bit, the TSC-deadline timer, and a topology
 *   of one socket with (vcpus) cores of one thread.
 *
 *   Left out on purpose: nested virtualization (VMX, SVM), performance
 *   counters, transactional memory, AMX, CET, SGX, PT, MONITOR, 5-level
 *   paging, and the invariant TSC: without that promise Linux keeps kvmclock,
 *   which is right also after a restore on a host of another frequency.
 */
#ifndef SM_ARCH_X86_64_CPUID_H
#define SM_ARCH_X86_64_CPUID_H

#include "hypervisor/hv.h"

/* Goes up when a change of the table takes something away. */
enum { CPUID_POLICY_VERSION = 1 };

/* (host) -> (ret) for a machine with (vcpus) processors, 1 to 255. APIC ids
 * are left zero: the backend puts them in. SM_ENOTSUP: the host lacks what
 * every guest kernel needs. */
int cpuid_make(const struct hv_cpuid_table *host, uint32_t vcpus,
               struct hv_cpuid_table *ret, struct sm_error *err);

/* Everything that (table) promises is in (offered), which is what cpuid_make()
 * gives on this host; else SM_ENOTSUP with the first leaf and what is missing.
 */
int cpuid_check(const struct hv_cpuid_table *table,
                const struct hv_cpuid_table *offered, struct sm_error *err);

/* The entry, or NULL. (subleaf) counts only where the leaf has them. */
const struct hv_cpuid *cpuid_find(const struct hv_cpuid_table *table,
                                  uint32_t leaf, uint32_t subleaf);

#endif
