/* power.c: off and reboot; see power.h. */
#include "devices/power.h"

#include "base/own.h"

struct power {
    struct device device;
    power_fn *fn;
    void *context;
};

enum {
    SLEEP_TYPE_SHIFT = 2, /* SLP_TYP: bits 4..2 of sleep control */
    SLEEP_TYPE_MASK = 7
};

static uint64_t power_read(struct device *device, uint64_t offset,
                           unsigned bytes)
{
    /* Both control registers are write-only in effect (ACPI 6.4, table 4.16);
     * the status has never seen a wake. */
    (void)device;
    (void)offset;
    (void)bytes;
    return 0;
}

static void power_write(struct device *device, uint64_t offset, unsigned bytes,
                        uint64_t value)
{
    struct power *power = CONTAINER_OF(device, struct power, device);

    if (bytes != 1)
        return;
    if (offset == POWER_SLEEP_CONTROL && value & POWER_SLEEP_ENABLE &&
        (value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK) == POWER_S5_TYPE)
        power->fn(power->context, POWER_EVENT_OFF);
    else if (offset == POWER_RESET && value == POWER_RESET_VALUE)
        power->fn(power->context, POWER_EVENT_REBOOT);
}

static void power_reset(struct device *device)
{
    (void)device;
}

static void power_save(struct device *device, struct buf *to)
{
    (void)device;
    (void)to;
}

static int power_load(struct device *device, struct wire_reader *from,
                      struct sm_error *err)
{
    (void)device;
    return wire_end(from) ? 0 : fail(err, SM_EIMAGE, "record is not empty");
}

static void power_free(struct device *device)
{
    free(CONTAINER_OF(device, struct power, device));
}

static const struct device_ops power_ops = {
    .name = "power",
    .version = 1,
    .read = power_read,
    .write = power_write,
    .reset = power_reset,
    .save = power_save,
    .load = power_load,
    .free = power_free,
};

int power_new(power_fn *fn, void *context, struct power **ret,
              struct sm_error *err)
{
    struct power *power = calloc(1, sizeof *power);

    if (!power)
        return fail(err, SM_ENOMEM, "power: out of memory");
    power->device.ops = &power_ops;
    power->fn = fn;
    power->context = context;
    *ret = power;
    return 0;
}

struct device *power_device(struct power *power)
{
    return &power->device;
}
