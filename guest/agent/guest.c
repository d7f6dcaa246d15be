/* guest.c: the heart of the agent; see guest.h. */
#include "guest.h"

#include "base/bytes.h"
#include "cgroup.h"
#include "hold.h"
#include "job.h"
#include "link.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_AT_ONCE = 64 };

uint64_t guest_monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

int guest_watch(struct guest *guest, int fd, uint32_t events,
                struct source *source)
{
    struct epoll_event event = {.events = events | EPOLLET, .data.ptr = source};

    return epoll_ctl(guest->epoll, EPOLL_CTL_ADD, fd, &event);
}

/* close() alone does not end a watch: a child between fork and exec has the
 * same open file, as the two descriptors of a terminal have. */
void guest_close(struct guest *guest, int *fd)
{
    if (*fd < 0)
        return;
    epoll_ctl(guest->epoll, EPOLL_CTL_DEL, *fd, NULL);
    close(*fd);
    *fd = -1;
}

void ring_put(struct ring *ring, struct task *task)
{
    if (task->on == ring)
        return;
    ring_remove(task);
    task->on = ring;
    ring->count++;
    if (!ring->head) {
        task->next = task->prev = task;
        ring->head = task;
        return;
    }
    task->next = ring->head;
    task->prev = ring->head->prev;
    task->prev->next = task;
    task->next->prev = task;
}

void ring_remove(struct task *task)
{
    struct ring *ring = task->on;

    if (!ring)
        return;
    task->on = NULL;
    ring->count--;
    if (ring->head == task)
        ring->head = task->next == task ? NULL : task->next;
    task->prev->next = task->next;
    task->next->prev = task->prev;
}

void ring_run(struct ring *ring)
{
    struct task *task = ring->head;

    ring_remove(task);
    task->fn(task);
}

void guest_bury(struct guest *guest, struct grave *grave)
{
    grave->next = guest->dead;
    guest->dead = grave;
}

static void bury_dead(struct guest *guest)
{
    while (guest->dead) {
        struct grave *grave = guest->dead;

        guest->dead = grave->next;
        grave->fn(grave);
    }
}

/* Every child that ended: jobs are told, orphans are only collected. */
static void reap(struct guest *guest)
{
    struct rusage usage;
    int status;
    pid_t pid;

    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        struct job *job = job_by_pid(guest, pid);

        if (job)
            job_ended(job, status, &usage);
    }
    if (pid < 0 && errno == ECHILD)
        guest_childless(guest);
}

/*
 * What a signal to process 1 asks for: busybox's and systemd's conventions in
 * one, since an image may bring the poweroff and reboot programs of either.
 */
static bool signal_ends(uint32_t signal, enum agent_end *ret)
{
    bool off = signal == SIGUSR1 || signal == SIGUSR2 ||
               signal == (uint32_t)SIGRTMIN + 4;

    *ret = off ? AGENT_POWER_OFF : AGENT_REBOOT;
    return off || signal == SIGTERM || signal == SIGINT ||
           signal == (uint32_t)SIGRTMIN + 5;
}

static void signals_came(struct source *source, uint32_t events)
{
    struct guest *guest = CONTAINER(source, struct guest, signal_source);
    struct signalfd_siginfo info[8];
    ssize_t count;

    (void)events;
    while ((count = read(guest->signals, info, sizeof info)) > 0) {
        for (size_t i = 0; i < (size_t)count / sizeof *info; i++) {
            struct agent_shutdown shutdown = {.grace_ms = SHUTDOWN_GRACE_MS};

            if (signal_ends(info[i].ssi_signo, &shutdown.end))
                guest_end(guest, &shutdown);
        }
    }
    reap(guest);
}

static int watch_signals(struct guest *guest)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGRTMIN + 4);
    sigaddset(&set, SIGRTMIN + 5);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    guest->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    guest->signal_source.fn = signals_came;
    if (guest->signals < 0)
        return -1;
    return guest_watch(guest, guest->signals, EPOLLIN, &guest->signal_source);
}

int guest_new(const struct guest_config *config, struct guest **ret,
              struct sm_error *err)
{
    struct guest *guest = calloc(1, sizeof *guest);
    int rc;

    if (!guest)
        return fail(err, SM_ENOMEM, "agent: out of memory");
    guest->config = *config;
    guest->signals = guest->listener = guest->end_timer = -1;
    guest->kernel_log = guest->group_watch = -1;
    guest->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (guest->epoll < 0 || watch_signals(guest)) {
        rc = fail_os(err, "agent: epoll and signalfd");
        guest_free(guest);
        return rc;
    }
    guest->cgroups = cgroups_open(guest, config->cgroup_root);
    guest_watch_memory(guest);
    *ret = guest;
    return 0;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void guest_free(struct guest *guest)
{
    if (!guest)
        return;
    while (guest->links)
        link_close(guest->links);
    hold_end(guest);
    for (unsigned i = 0; i < PID_BUCKETS; i++)
        while (guest->jobs_by_pid[i])
            job_free(guest->jobs_by_pid[i]);
    bury_dead(guest);
    cgroups_close(guest->cgroups);
    close_fd(guest->kernel_log);
    close_fd(guest->group_watch);
    close_fd(guest->listener);
    close_fd(guest->end_timer);
    close_fd(guest->signals);
    close_fd(guest->epoll);
    free(guest);
}

void guest_stop(struct guest *guest)
{
    guest->stopped = true;
}

/* One step each for all that are due now, what these queue comes next turn;
 * then everything that was written leaves in one piece per link. */
static void take_turn(struct guest *guest)
{
    for (unsigned i = guest->due.count; i > 0 && guest->due.head; i--)
        ring_run(&guest->due);
    hold_turn(guest);
    while (guest->sends.head)
        ring_run(&guest->sends);
    bury_dead(guest);
    guest_finish(guest);
}

void guest_run(struct guest *guest)
{
    struct epoll_event events[EVENTS_AT_ONCE];

    while (!guest->stopped) {
        int count = epoll_wait(hold_epoll(guest), events, EVENTS_AT_ONCE,
                               guest->due.head ? 0 : -1);

        for (int i = 0; i < count; i++) {
            struct source *source = events[i].data.ptr;

            source->fn(source, events[i].events);
        }
        take_turn(guest);
    }
}

void guest_answer(struct guest *guest)
{
    while (guest->listener >= 0 && !guest->hold) {
        int fd =
            accept4(guest->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && errno != ECONNABORTED && errno != EINTR)
            return;
        if (fd >= 0)
            link_open(guest, fd, LINK_ACCEPTED);
    }
}

static void host_called(struct source *source, uint32_t events)
{
    (void)events;
    guest_answer(CONTAINER(source, struct guest, listen_source));
}

int guest_listen(struct guest *guest, int fd, struct sm_error *err)
{
    guest->listener = fd;
    guest->listen_source.fn = host_called;
    if (guest_watch(guest, fd, EPOLLIN, &guest->listen_source))
        return fail_os(err, "agent: watch the listening socket");
    return 0;
}

void guest_connect(struct guest *guest)
{
    int fd = guest->config.ops->connect(guest->config.context);

    if (fd >= 0)
        link_open(guest, fd, LINK_CONNECTING);
}
