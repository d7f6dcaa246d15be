/* clock.c: the host's clocks; see clock.h. */
#include "platform/clock.h"

#include "base/bytes.h"

#include <time.h>

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
    return now_ns(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
    return now_ns(CLOCK_REALTIME);
}
