/* bytes.h: little-endian loads and stores at any alignment, overflow-checked
 * sums, alignment, array length. */
#ifndef SM_BASE_BYTES_H
#define SM_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof(a)[0])

#define KIB          (UINT64_C(1) << 10)
#define MIB          (UINT64_C(1) << 20)
#define GIB          (UINT64_C(1) << 30)

#define NS_PER_MS    UINT64_C(1000000)
#define NS_PER_S     UINT64_C(1000000000)

static inline uint16_t load_le16(const void *from)
{
    const uint8_t *p = from;

    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t load_le32(const void *from)
{
    const uint8_t *p = from;

    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static inline uint64_t load_le64(const void *from)
{
    const uint8_t *p = from;

    return load_le32(p) | (uint64_t)load_le32(p + 4) << 32;
}

static inline void store_le16(void *to, uint16_t value)
{
    uint8_t *p = to;

    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static inline void store_le32(void *to, uint32_t value)
{
    uint8_t *p = to;

    store_le16(p, (uint16_t)value);
    store_le16(p + 2, (uint16_t)(value >> 16));
}

static inline void store_le64(void *to, uint64_t value)
{
    uint8_t *p = to;

    store_le32(p, (uint32_t)value);
    store_le32(p + 4, (uint32_t)(value >> 32));
}

/* True and *sum = a + b, or false if that does not fit. */
static inline bool add_u64(uint64_t a, uint64_t b, uint64_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

/* True and *product = a * b, or false if that does not fit. */
static inline bool mul_u64(uint64_t a, uint64_t b, uint64_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

/* (granule) is a power of two. */
static inline bool is_aligned(uint64_t value, uint64_t granule)
{
    return (value & (granule - 1)) == 0;
}

static inline uint64_t align_down(uint64_t value, uint64_t granule)
{
    return value & ~(granule - 1);
}

/* The caller knows that (value) + (granule) fits. */
static inline uint64_t align_up(uint64_t value, uint64_t granule)
{
    return align_down(value + granule - 1, granule);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
