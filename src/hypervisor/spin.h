/* spin.h: machine code of the soundness probe; one file per architecture. */
#ifndef SM_HYPERVISOR_SPIN_H
#define SM_HYPERVISOR_SPIN_H

#include "hypervisor/hv.h"

enum {
    HV_SPIN_REGS = 6,
    HV_SPIN_PORT = 0x21 /* where x86 says that it is through */
};

/* Position-independent: a loop in the most privileged mode, two instructions a
 * turn, then an exit for which hv_spin_ended() holds. */
extern const uint8_t hv_spin_code[];
extern const size_t hv_spin_bytes;

/* Registers that start the code at (page) for (turns). */
unsigned hv_spin_entry(struct gpa page, uint32_t turns,
                       struct hv_reg regs[HV_SPIN_REGS]);
bool hv_spin_ended(const struct hv_exit *exit);

#endif
