/* device.h: what a device is to the machine that carries it.
 *
 * How it works
 *   A device is a window of registers on a bus plus plain state. Each embeds a
 *   `struct device` and is made by its own X_new() with a configuration that
 *   holds everything it may reach: guest memory, interrupt lines, callbacks,
 *   a log. It never sees a hypervisor, never looks for anything itself.
 *
 *   new -> (load) -> reads and writes -> (save) -> free
 *
 * State
 *   What a guest can tell apart is plain data, kept in one `struct X_state`
 *   apart from run-time handles, and goes through save and load. save writes
 *   it into a record; load takes a record that anybody may have written,
 *   checks every field, and either takes all of it or fails and leaves the
 *   device as it was. Host ends (files, sockets, sinks) are not in the record:
 *   the machine gives them anew.
 *
 * Threads
 *   read and write come from any vcpu's thread, several at once: a device
 *   locks for itself. They do not block on anything that a guest or a peer
 *   could make slow. save, load, reset and free come while no vcpu runs and
 *   no other thread uses the device; a device that was given a loop is freed
 *   on that loop's thread.
 *
 * Guests
 *   No access is an error of ours: odd sizes, unknown offsets and senseless
 *   values read as something and write nothing.
 */
#ifndef SM_DEVICES_DEVICE_H
#define SM_DEVICES_DEVICE_H

#include "base/error.h"
#include "base/wire.h"

struct device;

/* One kind of device. All entries are mandatory. */
struct device_ops {
    const char *name; /* in records and log lines: "serial" */
    uint32_t version; /* of the record; load refuses others  */
    /* (bytes) is 1, 2, 4 or 8; (offset) + (bytes) lies within the window. */
    uint64_t (*read)(struct device *device, uint64_t offset, unsigned bytes);
    void (*write)(struct device *device, uint64_t offset, unsigned bytes,
                  uint64_t value);
    /* As after power on. */
    void (*reset)(struct device *device);
    void (*save)(struct device *device, struct buf *to);
    int (*load)(struct device *device, struct wire_reader *from,
                struct sm_error *err);
    void (*free)(struct device *device);
};

struct device {
    const struct device_ops *ops;
};

/* The struct of (type) in which (pointer) is the member (member). */
#define CONTAINER_OF(pointer, type, member)                                    \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

void device_reset(struct device *device);
/* Append the device's record: its name, version and state. Failure shows in
 * (to). */
void device_save(struct device *device, struct buf *to);
/* Take a record of device_save(). Errors: SM_EIMAGE (of another device or
 * version, truncated, or with a value that no guest could have caused),
 * SM_ENOMEM. */
int device_load(struct device *device, struct wire_reader *from,
                struct sm_error *err);
/* NULL is fine. */
void device_free(struct device *device);

#endif
