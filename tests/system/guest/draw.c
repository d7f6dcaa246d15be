/* draw.c: a program that draws random numbers of the kernel in a tight loop,
 * and keeps each: for what two clones of it draw.
 *
 *   draw FILE
 *
 * The file is shared memory: a page with a mark and how many there are, then
 * the numbers. Who has the memory of a machine that stands still finds by the
 * mark how many had been drawn. The mark is put together here, so that it is
 * nowhere else in memory.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    NUMBERS_MAX = 1 << 22,
    HEAD_WORDS = 512, /* a page */
    APART_NS = 20000  /* so that there is room for more than a minute */
};

struct draws {
    uint64_t mark[2];
    _Atomic uint64_t count;
    uint64_t unused[HEAD_WORDS - 3];
    uint64_t number[NUMBERS_MAX];
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct draws *open_draws(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    void *at = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, sizeof(struct draws)) == 0)
        at = mmap(NULL, sizeof(struct draws), PROT_READ | PROT_WRITE,
                  MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return at == MAP_FAILED ? NULL : at;
}

int main(int argc, char **argv)
{
    volatile uint64_t half = UINT64_C(0x0123456789abcdef);
    struct draws *draws = argc == 2 ? open_draws(argv[1]) : NULL;
    uint64_t last = 0;

    if (!draws) {
        fprintf(stderr, "usage: draw FILE, which can be written\n");
        return 2;
    }
    draws->mark[0] = half * 3;
    draws->mark[1] = ~half;
    for (uint64_t i = 0; i < NUMBERS_MAX; i++) {
        uint64_t number;

        if (getrandom(&number, sizeof number, 0) != sizeof number)
            return 1;
        draws->number[i] = number;
        atomic_store(&draws->count, i + 1);
        if (i == 100) {
            puts("drawing");
            fflush(stdout);
        }
        while (now_ns() - last < APART_NS) {
        }
        last = now_ns();
    }
    puts("full");
    fflush(stdout);
    pause();
    return 0;
}
