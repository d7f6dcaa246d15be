/* values.c: words into sizes, numbers, times and signals; see values.h. */
#include "values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The digits that (*text) begins with, which moves behind them. */
static bool take_number(const char **text, uint64_t *ret)
{
    unsigned long long number;
    char *end;

    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    number = strtoull(*text, &end, 10);
    if (errno)
        return false;
    *ret = number;
    *text = end;
    return true;
}

bool value_bytes(const char *text, uint64_t *ret)
{
    static const char units[] = "bkmgtp";
    const char *unit;
    uint64_t number;
    uint64_t scale = 1;

    if (!take_number(&text, &number))
        return false;
    if (*text) {
        char letter = (char)(*text | 0x20);

        unit = strchr(units, letter);
        if (!unit)
            return false;
        scale = UINT64_C(1) << (10 * (unit - units));
        text++;
        if (letter != 'b' && (*text == 'i' || *text == 'I') &&
            (text[1] | 0x20) == 'b')
            text += 2;
        else if (letter != 'b' && (*text | 0x20) == 'b')
            text++;
    }
    return *text == '\0' && !__builtin_mul_overflow(number, scale, ret);
}

bool value_count(const char *text, uint32_t *ret)
{
    uint64_t number;

    if (!take_number(&text, &number) || *text || number > UINT32_MAX)
        return false;
    *ret = (uint32_t)number;
    return true;
}

/* Milliseconds of one of the unit that (*text) begins with, which moves
 * behind it; 0: there is none. */
static uint64_t take_unit(const char **text)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t length = strlen(units[i].name);

        if (strncmp(*text, units[i].name, length) == 0) {
            *text += length;
            return units[i].ms;
        }
    }
    return 0;
}

/* ".5" of (scale), as far as it is whole. */
static bool take_fraction(const char **text, uint64_t *number, uint64_t *digits)
{
    *number = 0;
    *digits = 1;
    if (**text != '.')
        return true;
    ++*text;
    if (**text < '0' || **text > '9')
        return false;
    for (; **text >= '0' && **text <= '9'; ++*text) {
        /* A day has less than 10^9 milliseconds: more digits say nothing. */
        if (*digits < 1000000000) {
            *number = *number * 10 + (uint64_t)(**text - '0');
            *digits *= 10;
        }
    }
    return true;
}

bool value_duration(const char *text, uint64_t *ret_ms)
{
    uint64_t total = 0;
    bool first = true;

    for (; *text || first; first = false) {
        uint64_t whole, part, digits, unit, ms;

        if (!take_number(&text, &whole) ||
            !take_fraction(&text, &part, &digits))
            return false;
        unit = first && !*text ? 1000 : take_unit(&text);
        if (unit == 0 || __builtin_mul_overflow(whole, unit, &ms) ||
            __builtin_add_overflow(ms, part * unit / digits, &ms) ||
            __builtin_add_overflow(total, ms, &total))
            return false;
    }
    *ret_ms = total;
    return true;
}

/* signal(7), the numbers of x86 and ARM. */
static const char *const signal_names[SIGNAL_NAMES] = {
    [1] = "HUP",   [2] = "INT",     [3] = "QUIT",  [4] = "ILL",
    [5] = "TRAP",  [6] = "ABRT",    [7] = "BUS",   [8] = "FPE",
    [9] = "KILL",  [10] = "USR1",   [11] = "SEGV", [12] = "USR2",
    [13] = "PIPE", [14] = "ALRM",   [15] = "TERM", [16] = "STKFLT",
    [17] = "CHLD", [18] = "CONT",   [19] = "STOP", [20] = "TSTP",
    [21] = "TTIN", [22] = "TTOU",   [23] = "URG",  [24] = "XCPU",
    [25] = "XFSZ", [26] = "VTALRM", [27] = "PROF", [28] = "WINCH",
    [29] = "IO",   [30] = "PWR",    [31] = "SYS",
};

/* As the C library of a guest has it: the kernel's first two are its own. */
enum { SIGNAL_RTMIN = 34 };

const char *value_signal_name(uint32_t number)
{
    return number < SIGNAL_NAMES ? signal_names[number] : NULL;
}

/* "RTMIN", "RTMIN+3", "RTMAX", "RTMAX-3". */
static bool parse_realtime(const char *text, uint32_t *ret)
{
    bool from_max = strncasecmp(text, "RTMAX", 5) == 0;
    uint32_t distance = 0;

    if (!from_max && strncasecmp(text, "RTMIN", 5) != 0)
        return false;
    if (text[5] && (text[5] != (from_max ? '-' : '+') ||
                    !value_count(text + 6, &distance)))
        return false;
    if (distance > SIGNAL_MAX - SIGNAL_RTMIN)
        return false;
    *ret = from_max ? SIGNAL_MAX - distance : SIGNAL_RTMIN + distance;
    return true;
}

bool value_signal(const char *text, uint32_t *ret)
{
    uint32_t number;

    if (value_count(text, &number)) {
        if (number < 1 || number > SIGNAL_MAX)
            return false;
        *ret = number;
        return true;
    }
    if (strncasecmp(text, "SIG", 3) == 0)
        text += 3;
    for (uint32_t i = 1; i < SIGNAL_NAMES; i++) {
        if (strcasecmp(text, signal_names[i]) == 0) {
            *ret = i;
            return true;
        }
    }
    return parse_realtime(text, ret);
}
