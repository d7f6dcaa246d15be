/* job.c: one program from EXEC to EXITED; see job.h. */
#include "job.h"

#include "base/bytes.h"
#include "child.h"
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

static struct job **pid_bucket(struct guest *guest, pid_t pid)
{
    return &guest->jobs_by_pid[(unsigned)pid % PID_BUCKETS];
}

struct job *job_by_pid(struct guest *guest, pid_t pid)
{
    struct job *job = *pid_bucket(guest, pid);

    while (job && job->pid != pid)
        job = job->next_of_pid;
    return job;
}

struct job *job_of_process(struct guest *guest, pid_t pid)
{
    struct job *job = job_by_pid(guest, pid);
    uint64_t number = job ? 0 : cgroup_of_process(guest->config.proc, pid);

    for (unsigned i = 0; number && i < PID_BUCKETS; i++)
        for (struct job *at = guest->jobs_by_pid[i]; at; at = at->next_of_pid)
            if (at->cgroup.fd >= 0 && at->cgroup.number == number)
                return at;
    return job;
}

struct job *job_by_channel(struct link *link, uint32_t channel)
{
    struct job *job = link->jobs[channel % JOB_BUCKETS];

    while (job && job->channel != channel)
        job = job->next_of_link;
    return job;
}

/* The host hears no more of it. */
static void leave_link(struct job *job)
{
    struct job **at;

    if (!job->link)
        return;
    at = &job->link->jobs[job->channel % JOB_BUCKETS];
    while (*at != job)
        at = &(*at)->next_of_link;
    *at = job->next_of_link;
    job->link->job_count--;
    job->link = NULL;
}

static void leave_pids(struct job *job)
{
    struct job **at;

    if (job->pid == 0)
        return;
    at = pid_bucket(job->guest, job->pid);
    while (*at != job)
        at = &(*at)->next_of_pid;
    *at = job->next_of_pid;
    job->pid = 0;
}

static void job_bury(struct grave *grave)
{
    free(CONTAINER(grave, struct job, grave));
}

void job_free(struct job *job)
{
    leave_link(job);
    leave_pids(job);
    inlet_close(&job->in);
    outlet_close(&job->out);
    outlet_close(&job->err);
    guest_close(job->guest, &job->error_pipe);
    guest_close(job->guest, &job->timer);
    if (job->cgroup.fd >= 0)
        cgroup_drop(job->guest->cgroups, &job->cgroup);
    guest_bury(job->guest, &job->grave);
}

static void signal_job(const struct job *job, int signal,
                       enum agent_target target)
{
    if (target == AGENT_TREE && job->cgroup.fd >= 0)
        cgroup_signal(&job->cgroup, signal);
    else if (job->pid == 0)
        return;
    else if (target == AGENT_PROCESS || kill(-job->pid, signal))
        kill(job->pid, signal);
}

void job_check_end(struct job *job)
{
    if (job->state != JOB_DRAINING || job->out.fd >= 0 || job->err.fd >= 0)
        return;
    job->state = JOB_FAILED;
    if (job->link)
        agent_put_exited(link_buf(job->link), job->channel, &job->exit);
    job_free(job);
}

static void job_failed(struct job *job, const struct agent_failure *failure)
{
    job->state = JOB_FAILED;
    if (job->link)
        agent_put_exec_failed(link_buf(job->link), job->channel, failure);
    leave_link(job);
}

/* The child has become the program, or is gone without a word. */
static void job_runs(struct job *job)
{
    job->state = JOB_RUNNING;
    if (job->link)
        agent_put_exec_started(link_buf(job->link), job->channel,
                               (uint32_t)job->pid);
    inlet_start(&job->in);
    outlet_start(&job->out);
    outlet_start(&job->err);
}

static void read_error_pipe(struct job *job)
{
    struct agent_failure failure;
    ssize_t count = read(job->error_pipe, &failure, sizeof failure);

    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    guest_close(job->guest, &job->error_pipe);
    if (count == sizeof failure)
        job_failed(job, &failure);
    else
        job_runs(job);
}

static void error_pipe_event(struct source *source, uint32_t events)
{
    struct job *job = CONTAINER(source, struct job, error_source);

    (void)events;
    if (job->error_pipe >= 0)
        read_error_pipe(job);
}

static uint64_t timeval_ns(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_usec * 1000;
}

void job_ended(struct job *job, int status, const struct rusage *usage)
{
    /* If it was killed for want of memory, that has been said by now. */
    guest_check_memory(job->guest);
    leave_pids(job);
    /* The kernel has closed the child's end: this read is the last. */
    if (job->error_pipe >= 0)
        read_error_pipe(job);
    if (job->state == JOB_FAILED || !job->link) {
        job_free(job);
        return;
    }
    /* It has ended: what did not exit was signalled. */
    job->exit.signaled = !WIFEXITED(status);
    job->exit.value =
        (uint32_t)(WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    if (job->exit.value && guest_claim_kill(job->guest))
        job->exit.flags |= AGENT_EXIT_OOM;
    if (WIFSIGNALED(status) && WCOREDUMP(status))
        job->exit.flags |= AGENT_EXIT_CORE;
    job->exit.user_ns = timeval_ns(&usage->ru_utime);
    job->exit.system_ns = timeval_ns(&usage->ru_stime);
    job->exit.wall_ns = guest_monotonic_ns() - job->started_ns;
    job->exit.max_rss_bytes = (uint64_t)usage->ru_maxrss * KIB;
    guest_close(job->guest, &job->timer);
    inlet_close(&job->in);
    outlet_last_call(&job->out);
    outlet_last_call(&job->err);
    job->state = JOB_DRAINING;
    job_check_end(job);
}

void job_abandon(struct job *job)
{
    leave_link(job);
    if (job->state == JOB_DRAINING) {
        job_free(job);
        return;
    }
    inlet_close(&job->in);
    if (job->flags & AGENT_EXEC_KEEP) {
        outlet_discard(&job->out);
        outlet_discard(&job->err);
        return;
    }
    outlet_close(&job->out);
    outlet_close(&job->err);
    signal_job(job, SIGKILL, AGENT_TREE);
}

void job_orphan(struct job *job)
{
    leave_link(job);
    if (job->state == JOB_DRAINING) {
        job_free(job);
        return;
    }
    inlet_end(&job->in);
    outlet_discard(&job->out);
    outlet_discard(&job->err);
}

static void timed_out(struct source *source, uint32_t events)
{
    struct job *job = CONTAINER(source, struct job, timer_source);

    (void)events;
    if (job->timer < 0)
        return;
    guest_close(job->guest, &job->timer);
    job->exit.flags |= AGENT_EXIT_TIMEOUT;
    signal_job(job, SIGKILL, AGENT_TREE);
}

/* Descriptor (ours) becomes non-blocking. The child's ends are descriptions of
 * their own, which stay blocking. */
static int unblock(int fd)
{
    return fcntl(fd, F_SETFL, O_NONBLOCK);
}

static int open_terminal(struct job *job, const struct agent_exec *exec,
                         struct child *child)
{
    struct winsize size = {.ws_row = exec->rows, .ws_col = exec->columns};
    int unlock = 0;
    int slave;

    job->out.fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (job->out.fd < 0 || unblock(job->out.fd) ||
        ioctl(job->out.fd, TIOCSPTLCK, &unlock))
        return -1;
    slave = ioctl(job->out.fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    child->stdio[AGENT_IN] = slave;
    child->stdio[AGENT_OUT] = slave;
    child->stdio[AGENT_ERR] = slave;
    if (slave < 0 || (exec->rows && ioctl(slave, TIOCSWINSZ, &size)))
        return -1;
    job->out.terminal = job->in.terminal = true;
    /* One epoll entry for each direction needs two descriptors. */
    job->in.fd = fcntl(job->out.fd, F_DUPFD_CLOEXEC, 0);
    return job->in.fd < 0 ? -1 : 0;
}

/* A pipe whose end (mine) (0 reads, 1 writes) is kept here. */
static int open_pipe(int mine, int *ret_mine, int *ret_child)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC))
        return -1;
    *ret_mine = ends[mine];
    *ret_child = ends[!mine];
    return unblock(ends[mine]);
}

static int open_streams(struct job *job, const struct agent_exec *exec,
                        struct child *child)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return -1;
    job->error_pipe = ends[0];
    child->error_pipe = ends[1];
    if (exec->flags & AGENT_EXEC_TTY)
        return open_terminal(job, exec, child);
    if (exec->flags & AGENT_EXEC_STDIN &&
        open_pipe(1, &job->in.fd, &child->stdio[AGENT_IN]))
        return -1;
    if (exec->flags & AGENT_EXEC_STDOUT &&
        open_pipe(0, &job->out.fd, &child->stdio[AGENT_OUT]))
        return -1;
    if (exec->flags & AGENT_EXEC_STDERR &&
        open_pipe(0, &job->err.fd, &child->stdio[AGENT_ERR]))
        return -1;
    return 0;
}

static void close_at(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_childs(struct child *child)
{
    /* A terminal is one descriptor three times. */
    for (int i = 0; i < AGENT_STREAMS; i++)
        if (i == 0 || child->stdio[i] != child->stdio[0])
            close_at(&child->stdio[i]);
    close_at(&child->error_pipe);
}

static int start_timer(struct job *job, uint32_t timeout_ms)
{
    struct itimerspec when = {
        .it_value.tv_sec = timeout_ms / 1000,
        .it_value.tv_nsec = (long)(timeout_ms % 1000 * NS_PER_MS),
    };

    if (timeout_ms == 0)
        return 0;
    job->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (job->timer < 0 || timerfd_settime(job->timer, 0, &when, NULL))
        return -1;
    return guest_watch(job->guest, job->timer, EPOLLIN, &job->timer_source);
}

static struct job *job_new(struct guest *guest, const struct agent_exec *exec)
{
    struct job *job = calloc(1, sizeof *job);

    if (!job)
        return NULL;
    job->guest = guest;
    job->flags = exec->flags;
    job->error_pipe = job->timer = job->cgroup.fd = -1;
    job->error_source.fn = error_pipe_event;
    job->timer_source.fn = timed_out;
    job->grave.fn = job_bury;
    inlet_init(&job->in, job);
    outlet_init(&job->out, job, AGENT_OUT);
    outlet_init(&job->err, job, AGENT_ERR);
    job->out.credit = exec->out_window;
    job->err.credit = exec->err_window;
    return job;
}

/* Everything up to the fork. Returns -1 and errno. */
static int launch(struct job *job, const struct agent_exec *exec)
{
    struct guest *guest = job->guest;
    struct child child = {
        .exec = exec,
        .etc = guest->config.etc,
        .stdio = {-1, -1, -1},
        .error_pipe = -1,
    };
    pid_t pid = -1;
    int failure;

    cgroup_make(guest->cgroups, &job->cgroup);
    child.cgroup = job->cgroup.fd;
    job->started_ns = guest_monotonic_ns();
    if (open_streams(job, exec, &child) == 0 &&
        start_timer(job, exec->timeout_ms) == 0 &&
        guest_watch(guest, job->error_pipe, EPOLLIN, &job->error_source) == 0)
        pid = child_start(&child);
    failure = errno;
    close_childs(&child);
    errno = failure;
    if (pid < 0)
        return -1;
    job->pid = pid;
    job->next_of_pid = *pid_bucket(guest, pid);
    *pid_bucket(guest, pid) = job;
    return 0;
}

static void refuse(struct link *link, uint32_t channel,
                   enum agent_reason reason, const char *message)
{
    struct agent_failure failure = {.reason = reason};

    snprintf(failure.message, sizeof failure.message, "%s", message);
    agent_put_exec_failed(link_buf(link), channel, &failure);
}

static void start(struct link *link, uint32_t channel,
                  const struct agent_exec *exec)
{
    struct job *job;
    char message[128];

    if (link->guest->state != GUEST_READY) {
        refuse(link, channel, AGENT_NOT_SET_UP, "the machine is not set up");
        return;
    }
    if (link->job_count >= AGENT_CHANNELS_MAX) {
        snprintf(message, sizeof message, "at most %d programs at a time",
                 AGENT_CHANNELS_MAX);
        refuse(link, channel, AGENT_NO_RESOURCES, message);
        return;
    }
    job = job_new(link->guest, exec);
    if (!job || launch(job, exec)) {
        snprintf(message, sizeof message, "new process: %s", strerror(errno));
        refuse(link, channel, AGENT_NO_RESOURCES, message);
        if (job)
            job_free(job);
        return;
    }
    job->channel = channel;
    job->link = link;
    job->next_of_link = link->jobs[channel % JOB_BUCKETS];
    link->jobs[channel % JOB_BUCKETS] = job;
    link->job_count++;
}

int job_start(struct link *link, const struct frame *frame,
              struct sm_error *err)
{
    struct agent_exec exec;
    int rc = agent_get_exec(&exec, frame, err);

    if (!rc && job_by_channel(link, frame->channel))
        rc = fail(err, SM_EPROTO, "EXEC on channel %u, which is in use",
                  frame->channel);
    if (!rc)
        start(link, frame->channel, &exec);
    agent_exec_done(&exec);
    return rc;
}

static int job_signal(struct job *job, const struct frame *frame,
                      struct sm_error *err)
{
    enum agent_target target;
    uint32_t signal;
    int rc = agent_get_signal(&signal, &target, frame, err);

    if (!rc)
        signal_job(job, (int)signal, target);
    return rc;
}

static int job_resize(struct job *job, const struct frame *frame,
                      struct sm_error *err)
{
    struct winsize size = {0};
    int rc = agent_get_resize(&size.ws_row, &size.ws_col, frame, err);

    /* On the master the kernel signals the terminal's foreground. */
    if (!rc && job->out.terminal && job->out.fd >= 0)
        ioctl(job->out.fd, TIOCSWINSZ, &size);
    return rc;
}

/* The two streams that a WINDOW or CLOSE of the host may speak of. */
static struct outlet *outlet_of(struct job *job, enum agent_stream stream)
{
    if (stream == AGENT_IN)
        return NULL;
    return stream == AGENT_OUT ? &job->out : &job->err;
}

static int job_window(struct job *job, const struct frame *frame,
                      struct sm_error *err)
{
    enum agent_stream stream;
    struct outlet *outlet;
    uint32_t bytes;
    int rc = agent_get_window(&stream, &bytes, frame, err);

    if (rc)
        return rc;
    outlet = outlet_of(job, stream);
    if (!outlet || bytes > AGENT_WINDOW_MAX - outlet->credit)
        return fail(err, SM_EPROTO, "WINDOW of %u bytes too many", bytes);
    outlet->credit += bytes;
    outlet_grant(outlet);
    return 0;
}

static int job_close(struct job *job, const struct frame *frame,
                     struct sm_error *err)
{
    enum agent_stream stream;
    struct outlet *outlet;
    int rc = agent_get_close(&stream, frame, err);

    if (rc)
        return rc;
    outlet = outlet_of(job, stream);
    if (!outlet)
        return fail(err, SM_EPROTO, "CLOSE of stdin by the host");
    /* A program that is kept may lose its audience but not its life; and a
     * terminal is one thing in both directions. */
    if (job->flags & AGENT_EXEC_KEEP || outlet->terminal) {
        outlet_discard(outlet);
        return 0;
    }
    outlet_close(outlet);
    job_check_end(job);
    return 0;
}

int job_message(struct link *link, const struct frame *frame,
                struct sm_error *err)
{
    struct job *job = job_by_channel(link, frame->channel);

    if (!job)
        return 0;
    switch (frame->type) {
    case AGENT_STDIN:
        if (!inlet_take(&job->in, frame))
            return fail(err, SM_EPROTO, "STDIN of %u bytes too many",
                        frame->count);
        return 0;
    case AGENT_WINDOW:
        return job_window(job, frame, err);
    case AGENT_CLOSE:
        return job_close(job, frame, err);
    case AGENT_SIGNAL:
        return job_signal(job, frame, err);
    case AGENT_RESIZE:
        return job_resize(job, frame, err);
    default:
        return 0;
    }
}
