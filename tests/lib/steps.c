/* steps.c: loaded into a program ahead of the C library (LD_PRELOAD): counts
 * what the program does to the disk, and has one step be its last, or the disk
 * be full from one step on.
 *
 *     STEPS=count        at the end, "steps N" on the standard error
 *     STEPS="kill N"     SIGKILL instead of step N; a write is half done then
 *     STEPS="full N"     from step N on, whatever takes room fails with ENOSPC
 *
 * Steps are the calls below; writes count only if they go to regular files.
 */
/* Both forms of each call are defined here, so none may stand for another. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VISIBLE    __attribute__((visibility("default")))
#define REAL(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

static atomic_ulong steps;

/* The N of STEPS="(how) N"; 0: something else is asked for. */
static unsigned long step_of(const char *how)
{
    const char *text = getenv("STEPS");
    size_t length = strlen(how);

    if (!text || strncmp(text, how, length) != 0 || text[length] != ' ')
        return 0;
    return strtoul(text + length + 1, NULL, 10);
}

/* One step more. True: it is the last one. */
static bool is_last(void)
{
    return atomic_fetch_add(&steps, 1) + 1 == step_of("kill");
}

static void end_here(void)
{
    kill(getpid(), SIGKILL);
}

/* The disk is full, as errno says then. */
static bool is_full(void)
{
    unsigned long from = step_of("full");

    if (!from || atomic_load(&steps) < from)
        return false;
    errno = ENOSPC;
    return true;
}

/* A step that takes room. False: it fails. */
static bool take_step(void)
{
    if (is_last())
        end_here();
    return !is_full();
}

/* A step that takes none. */
static void pass_step(void)
{
    if (is_last())
        end_here();
}

static bool is_regular(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

__attribute__((destructor)) static void tell(void)
{
    const char *text = getenv("STEPS");

    if (text && strcmp(text, "count") == 0)
        fprintf(stderr, "steps %lu\n", atomic_load(&steps));
}

/* ---- files made ---- */

static mode_t mode_of(int flags, va_list list)
{
    return flags & O_CREAT ? va_arg(list, mode_t) : 0;
}

VISIBLE int openat64(int folder, const char *path, int flags, ...)
{
    va_list list;
    mode_t mode;

    va_start(list, flags);
    mode = mode_of(flags, list);
    va_end(list);
    if (flags & O_CREAT &&
        faccessat(folder, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && !take_step())
        return -1;
    return REAL(openat64)(folder, path, flags, mode);
}

VISIBLE int open64(const char *path, int flags, ...)
{
    va_list list;
    mode_t mode;

    va_start(list, flags);
    mode = mode_of(flags, list);
    va_end(list);
    return openat64(AT_FDCWD, path, flags, mode);
}

VISIBLE int mkdirat(int folder, const char *path, mode_t mode)
{
    return take_step() ? REAL(mkdirat)(folder, path, mode) : -1;
}

VISIBLE int mkdir(const char *path, mode_t mode)
{
    return take_step() ? REAL(mkdir)(path, mode) : -1;
}

/* ---- contents ---- */

VISIBLE ssize_t write(int fd, const void *bytes, size_t count)
{
    if (!is_regular(fd))
        return REAL(write)(fd, bytes, count);
    if (is_last()) {
        (void)REAL(write)(fd, bytes, count / 2);
        end_here();
    }
    return is_full() ? -1 : REAL(write)(fd, bytes, count);
}

VISIBLE ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at)
{
    if (is_last()) {
        (void)REAL(pwrite64)(fd, bytes, count / 2, at);
        end_here();
    }
    return is_full() ? -1 : REAL(pwrite64)(fd, bytes, count, at);
}

VISIBLE int ftruncate64(int fd, off64_t bytes)
{
    pass_step();
    return REAL(ftruncate64)(fd, bytes);
}

VISIBLE int truncate64(const char *path, off64_t bytes)
{
    pass_step();
    return REAL(truncate64)(path, bytes);
}

VISIBLE int fallocate64(int fd, int mode, off64_t at, off64_t bytes)
{
    return take_step() ? REAL(fallocate64)(fd, mode, at, bytes) : -1;
}

VISIBLE int fsync(int fd)
{
    return take_step() ? REAL(fsync)(fd) : -1;
}

VISIBLE int fchmod(int fd, mode_t mode)
{
    pass_step();
    return REAL(fchmod)(fd, mode);
}

/* ---- names ---- */

VISIBLE int rename(const char *from, const char *to)
{
    return take_step() ? REAL(rename)(from, to) : -1;
}

VISIBLE int renameat(int from_folder, const char *from, int to_folder,
                     const char *to)
{
    return take_step() ? REAL(renameat)(from_folder, from, to_folder, to) : -1;
}

VISIBLE int unlink(const char *path)
{
    pass_step();
    return REAL(unlink)(path);
}

VISIBLE int unlinkat(int folder, const char *path, int flags)
{
    pass_step();
    return REAL(unlinkat)(folder, path, flags);
}
