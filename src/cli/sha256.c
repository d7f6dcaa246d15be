/* sha256.c: SHA-256; see sha256.h. Names are those of FIPS 180-4, 6.2.2. */
#include "sha256.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 64, WORDS = 8, ROUNDS = 64, LENGTH_BYTES = 8 };

/* 4.2.2: of the cube roots of the first 64 primes. */
static const uint32_t constants[ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* 5.3.3: of the square roots of the first 8 primes. */
static const uint32_t beginning[WORDS] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
                                          0xa54ff53a, 0x510e527f, 0x9b05688c,
                                          0x1f83d9ab, 0x5be0cd19};

static uint32_t turn(uint32_t word, unsigned by)
{
    return word >> by | word << (32 - by);
}

/* 6.2.2, step 1. */
static void make_schedule(const uint8_t block[BLOCK], uint32_t w[ROUNDS])
{
    for (unsigned t = 0; t < 16; t++, block += 4)
        w[t] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 |
               (uint32_t)block[2] << 8 | block[3];
    for (unsigned t = 16; t < ROUNDS; t++) {
        uint32_t a = w[t - 15];
        uint32_t b = w[t - 2];

        w[t] = w[t - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[t - 7] +
               (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
}

/* 6.2.2, steps 2 to 4. */
static void add_block(uint32_t state[WORDS], const uint8_t block[BLOCK])
{
    uint32_t w[ROUNDS];
    uint32_t v[WORDS]; /* a to h */

    make_schedule(block, w);
    memcpy(v, state, sizeof v);
    for (unsigned t = 0; t < ROUNDS; t++) {
        uint32_t one = v[7] +
                       (turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25)) +
                       ((v[4] & v[5]) ^ (~v[4] & v[6])) + constants[t] + w[t];
        uint32_t two = (turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)) +
                       ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

        memmove(v + 1, v, sizeof v - sizeof v[0]);
        v[4] += one;
        v[0] = one + two;
    }
    for (unsigned i = 0; i < WORDS; i++)
        state[i] += v[i];
}

/* What is left of the bytes, padded to one block or two (5.1.1). */
static void add_end(uint32_t state[WORDS], const uint8_t *left, size_t count,
                    uint64_t bits)
{
    uint8_t end[2 * BLOCK] = {0};
    size_t length = count + 1 + LENGTH_BYTES <= BLOCK ? BLOCK : 2 * BLOCK;

    if (count)
        memcpy(end, left, count);
    end[count] = 0x80;
    for (unsigned i = 0; i < LENGTH_BYTES; i++)
        end[length - 1 - i] = (uint8_t)(bits >> (8 * i));
    for (size_t at = 0; at < length; at += BLOCK)
        add_block(state, end + at);
}

void sha256_text(const void *bytes, size_t count, char to[SHA256_DIGITS + 1])
{
    const uint8_t *at = bytes;
    size_t left = count;
    uint32_t state[WORDS];

    memcpy(state, beginning, sizeof state);
    for (; left >= BLOCK; left -= BLOCK, at += BLOCK)
        add_block(state, at);
    add_end(state, at, left, (uint64_t)count * 8);
    for (unsigned i = 0; i < WORDS; i++)
        snprintf(to + i * 8, 9, "%08x", state[i]);
}
