/* times.c: points in time; see times.h. */
#include "times.h"

#include "values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int64_t second_ns = 1000000000;

/* Some thirty years. */
#define SPAN_MAX_MS UINT64_C(1000000000000)

void times_text(int64_t ns, char *to)
{
    time_t seconds = ns / second_ns;
    struct tm parts;
    size_t used;

    gmtime_r(&seconds, &parts);
    used = strftime(to, TIMES_MAX, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(to + used, TIMES_MAX - used, ".%09lldZ",
             (long long)(ns % second_ns));
}

/* ".123456789" and what follows; the rest must be a zone. */
static bool parse_rest(const char *at, int64_t *ns, int64_t *offset_s)
{
    int64_t scale = second_ns / 10;
    int hours;
    int minutes;
    char end;

    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++, scale /= 10)
            *ns += (*at - '0') * scale;
    if (strcmp(at, "Z") == 0 || !*at)
        return true;
    if ((*at != '+' && *at != '-') ||
        sscanf(at + 1, "%2d:%2d%c", &hours, &minutes, &end) != 2)
        return false;
    *offset_s = (hours * 60 + minutes) * 60 * (*at == '+' ? 1 : -1);
    return true;
}

bool times_parse(const char *text, size_t length, int64_t *ret)
{
    char copy[TIMES_MAX + 8];
    struct tm parts = {0};
    int64_t offset_s = 0;
    int64_t ns = 0;
    const char *at;

    if (length >= sizeof copy)
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    at = strptime(copy, "%Y-%m-%dT%H:%M:%S", &parts);
    if (!at) {
        at = strptime(copy, "%Y-%m-%d", &parts);
        if (!at || *at)
            return false;
    }
    if (!parse_rest(at, &ns, &offset_s))
        return false;
    *ret = (timegm(&parts) - offset_s) * second_ns + ns;
    return true;
}

bool times_parse_point(const char *text, int64_t now_ns, int64_t *ret)
{
    uint64_t span_ms;
    char *end;
    double seconds;

    if (*text < '0' || *text > '9')
        return false;
    if (times_parse(text, strlen(text), ret))
        return true;
    seconds = strtod(text, &end);
    if (!*end && seconds <= 9e9) {
        *ret = (int64_t)(seconds * (double)second_ns);
        return true;
    }
    if (!value_duration(text, &span_ms) || span_ms > SPAN_MAX_MS)
        return false;
    *ret = now_ns - (int64_t)span_ms * 1000000;
    return true;
}
