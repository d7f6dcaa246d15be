/* random.h: random bytes of the operating system. */
#ifndef SM_PLATFORM_RANDOM_H
#define SM_PLATFORM_RANDOM_H

#include "base/error.h"

/* (count) unpredictable bytes. Fails only where the system has none. */
int random_bytes(void *to, size_t count, struct sm_error *err);

#endif
