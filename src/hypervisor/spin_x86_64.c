/* spin_x86_64.c: the loop of the soundness probe; see spin.h. */
#include "hypervisor/spin.h"

/* Real mode, CPL 0. The port is one that nothing answers at. */
const uint8_t hv_spin_code[] = {
    0x66, 0x49,         /* again: dec ecx */
    0x75, 0xfc,         /* jnz again      */
    0xe6, HV_SPIN_PORT, /* out port, al */
};
const size_t hv_spin_bytes = sizeof hv_spin_code;

enum {
    CODE = 0x9b, /* present, code, readable, accessed */
    DATA = 0x93, /* present, data, writable, accessed */
    FLAGS = 0x2, /* the bit of RFLAGS that is always set */
    CR0_RESET = 0x60000010
};

unsigned hv_spin_entry(struct gpa page, uint32_t turns,
                       struct hv_reg regs[HV_SPIN_REGS])
{
    uint16_t selector = (uint16_t)(page.v >> 4);
    const struct hv_reg entry[] = {
        hv_x86_segment(HV_X86_CS, selector, page.v, 0xffff, CODE),
        hv_x86_segment(HV_X86_DS, selector, page.v, 0xffff, DATA),
        {HV_X86_CONTROL, HV_X86_CR0, CR0_RESET, 0},
        {HV_X86_GENERAL, HV_X86_RCX, turns, 0},
        {HV_X86_GENERAL, HV_X86_RIP, 0, 0},
        {HV_X86_GENERAL, HV_X86_RFLAGS, FLAGS, 0},
    };

    _Static_assert(sizeof entry / sizeof entry[0] == HV_SPIN_REGS,
                   "hv_spin_entry");
    for (unsigned i = 0; i < HV_SPIN_REGS; i++)
        regs[i] = entry[i];
    return HV_SPIN_REGS;
}

bool hv_spin_ended(const struct hv_exit *exit)
{
    return exit->kind == HV_EXIT_PIO && exit->pio.write &&
           exit->pio.port == HV_SPIN_PORT;
}
