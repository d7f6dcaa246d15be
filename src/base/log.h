/* log.h: lines for the operator, handed to whoever runs the machine.
 *
 * A library floor never prints. It is given a `struct log_sink` and hands it
 * finished lines; the program at the top decides where they go. What a guest
 * can cause is logged through a `struct log_limit`, so that a guest cannot
 * flood the log.
 */
#ifndef SM_BASE_LOG_H
#define SM_BASE_LOG_H

#include <stdint.h>

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR
};

/*
 * (line) is called with one line without a newline, which is valid during the
 * call only; from any thread, also from several at once, and it must not
 * block. A sink without a function drops everything.
 */
struct log_sink {
    void (*line)(void *context, enum log_level level, const char *text);
    void *context;
};

#define LOG_NONE ((struct log_sink){0})

/* At most LOG_LIMIT_LINES lines pass in LOG_LIMIT_NS; the next line that
 * passes says how many were left out. Zeroed is fresh. One thread at a time.
 */
enum { LOG_LIMIT_LINES = 5 };
#define LOG_LIMIT_NS (UINT64_C(10) * 1000000000)

struct log_limit {
    uint64_t since_ns; /* monotonic time at which the window began */
    uint32_t passed;   /* lines in this window */
    uint32_t dropped;  /* lines left out since the last one that passed */
};

void log_line(const struct log_sink *to, enum log_level level, const char *fmt,
              ...) __attribute__((format(printf, 3, 4)));
/* (now_ns): monotonic time, which this floor has no way to know. */
void log_limited(const struct log_sink *to, struct log_limit *limit,
                 uint64_t now_ns, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

#endif
