/* pax_number.c: numbers in headers and extra records; see pax_number.h. */
#include "files/pax_number.h"

#include "base/bytes.h"

bool pax_field(const char *field, size_t length, int64_t *ret)
{
    const uint8_t *bytes = (const uint8_t *)field;
    uint64_t value = 0;
    size_t at = 0;

    if (bytes[0] & 0x80) {
        uint8_t fills = bytes[0] == 0xff ? 0xff : 0;

        if (bytes[0] != 0x80 && bytes[0] != 0xff)
            return false;
        for (at = 1; at < length; at++) {
            if (at + 8 < length && bytes[at] != fills)
                return false;
            value = value << 8 | bytes[at];
        }
        *ret = (int64_t)value;
        return (*ret < 0) == (fills != 0);
    }
    while (at < length && field[at] == ' ')
        at++;
    for (; at < length && field[at] && field[at] != ' '; at++) {
        if (field[at] < '0' || field[at] > '7' || value >> 60)
            return false;
        value = value << 3 | (uint64_t)(field[at] - '0');
    }
    *ret = (int64_t)value;
    return true;
}

bool pax_decimal(const char *text, size_t count, uint64_t most, uint64_t *ret)
{
    uint64_t value = 0;

    if (count == 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9' || !mul_u64(value, 10, &value) ||
            !add_u64(value, (uint64_t)(text[i] - '0'), &value))
            return false;
    }
    *ret = value;
    return value <= most;
}

bool pax_time(const char *text, size_t count, int64_t *seconds,
              uint32_t *ret_ns)
{
    bool before = count > 0 && text[0] == '-';
    uint64_t whole;
    uint32_t ns = 0;
    uint32_t unit = 100000000;
    size_t at;

    text += before;
    count -= before;
    for (at = 0; at < count && text[at] != '.'; at++)
        ;
    if (!pax_decimal(text, at, INT64_MAX - 1, &whole))
        return false;
    for (at++; at < count; at++) {
        if (text[at] < '0' || text[at] > '9')
            return false;
        ns += (uint32_t)(text[at] - '0') * unit;
        unit /= 10;
    }
    *seconds = before ? -(int64_t)whole - (ns > 0) : (int64_t)whole;
    *ret_ns = before && ns > 0 ? (uint32_t)NS_PER_S - ns : ns;
    return true;
}
