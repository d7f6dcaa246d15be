/* records.h: a device through its record and back. */
#ifndef SM_TESTS_RECORDS_H
#define SM_TESTS_RECORDS_H

#include "devices/device.h"

/* Save, take (cut) bytes off the end, change byte (flip) unless there is no
 * such byte, load; the result. */
static inline int save_and_load(struct device *device, size_t cut, size_t flip)
{
    struct wire_reader from;
    struct buf record;
    int rc;

    buf_init(&record, 1 << 20);
    device_save(device, &record);
    if (flip < record.size)
        record.data[flip] ^= 0xff;
    wire_read(&from, record.data, record.size - cut);
    rc = device_load(device, &from, NULL);
    buf_done(&record);
    return rc;
}

#endif
