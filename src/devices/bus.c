/* bus.c: an address space and the devices in it; see bus.h. */
#include "devices/bus.h"

#include "base/bytes.h"

void bus_init(struct bus *bus, const char *name, uint64_t end)
{
    *bus = (struct bus){.name = name, .end = end};
}

/* The number of ranges that begin at or below (at). */
static unsigned ranges_below(const struct bus *bus, uint64_t at)
{
    unsigned low = 0;
    unsigned high = bus->count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (bus->range[middle].at <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int bus_add(struct bus *bus, uint64_t at, uint64_t bytes, struct device *device,
            struct sm_error *err)
{
    unsigned place = ranges_below(bus, at);
    uint64_t end;

    if (!bytes || !add_u64(at, bytes, &end) || end > bus->end)
        return fail(err, SM_EINVAL, "%s bus: %#llx bytes at %#llx for %s",
                    bus->name, (unsigned long long)bytes,
                    (unsigned long long)at, device->ops->name);
    if (bus->count == BUS_RANGES_MAX)
        return fail(err, SM_ELIMIT, "%s bus: more than %d ranges", bus->name,
                    BUS_RANGES_MAX);
    if ((place &&
         bus->range[place - 1].at + bus->range[place - 1].bytes > at) ||
        (place < bus->count && bus->range[place].at < end))
        return fail(err, SM_EEXIST, "%s bus: %#llx for %s is taken", bus->name,
                    (unsigned long long)at, device->ops->name);
    for (unsigned i = bus->count++; i > place; i--)
        bus->range[i] = bus->range[i - 1];
    bus->range[place] =
        (struct bus_range){.at = at, .bytes = bytes, .device = device};
    return 0;
}

static const struct bus_range *find(const struct bus *bus, uint64_t at,
                                    unsigned bytes)
{
    const struct bus_range *range;
    unsigned place = ranges_below(bus, at);

    if (!place || (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8))
        return NULL;
    range = &bus->range[place - 1];
    if (at - range->at >= range->bytes ||
        bytes > range->bytes - (at - range->at))
        return NULL;
    return range;
}

/* Cut (value) to (bytes), 1 .. 8. */
static uint64_t low_bytes(uint64_t value, unsigned bytes)
{
    return bytes < 8 ? value & ((UINT64_C(1) << 8 * bytes) - 1) : value;
}

bool bus_read(const struct bus *bus, uint64_t at, unsigned bytes,
              uint64_t *value)
{
    const struct bus_range *range = find(bus, at, bytes);

    *value = UINT64_MAX;
    if (range)
        *value = range->device->ops->read(range->device, at - range->at, bytes);
    *value = low_bytes(*value, bytes);
    return range != NULL;
}

bool bus_write(const struct bus *bus, uint64_t at, unsigned bytes,
               uint64_t value)
{
    const struct bus_range *range = find(bus, at, bytes);

    if (range)
        range->device->ops->write(range->device, at - range->at, bytes,
                                  low_bytes(value, bytes));
    return range != NULL;
}
