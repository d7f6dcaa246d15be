/* inlet.c: the host's bytes on their way into a program; see job.h.
 *
 * How it works
 *   Bytes are written at once; what the program's pipe does not take waits
 *   here, at most the window that the host was given. The window grows again
 *   by what the program took, said in steps of half of it.
 */
#include "job.h"
#include "link.h"

#include "base/bytes.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Control-D, which a terminal in line mode turns into an end of file. */
static const uint8_t end_of_file = 4;

void inlet_close(struct inlet *inlet)
{
    guest_close(inlet->job->guest, &inlet->fd);
    queue_done(&inlet->wait);
}

/* The program does not read any more. */
static void inlet_broke(struct inlet *inlet)
{
    struct job *job = inlet->job;

    inlet_close(inlet);
    if (job->link)
        agent_put_close(link_buf(job->link), job->channel, AGENT_IN);
}

static void give_back(struct inlet *inlet, size_t count)
{
    struct job *job = inlet->job;

    inlet->returned += (uint32_t)count;
    if (inlet->returned < AGENT_STDIN_WINDOW / 2 || !job->link)
        return;
    agent_put_window(link_buf(job->link), job->channel, AGENT_IN,
                     inlet->returned);
    inlet->allowed += inlet->returned;
    inlet->returned = 0;
}

/* Write (count) bytes; returns how many the program took, all of them if it
 * reads no more. */
static size_t write_some(struct inlet *inlet, const uint8_t *bytes,
                         size_t count)
{
    size_t done = 0;

    while (done < count) {
        ssize_t some = write(inlet->fd, bytes + done, count - done);

        if (some >= 0) {
            done += (size_t)some;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            inlet_broke(inlet);
            return count;
        }
    }
    give_back(inlet, done);
    return done;
}

static void inlet_flush(struct inlet *inlet)
{
    size_t count = queue_count(&inlet->wait);

    if (count > 0) {
        count = write_some(inlet, queue_front(&inlet->wait), count);
        if (inlet->fd < 0)
            return;
        queue_drop(&inlet->wait, count);
    }
    if (inlet->ending && queue_count(&inlet->wait) == 0 && !inlet->terminal)
        inlet_close(inlet);
}

static void inlet_event(struct source *source, uint32_t events)
{
    struct inlet *inlet = CONTAINER(source, struct inlet, source);

    if (inlet->fd < 0)
        return;
    if (events & EPOLLERR)
        inlet_broke(inlet);
    else
        inlet_flush(inlet);
}

void inlet_init(struct inlet *inlet, struct job *job)
{
    *inlet =
        (struct inlet){.job = job, .fd = -1, .allowed = AGENT_STDIN_WINDOW};
    inlet->source.fn = inlet_event;
    /* One byte more for the end of file. */
    queue_init(&inlet->wait, AGENT_STDIN_WINDOW + 1);
}

void inlet_start(struct inlet *inlet)
{
    if (inlet->fd >= 0 &&
        guest_watch(inlet->job->guest, inlet->fd, EPOLLOUT, &inlet->source))
        inlet_broke(inlet);
}

static void put(struct inlet *inlet, const uint8_t *bytes, size_t count)
{
    size_t done = 0;

    if (queue_count(&inlet->wait) == 0)
        done = write_some(inlet, bytes, count);
    if (inlet->fd >= 0 && !queue_put(&inlet->wait, bytes + done, count - done))
        inlet_broke(inlet); /* out of memory: better an end than a gap */
}

void inlet_end(struct inlet *inlet)
{
    if (inlet->fd < 0 || inlet->ending)
        return;
    inlet->ending = true;
    if (inlet->terminal)
        put(inlet, &end_of_file, 1);
    inlet_flush(inlet);
}

void inlet_resume(struct inlet *inlet)
{
    /* A terminal outlives an end of file, and has a new user now. */
    if (inlet->terminal)
        inlet->ending = false;
    inlet->allowed =
        AGENT_STDIN_WINDOW -
        (uint32_t)min_u64(queue_count(&inlet->wait), AGENT_STDIN_WINDOW);
    inlet->returned = 0;
}

bool inlet_take(struct inlet *inlet, const struct frame *frame)
{
    /* Sent before the host knew that the stream is closed. */
    if (inlet->fd < 0)
        return true;
    if (inlet->ending || frame->count > inlet->allowed)
        return false;
    inlet->allowed -= frame->count;
    if (frame->count > 0)
        put(inlet, frame->payload, frame->count);
    if (frame->flags & AGENT_END)
        inlet_end(inlet);
    return true;
}
