/* pvpanic.h: the guest's kernel tells that it panicked.
 *
 * One register of one byte, on x86 a port, described to the guest as the ACPI
 * device "QEMU0001" (QEMU docs/specs/pvpanic). Reading tells which events are
 * understood, writing reports events.
 */
#ifndef SM_DEVICES_PVPANIC_H
#define SM_DEVICES_PVPANIC_H

#include "devices/device.h"

enum {
    PVPANIC_PORT = 0x505,
    PVPANIC_BYTES = 1,
    PVPANIC_PANICKED = 1, /* the kernel panicked */
    PVPANIC_CRASHLOAD = 2 /* the kernel panicked and starts its crash kernel */
};

struct pvpanic;

/* (events): PVPANIC_* that the guest reported, at least one. On the vcpu's
 * thread; must not block. */
typedef void pvpanic_fn(void *context, unsigned events);

int pvpanic_new(pvpanic_fn *fn, void *context, struct pvpanic **ret,
                struct sm_error *err);
struct device *pvpanic_device(struct pvpanic *pvpanic);

#endif
