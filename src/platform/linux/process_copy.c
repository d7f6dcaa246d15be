/* process_copy.c: this process a second time, by fork(2); see process.h.
 *
 * How it works
 *   fork() of the C library and not clone(2): it puts the allocator in order
 *   in the child. It knows no pidfd, so that the parent asks for one
 *   afterwards; the child waits for a word from the parent until that is done,
 *   which also tells it that it has a parent. From then on the kernel kills it
 *   with its parent.
 */
#include "platform/process.h"

#include "base/own.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* What comes back, in one message. */
struct outcome {
    int rc;
    uint64_t value;
    struct sm_error error;
};

/* ---- the child ---- */

/* Close [first, end), or as far as there are any. */
static void close_between(unsigned first, unsigned end)
{
    struct rlimit most;

    if (first >= end || syscall(SYS_close_range, first, end - 1, 0) == 0)
        return;
    /* Before Linux 5.9: one by one. */
    if (getrlimit(RLIMIT_NOFILE, &most) != 0 || most.rlim_max > INT_MAX)
        most.rlim_max = INT_MAX;
    if (end > most.rlim_max)
        end = (unsigned)most.rlim_max;
    for (; first < end; first++)
        close((int)first);
}

/* Close all but 0, 1, 2, (result) and those of (work). */
static void close_others(const struct process_work *work, int result)
{
    unsigned from = STDERR_FILENO + 1;

    for (;;) {
        unsigned next = UINT_MAX;

        if ((unsigned)result >= from)
            next = (unsigned)result;
        for (unsigned i = 0; i < work->fd_count; i++)
            if (work->fds[i] >= (int)from && (unsigned)work->fds[i] < next)
                next = (unsigned)work->fds[i];
        close_between(from, next);
        if (next == UINT_MAX)
            return;
        from = next + 1;
    }
}

/* Handlers are the program's, and would find half of it; what the terminal
 * sends is for the program as well. A limit on the size of files is an error,
 * no end. */
static void set_signals(void)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGXFSZ};
    struct sigaction action;
    sigset_t none;

    for (int i = 1; i < NSIG; i++) {
        if (sigaction(i, NULL, &action) != 0 || action.sa_handler == SIG_IGN)
            continue;
        action = (struct sigaction){.sa_handler = SIG_DFL};
        (void)sigaction(i, &action, NULL);
    }
    action = (struct sigaction){.sa_handler = SIG_IGN};
    for (unsigned i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        (void)sigaction(ignored[i], &action, NULL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool parent_is_there(int result)
{
    char word;
    ssize_t got;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return false;
    do
        got = recv(result, &word, 1, 0);
    while (got < 0 && errno == EINTR);
    return got == 1;
}

_Noreturn static void child(const struct process_work *work, int result)
{
    struct outcome outcome;
    ssize_t put;

    /* The parent's end first: who holds that would never see it close. */
    close_others(work, result);
    set_signals();
    if (!parent_is_there(result))
        _exit(1);
    memset(&outcome, 0, sizeof outcome);
    outcome.rc = work->work(work->context, &outcome.value, &outcome.error);
    do
        put = send(result, &outcome, sizeof outcome, MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    _exit(put == (ssize_t)sizeof outcome ? 0 : 1);
}

/* ---- the parent ---- */

/* All signals wait meanwhile: the child has our handlers at first. */
static int fork_quietly(const struct process_work *work, int result)
{
    sigset_t all;
    sigset_t before;
    int pid;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0)
        child(work, result);
    failed = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = failed;
    return pid;
}

int process_copy(const struct process_work *work, struct process_copy *ret,
                 struct sm_error *err)
{
    AUTO_CLOSE int far = -1;
    AUTO_CLOSE int near = -1;
    int ends[2];
    int pid;
    int fd;
    int rc;

    assert(work->fd_count <= PROCESS_COPY_FDS_MAX);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return fail_os(err, "copy this process: socket pair");
    near = ends[0];
    far = ends[1];
    pid = fork_quietly(work, far);
    if (pid < 0)
        return fail_os(err, "copy this process");
    fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        /* Without the word the child ends at once. */
        rc = fail_os(err, "copy this process: pidfd");
        close(own_take_fd(&near));
        (void)waitpid(pid, NULL, 0);
        return rc;
    }
    /* If it has died already, its end tells. */
    (void)send(near, "", 1, MSG_NOSIGNAL);
    *ret = (struct process_copy){.process = {.pid = pid, .fd = fd},
                                 .result = own_take_fd(&near)};
    return 0;
}

int process_copy_end(struct process_copy *copy, uint64_t *value,
                     struct sm_error *err)
{
    struct outcome outcome;
    ssize_t got;

    do
        got = recv(copy->result, &outcome, sizeof outcome, 0);
    while (got < 0 && errno == EINTR);
    process_wait(&copy->process, NULL);
    close(copy->result);
    *copy = PROCESS_COPY_NONE;
    if (got != (ssize_t)sizeof outcome)
        return fail(err, SM_EIO, "the copy of this process died");
    *value = outcome.value;
    if (outcome.rc && err)
        *err = outcome.error;
    return outcome.rc;
}

void process_copy_kill(struct process_copy *copy)
{
    process_kill(&copy->process);
    process_wait(&copy->process, NULL);
    if (copy->result >= 0)
        close(copy->result);
    *copy = PROCESS_COPY_NONE;
}
