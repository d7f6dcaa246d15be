/* replay.c: runs a fuzz target without a fuzzer: on the files that are named,
 * else on inputs made from a fixed seed, so that every build exercises it. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { INPUTS = 300, INPUT_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* xorshift64 (Marsaglia, 2003). */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int replay_file(const char *path)
{
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(path, "rb");
    size_t count;

    if (!file) {
        perror(path);
        return 1;
    }
    count = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, count);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t state = 0x5eed;
    int failed = 0;

    for (int i = 1; i < argc; i++)
        failed |= replay_file(argv[i]);
    for (int i = 0; argc == 1 && i < INPUTS; i++) {
        size_t count = (size_t)(next_random(&state) % INPUT_MAX);
        uint8_t *bytes = malloc(count + 1);

        if (!bytes)
            return 1;
        for (size_t j = 0; j < count; j++)
            bytes[j] = (uint8_t)(next_random(&state) >> 32);
        LLVMFuzzerTestOneInput(bytes, count);
        free(bytes);
    }
    return failed;
}
