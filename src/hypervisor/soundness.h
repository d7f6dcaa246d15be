/* soundness.h: does this host run guest kernel code, or interpret it?
 *
 * How it works
 *   There are hosts whose /dev/kvm opens and answers, yet executes the guest's
 *   kernel mode by interpreting it, 0.6 us per instruction: no Linux boots
 *   there. Nothing that such a host says tells it apart; its speed does. So a
 *   loop of 20 000 turns (two instructions each, ring 0) is run and timed:
 *   some 0.02 ms on a processor, 0.2 to 3 under an emulator that emulates
 *   hardware virtualization, 16 to 25 where it is interpreted. The limit is 6
 * ms. Time is the processor time of the thread, best of eight where the first
 *   is over the limit, so that a busy host is not taken for a bad one.
 */
#ifndef SM_HYPERVISOR_SOUNDNESS_H
#define SM_HYPERVISOR_SOUNDNESS_H

#include "hypervisor/hv.h"

enum { HV_SOUND_TURNS = 20000 };
#define HV_SOUND_LIMIT_NS (6 * UINT64_C(1000000))

struct hv_soundness {
    uint64_t ns; /* for all turns, the best that was measured */
    bool sound;
};

/*
 * In a throw-away machine of (hv). 0 with a verdict, or why there is none
 * (SM_ENOHV, SM_EACCES, ...). Where one_vm_per_process holds, no other
 * machine may exist.
 */
int hv_soundness(const struct hv_ops *hv, int device_fd,
                 struct hv_soundness *ret, struct sm_error *err);

/*
 * On a vcpu that has not run yet, for a worker that has its machine already:
 * 4 KiB of RAM at (page), below 1 MiB, are borrowed and put back. Registers
 * are left as they come: give the vcpu its first state afterwards.
 */
int hv_soundness_vcpu(struct hv_vcpu *vcpu, const struct gmem *mem,
                      struct gpa page, struct hv_soundness *ret,
                      struct sm_error *err);

/* SM_ENOHV with what it means and the way out, if (soundness) is not sound. */
int hv_soundness_check(const struct hv_soundness *soundness,
                       struct sm_error *err);

#endif
