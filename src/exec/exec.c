/* exec.c: one program in a machine, seen from the host; see exec.h. */
#include "exec/exec.h"

#include "base/own.h"
#include "exec/parts.h"

#include <assert.h>
#include <errno.h>

void exec_ref(struct exec *exec)
{
    exec->refs++;
}

void exec_unref(struct exec *exec)
{
    if (--exec->refs > 0)
        return;
    source_close(&exec->in);
    sink_close(&exec->out);
    sink_close(&exec->err);
    free(exec);
}

struct exec *exec_by_channel(struct session *session, uint32_t channel)
{
    struct exec *exec = session->execs[channel % EXEC_BUCKETS];

    while (exec && exec->channel != channel)
        exec = exec->next;
    return exec;
}

/* The session knows it no more. */
static void leave_session(struct exec *exec)
{
    struct session *session = exec->session;
    struct exec **at;

    if (!session)
        return;
    session_forget(session, &exec->in);
    at = &session->execs[exec->channel % EXEC_BUCKETS];
    while (*at != exec)
        at = &(*at)->next;
    *at = exec->next;
    session->exec_count--;
    exec->session = NULL;
    session_unref(session);
}

static void join_session(struct exec *exec, struct session *session)
{
    struct exec **bucket;

    session_ref(session);
    exec->session = session;
    exec->channel = ++session->last_channel;
    bucket = &session->execs[exec->channel % EXEC_BUCKETS];
    exec->next = *bucket;
    *bucket = exec;
    session->exec_count++;
}

/* Output that is gone outweighs how the program ended. */
static void note_unwritten(struct exec *exec)
{
    const struct exec_sink *sink = exec->out.lost ? &exec->out : &exec->err;
    struct exec_end *end = &exec->end;

    if (!sink->lost ||
        (end->outcome != EXEC_EXITED && end->outcome != EXEC_SIGNALED))
        return;
    end->outcome = EXEC_UNWRITTEN;
    end->status = 125;
    fail(&end->error, sink->lost, "%s: %s: some of the output is lost",
         sink == &exec->out ? "stdout" : "stderr",
         sink->lost == SM_ENOSPC   ? "no space left"
         : sink->lost == SM_ENOMEM ? "out of memory"
                                   : "cannot be written");
}

/* Say `ended` and let go of everything but the caller's reference. */
static void report_end(struct exec *exec)
{
    const struct exec_events *events = exec->events;

    note_unwritten(exec);
    source_close(&exec->in);
    leave_session(exec);
    if (!events)
        return;
    exec->events = NULL;
    events->ended(exec->context, &exec->end);
}

void exec_check_end(struct exec *exec)
{
    if (exec->finished && exec->session && exec->out.done && exec->err.done)
        report_end(exec);
}

/* The guest has said all that it will. */
static void finish(struct exec *exec)
{
    exec->finished = true;
    source_close(&exec->in);
    if (!exec->out.ended)
        sink_end(&exec->out);
    if (!exec->err.ended)
        sink_end(&exec->err);
    exec_check_end(exec);
}

void exec_lose(struct exec *exec, const struct sm_error *why)
{
    exec_ref(exec);
    exec->end.outcome = EXEC_LOST;
    exec->end.status = 125;
    exec->end.error = *why;
    sink_close(&exec->out);
    sink_close(&exec->err);
    report_end(exec);
    exec_unref(exec);
}

static int take_exited(struct exec *exec, const struct frame *frame,
                       struct sm_error *err)
{
    struct exec_end *end = &exec->end;
    int rc = agent_get_exited(&end->exit, frame, err);

    if (rc)
        return rc;
    end->outcome = end->exit.signaled ? EXEC_SIGNALED : EXEC_EXITED;
    end->status = (int)end->exit.value + (end->exit.signaled ? 128 : 0);
    finish(exec);
    return 0;
}

static int code_of(const struct agent_failure *failure)
{
    switch (failure->reason) {
    case AGENT_NOT_FOUND:
        return SM_ENOCMD;
    case AGENT_NOT_EXECUTABLE:
        return SM_ENOEXEC;
    case AGENT_BAD_CWD:
    case AGENT_BAD_USER:
        return SM_EINVAL;
    case AGENT_NO_RESOURCES:
        return SM_ELIMIT;
    case AGENT_BAD_FILE:
        return failure->os_error == ENOSPC ? SM_ENOSPC : SM_EIO;
    case AGENT_NOT_SET_UP:
    default:
        return SM_ESTATE;
    }
}

static int take_failed(struct exec *exec, const struct frame *frame,
                       struct sm_error *err)
{
    struct exec_end *end = &exec->end;
    struct agent_failure failure;
    int rc = agent_get_exec_failed(&failure, frame, err);

    if (rc)
        return rc;
    end->outcome = EXEC_FAILED;
    fail(&end->error, code_of(&failure), "%s", failure.message);
    switch (failure.reason) {
    case AGENT_NOT_FOUND:
        end->status = 127;
        break;
    case AGENT_NOT_EXECUTABLE:
        end->status = 126;
        break;
    default:
        end->status = 125;
    }
    finish(exec);
    return 0;
}

static int take_started(struct exec *exec, const struct frame *frame,
                        struct sm_error *err)
{
    uint32_t pid;
    int rc = agent_get_exec_started(&pid, frame, err);

    if (!rc && exec->events && exec->events->started)
        exec->events->started(exec->context, pid);
    return rc;
}

/* WINDOW and CLOSE: the guest receives but one stream. */
static int take_flow(struct exec *exec, const struct frame *frame,
                     struct sm_error *err)
{
    enum agent_stream stream;
    uint32_t bytes = 0;
    int rc = frame->type == AGENT_WINDOW
                 ? agent_get_window(&stream, &bytes, frame, err)
                 : agent_get_close(&stream, frame, err);

    if (rc)
        return rc;
    if (stream != AGENT_IN)
        return fail(err, SM_EPROTO, "%s for an output",
                    agent_type_name(frame->type));
    if (frame->type == AGENT_WINDOW)
        return source_grant(&exec->in, bytes, err);
    exec->in.ended = true;
    source_resume(&exec->in);
    if (exec->session)
        source_close(&exec->in);
    return 0;
}

int exec_message(struct exec *exec, const struct frame *frame,
                 struct sm_error *err)
{
    if (exec->finished)
        return fail(err, SM_EPROTO, "%s after the program's end",
                    agent_type_name(frame->type));
    switch (frame->type) {
    case AGENT_EXEC_STARTED:
        return take_started(exec, frame, err);
    case AGENT_EXEC_FAILED:
        return take_failed(exec, frame, err);
    case AGENT_EXITED:
        return take_exited(exec, frame, err);
    case AGENT_STDOUT:
        return sink_take(&exec->out, frame, err);
    case AGENT_STDERR:
        return sink_take(&exec->err, frame, err);
    case AGENT_WINDOW:
    case AGENT_CLOSE:
        return take_flow(exec, frame, err);
    default:
        return 0;
    }
}

static int open_ports(struct exec *exec, const struct exec_port *ports,
                      struct sm_error *err)
{
    int rc = source_open(&exec->in, exec, &ports[AGENT_IN], err);

    if (!rc)
        rc = sink_open(&exec->out, exec, AGENT_OUT, &ports[AGENT_OUT], err);
    if (!rc)
        rc = sink_open(&exec->err, exec, AGENT_ERR, &ports[AGENT_ERR], err);
    return rc;
}

static uint32_t port_flags(const struct exec_port *ports)
{
    return (ports[AGENT_IN].kind != EXEC_NONE ? AGENT_EXEC_STDIN : 0u) |
           (ports[AGENT_OUT].kind != EXEC_NONE ? AGENT_EXEC_STDOUT : 0u) |
           (ports[AGENT_ERR].kind != EXEC_NONE ? AGENT_EXEC_STDERR : 0u);
}

static int check_session(const struct session *session, struct sm_error *err)
{
    int rc = session_check(session, err);

    if (rc)
        return rc;
    if (session->exec_count >= AGENT_CHANNELS_MAX ||
        session->last_channel == UINT32_MAX)
        return fail(err, SM_ELIMIT, "at most %d programs at a time",
                    AGENT_CHANNELS_MAX);
    return 0;
}

static int check_options(const struct session *session,
                         const struct agent_exec *program, struct sm_error *err)
{
    int rc = check_session(session, err);

    if (!rc && !agent_exec_is_valid(program))
        rc =
            fail(err, SM_EINVAL, "program: no command, or values out of range");
    return rc;
}

/* An exec with open ports that is the session's. */
static int exec_new(struct session *session, const struct exec_options *options,
                    uint32_t flags, struct exec **ret, struct sm_error *err)
{
    struct exec *exec = calloc(1, sizeof *exec);
    int rc;

    if (!exec)
        return fail(err, SM_ENOMEM, "program: out of memory");
    exec->refs = 1;
    exec->flags = flags;
    exec->in.from = exec->out.to = exec->err.to = FOREIGN_NONE;
    rc = open_ports(exec, options->ports, err);
    if (rc) {
        exec_unref(exec);
        return rc;
    }
    join_session(exec, session);
    *ret = exec;
    return 0;
}

/* It is under way, unless (rc). */
static int finish_start(struct exec *exec, const struct exec_options *options,
                        int rc, struct exec **ret)
{
    if (rc) {
        leave_session(exec);
        exec_unref(exec);
        return rc;
    }
    exec->events = options->events;
    exec->context = options->context;
    *ret = exec;
    return 0;
}

int exec_start(struct session *session, const struct exec_options *options,
               struct exec **ret, struct sm_error *err)
{
    struct agent_exec program = options->program;
    struct exec *exec;
    int rc;

    program.flags &=
        ~(uint32_t)(AGENT_EXEC_STDIN | AGENT_EXEC_STDOUT | AGENT_EXEC_STDERR);
    program.flags |= port_flags(options->ports);
    program.out_window = program.err_window = EXEC_WINDOW;
    rc = check_options(session, &program, err);
    if (!rc)
        rc = exec_new(session, options, program.flags, &exec, err);
    if (rc)
        return rc;
    rc = source_start(&exec->in, err);
    if (!rc) {
        size_t begin = session_buf(session)->size;

        agent_put_exec(session_buf(session), exec->channel, &program);
        rc = session_end_request(session, begin, err);
    }
    return finish_start(exec, options, rc, ret);
}

int exec_resume(struct session *session, const struct exec_options *options,
                uint32_t old_channel, struct exec **ret, struct sm_error *err)
{
    uint32_t flags =
        (options->program.flags & (AGENT_EXEC_TTY | AGENT_EXEC_KEEP)) |
        port_flags(options->ports);
    struct exec *exec;
    int rc = check_session(session, err);

    if (rc)
        return rc;
    if (!session->restored || session->hold != HOLD_HELD)
        return fail(err, SM_ESTATE, "program: there is nothing to resume");
    if (old_channel == 0 ||
        (flags & AGENT_EXEC_TTY && flags & AGENT_EXEC_STDERR))
        return fail(err, SM_EINVAL,
                    "program: to be resumed without a channel, or with stderr "
                    "on a terminal");
    rc = exec_new(session, options, flags, &exec, err);
    if (rc)
        return rc;
    exec->old_channel = old_channel;
    /* The agent knows how much still waits there, and grants the rest. */
    exec->in.credit = 0;
    return finish_start(exec, options, source_start(&exec->in, err), ret);
}

uint32_t exec_channel(const struct exec *exec)
{
    return exec->channel;
}

void exec_free(struct exec *exec)
{
    if (!exec)
        return;
    exec->events = NULL;
    if (exec->session && !exec->finished) {
        if (!(exec->flags & AGENT_EXEC_KEEP))
            agent_put_signal(session_buf(exec->session), exec->channel, 9,
                             AGENT_TREE);
        source_end(&exec->in);
        sink_break(&exec->out);
        sink_break(&exec->err);
    }
    leave_session(exec);
    exec_unref(exec);
}

int exec_signal(struct exec *exec, uint32_t signal, enum agent_target target,
                struct sm_error *err)
{
    int rc;

    if (signal < 1 || signal > 64)
        return fail(err, SM_EINVAL, "signal %u: not 1 to 64", signal);
    if (!exec->session || exec->finished)
        return 0;
    rc = session_check(exec->session, err);
    if (rc)
        return rc;
    agent_put_signal(session_buf(exec->session), exec->channel, signal, target);
    return session_buf_failed(exec->session, err);
}

int exec_resize(struct exec *exec, uint16_t rows, uint16_t columns,
                struct sm_error *err)
{
    int rc;

    if (!exec->session || exec->finished)
        return 0;
    rc = session_check(exec->session, err);
    if (rc)
        return rc;
    agent_put_resize(session_buf(exec->session), exec->channel, rows, columns);
    return session_buf_failed(exec->session, err);
}

size_t exec_write(struct exec *exec, const void *bytes, size_t count)
{
    if (!exec->session || exec->finished)
        return count;
    return source_write(&exec->in, bytes, count);
}

void exec_write_end(struct exec *exec)
{
    if (exec->session && !exec->finished)
        source_end(&exec->in);
}

static struct exec_sink *sink_of(struct exec *exec, enum agent_stream stream)
{
    return stream == AGENT_ERR ? &exec->err : &exec->out;
}

void exec_consumed(struct exec *exec, enum agent_stream stream, size_t count)
{
    assert(stream == AGENT_OUT || stream == AGENT_ERR);
    sink_consumed(sink_of(exec, stream), count);
}

void exec_close_stream(struct exec *exec, enum agent_stream stream)
{
    if (!exec->session || exec->finished)
        return;
    if (stream == AGENT_IN)
        source_end(&exec->in);
    else
        sink_break(sink_of(exec, stream));
}
