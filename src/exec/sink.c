/* sink.c: a program's output on its way to the caller; see parts.h.
 *
 * Bytes are written at once where that cannot block; the rest waits, never
 * more than the window that the guest was given, and the window grows again
 * only by what was taken.
 */
#include "exec/parts.h"

#include "base/own.h"

#include <assert.h>

static void give_back(struct exec_sink *sink, size_t count)
{
    struct exec *exec = sink->exec;

    sink->returned += (uint32_t)count;
    if (sink->returned < EXEC_WINDOW / 2 || sink->ended || !exec->session)
        return;
    agent_put_window(session_buf(exec->session), exec->channel, sink->stream,
                     sink->returned);
    sink->allowed += sink->returned;
    sink->returned = 0;
}

/* Neither written nor waited for any more. */
static void stop_writing(struct exec_sink *sink)
{
    loop_unwatch(sink->watch);
    sink->watch = NULL;
    foreign_close(&sink->to);
    queue_done(&sink->wait);
}

static void sink_check_done(struct exec_sink *sink)
{
    struct exec *exec = sink->exec;

    if (!sink->ended || sink->done || queue_count(&sink->wait) > 0)
        return;
    sink->done = true;
    stop_writing(sink);
    if (sink->kind == EXEC_BYTES && exec->events && exec->events->output)
        exec->events->output(exec->context, sink->stream, NULL, 0);
}

void sink_break(struct exec_sink *sink)
{
    struct exec *exec = sink->exec;

    if (sink->broken || sink->done)
        return;
    sink->broken = true;
    stop_writing(sink);
    if (!sink->ended && exec->session)
        agent_put_close(session_buf(exec->session), exec->channel,
                        sink->stream);
    sink_check_done(sink);
}

/* How many of the bytes the descriptor took; all if it is broken. */
static size_t write_some(struct exec_sink *sink, const uint8_t *bytes,
                         size_t count)
{
    size_t done = 0;

    while (done < count) {
        ssize_t some = foreign_write(&sink->to, bytes + done, count - done);

        if (some < 0) {
            /* A reader that goes away is no error; a full disk is. */
            if (some != SM_ECLOSED)
                sink->lost = (int)some;
            sink_break(sink);
            return count;
        }
        done += (size_t)some;
        /* A descriptor that may block promises one write per readiness. */
        if (some == 0 || sink->to.kind == FOREIGN_PIPE ||
            sink->to.kind == FOREIGN_TTY)
            break;
    }
    give_back(sink, done);
    return done;
}

static void sink_event(void *context, unsigned events)
{
    struct exec_sink *sink = context;
    struct exec *exec = sink->exec;
    size_t done;

    (void)events;
    exec_ref(exec);
    done = write_some(sink, queue_front(&sink->wait), queue_count(&sink->wait));
    if (!sink->broken) {
        queue_drop(&sink->wait, done);
        loop_change(sink->watch, queue_count(&sink->wait) ? LOOP_WRITE : 0);
    }
    sink_check_done(sink);
    exec_check_end(exec);
    exec_unref(exec);
}

int sink_open(struct exec_sink *sink, struct exec *exec,
              enum agent_stream stream, const struct exec_port *port,
              struct sm_error *err)
{
    /* A terminal's output comes even if nobody wants it. */
    bool comes = port->kind != EXEC_NONE ||
                 (stream == AGENT_OUT && exec->flags & AGENT_EXEC_TTY);

    *sink = (struct exec_sink){
        .exec = exec,
        .kind = port->kind,
        .stream = stream,
        .to = FOREIGN_NONE,
        .allowed = comes ? EXEC_WINDOW : 0,
        .ended = !comes,
        .done = !comes,
    };
    queue_init(&sink->wait, EXEC_WINDOW);
    if (port->kind != EXEC_FD)
        return 0;
    return foreign_open(port->fd, FOREIGN_WRITE, &sink->to, err);
}

void sink_close(struct exec_sink *sink)
{
    stop_writing(sink);
    sink->ended = sink->done = true;
}

/* Keep bytes until the descriptor takes them. Memory that runs out breaks the
 * stream: better an end than a gap. */
static void keep(struct exec_sink *sink, const uint8_t *bytes, size_t count)
{
    if (!queue_put(&sink->wait, bytes, count))
        sink->lost = SM_ENOMEM;
    else if (!sink->watch)
        sink->lost = loop_watch(sink->exec->session->loop, sink->to.fd, 0,
                                sink_event, sink, &sink->watch, NULL);
    if (sink->lost)
        sink_break(sink);
    else
        loop_change(sink->watch, LOOP_WRITE);
}

static void deliver(struct exec_sink *sink, const uint8_t *bytes, size_t count)
{
    struct exec *exec = sink->exec;
    size_t done = 0;

    if (sink->kind == EXEC_BYTES) {
        sink->lent += (uint32_t)count;
        if (exec->events && exec->events->output)
            exec->events->output(exec->context, sink->stream, bytes, count);
    } else if (sink->kind == EXEC_NONE) {
        give_back(sink, count);
    } else {
        if (queue_count(&sink->wait) == 0 && sink->to.kind != FOREIGN_PIPE &&
            sink->to.kind != FOREIGN_TTY)
            done = write_some(sink, bytes, count);
        if (done < count)
            keep(sink, bytes + done, count - done);
    }
}

int sink_take(struct exec_sink *sink, const struct frame *frame,
              struct sm_error *err)
{
    if (sink->ended)
        return fail(err, SM_EPROTO, "%s after its end",
                    agent_type_name(frame->type));
    if (frame->count > sink->allowed)
        return fail(err, SM_EPROTO, "%s of %u bytes, %u were granted",
                    agent_type_name(frame->type), frame->count, sink->allowed);
    sink->allowed -= frame->count;
    if (frame->count > 0 && !sink->broken)
        deliver(sink, frame->payload, frame->count);
    if (frame->flags & AGENT_END)
        sink_end(sink);
    return 0;
}

void sink_end(struct exec_sink *sink)
{
    sink->ended = true;
    sink_check_done(sink);
}

void sink_consumed(struct exec_sink *sink, size_t count)
{
    assert(sink->kind == EXEC_BYTES && count <= sink->lent);
    sink->lent -= (uint32_t)count;
    if (!sink->broken)
        give_back(sink, count);
}
