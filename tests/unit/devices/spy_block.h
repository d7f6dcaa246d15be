/* spy_block.h: a disk in memory that notes what is done to it. */
#ifndef SM_TESTS_SPY_BLOCK_H
#define SM_TESTS_SPY_BLOCK_H

#include "block/block.h"

enum { SPY_BYTES = 1 << 20, SPY_CALLS_MAX = 4096 };

/* A call: 'r'ead, 'w'rite, 'f'lush, 'd'iscard, 'z'ero. */
struct spy_call {
    char what;
    uint64_t at;
    uint64_t bytes;
};

struct spy_block {
    struct block block;
    int fail_with; /* 0, or what every call returns */
    unsigned calls;
    struct spy_call call[SPY_CALLS_MAX];
    bool *freed;                   /* set when it is freed, may be NULL */
    void (*during)(void *context); /* called within each call, may be NULL */
    void *context;
    uint8_t data[SPY_BYTES];
};

struct spy_block *spy_block_new(bool read_only);

#endif
