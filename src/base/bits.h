/* bits.h: a set of small numbers: one bit each, in words of 64.
 *
 * The caller has the words, bits_words() of them for numbers below (count);
 * number n is bit n % 64 of word n / 64.
 */
#ifndef SM_BASE_BITS_H
#define SM_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t bits_words(uint64_t count)
{
    return (size_t)(count / 64 + (count % 64 != 0));
}

static inline bool bits_has(const uint64_t *bits, uint64_t n)
{
    return bits[n / 64] >> n % 64 & 1;
}

static inline void bits_add(uint64_t *bits, uint64_t n)
{
    bits[n / 64] |= UINT64_C(1) << n % 64;
}

static inline void bits_remove(uint64_t *bits, uint64_t n)
{
    bits[n / 64] &= ~(UINT64_C(1) << n % 64);
}

/* The first number in [first, end) that is in the set (is not, if (in) is
 * false), or (end). */
uint64_t bits_find(const uint64_t *bits, uint64_t first, uint64_t end, bool in);
/* Put all of [first, end) in, or take them out. */
void bits_fill(uint64_t *bits, uint64_t first, uint64_t end, bool in);

#endif
