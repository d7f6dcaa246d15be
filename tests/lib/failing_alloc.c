/* failing_alloc.c: allocations that fail on command; see failing_alloc.h. */
#include "failing_alloc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void __real_free(void *block);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
char *__wrap_strdup(const char *string);
int __wrap_asprintf(char **ret, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
FILE *__real_open_memstream(char **ret, size_t *bytes);
FILE *__wrap_open_memstream(char **ret, size_t *bytes);
void __wrap_free(void *block);

static size_t countdown;
static bool has_failed;
static size_t live;

void alloc_fail_at(size_t nth)
{
    countdown = nth;
    has_failed = false;
}

bool alloc_has_failed(void)
{
    return has_failed;
}

size_t alloc_live(void)
{
    return live;
}

static bool fails_now(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    has_failed = true;
    errno = ENOMEM;
    return true;
}

static void *counted(void *block)
{
    live += block != NULL;
    return block;
}

void *__wrap_malloc(size_t bytes)
{
    return fails_now() ? NULL : counted(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails_now() ? NULL : counted(__real_calloc(count, bytes));
}

void *__wrap_realloc(void *old, size_t bytes)
{
    if (fails_now())
        return NULL;
    return old ? __real_realloc(old, bytes)
               : counted(__real_realloc(NULL, bytes));
}

char *__wrap_strdup(const char *string)
{
    size_t bytes = strlen(string) + 1;
    char *copy = __wrap_malloc(bytes);

    return copy ? memcpy(copy, string, bytes) : NULL;
}

int __wrap_asprintf(char **ret, const char *fmt, ...)
{
    int length;
    va_list ap;

    if (fails_now())
        return -1;
    va_start(ap, fmt);
    length = vasprintf(ret, fmt, ap);
    va_end(ap);
    live += length >= 0;
    return length;
}

/* The block that is counted is the one in *ret, which the caller frees. */
FILE *__wrap_open_memstream(char **ret, size_t *bytes)
{
    FILE *stream = fails_now() ? NULL : __real_open_memstream(ret, bytes);

    live += stream != NULL;
    return stream;
}

void __wrap_free(void *block)
{
    live -= block != NULL;
    __real_free(block);
}
