/* power.h: how the guest switches itself off or starts itself anew.
 *
 * Three registers of one byte for a hardware-reduced ACPI machine (ACPI 6.4,
 * 4.8.3.7): sleep control, sleep status and the reset register. On x86 they
 * are ports; the FADT points to them with the constants below, and the DSDT
 * says that S5 is sleep type 5.
 */
#ifndef SM_DEVICES_POWER_H
#define SM_DEVICES_POWER_H

#include "devices/device.h"

enum {
    POWER_PORT = 0x600,
    POWER_BYTES = 3,
    POWER_SLEEP_CONTROL = 0, /* offsets in the window */
    POWER_SLEEP_STATUS = 1,
    POWER_RESET = 2,
    POWER_S5_TYPE = 5,     /* SLP_TYP of soft off, in bits 4..2 */
    POWER_RESET_VALUE = 1, /* RESET_VALUE of the FADT */
    POWER_SLEEP_ENABLE = 0x20
};

struct power;

enum power_event { POWER_EVENT_OFF, POWER_EVENT_REBOOT };

/* On the vcpu's thread; must not block. May come more than once. */
typedef void power_fn(void *context, enum power_event event);

int power_new(power_fn *fn, void *context, struct power **ret,
              struct sm_error *err);
struct device *power_device(struct power *power);

#endif
