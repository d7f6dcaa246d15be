/* error.c: filling and extending struct sm_error; see error.h. */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The length of the UTF-8 sequence at (at) if it is a whole one that may be
 * shown, else 0: control characters (which steer a terminal), surrogates and
 * needlessly long forms may not (Unicode 15, table 3-7). */
static size_t sequence(const unsigned char *at)
{
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t length;

    if (at[0] < 0x80)
        return at[0] >= 0x20 && at[0] != 0x7f;
    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    length = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (at[0] == 0xc2) /* U+0080 to U+009F are controls */
        low = 0xa0;
    else if (at[0] == 0xe0)
        low = 0xa0;
    else if (at[0] == 0xed)
        high = 0x9f;
    else if (at[0] == 0xf0)
        low = 0x90;
    else if (at[0] == 0xf4)
        high = 0x8f;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (at[i] < 0x80 || at[i] > 0xbf)
            return 0;
    return length;
}

/* Names of files and the words of a guest get into messages; what a message
 * promises, one line of UTF-8, holds for them too. */
static void clean(char *message)
{
    unsigned char *at = (unsigned char *)message;

    while (*at) {
        size_t length = sequence(at);

        if (length == 0)
            *at = '?';
        at += length ? length : 1;
    }
}

static void set_message(struct sm_error *err, int code, int os_error,
                        const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));

static void set_message(struct sm_error *err, int code, int os_error,
                        const char *fmt, va_list ap)
{
    err->code = code;
    err->os_error = os_error;
    vsnprintf(err->message, sizeof err->message, fmt, ap);
    clean(err->message);
}

int fail(struct sm_error *err, int code, const char *fmt, ...)
{
    if (err) {
        va_list ap;

        va_start(ap, fmt);
        set_message(err, code, 0, fmt, ap);
        va_end(ap);
    }
    return code;
}

int error_from_errno(int os_error)
{
    switch (os_error) {
    case ENOMEM:
        return SM_ENOMEM;
    case ENOENT:
    case ENOTDIR:
        return SM_ENOENT;
    case EEXIST:
        return SM_EEXIST;
    case EACCES:
    case EPERM:
    case EROFS:
        return SM_EACCES;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return SM_ENOSPC;
    case EBUSY:
        return SM_EBUSY;
    case ETIMEDOUT:
        return SM_ETIMEOUT;
    case EPIPE:
    case ECONNRESET:
        return SM_ECLOSED;
    case EINVAL:
        return SM_EINVAL;
    case EMFILE:
    case ENFILE:
        return SM_ELIMIT;
    default:
        return SM_EIO;
    }
}

static int os_failure(struct sm_error *err, int os_error, const char *fmt,
                      va_list ap) __attribute__((format(printf, 3, 0)));

static int os_failure(struct sm_error *err, int os_error, const char *fmt,
                      va_list ap)
{
    int code = error_from_errno(os_error);

    if (err) {
        size_t used;

        set_message(err, code, os_error, fmt, ap);
        used = strlen(err->message);
        snprintf(err->message + used, sizeof err->message - used, ": %s",
                 strerror(os_error));
        clean(err->message);
    }
    return code;
}

int fail_os(struct sm_error *err, const char *fmt, ...)
{
    int os_error = errno;
    int code;
    va_list ap;

    va_start(ap, fmt);
    code = os_failure(err, os_error, fmt, ap);
    va_end(ap);
    return code;
}

int fail_errno(struct sm_error *err, int os_error, const char *fmt, ...)
{
    int code;
    va_list ap;

    va_start(ap, fmt);
    code = os_failure(err, os_error, fmt, ap);
    va_end(ap);
    return code;
}

int wrap(struct sm_error *err, int rc, const char *fmt, ...)
{
    if (err) {
        char inner[sizeof err->message];
        va_list ap;
        size_t used;

        memcpy(inner, err->message, sizeof inner);
        va_start(ap, fmt);
        vsnprintf(err->message, sizeof err->message, fmt, ap);
        va_end(ap);
        used = strlen(err->message);
        snprintf(err->message + used, sizeof err->message - used, ": %s",
                 inner);
        clean(err->message);
        err->code = rc;
    }
    return rc;
}
