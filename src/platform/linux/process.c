/* process.c: children by clone(2) with a pidfd; see process.h. */
#include "platform/process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct launch {
    const struct process_plan *plan;
    int parent;
    int failed; /* written by the child: errno */
};

/* Descriptors 0 and 1 are (in) and (out); 2 is ours, or nothing if we have
 * none: the next file that the program opens must not become its standard
 * error. */
static int place_standard(int in, int out, int null)
{
    if (null < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0)
        return -1;
    return fcntl(2, F_GETFD) < 0 ? dup2(null, 2) : 0;
}

/* Put the descriptors in their places, by way of numbers that are no place:
 * first of all they are moved away, because any of them may be in the way. */
static int place_descriptors(const struct process_plan *plan)
{
    int moved[PROCESS_FDS_MAX];
    int standard[2] = {-1, -1};
    int after = PROCESS_FD_FIRST + PROCESS_FDS_MAX;
    unsigned rest = PROCESS_FD_FIRST + plan->fd_count;
    int null;

    for (unsigned i = 0; i < plan->fd_count; i++) {
        moved[i] = fcntl(plan->fds[i], F_DUPFD_CLOEXEC, after);
        if (moved[i] < 0)
            return -1;
    }
    for (unsigned i = 0; plan->standard && i < 2; i++) {
        standard[i] = fcntl(plan->standard[i], F_DUPFD_CLOEXEC, after);
        if (standard[i] < 0)
            return -1;
    }
    null = open("/dev/null", O_RDWR);
    if (place_standard(plan->standard ? standard[0] : null,
                       plan->standard ? standard[1] : null, null) < 0)
        return -1;
    for (unsigned i = 0; i < plan->fd_count; i++)
        if (dup2(moved[i], PROCESS_FD_FIRST + (int)i) < 0)
            return -1;
    /* What the caller opened without O_CLOEXEC is nothing to the program.
     * Before Linux 5.9 there is no such call; then the flag has to do. */
    if (syscall(SYS_close_range, rest, ~0U, 0) != 0 && null >= (int)rest)
        close(null);
    return 0;
}

/* What a program of somebody else's expects to find, or -1. */
static int begin_foreign(int parent)
{
    const struct sigaction usual = {.sa_handler = SIG_DFL};
    struct rlimit memory;
    sigset_t none;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        return -1;
    if (getrlimit(RLIMIT_DATA, &memory) == 0) {
        memory.rlim_cur = memory.rlim_max;
        (void)setrlimit(RLIMIT_DATA, &memory);
    }
    /* The handlers are this child's own copy; none of them may run on our
     * memory between here and execve(). Two numbers are the C library's. */
    for (int i = 1; i < NSIG; i++)
        (void)sigaction(i, &usual, NULL);
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Runs in the parent's memory while the parent waits (vfork): touches nothing
 * but its stack and `failed`. */
static int child(void *argument)
{
    static char *const no_environment[] = {NULL};
    struct launch *launch = argument;
    const struct process_plan *plan = launch->plan;

    if (place_descriptors(plan) == 0 &&
        (!plan->is_foreign || begin_foreign(launch->parent) == 0))
        execve(plan->path, plan->argv, plan->env ? plan->env : no_environment);
    launch->failed = errno;
    return 127; /* clone(2) makes it the exit code */
}

int process_start(const char *path, char *const argv[], const int *fds,
                  unsigned fd_count, struct process *ret, struct sm_error *err)
{
    const struct process_plan plan = {
        .path = path, .argv = argv, .fds = fds, .fd_count = fd_count};

    return process_start_plan(&plan, ret, err);
}

int process_start_plan(const struct process_plan *plan, struct process *ret,
                       struct sm_error *err)
{
    static const size_t stack_bytes = 16384;
    struct launch launch = {.plan = plan, .parent = getpid()};
    sigset_t all;
    sigset_t before;
    char *stack = malloc(stack_bytes);
    int pidfd = -1;
    int pid;

    assert(plan->fd_count <= PROCESS_FDS_MAX);
    if (!stack)
        return fail(err, SM_ENOMEM, "start %s: out of memory", plan->path);
    /* No handler of ours may run in the child on our memory. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = clone(child, stack + stack_bytes,
                CLONE_VM | CLONE_VFORK | CLONE_PIDFD, &launch, &pidfd);
    if (pid < 0)
        launch.failed = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(stack);
    *ret = (struct process){.pid = pid, .fd = pidfd};
    if (launch.failed) {
        if (pid > 0)
            process_wait(ret, NULL);
        *ret = PROCESS_NONE;
        return fail_errno(err, launch.failed, "start %s", plan->path);
    }
    return 0;
}

void process_kill(const struct process *process)
{
    if (process->fd >= 0)
        syscall(SYS_pidfd_send_signal, process->fd, SIGKILL, NULL, 0);
}

void process_wait(struct process *process, int *status)
{
    siginfo_t info = {0};
    int rc;

    if (process->fd < 0)
        return;
    /* __WALL: a child without an exit signal is not seen otherwise. */
    do
        rc = waitid(P_PIDFD, (id_t)process->fd, &info, WEXITED | __WALL);
    while (rc < 0 && errno == EINTR);
    if (status && rc < 0) /* ECHILD: somebody else was faster */
        *status = -1;
    else if (status)
        *status =
            info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    close(process->fd);
    *process = PROCESS_NONE;
}

void process_begin(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
