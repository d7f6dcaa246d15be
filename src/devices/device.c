/* device.c: the records of devices; see device.h. */
#include "devices/device.h"

#include <string.h>

enum { RECORD_CAP = 64 << 20 };

void device_reset(struct device *device)
{
    device->ops->reset(device);
}

void device_save(struct device *device, struct buf *to)
{
    struct buf state;

    buf_init(&state, RECORD_CAP);
    device->ops->save(device, &state);
    wire_put_string(to, device->ops->name);
    wire_put_u32(to, device->ops->version);
    wire_put_blob(to, state.data, state.size);
    to->failed |= state.failed;
    buf_done(&state);
}

int device_load(struct device *device, struct wire_reader *from,
                struct sm_error *err)
{
    const struct device_ops *ops = device->ops;
    struct wire_reader state;
    const uint8_t *name;
    const uint8_t *bytes;
    size_t name_bytes;
    size_t count;
    uint32_t version;
    int rc;

    name = wire_blob(from, &name_bytes);
    version = wire_u32(from);
    bytes = wire_blob(from, &count);
    if (!wire_ok(from))
        return fail(err, SM_EIMAGE, "%s: record is cut off", ops->name);
    if (name_bytes != strlen(ops->name) ||
        memcmp(name, ops->name, name_bytes) != 0)
        return fail(err, SM_EIMAGE, "%s: record of another device", ops->name);
    if (version != ops->version)
        return fail(err, SM_EIMAGE, "%s: record of version %u, not %u",
                    ops->name, version, ops->version);
    wire_read(&state, bytes, count);
    rc = ops->load(device, &state, err);
    return rc ? wrap(err, rc, "%s", ops->name) : 0;
}

void device_free(struct device *device)
{
    if (device)
        device->ops->free(device);
}
