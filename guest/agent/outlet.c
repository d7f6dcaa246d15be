/* outlet.c: a program's output on its way to the host; see job.h.
 *
 * How it works
 *   Each turn reads one frame's worth, straight behind a frame header, if the
 *   host has granted credit and the link takes data. What nobody wants (a
 *   kept program's, after its session has gone) is read and dropped.
 *
 *   When the program's process has ended, others may still hold the pipe open
 *   and go on writing. The stream ends with what the pipe holds at that
 *   moment. A terminal hangs up then, so it is read until it is empty.
 */
#include "job.h"
#include "link.h"

#include "base/bytes.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void outlet_event(struct source *source, uint32_t events)
{
    struct outlet *outlet = CONTAINER(source, struct outlet, source);

    if (outlet->fd < 0)
        return;
    if (events & (EPOLLHUP | EPOLLERR))
        outlet->hung_up = true;
    ring_put(&outlet->job->guest->due, &outlet->task);
}

void outlet_close(struct outlet *outlet)
{
    guest_close(outlet->job->guest, &outlet->fd);
    ring_remove(&outlet->task);
}

/* Nothing more comes. (said): the host knows from the last data frame. */
static void outlet_end(struct outlet *outlet, bool said)
{
    struct job *job = outlet->job;

    outlet_close(outlet);
    if (job->link && !said && !outlet->discarding)
        frame_put(link_buf(job->link),
                  &(struct frame){.type = (uint16_t)(outlet->stream == AGENT_OUT
                                                         ? AGENT_STDOUT
                                                         : AGENT_STDERR),
                                  .flags = AGENT_END,
                                  .channel = job->channel});
    job_check_end(job);
}

/* How much to ask for; 0: it is not this outlet's turn, whatever happens next
 * will queue it. */
static size_t read_size(struct outlet *outlet)
{
    struct link *link = outlet->job->link;
    size_t size = AGENT_DATA_MAX;

    if (outlet->discarding)
        return outlet->last_call && !outlet->terminal
                   ? min_u64(size, outlet->left)
                   : size;
    if (outlet->credit == 0)
        return 0;
    if (!link_takes_data(link)) {
        ring_put(&link->stuck, &outlet->task);
        return 0;
    }
    size = min_u64(size, outlet->credit);
    if (outlet->last_call && !outlet->terminal)
        size = min_u64(size, outlet->left);
    return size;
}

static void send_out(struct outlet *outlet, uint8_t *bytes, size_t count,
                     bool last)
{
    struct job *job = outlet->job;
    struct frame frame = {
        .type = outlet->stream == AGENT_OUT ? AGENT_STDOUT : AGENT_STDERR,
        .flags = last ? AGENT_END : 0,
        .channel = job->channel,
        .count = (uint32_t)count,
    };

    if (outlet->discarding)
        return;
    outlet->credit -= (uint32_t)count;
    frame_put_header(bytes, &frame);
    link_send_data(job->link, bytes, FRAME_HEADER_BYTES + count);
}

static void outlet_run(struct task *task)
{
    struct outlet *outlet = CONTAINER(task, struct outlet, task);
    struct guest *guest = outlet->job->guest;
    size_t size = read_size(outlet);
    bool last = false;
    ssize_t count;

    if (size == 0)
        return;
    count = read(outlet->fd, guest->scratch + FRAME_HEADER_BYTES, size);
    if (count < 0 && errno == EINTR) {
        ring_put(&guest->due, task);
        return;
    }
    if (count <= 0) {
        /* EAGAIN is the end only after the program's own end; EIO is how a
         * terminal without users ends. */
        if (count == 0 || errno != EAGAIN || outlet->last_call)
            outlet_end(outlet, false);
        return;
    }
    if (outlet->last_call && !outlet->terminal) {
        outlet->left -= (size_t)count;
        last = outlet->left == 0;
    }
    /* A pipe that gave less is empty: what comes later is a new event. */
    if ((size_t)count == size || outlet->hung_up || outlet->terminal ||
        outlet->last_call)
        ring_put(&guest->due, task);
    send_out(outlet, guest->scratch, (size_t)count, last);
    if (last && outlet->fd >= 0)
        outlet_end(outlet, true);
}

void outlet_init(struct outlet *outlet, struct job *job,
                 enum agent_stream stream)
{
    *outlet = (struct outlet){.job = job, .fd = -1, .stream = stream};
    outlet->source.fn = outlet_event;
    outlet->task.fn = outlet_run;
}

void outlet_start(struct outlet *outlet)
{
    if (outlet->fd >= 0 &&
        guest_watch(outlet->job->guest, outlet->fd, EPOLLIN, &outlet->source))
        outlet_end(outlet, false);
}

void outlet_grant(struct outlet *outlet)
{
    if (outlet->fd >= 0)
        ring_put(&outlet->job->guest->due, &outlet->task);
}

void outlet_discard(struct outlet *outlet)
{
    outlet->discarding = true;
    outlet_grant(outlet);
}

void outlet_resume(struct outlet *outlet, uint32_t credit)
{
    outlet->discarding = credit == 0;
    outlet->credit = credit;
    outlet_grant(outlet);
}

void outlet_last_call(struct outlet *outlet)
{
    int count = 0;

    if (outlet->fd < 0)
        return;
    outlet->last_call = true;
    if (!outlet->terminal) {
        if (ioctl(outlet->fd, FIONREAD, &count) || count < 0)
            count = 0;
        outlet->left = (size_t)count;
    }
    if (!outlet->terminal && count == 0)
        outlet_end(outlet, false);
    else
        ring_put(&outlet->job->guest->due, &outlet->task);
}
