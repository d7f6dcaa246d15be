/* oom.c: the kernel killed a process for want of memory; see guest.h.
 *
 * How it works
 *   The kernel says so in its log, after it sent the signal and mostly before
 *   the process is gone. A record of /dev/kmsg is
 *
 *       PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,...];TEXT
 *
 *   whose priority is the level and, from bit 3 on, who speaks: 0 is the
 *   kernel, and nobody else can be (Documentation/ABI/testing/dev-kmsg).
 *
 *   Whose process it was can be asked as long as somebody has not waited for
 *   it. To ask takes memory, of which there is none: an ordinary process has to
 *   wait for it until the killed one has gone. One of real time may take of
 *   what is set aside, and is not overtaken on its processor. Where that was
 *   still too late, its parent has waited for it at once, and mostly ends on
 *   it: the program that fails next is taken for the one.
 */
#include "guest.h"

#include "base/bytes.h"
#include "job.h"
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    RECORD_MAX = 8192,     /* the kernel's own limit             */
    RECORDS_AT_ONCE = 256, /* then others have their turn        */
    CLAIM_MS = 5000,       /* how soon a program ends on it      */
    FROM_KERNEL = 0,
    FACILITY_SHIFT = 3
};

/* True: (record) says that a process was killed. */
static bool parse_record(const char *record, struct agent_oom *ret)
{
    static const char killed[] = "Killed process ";
    const char *text = strchr(record, ';');
    const char *at = text ? strstr(text, killed) : NULL;
    char *end;

    if (!at || strtoul(record, NULL, 10) >> FACILITY_SHIFT != FROM_KERNEL)
        return false;
    /* "Out of memory: Killed ...", "Memory cgroup out of memory: Killed ..." */
    if (!memmem(text, (size_t)(at - text), "ut of memory: ", 14))
        return false;
    ret->pid = (uint32_t)strtoul(at + strlen(killed), &end, 10);
    if (strncmp(end, " (", 2) != 0)
        return false;
    end += 2;
    snprintf(ret->name, sizeof ret->name, "%.*s", (int)strcspn(end, ")"), end);
    return ret->pid > 0;
}

static void process_killed(struct guest *guest, const struct agent_oom *oom)
{
    struct job *job = job_of_process(guest, (pid_t)oom->pid);

    guest->oom_kills++;
    if (job)
        job->exit.flags |= AGENT_EXIT_OOM;
    else
        guest->unclaimed_kill_ns = guest_monotonic_ns();
    for (struct link *link = guest->links; link; link = link->next)
        if (link->connected)
            agent_put_oom(link_buf(link), oom);
}

bool guest_claim_kill(struct guest *guest)
{
    uint64_t since_ns = guest->unclaimed_kill_ns;

    guest->unclaimed_kill_ns = 0;
    return since_ns && guest_monotonic_ns() - since_ns < CLAIM_MS * NS_PER_MS;
}

void guest_check_memory(struct guest *guest)
{
    char record[RECORD_MAX + 1];
    struct agent_oom oom;

    for (unsigned i = 0; guest->kernel_log >= 0; i++) {
        ssize_t count = read(guest->kernel_log, record, RECORD_MAX);

        /* EPIPE: records were dropped before we came to read them. */
        if (count < 0 && errno != EPIPE && errno != EINTR)
            return;
        if (count == 0)
            return;
        record[count > 0 ? count : 0] = '\0';
        if (parse_record(record, &oom))
            process_killed(guest, &oom);
        if (i >= RECORDS_AT_ONCE) {
            ring_put(&guest->due, &guest->kernel_log_task);
            return;
        }
    }
}

static void check_on(struct task *task)
{
    guest_check_memory(CONTAINER(task, struct guest, kernel_log_task));
}

static void kernel_spoke(struct source *source, uint32_t events)
{
    const struct sched_param urgent = {.sched_priority = 1};
    const struct sched_param as_others = {0};

    (void)events;
    /* Without the right to it the answer may come too late, no more. */
    (void)sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &urgent);
    guest_check_memory(CONTAINER(source, struct guest, kernel_log_source));
    (void)sched_setscheduler(0, SCHED_OTHER, &as_others);
}

void guest_watch_memory(struct guest *guest)
{
    const char *path = guest->config.kernel_log;

    if (!path)
        return;
    guest->kernel_log = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (guest->kernel_log < 0)
        return;
    lseek(guest->kernel_log, 0, SEEK_END);
    guest->kernel_log_task.fn = check_on;
    guest->kernel_log_source.fn = kernel_spoke;
    if (guest_watch(guest, guest->kernel_log, EPOLLIN,
                    &guest->kernel_log_source))
        guest_close(guest, &guest->kernel_log);
}
