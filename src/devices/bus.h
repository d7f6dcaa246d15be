/* bus.h: an address space and the devices in it: MMIO, or x86 port I/O.
 *
 * Ranges are added while the machine is built and stay until it is gone, so
 * accesses need no lock. An access belongs to a device if all of its bytes lie
 * in one range. Everything else is a hole: reads give all ones, writes go
 * nowhere, like on a PC.
 */
#ifndef SM_DEVICES_BUS_H
#define SM_DEVICES_BUS_H

#include "devices/device.h"

enum { BUS_RANGES_MAX = 96 };
#define BUS_PORT_BYTES UINT64_C(0x10000) /* x86 port space */

struct bus_range {
    uint64_t at;
    uint64_t bytes;
    struct device *device;
};

/* Ranges sorted by address, without overlaps. */
struct bus {
    const char *name; /* "mmio" or "port", for messages */
    uint64_t end;     /* first address behind the space  */
    unsigned count;
    struct bus_range range[BUS_RANGES_MAX];
};

void bus_init(struct bus *bus, const char *name, uint64_t end);

/*
 * Put (device) at [at, at + bytes); its offsets count from (at). The device
 * stays the caller's and may have several ranges.
 * Errors: SM_EINVAL (empty or outside), SM_EEXIST (overlap), SM_ELIMIT.
 */
int bus_add(struct bus *bus, uint64_t at, uint64_t bytes, struct device *device,
            struct sm_error *err);

/* Any vcpu thread. (bytes) is 1 .. 8; only 1, 2, 4 and 8 reach a device.
 * Return whether a device answered. */
bool bus_read(const struct bus *bus, uint64_t at, unsigned bytes,
              uint64_t *value);
bool bus_write(const struct bus *bus, uint64_t at, unsigned bytes,
               uint64_t value);

#endif
