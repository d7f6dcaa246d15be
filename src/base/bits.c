/* bits.c: a set of small numbers; see bits.h. */
#include "base/bits.h"

#include "base/bytes.h"

/* The bits of the word with (first) in it that lie in [first, end). */
static uint64_t mask_of(uint64_t first, uint64_t end)
{
    uint64_t count = min_u64(end - first, 64 - first % 64);

    return (count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1)
           << first % 64;
}

uint64_t bits_find(const uint64_t *bits, uint64_t first, uint64_t end, bool in)
{
    while (first < end) {
        uint64_t word = bits[first / 64];
        uint64_t found = (in ? word : ~word) & mask_of(first, end);

        if (found)
            return first / 64 * 64 + (unsigned)__builtin_ctzll(found);
        first = (first / 64 + 1) * 64;
    }
    return end;
}

void bits_fill(uint64_t *bits, uint64_t first, uint64_t end, bool in)
{
    while (first < end) {
        uint64_t mask = mask_of(first, end);

        if (in)
            bits[first / 64] |= mask;
        else
            bits[first / 64] &= ~mask;
        first = (first / 64 + 1) * 64;
    }
}
