/* log.c: lines for the operator; see log.h. */
#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { LINE_BYTES = 512 };

__attribute__((format(printf, 3, 0))) static void hand_out(
    const struct log_sink *to, enum log_level level, const char *fmt,
    va_list ap)
{
    char line[LINE_BYTES];

    if (!to->line)
        return;
    vsnprintf(line, sizeof line, fmt, ap);
    to->line(to->context, level, line);
}

void log_line(const struct log_sink *to, enum log_level level, const char *fmt,
              ...)
{
    va_list ap;

    va_start(ap, fmt);
    hand_out(to, level, fmt, ap);
    va_end(ap);
}

void log_limited(const struct log_sink *to, struct log_limit *limit,
                 uint64_t now_ns, enum log_level level, const char *fmt, ...)
{
    va_list ap;

    /* since_ns is 0 in a fresh limit, whose window is thus over, or has just
     * begun with nothing passed: both right. */
    if (now_ns - limit->since_ns >= LOG_LIMIT_NS) {
        limit->since_ns = now_ns;
        limit->passed = 0;
    }
    if (limit->passed == LOG_LIMIT_LINES) {
        if (limit->dropped < UINT32_MAX)
            limit->dropped++;
        return;
    }
    if (limit->dropped) {
        log_line(to, level, "%" PRIu32 " similar lines left out",
                 limit->dropped);
        limit->dropped = 0;
    }
    limit->passed++;
    va_start(ap, fmt);
    hand_out(to, level, fmt, ap);
    va_end(ap);
}
