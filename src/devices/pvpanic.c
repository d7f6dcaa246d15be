/* pvpanic.c: the guest's kernel tells that it panicked; see pvpanic.h. */
#include "devices/pvpanic.h"

#include "base/own.h"

struct pvpanic {
    struct device device;
    pvpanic_fn *fn;
    void *context;
};

enum { EVENTS = PVPANIC_PANICKED | PVPANIC_CRASHLOAD };

static uint64_t pvpanic_read(struct device *device, uint64_t offset,
                             unsigned bytes)
{
    (void)device;
    (void)offset;
    (void)bytes;
    return EVENTS;
}

static void pvpanic_write(struct device *device, uint64_t offset,
                          unsigned bytes, uint64_t value)
{
    struct pvpanic *pvpanic = CONTAINER_OF(device, struct pvpanic, device);

    (void)offset;
    (void)bytes;
    if (value & EVENTS)
        pvpanic->fn(pvpanic->context, (unsigned)value & EVENTS);
}

static void pvpanic_reset(struct device *device)
{
    (void)device;
}

static void pvpanic_save(struct device *device, struct buf *to)
{
    (void)device;
    (void)to;
}

static int pvpanic_load(struct device *device, struct wire_reader *from,
                        struct sm_error *err)
{
    (void)device;
    return wire_end(from) ? 0 : fail(err, SM_EIMAGE, "record is not empty");
}

static void pvpanic_free(struct device *device)
{
    free(CONTAINER_OF(device, struct pvpanic, device));
}

static const struct device_ops pvpanic_ops = {
    .name = "pvpanic",
    .version = 1,
    .read = pvpanic_read,
    .write = pvpanic_write,
    .reset = pvpanic_reset,
    .save = pvpanic_save,
    .load = pvpanic_load,
    .free = pvpanic_free,
};

int pvpanic_new(pvpanic_fn *fn, void *context, struct pvpanic **ret,
                struct sm_error *err)
{
    struct pvpanic *pvpanic = calloc(1, sizeof *pvpanic);

    if (!pvpanic)
        return fail(err, SM_ENOMEM, "pvpanic: out of memory");
    pvpanic->device.ops = &pvpanic_ops;
    pvpanic->fn = fn;
    pvpanic->context = context;
    *ret = pvpanic;
    return 0;
}

struct device *pvpanic_device(struct pvpanic *pvpanic)
{
    return &pvpanic->device;
}
