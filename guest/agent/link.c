/* link.c: one session with the host; see link.h.
 *
 * How it works
 *   Replies and small pieces of output are put into a queue, which is written
 *   once when the turn ends; large pieces are written straight through. While
 *   the socket takes nothing, no program's output is read. Replies are short,
 * but a host that asks and never reads could still pile them up: beyond
 * OUT_HIGH nothing is read from it until the queue is empty. The host always
 * reads, so the two never wait for each other.
 */
#include "link.h"

#include "base/bytes.h"
#include "cgroup.h"
#include "hold.h"
#include "job.h"
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* One chunk of tiny requests cannot bring more replies than OUT_CAP. */
enum {
    IN_CHUNK = 128 << 10,
    OUT_SMALL = 4 << 10, /* output up to here waits for the end of the turn */
    OUT_FULL = 64 << 10,
    OUT_HIGH = 256 << 10,
    OUT_CAP = 4 << 20
};

static void link_bury(struct grave *grave)
{
    struct link *link = CONTAINER(grave, struct link, grave);

    frame_reader_done(&link->in);
    queue_done(&link->out);
    free(link);
}

void link_close(struct link *link)
{
    struct guest *guest = link->guest;

    if (link->fd < 0)
        return;
    guest_close(guest, &link->fd);
    hold_lost(link);
    ring_remove(&link->receive);
    ring_remove(&link->flush);
    link->writable = false;
    for (unsigned i = 0; i < JOB_BUCKETS; i++)
        while (link->jobs[i])
            job_abandon(link->jobs[i]);
    if (link->prev)
        link->prev->next = link->next;
    else
        guest->links = link->next;
    if (link->next)
        link->next->prev = link->prev;
    guest_bury(guest, &link->grave);
}

/* The socket failed with errno. A reset of the transport, as a restored
 * machine sees it, is not the host's goodbye: call it again. */
static void link_broke(struct link *link)
{
    struct guest *guest = link->guest;
    bool again = errno == ECONNRESET && link->connected &&
                 link->origin == LINK_CONNECTING;

    link_close(link);
    if (again)
        guest_connect(guest);
}

struct buf *link_buf(struct link *link)
{
    if (link->fd >= 0)
        ring_put(&link->guest->sends, &link->flush);
    return &link->out.buf;
}

/* Write what waits. Returns false if the link is closed afterwards. */
static bool write_out(struct link *link)
{
    if (link->out.buf.failed) {
        link_close(link);
        return false;
    }
    while (link->writable && queue_count(&link->out) > 0) {
        ssize_t sent = send(link->fd, queue_front(&link->out),
                            queue_count(&link->out), MSG_NOSIGNAL);

        if (sent >= 0) {
            queue_drop(&link->out, (size_t)sent);
        } else if (errno == EAGAIN) {
            link->writable = false;
        } else if (errno != EINTR) {
            link_broke(link);
            return false;
        }
    }
    return true;
}

/* Task: when a turn ends, or the socket takes bytes again. */
static void link_flush(struct task *task)
{
    struct link *link = CONTAINER(task, struct link, flush);

    if (!write_out(link) || queue_count(&link->out) > 0)
        return;
    if (link->ending) {
        link_close(link);
        return;
    }
    while (link->stuck.head && !link->guest->hold)
        ring_put(&link->guest->due, link->stuck.head);
    if (link->throttled) {
        link->throttled = false;
        ring_put(&link->guest->due, &link->receive);
    }
}

bool link_takes_data(const struct link *link)
{
    return link->writable && !link->ending && !link->guest->hold &&
           queue_count(&link->out) < OUT_FULL;
}

void link_send_data(struct link *link, const uint8_t *frame, size_t count)
{
    ssize_t sent = 0;

    if (count <= OUT_SMALL) {
        buf_append(link_buf(link), frame, count);
        return;
    }
    if (!write_out(link))
        return;
    if (queue_count(&link->out) > 0) {
        buf_append(link_buf(link), frame, count);
        return;
    }
    do {
        sent = send(link->fd, frame, count, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN) {
        link_broke(link);
        return;
    }
    if (sent < 0)
        sent = 0;
    if ((size_t)sent == count)
        return;
    link->writable = false;
    buf_append(link_buf(link), frame + sent, count - (size_t)sent);
}

void link_fail(struct link *link, const char *message)
{
    if (link->fd < 0 || link->ending)
        return;
    agent_put_error(link_buf(link), message);
    link->ending = true;
}

static void link_setup(struct link *link, const struct frame *frame)
{
    struct guest *guest = link->guest;
    struct agent_setup setup;
    struct sm_error err = {0};
    int rc = agent_get_setup(&setup, frame, &err);

    if (!rc && guest->state != GUEST_BARE)
        rc = fail(&err, SM_ESTATE, "SETUP: the machine is set up already");
    else if (!rc) {
        rc = guest->config.ops->setup(guest->config.context, &setup, &err);
        if (!rc && setup.processes_max &&
            cgroups_limit(guest->cgroups, setup.processes_max))
            rc = fail_os(&err, "SETUP: limit of processes");
        guest->state = rc ? GUEST_FAILED : GUEST_READY;
    }
    agent_setup_done(&setup);
    if (rc) {
        link_fail(link, err.message);
        return;
    }
    agent_put_setup_done(link_buf(link));
}

static int link_report(struct link *link, const struct frame *frame,
                       struct sm_error *err)
{
    enum agent_report report;
    int rc = agent_get_report(&report, frame, err);

    if (rc)
        return rc;
    /* Who asks and does not read is not told more. */
    if (queue_count(&link->out) > OUT_HIGH)
        return fail(err, SM_EPROTO, "REPORT: too many at once");
    if (report == AGENT_REPORT_FIGURES)
        report_figures(link->guest, link_buf(link));
    else
        report_processes(link->guest, link_buf(link));
    return 0;
}

static int link_message(struct link *link, const struct frame *frame,
                        struct sm_error *err)
{
    struct agent_shutdown shutdown;
    uint64_t number;
    int rc;

    if (link->guest->hold)
        return hold_message(link, frame, err);
    switch (frame->type) {
    case AGENT_SETUP:
        link_setup(link, frame);
        return 0;
    case AGENT_PING:
        rc = agent_get_ping(&number, frame, err);
        if (!rc)
            agent_put_ping(link_buf(link), AGENT_PONG, number);
        return rc;
    case AGENT_SHUTDOWN:
        rc = agent_get_shutdown(&shutdown, frame, err);
        if (!rc)
            guest_end(link->guest, &shutdown);
        return rc;
    case AGENT_HOLD:
        hold_begin(link);
        return 0;
    case AGENT_RELEASE:
    case AGENT_CLONE:
        return fail(err, SM_EPROTO, "%s: the machine is not held",
                    agent_type_name(frame->type));
    case AGENT_EXEC:
        return job_start(link, frame, err);
    case AGENT_REPORT:
        return link_report(link, frame, err);
    default:
        /* Unknown types come here only if they may be ignored. */
        if (frame->channel == 0)
            return 0;
        return job_message(link, frame, err);
    }
}

/* Take all whole frames out of what came. */
static void link_dispatch(struct link *link)
{
    struct sm_error err = {0};
    struct frame frame;
    int rc = 0;

    while (link->fd >= 0 && !link->ending) {
        rc = frame_reader_next(&link->in, &frame, &err);
        if (rc > 0)
            rc = link_message(link, &frame, &err);
        else
            break;
        if (rc)
            break;
    }
    if (rc < 0)
        link_fail(link, err.message);
}

/* Task: one chunk from the host. Queued as long as more may be there. */
static void link_receive(struct task *task)
{
    struct link *link = CONTAINER(task, struct link, receive);
    size_t room;
    uint8_t *to;
    ssize_t count;

    if (link->ending || !link->connected)
        return;
    link->throttled = queue_count(&link->out) > OUT_HIGH;
    if (link->throttled)
        return;
    to = frame_reader_room(&link->in, &room);
    if (!to) {
        link_close(link);
        return;
    }
    count = recv(link->fd, to, room, 0);
    if (count == 0) {
        link_close(link);
        return;
    }
    if (count < 0) {
        if (errno == EINTR)
            ring_put(&link->guest->due, task);
        else if (errno != EAGAIN)
            link_broke(link);
        return;
    }
    frame_reader_added(&link->in, (size_t)count);
    /* A short read has emptied the socket: what comes later is a new event. */
    if ((size_t)count == room || link->hung_up)
        ring_put(&link->guest->due, task);
    link_dispatch(link);
}

static void say_hello(struct link *link)
{
    struct agent_hello hello = {
        .version = AGENT_VERSION,
        .set_up = link->guest->state != GUEST_BARE,
        .features = AGENT_CAN_ALL,
        .monotonic_ns = guest_monotonic_ns(),
    };
    struct timespec boot;
    struct utsname name;

    clock_gettime(CLOCK_BOOTTIME, &boot);
    hello.boottime_ns =
        (uint64_t)boot.tv_sec * NS_PER_S + (uint64_t)boot.tv_nsec;
    if (uname(&name) == 0)
        snprintf(hello.kernel, sizeof hello.kernel, "%s", name.release);
    snprintf(hello.agent, sizeof hello.agent, "%s", AGENT_TEXT_VERSION);
    agent_put_hello(link_buf(link), &hello);
}

static bool finish_connect(struct link *link)
{
    int failure = 0;
    socklen_t size = sizeof failure;

    getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &failure, &size);
    if (failure) {
        link_close(link);
        return false;
    }
    link->connected = true;
    return true;
}

static void link_event(struct source *source, uint32_t events)
{
    struct link *link = CONTAINER(source, struct link, source);

    if (link->fd < 0)
        return;
    if (!link->connected && !(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
        return;
    if (!link->connected && !finish_connect(link))
        return;
    if (events & EPOLLOUT) {
        link->writable = true;
        ring_put(&link->guest->sends, &link->flush);
    }
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        link->hung_up = true;
    if (events & EPOLLIN || link->hung_up)
        ring_put(&link->guest->due, &link->receive);
}

void link_open(struct guest *guest, int fd, enum link_origin origin)
{
    struct link *link = calloc(1, sizeof *link);

    if (!link) {
        close(fd);
        return;
    }
    link->guest = guest;
    link->fd = fd;
    link->origin = origin;
    link->connected = origin == LINK_ACCEPTED;
    link->source.fn = link_event;
    link->receive.fn = link_receive;
    link->flush.fn = link_flush;
    link->grave.fn = link_bury;
    frame_reader_init(&link->in, IN_CHUNK,
                      FRAME_HEADER_BYTES + AGENT_REQUEST_MAX,
                      agent_check_from_host);
    queue_init(&link->out, OUT_CAP);
    link->next = guest->links;
    if (link->next)
        link->next->prev = link;
    guest->links = link;
    say_hello(link);
    /* Edge-triggered: a socket that is ready now is an event, too. */
    if (guest_watch(guest, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP, &link->source))
        link_close(link);
}
