/* failing_alloc.c: allocations that fail on command; see failing_alloc.h. */
#include "failing_alloc.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void __real_free(void *block);
char *__real_getcwd(char *to, size_t bytes);
char *__real_realpath(const char *path, char *to);
FILE *__real_open_memstream(char **ret, size_t *bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_reallocarray(void *old, size_t count, size_t bytes);
char *__wrap_strdup(const char *string);
char *__wrap_strndup(const char *string, size_t limit);
char *__wrap_getcwd(char *to, size_t bytes);
char *__wrap_realpath(const char *path, char *to);
int __wrap_asprintf(char **ret, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int __wrap___asprintf_chk(char **ret, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
FILE *__wrap_open_memstream(char **ret, size_t *bytes);
void __wrap_free(void *block);

/* Of this thread: a thread of the room's own is not the one that is tried. */
static _Thread_local size_t countdown;
static _Thread_local bool has_failed;
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
    return __atomic_load_n(&live, __ATOMIC_RELAXED);
}

static void count_block(bool there)
{
    if (there)
        __atomic_fetch_add(&live, 1, __ATOMIC_RELAXED);
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
    count_block(block != NULL);
    return block;
}

void *alloc_counted(size_t bytes)
{
    return counted(__real_malloc(bytes));
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

void *__wrap_reallocarray(void *old, size_t count, size_t bytes)
{
    size_t total;

    if (__builtin_mul_overflow(count, bytes, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return __wrap_realloc(old, total);
}

char *__wrap_strndup(const char *string, size_t limit)
{
    size_t bytes = strnlen(string, limit);
    char *copy = __wrap_malloc(bytes + 1);

    if (!copy)
        return NULL;
    memcpy(copy, string, bytes);
    copy[bytes] = '\0';
    return copy;
}

char *__wrap_strdup(const char *string)
{
    return __wrap_strndup(string, strlen(string));
}

char *__wrap_realpath(const char *path, char *to)
{
    char *found;

    if (to)
        return __real_realpath(path, to);
    if (fails_now())
        return NULL;
    found = __real_realpath(path, NULL);
    count_block(found != NULL);
    return found;
}

char *__wrap_getcwd(char *to, size_t bytes)
{
    char *found;

    if (to)
        return __real_getcwd(to, bytes);
    if (fails_now())
        return NULL;
    found = __real_getcwd(NULL, bytes);
    count_block(found != NULL);
    return found;
}

__attribute__((format(printf, 2, 0))) static int print(char **ret,
                                                       const char *fmt,
                                                       va_list ap)
{
    int length = fails_now() ? -1 : vasprintf(ret, fmt, ap);

    count_block(length >= 0);
    return length;
}

int __wrap_asprintf(char **ret, const char *fmt, ...)
{
    int length;
    va_list ap;

    va_start(ap, fmt);
    length = print(ret, fmt, ap);
    va_end(ap);
    return length;
}

int __wrap___asprintf_chk(char **ret, int level, const char *fmt, ...)
{
    int length;
    va_list ap;

    (void)level;
    va_start(ap, fmt);
    length = print(ret, fmt, ap);
    va_end(ap);
    return length;
}

/* The block that is counted is the one in *ret, which the caller frees. */
FILE *__wrap_open_memstream(char **ret, size_t *bytes)
{
    FILE *stream = fails_now() ? NULL : __real_open_memstream(ret, bytes);

    count_block(stream != NULL);
    return stream;
}

void __wrap_free(void *block)
{
    if (block)
        __atomic_fetch_sub(&live, 1, __ATOMIC_RELAXED);
    __real_free(block);
}

static size_t open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

/* One try; true if it ended as it must. */
static bool try(alloc_path_fn *path, void *context, size_t nth, bool lenient)
{
    struct sm_error err = {0};
    size_t blocks = alloc_live();
    size_t descriptors = open_descriptors();
    int wanted;
    int rc;

    alloc_fail_at(nth);
    rc = path(context, &err);
    wanted = has_failed && (rc || !lenient) ? SM_ENOMEM : 0;
    countdown = 0;
    if (rc == wanted && err.code == (wanted ? wanted : err.code) &&
        alloc_live() == blocks && open_descriptors() == descriptors)
        return true;
    printf("allocation %zu fails: %d expected, got %d (\"%s\", %d); "
           "%zu blocks, now %zu; %zu descriptors, now %zu\n",
           nth, wanted, rc, err.message, err.code, blocks, alloc_live(),
           descriptors, open_descriptors());
    return false;
}

static bool try_each(alloc_path_fn *path, void *context, size_t least,
                     bool lenient)
{
    bool good = true;
    size_t nth = 0;

    /* What is made once and kept is made before anything is counted. */
    (void)path(context, NULL);
    if (!try(path, context, 0, lenient))
        return false;
    do
        good &= try(path, context, ++nth, lenient);
    while (has_failed);
    if (nth - 1 < least)
        printf("%zu allocations, at least %zu expected\n", nth - 1, least);
    return good && nth - 1 >= least;
}

bool alloc_each_fails(alloc_path_fn *path, void *context, size_t least)
{
    return try_each(path, context, least, false);
}

bool alloc_each_is_survived(alloc_path_fn *path, void *context, size_t least)
{
    return try_each(path, context, least, true);
}
