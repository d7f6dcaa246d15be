/* alarm.c: a descriptor that becomes readable after a time: timerfd. */
#include "platform/alarm.h"

#include "base/own.h"

#include <sys/timerfd.h>

int alarm_init(struct alarm *alarm, struct sm_error *err)
{
    alarm->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return alarm->fd < 0 ? fail_os(err, "alarm") : 0;
}

void alarm_done(struct alarm *alarm)
{
    if (alarm->fd >= 0)
        close(own_take_fd(&alarm->fd));
}

/* A new setting also takes back that the old one was over. */
static void set(const struct alarm *alarm, uint64_t delay_ms)
{
    const struct itimerspec when = {
        .it_value.tv_sec = (time_t)(delay_ms / 1000),
        .it_value.tv_nsec = (long)(delay_ms % 1000) * 1000000,
    };

    timerfd_settime(alarm->fd, 0, &when, NULL);
}

void alarm_set(const struct alarm *alarm, uint64_t delay_ms)
{
    set(alarm, delay_ms);
}

void alarm_stop(const struct alarm *alarm)
{
    set(alarm, 0);
}
