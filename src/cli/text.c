/* text.c: what the program says to its user; see text.h. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>

void complain(const char *fmt, ...)
{
    char line[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    /* In one write, so that lines of several programs do not mix. */
    fprintf(stderr, "supermachine: %s\n", line);
}
