/* text.c: what the program says to its user; see text.h. */
#include "text.h"

#include "printable.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <supermachine.h>

int text_exit_code(int rc)
{
    if (rc == SM_ENOCMD)
        return EXIT_NOT_FOUND;
    return rc == SM_ENOEXEC ? EXIT_NOT_EXECUTABLE : EXIT_OURS;
}

void complain(const char *fmt, ...)
{
    char line[2048];
    char shown[2 * sizeof line];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    printable_copy(shown, sizeof shown, line);
    /* In one write, so that lines of several programs do not mix. */
    fprintf(stderr, "supermachine: %s\n", shown);
}

int text_fail(struct sm_error *err, int code, const char *fmt, ...)
{
    va_list ap;

    if (!err)
        return code;
    *err = (struct sm_error){.code = code};
    va_start(ap, fmt);
    vsnprintf(err->message, sizeof err->message, fmt, ap);
    va_end(ap);
    return code;
}

static int code_of(int os_error)
{
    switch (os_error) {
    case ENOENT:
        return SM_ENOENT;
    case EACCES:
    case EPERM:
    case EROFS:
        return SM_EACCES;
    case ENOSPC:
    case EDQUOT:
        return SM_ENOSPC;
    case ENOMEM:
        return SM_ENOMEM;
    default:
        return SM_EIO;
    }
}

int text_fail_os(struct sm_error *err, const char *fmt, ...)
{
    int os_error = errno;
    size_t used;
    va_list ap;

    if (!err)
        return code_of(os_error);
    *err = (struct sm_error){.code = code_of(os_error), .os_error = os_error};
    va_start(ap, fmt);
    vsnprintf(err->message, sizeof err->message, fmt, ap);
    va_end(ap);
    used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, ": %s",
             strerror(os_error));
    return err->code;
}
