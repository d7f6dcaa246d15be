/* session.c: the host end of a session with an agent; see session.h.
 *
 * How it works
 *   Requests are put into a queue that is written when the loop next comes
 *   round, so that what belongs together leaves together. Large pieces of
 *   input go straight to the socket. While the socket takes nothing, no
 *   descriptor of a caller is read; the socket itself is always read, because
 *   the windows bound what can come out of it.
 */
#include "exec/session.h"

#include "base/own.h"
#include "exec/parts.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    IN_CHUNK = 256 << 10,
    OUT_FULL = 64 << 10, /* no more data is taken beyond this     */
    /* The largest request behind whatever was waiting. */
    OUT_CAP = AGENT_REQUEST_MAX + (2 << 20)
};

void session_ref(struct session *session)
{
    session->refs++;
}

void session_unref(struct session *session)
{
    if (--session->refs > 0)
        return;
    frame_reader_done(&session->in);
    queue_done(&session->out);
    queue_done(&session->later);
    free(session);
}

/* The transport is gone; execs get to know. Only `closed` is left to say. */
static void end_session(struct session *session, const struct sm_error *why)
{
    session->state = SESSION_OVER;
    loop_unwatch(session->watch);
    session->watch = NULL;
    if (session->fd >= 0)
        close(own_take_fd(&session->fd));
    for (unsigned i = 0; i < EXEC_BUCKETS; i++)
        while (session->execs[i])
            exec_lose(session->execs[i], why);
}

static void session_fail(struct session *session, const struct sm_error *why)
{
    if (session->state == SESSION_OVER)
        return;
    end_session(session, why);
    if (session->events)
        session->events->closed(session->context, why);
}

static void session_broke(struct session *session)
{
    struct sm_error err = {0};

    if (errno == EPIPE || errno == ECONNRESET)
        fail(&err, SM_ECLOSED, "session: the guest closed the connection");
    else
        fail_os(&err, "session");
    session_fail(session, &err);
}

static void write_soon(struct session *session)
{
    if (session->watch)
        loop_change(session->watch, LOOP_READ | LOOP_WRITE);
}

struct buf *session_buf(struct session *session)
{
    write_soon(session);
    return session_is_quiet(session) ? &session->later.buf : &session->out.buf;
}

int session_buf_failed(struct session *session, struct sm_error *err)
{
    struct buf *out = session_buf(session);
    int rc;

    if (!out->failed)
        return 0;
    rc = buf_refuse(out, err, "session: what waits to be sent");
    buf_forgive(out);
    return rc;
}

int session_check(const struct session *session, struct sm_error *err)
{
    if (session->state == SESSION_OVER)
        return fail(err, SM_ESTATE, "session: it is over");
    if (session->out.buf.failed || session->later.buf.failed)
        return fail(err, SM_ENOMEM, "session: about to end, out of memory");
    return 0;
}

int session_end_request(struct session *session, size_t begin,
                        struct sm_error *err)
{
    struct buf *out = session_buf(session);
    int rc = session_buf_failed(session, err);

    if (!rc && out->size - begin <= FRAME_HEADER_BYTES + AGENT_REQUEST_MAX)
        return 0;
    out->size = begin;
    if (rc == SM_ENOMEM)
        return rc;
    return fail(err, SM_ELIMIT, "request: more than %d bytes of text together",
                AGENT_REQUEST_MAX);
}

bool session_takes_data(const struct session *session)
{
    return !session_is_quiet(session) && queue_count(&session->out) < OUT_FULL;
}

void session_send_data(struct session *session, const struct frame *header)
{
    size_t count = FRAME_HEADER_BYTES + (size_t)header->count;
    ssize_t sent = 0;

    frame_put_header(session->scratch, header);
    if (!session_is_quiet(session) && queue_count(&session->out) == 0)
        sent = send(session->fd, session->scratch, count,
                    MSG_DONTWAIT | MSG_NOSIGNAL);
    /* A broken socket shows when the loop looks at it. */
    if (sent < 0)
        sent = 0;
    if ((size_t)sent < count)
        buf_append(session_buf(session), session->scratch + sent,
                   count - (size_t)sent);
}

void session_wait(struct session *session, struct exec_source *source)
{
    if (source->stuck)
        return;
    source->stuck = true;
    source->next_stuck = session->stuck;
    session->stuck = source;
    write_soon(session);
}

void session_forget(struct session *session, struct exec_source *source)
{
    struct exec_source **at = &session->stuck;

    if (!source->stuck)
        return;
    while (*at != source)
        at = &(*at)->next_stuck;
    *at = source->next_stuck;
    source->stuck = false;
}

/* All that wait now; one that gets stuck again waits for the next time. */
static void release_stuck(struct session *session)
{
    unsigned left = 0;

    for (struct exec_source *at = session->stuck; at; at = at->next_stuck)
        left++;
    while (left-- > 0 && session->stuck && session_takes_data(session)) {
        struct exec_source *source = session->stuck;

        session_forget(session, source);
        source_resume(source);
    }
}

/* Write what waits. */
static void session_flush(struct session *session)
{
    const struct buf *failed =
        session->out.buf.failed ? &session->out.buf : &session->later.buf;

    if (session->state == SESSION_OVER)
        return;
    if (failed->failed) {
        struct sm_error err = {0};

        buf_refuse(failed, &err, "session: what waits to be sent");
        session_fail(session, &err);
        return;
    }
    while (queue_count(&session->out) > 0) {
        ssize_t sent =
            send(session->fd, queue_front(&session->out),
                 queue_count(&session->out), MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent >= 0) {
            queue_drop(&session->out, (size_t)sent);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            session_broke(session);
            return;
        }
    }
    if (session_takes_data(session))
        release_stuck(session);
    if (session->watch)
        loop_change(session->watch,
                    queue_count(&session->out) > 0 ||
                            (session->stuck && !session_is_quiet(session))
                        ? LOOP_READ | LOOP_WRITE
                        : LOOP_READ);
}

static int take_hello(struct session *session, const struct frame *frame,
                      struct sm_error *err)
{
    struct agent_hello hello;
    int rc = agent_get_hello(&hello, frame, err);

    if (rc)
        return rc;
    if (session->state != SESSION_SILENT)
        return fail(err, SM_EPROTO, "a second HELLO");
    if (hello.version != AGENT_VERSION)
        return fail(err, SM_ENOTSUP,
                    "the agent speaks version %u of the protocol, not %d",
                    hello.version, AGENT_VERSION);
    session->state = SESSION_OPEN;
    if (session->events && session->events->hello)
        session->events->hello(session->context, &hello);
    return 0;
}

static int take_channel_message(struct session *session,
                                const struct frame *frame, struct sm_error *err)
{
    struct exec *exec = exec_by_channel(session, frame->channel);
    int rc;

    /* What is known no more was freed while this was under way. */
    if (!exec && frame->channel > session->last_channel)
        return fail(err, SM_EPROTO, "%s on channel %u, which never was",
                    agent_type_name(frame->type), frame->channel);
    if (!exec)
        return 0;
    exec_ref(exec);
    rc = exec_message(exec, frame, err);
    exec_unref(exec);
    return rc;
}

/* What the agent tells of its machine. */
static int take_report(struct session *session, const struct frame *frame,
                       struct sm_error *err)
{
    const struct session_events *events = session->events;
    struct agent_figures figures;
    struct agent_oom oom;
    int rc = 0;

    switch (frame->type) {
    case AGENT_FIGURES:
        rc = agent_get_figures(&figures, frame, err);
        if (!rc && events->figures)
            events->figures(session->context, &figures);
        break;
    case AGENT_PROCESSES:
        if (events->processes)
            events->processes(session->context, frame->payload, frame->count,
                              frame->flags & AGENT_END);
        break;
    default:
        rc = agent_get_oom(&oom, frame, err);
        if (!rc && events->oom)
            events->oom(session->context, &oom);
    }
    return rc;
}

static int take_message(struct session *session, const struct frame *frame,
                        struct sm_error *err)
{
    const struct session_events *events = session->events;
    uint64_t number;
    int rc = session_check_held(session, frame->type, err);

    if (rc)
        return rc;
    if (session->state == SESSION_SILENT && frame->type != AGENT_HELLO)
        return fail(err, SM_EPROTO, "%s before HELLO",
                    agent_type_name(frame->type));
    if (frame->channel != 0)
        return take_channel_message(session, frame, err);
    switch (frame->type) {
    case AGENT_HELLO:
        return take_hello(session, frame, err);
    case AGENT_SETUP_DONE:
        if (!session->set_up_sent)
            return fail(err, SM_EPROTO, "SETUP_DONE without SETUP");
        if (events->ready)
            events->ready(session->context);
        return 0;
    case AGENT_HELD:
        return session_take_held(session, frame, err);
    case AGENT_CLONE_DONE:
        return session_take_clone_done(session, err);
    case AGENT_ERROR:
        return agent_get_error(frame, err);
    case AGENT_PONG:
        rc = agent_get_ping(&number, frame, err);
        if (!rc && events->pong)
            events->pong(session->context, number);
        return rc;
    case AGENT_FIGURES:
    case AGENT_PROCESSES:
    case AGENT_OOM:
        return take_report(session, frame, err);
    default:
        /* Unknown types come here only if they may be ignored. */
        return 0;
    }
}

static void dispatch(struct session *session)
{
    struct sm_error err = {0};
    struct frame frame;
    int rc = 0;

    while (session->state != SESSION_OVER) {
        rc = frame_reader_next(&session->in, &frame, &err);
        if (rc > 0)
            rc = take_message(session, &frame, &err);
        else
            break;
        if (rc)
            break;
    }
    if (rc < 0) {
        wrap(&err, rc, "session with the agent");
        session_fail(session, &err);
    }
}

static void session_receive(struct session *session)
{
    struct sm_error err = {0};
    size_t room;
    uint8_t *to = frame_reader_room(&session->in, &room);
    ssize_t count;

    if (!to) {
        fail(&err, SM_ENOMEM, "session: out of memory");
        session_fail(session, &err);
        return;
    }
    count = recv(session->fd, to, room, MSG_DONTWAIT);
    if (count > 0) {
        frame_reader_added(&session->in, (size_t)count);
        dispatch(session);
    } else if (count == 0) {
        fail(&err, SM_ECLOSED, "session: the guest closed the connection");
        session_fail(session, &err);
    } else if (errno != EAGAIN && errno != EINTR) {
        session_broke(session);
    }
}

static void session_event(void *context, unsigned events)
{
    struct session *session = context;

    session_ref(session);
    if (events & (LOOP_READ | LOOP_HUP))
        session_receive(session);
    session_flush(session);
    session_unref(session);
}

int session_open(struct loop *loop, int fd, const struct session_events *events,
                 void *context, struct session **ret, struct sm_error *err)
{
    struct session *session = calloc(1, sizeof *session);
    int rc;

    if (!session) {
        close(fd);
        return fail(err, SM_ENOMEM, "session: out of memory");
    }
    session->refs = 1;
    session->loop = loop;
    session->fd = fd;
    session->events = events;
    session->context = context;
    frame_reader_init(&session->in, IN_CHUNK, AGENT_FRAME_MAX,
                      agent_check_from_guest);
    queue_init(&session->out, OUT_CAP);
    queue_init(&session->later, OUT_CAP);
    rc = loop_watch(loop, fd, LOOP_READ, session_event, session,
                    &session->watch, err);
    if (rc) {
        session_close(session);
        return rc;
    }
    *ret = session;
    return 0;
}

void session_greeted(struct session *session)
{
    session->state = SESSION_OPEN;
}

void session_close(struct session *session)
{
    struct sm_error why = {0};

    if (!session)
        return;
    session->events = NULL;
    fail(&why, SM_ECANCELED, "session: closed");
    if (session->state != SESSION_OVER)
        end_session(session, &why);
    session_unref(session);
}

int session_setup(struct session *session, const struct agent_setup *setup,
                  struct sm_error *err)
{
    int rc = session_check(session, err);
    size_t begin;

    if (rc)
        return rc;
    if (session->set_up_sent)
        return fail(err, SM_ESTATE, "session: the machine is set up already");
    if (!agent_setup_is_valid(setup))
        return fail(err, SM_EINVAL, "session: set-up with values out of range");
    begin = session_buf(session)->size;
    agent_put_setup(session_buf(session), setup);
    rc = session_end_request(session, begin, err);
    session->set_up_sent = !rc;
    return rc;
}

int session_shutdown(struct session *session,
                     const struct agent_shutdown *shutdown,
                     struct sm_error *err)
{
    int rc = session_check(session, err);

    if (rc)
        return rc;
    agent_put_shutdown(session_buf(session), shutdown);
    return session_buf_failed(session, err);
}

int session_report(struct session *session, enum agent_report report,
                   struct sm_error *err)
{
    int rc = session_check(session, err);

    if (rc)
        return rc;
    agent_put_report(session_buf(session), report);
    return session_buf_failed(session, err);
}

int session_ping(struct session *session, uint64_t number, struct sm_error *err)
{
    int rc = session_check(session, err);

    if (rc)
        return rc;
    agent_put_ping(session_buf(session), AGENT_PING, number);
    return session_buf_failed(session, err);
}
