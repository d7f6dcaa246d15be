/* alarm.h: a descriptor that becomes readable after a time. */
#ifndef SM_PLATFORM_ALARM_H
#define SM_PLATFORM_ALARM_H

#include "base/error.h"

#include <stdint.h>

struct alarm {
    int fd; /* -1: none; readable once the time is over, until set again */
};

#define ALARM_NONE ((struct alarm){.fd = -1})

int alarm_init(struct alarm *alarm, struct sm_error *err);
void alarm_done(struct alarm *alarm);
/* Readable in (delay_ms), more than 0; replaces what was set before. */
void alarm_set(const struct alarm *alarm, uint64_t delay_ms);
/* Not readable any more. */
void alarm_stop(const struct alarm *alarm);

#endif
