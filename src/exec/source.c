/* source.c: the caller's bytes on their way to a program's stdin; see parts.h.
 *
 * A descriptor is read only while the guest has granted credit and the
 * session's socket takes data: what cannot be passed on stays where it is.
 */
#include "exec/parts.h"

#include "base/bytes.h"
#include "base/own.h"

#include <assert.h>

static bool may_send(const struct exec_source *source)
{
    return !source->ended && source->credit > 0 &&
           session_takes_data(source->exec->session);
}

static void send_scratch(struct exec_source *source, size_t count, bool last)
{
    struct frame header = {
        .type = AGENT_STDIN,
        .flags = last ? AGENT_END : 0,
        .channel = source->exec->channel,
        .count = (uint32_t)count,
    };

    source->credit -= (uint32_t)count;
    session_send_data(source->exec->session, &header);
}

/* Nothing is read any more. */
static void stop_reading(struct exec_source *source)
{
    loop_unwatch(source->watch);
    source->watch = NULL;
    foreign_close(&source->from);
}

void source_end(struct exec_source *source)
{
    stop_reading(source);
    if (source->ended || source->kind == EXEC_NONE)
        return;
    source->ended = true;
    send_scratch(source, 0, true);
}

/* Watch if something can be passed on; else wait for credit or the session. */
static void source_rewatch(struct exec_source *source)
{
    struct session *session = source->exec->session;

    if (!source->watch)
        return;
    loop_change(source->watch, may_send(source) ? LOOP_READ : 0);
    if (source->credit > 0 && !session_takes_data(session))
        session_wait(session, source);
}

static void source_event(void *context, unsigned events)
{
    struct exec_source *source = context;
    struct session *session = source->exec->session;
    size_t size = min_u64(source->credit, AGENT_DATA_MAX);
    ssize_t count;

    (void)events;
    if (may_send(source)) {
        count = foreign_read(&source->from,
                             session->scratch + FRAME_HEADER_BYTES, size);
        if (count > 0)
            send_scratch(source, (size_t)count, false);
        else if (count < 0)
            source_end(source);
    }
    source_rewatch(source);
}

int source_open(struct exec_source *source, struct exec *exec,
                const struct exec_port *port, struct sm_error *err)
{
    *source = (struct exec_source){
        .exec = exec,
        .kind = port->kind,
        .from = FOREIGN_NONE,
        .credit = AGENT_STDIN_WINDOW,
        .ended = port->kind == EXEC_NONE,
    };
    if (port->kind != EXEC_FD)
        return 0;
    return foreign_open(port->fd, FOREIGN_READ, &source->from, err);
}

int source_start(struct exec_source *source, struct sm_error *err)
{
    int rc;

    if (source->kind != EXEC_FD)
        return 0;
    rc = loop_watch(source->exec->session->loop, source->from.fd, 0,
                    source_event, source, &source->watch, err);
    if (!rc)
        source_rewatch(source);
    return rc;
}

void source_close(struct exec_source *source)
{
    stop_reading(source);
    source->ended = true;
    source->refused = false;
    if (source->exec && source->exec->session)
        session_forget(source->exec->session, source);
}

void source_resume(struct exec_source *source)
{
    struct exec *exec = source->exec;

    source_rewatch(source);
    if (!source->refused)
        return;
    if (!source->ended && !may_send(source)) {
        if (source->credit > 0)
            session_wait(exec->session, source);
        return;
    }
    source->refused = false;
    if (exec->events && exec->events->writable)
        exec->events->writable(exec->context);
}

int source_grant(struct exec_source *source, uint32_t bytes,
                 struct sm_error *err)
{
    if (bytes > AGENT_WINDOW_MAX - source->credit)
        return fail(err, SM_EPROTO, "WINDOW of %u bytes too many", bytes);
    source->credit += bytes;
    source_resume(source);
    return 0;
}

size_t source_write(struct exec_source *source, const void *bytes, size_t count)
{
    const uint8_t *from = bytes;
    size_t done = 0;

    assert(source->kind == EXEC_BYTES);
    /* The program reads no more: as if it had. */
    if (source->ended)
        return count;
    while (done < count && may_send(source)) {
        struct session *session = source->exec->session;
        size_t step =
            min_u64(count - done, min_u64(source->credit, AGENT_DATA_MAX));

        memcpy(session->scratch + FRAME_HEADER_BYTES, from + done, step);
        send_scratch(source, step, false);
        done += step;
    }
    source->refused = done < count;
    if (source->refused && source->credit > 0)
        session_wait(source->exec->session, source);
    return done;
}
