/* signals.c: the guest's signals by their names; see signals.h. */
#include "signals.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LINUX_RTMIN = 34, LINUX_RTMAX = 64 };

/* By number, from 1 (signal(7)). */
static const char *const names[] = {
    "HUP",  "INT",    "QUIT", "ILL",   "TRAP", "ABRT", "BUS",  "FPE",
    "KILL", "USR1",   "SEGV", "USR2",  "PIPE", "ALRM", "TERM", "STKFLT",
    "CHLD", "CONT",   "STOP", "TSTP",  "TTIN", "TTOU", "URG",  "XCPU",
    "XFSZ", "VTALRM", "PROF", "WINCH", "IO",   "PWR",  "SYS"};

static bool parse_number(const char *text, long first, long last, long *ret)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    *ret = strtol(text, &end, 10);
    return !*end && *ret >= first && *ret <= last;
}

bool signal_parse(const char *text, uint32_t *ret)
{
    long number;

    if (parse_number(text, 1, LINUX_RTMAX, &number)) {
        *ret = (uint32_t)number;
        return true;
    }
    if (strncasecmp(text, "SIG", 3) == 0)
        text += 3;
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(text, names[i]) == 0) {
            *ret = i + 1;
            return true;
        }
    if (strcasecmp(text, "RTMIN") == 0 || strcasecmp(text, "RTMAX") == 0) {
        *ret = (text[3] | 0x20) == 'i' ? LINUX_RTMIN : LINUX_RTMAX;
        return true;
    }
    if (strncasecmp(text, "RTMIN+", 6) == 0 &&
        parse_number(text + 6, 0, LINUX_RTMAX - LINUX_RTMIN, &number)) {
        *ret = LINUX_RTMIN + (uint32_t)number;
        return true;
    }
    return false;
}
