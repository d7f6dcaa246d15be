/* foreign.c: descriptors that belong to somebody else; see foreign.h. */
#include "platform/foreign.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

/* What a blocking write takes at once after readiness: a pipe is writable when
 * a page is free (pipe(7): PIPE_BUF bytes never wait then), a terminal when
 * there is any room. */
enum { PIPE_STEP = PIPE_BUF, TTY_STEP = 256 };

/* Opening /dev/ptmx again would make a new terminal. */
static bool is_terminal(int fd, const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev != makedev(5, 2) && isatty(fd);
}

static int open_again(int fd, enum foreign_use use)
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, (use == FOREIGN_READ ? O_RDONLY : O_WRONLY) | O_NONBLOCK |
                          O_NOCTTY | O_CLOEXEC);
}

int foreign_open(int fd, enum foreign_use use, struct foreign *ret,
                 struct sm_error *err)
{
    enum foreign_kind kind = FOREIGN_PLAIN;
    struct stat st;

    *ret = FOREIGN_NONE;
    if (fstat(fd, &st))
        return fail_os(err, "descriptor %d", fd);
    if (S_ISSOCK(st.st_mode))
        kind = FOREIGN_SOCKET;
    else if (S_ISFIFO(st.st_mode))
        kind = FOREIGN_PIPE;
    else if (is_terminal(fd, &st))
        kind = FOREIGN_TTY;
    if (kind == FOREIGN_PIPE || kind == FOREIGN_TTY)
        ret->fd = open_again(fd, use);
    ret->kind = ret->fd >= 0 ? FOREIGN_OWN : kind;
    if (ret->fd < 0)
        ret->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return ret->fd < 0 ? fail_os(err, "descriptor %d", fd) : 0;
}

void foreign_close(struct foreign *foreign)
{
    if (foreign->fd >= 0)
        close(foreign->fd);
    *foreign = FOREIGN_NONE;
}

static bool is_transient(int os_error)
{
    return os_error == EAGAIN || os_error == EINTR;
}

ssize_t foreign_read(const struct foreign *foreign, void *to, size_t count)
{
    ssize_t got;

    if (foreign->kind == FOREIGN_SOCKET)
        got = recv(foreign->fd, to, count, MSG_DONTWAIT);
    else
        got = read(foreign->fd, to, count);
    if (got > 0)
        return got;
    if (got == 0 || errno == ECONNRESET)
        return SM_ECLOSED;
    return is_transient(errno) ? 0 : SM_EIO;
}

/*
 * A write to a pipe without a reader raises SIGPIPE in this thread, and pipes
 * have no MSG_NOSIGNAL. Block the signal for the call, and take it back if it
 * was not pending before.
 */
static ssize_t write_quietly(int fd, const void *from, size_t count)
{
    const struct timespec at_once = {0};
    sigset_t pipe_only;
    sigset_t before;
    sigset_t pending;
    ssize_t done;
    int failure;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    sigpending(&pending);
    done = write(fd, from, count);
    failure = errno;
    if (done < 0 && failure == EPIPE && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe_only, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = failure;
    return done;
}

static ssize_t write_kind(const struct foreign *foreign, const void *from,
                          size_t count)
{
    switch (foreign->kind) {
    case FOREIGN_SOCKET:
        return send(foreign->fd, from, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    case FOREIGN_PIPE:
        return write_quietly(foreign->fd, from,
                             count < PIPE_STEP ? count : PIPE_STEP);
    case FOREIGN_TTY:
        return write(foreign->fd, from, count < TTY_STEP ? count : TTY_STEP);
    case FOREIGN_OWN:
        return write_quietly(foreign->fd, from, count);
    case FOREIGN_PLAIN:
    default:
        return write(foreign->fd, from, count);
    }
}

ssize_t foreign_write(const struct foreign *foreign, const void *from,
                      size_t count)
{
    ssize_t done = write_kind(foreign, from, count);

    if (done >= 0)
        return done;
    switch (errno) {
    case EAGAIN:
    case EINTR:
        return 0;
    case EPIPE:
    case ECONNRESET:
        return SM_ECLOSED;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return SM_ENOSPC;
    default:
        return SM_EIO;
    }
}
