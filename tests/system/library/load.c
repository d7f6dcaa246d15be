/* load.c: many commands at a time in one machine, each with bytes of its own
 * in and out; see library.sh.
 *
 *     load REFERENCE COMMANDS AT_ONCE BYTES
 *
 * COMMANDS `cat`s are run, AT_ONCE of them at any time, each given BYTES bytes
 * that no other gets. What comes back is compared byte by byte as it comes, on
 * one thread, driven by what the descriptors show.
 */
#include "common.h"

#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LIMIT_S = 3600, POLL_MS = 60000, AT_ONCE_MAX = 64, PIECE = 32 << 10 };

struct cat {
    struct sm_exec *exec;
    uint64_t number; /* of the command, from 0 */
    size_t written;
    size_t read;
    bool over;
};

static size_t bytes_each;

/* Steele, Lea and Flood, "Fast splittable pseudorandom number generators":
 * eight bytes that depend on the command and on their place in its stream. */
static uint64_t word_at(uint64_t number, uint64_t place)
{
    uint64_t x = (number << 40) + place + UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void make_bytes(uint8_t *to, uint64_t number, size_t at, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = (uint8_t)(word_at(number, (at + i) / 8) >> ((at + i) % 8 * 8));
}

static bool give(struct cat *cat)
{
    static uint8_t bytes[PIECE];
    int64_t taken = 1;

    while (cat->written < bytes_each && taken > 0) {
        size_t count = bytes_each - cat->written;

        if (count > sizeof bytes)
            count = sizeof bytes;
        make_bytes(bytes, cat->number, cat->written, count);
        taken = sm_exec_write(cat->exec, bytes, count, SM_NOWAIT, &err);
        NEED(taken > 0 || taken == SM_ETIMEOUT);
        if (taken > 0)
            cat->written += (size_t)taken;
        if (cat->written == bytes_each)
            sm_exec_write_end(cat->exec);
    }
    return true;
}

static bool take(struct cat *cat)
{
    static uint8_t bytes[PIECE];
    static uint8_t wanted[PIECE];
    int64_t count = 1;

    while (count > 0) {
        count =
            sm_exec_read(cat->exec, 1, bytes, sizeof bytes, SM_NOWAIT, &err);
        NEED(count >= 0 || count == SM_ETIMEOUT);
        if (count <= 0)
            break;
        make_bytes(wanted, cat->number, cat->read, (size_t)count);
        NEED(memcmp(bytes, wanted, (size_t)count) == 0);
        cat->read += (size_t)count;
    }
    cat->over = count == 0;
    return true;
}

static bool begin(struct sm_machine *machine, struct cat *cat, uint64_t number,
                  struct pollfd *wait)
{
    *cat = (struct cat){.exec = shell(machine, "exec cat"), .number = number};
    *wait =
        (struct pollfd){.fd = sm_exec_fd(cat->exec, &err), .events = POLLIN};
    NEED(wait->fd >= 0);
    return give(cat);
}

static bool finish(struct cat *cat)
{
    struct sm_exit_status status;

    NEED(cat->read == bytes_each && cat->written == bytes_each);
    NEED(sm_exec_wait(cat->exec, POLL_MS, &status, &err) == 0);
    NEED(status.exited && status.code == 0);
    sm_exec_free(cat->exec);
    cat->exec = NULL;
    return true;
}

static bool run_all(struct sm_machine *machine, uint64_t commands,
                    unsigned at_once)
{
    struct cat cats[AT_ONCE_MAX] = {{0}};
    struct pollfd wait[AT_ONCE_MAX + 1];
    uint64_t begun = 0;
    uint64_t ended = 0;

    for (; begun < at_once && begun < commands; begun++)
        NEED(begin(machine, &cats[begun], begun, &wait[begun]));
    at_once = (unsigned)begun;
    wait[at_once] =
        (struct pollfd){.fd = sm_machine_fd(machine, &err), .events = POLLIN};
    NEED(wait[at_once].fd >= 0);
    while (ended < commands) {
        NEED(poll(wait, at_once + 1, POLL_MS) > 0);
        if (wait[at_once].revents)
            sm_machine_dispatch(machine);
        for (unsigned i = 0; i < at_once; i++) {
            if (!cats[i].exec || !wait[i].revents)
                continue;
            NEED(give(&cats[i]) && take(&cats[i]));
            if (!cats[i].over)
                continue;
            NEED(finish(&cats[i]));
            ended++;
            wait[i].fd = -1;
            if (begun < commands)
                NEED(begin(machine, &cats[i], begun++, &wait[i]));
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct sm_machine *machine;
    struct timespec from;
    struct timespec to;
    unsigned at_once;
    bool good;

    if (argc != 5)
        return fprintf(stderr, "load REFERENCE COMMANDS AT_ONCE BYTES\n"), 2;
    at_once = (unsigned)strtoul(argv[3], NULL, 10);
    if (at_once < 1 || at_once > AT_ONCE_MAX)
        return fprintf(stderr, "at once: 1 to %d\n", AT_ONCE_MAX), 2;
    bytes_each = strtoul(argv[4], NULL, 10);
    open_image(argv[1], LIMIT_S);
    machine = start();
    clock_gettime(CLOCK_MONOTONIC, &from);
    good = run_all(machine, strtoull(argv[2], NULL, 10), at_once);
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("    %s commands, %s at a time, %s bytes each way: %lld s\n",
           argv[2], argv[3], argv[4], (long long)(to.tv_sec - from.tv_sec));
    report("none_lost_none_mixed_under_load", good);
    sm_machine_free(machine);
    close_image();
    return 0;
}
