/* human.c: numbers as people read them; see human.h. */
#include "human.h"

#include <stdio.h>

const char *human_bytes(char ret[HUMAN_MAX], uint64_t bytes)
{
    static const char *const units[] = {"B",  "kB", "MB", "GB",
                                        "TB", "PB", "EB"};
    double number = (double)bytes;
    size_t unit = 0;

    /* What would be rounded to 1000 is one of the next unit. */
    for (; number >= 999.5; unit++)
        number /= 1000;
    snprintf(ret, HUMAN_MAX, "%.3g%s", number, units[unit]);
    return ret;
}

const char *human_duration(char ret[HUMAN_MAX], int64_t seconds)
{
    static const struct {
        int64_t below; /* in seconds */
        int64_t unit;
        const char *name;
    } table[] = {
        {60, 1, "second"},
        {3600, 60, "minute"},
        {172800, 3600, "hour"},
        {1209600, 86400, "day"},
        {5184000, 604800, "week"},
        {63072000, 2592000, "month"},
        {INT64_MAX, 31536000, "year"},
    };
    size_t i = 0;

    if (seconds < 1) {
        snprintf(ret, HUMAN_MAX, "Less than a second");
    } else if (seconds >= 60 && seconds < 120) {
        snprintf(ret, HUMAN_MAX, "About a minute");
    } else if (seconds >= 3600 && seconds < 7200) {
        snprintf(ret, HUMAN_MAX, "About an hour");
    } else {
        while (seconds >= table[i].below && table[i].below != INT64_MAX)
            i++;
        snprintf(ret, HUMAN_MAX, "%lld %s%s",
                 (long long)(seconds / table[i].unit), table[i].name,
                 seconds == 1 ? "" : "s");
    }
    return ret;
}
