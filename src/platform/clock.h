/* clock.h: the host's clocks. */
#ifndef SM_PLATFORM_CLOCK_H
#define SM_PLATFORM_CLOCK_H

#include <stdint.h>

/* Nanoseconds since some moment; never goes back. */
uint64_t clock_monotonic_ns(void);
/* Nanoseconds since 1970-01-01 UTC. */
uint64_t clock_wall_ns(void);

#endif
