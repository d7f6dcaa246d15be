/* measure.c: sizes and ages in words; see measure.h. */
#include "measure.h"

#include <stdio.h>

void measure_bytes(char to[MEASURE_MAX], uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    double value = (double)bytes;
    unsigned unit = 0;

    /* 999.5 would be printed as 1000. */
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1000;
        unit++;
    }
    if (unit == 0)
        snprintf(to, MEASURE_MAX, "%u%s", (unsigned)bytes, units[0]);
    else
        snprintf(to, MEASURE_MAX, "%.*f%s",
                 value < 9.995   ? 2
                 : value < 99.95 ? 1
                                 : 0,
                 value, units[unit]);
}

void measure_age(char to[MEASURE_MAX], uint64_t then_s, uint64_t now_s)
{
    static const struct {
        const char *name;
        uint64_t seconds;
    } units[] = {
        {"year", 31557600}, {"month", 2629800}, {"week", 604800},
        {"day", 86400},     {"hour", 3600},     {"minute", 60},
    };
    uint64_t age = now_s > then_s ? now_s - then_s : 0;

    if (!then_s) {
        snprintf(to, MEASURE_MAX, "-");
        return;
    }
    for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++) {
        uint64_t count = age / units[i].seconds;

        if (!count)
            continue;
        snprintf(to, MEASURE_MAX, "%llu %s%s ago", (unsigned long long)count,
                 units[i].name, count == 1 ? "" : "s");
        return;
    }
    snprintf(to, MEASURE_MAX, "just now");
}
