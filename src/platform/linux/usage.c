/* usage.c: what this process has used; see usage.h. */
#include "platform/usage.h"

#include "base/bytes.h"
#include "base/own.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t time_of(clockid_t clock)
{
    struct timespec used;

    if (clock_gettime(clock, &used) != 0)
        return 0;
    return (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
}

uint64_t usage_process_ns(void)
{
    return time_of(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t usage_thread_ns(pthread_t thread)
{
    clockid_t clock;

    return pthread_getcpuclockid(thread, &clock) == 0 ? time_of(clock) : 0;
}

/* proc(5), /proc/PID/statm: pages; the second number is the resident ones. */
uint64_t usage_resident_bytes(void)
{
    AUTO_CLOSE int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    char text[128];
    ssize_t count = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    char *at;

    if (count <= 0)
        return 0;
    text[count] = '\0';
    strtoull(text, &at, 10);
    return strtoull(at, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}
