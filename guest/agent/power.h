/* power.h: the last thing that the agent does. */
#ifndef SM_GUEST_POWER_H
#define SM_GUEST_POWER_H

#include "proto/agent.h"

/* Write everything to the disks, leave their file systems clean, and end the
 * machine. Does not return. */
_Noreturn void power_end(enum agent_end end);

#endif
