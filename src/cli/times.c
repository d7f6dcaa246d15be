/* times.c: points in time; see times.h. */
#include "times.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int64_t second_ns = 1000000000;

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

/* "1h30m" */
static bool parse_span(const char *text, int64_t *ret)
{
    int64_t total = 0;

    while (*text) {
        char *end;
        double number = strtod(text, &end);
        double unit;

        if (end == text || *text < '0' || *text > '9')
            return false;
        switch (*end) {
        case 's':
            unit = 1;
            break;
        case 'm':
            unit = 60;
            break;
        case 'h':
            unit = 3600;
            break;
        case 'd':
            unit = 86400;
            break;
        default:
            return false;
        }
        if (number * unit > 1e9)
            return false;
        total += (int64_t)(number * unit * (double)second_ns);
        text = end + 1;
    }
    *ret = total;
    return true;
}

bool times_parse_point(const char *text, int64_t now_ns, int64_t *ret)
{
    int64_t span;
    char *end;
    double seconds;

    if (!*text)
        return false;
    if (times_parse(text, strlen(text), ret))
        return true;
    if (parse_span(text, &span)) {
        *ret = now_ns - span;
        return true;
    }
    seconds = strtod(text, &end);
    if (*end || *text < '0' || *text > '9' || seconds > 9e9)
        return false;
    *ret = (int64_t)(seconds * (double)second_ns);
    return true;
}
