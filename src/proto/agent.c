/* agent.c: which messages there are, and the short ones; see agent.h. */
#include "proto/agent.h"

#include "base/bytes.h"

#include <stdio.h>

enum { FROM_HOST = 1, FROM_GUEST = 2 };
enum { GUEST_REPLY_MAX = 1024 };

/* What a frame of each type may look like. */
struct shape {
    const char *name; /* NULL: no such type          */
    uint8_t from;
    bool on_channel;   /* channel is not 0            */
    uint16_t flags;    /* that it may have            */
    uint32_t min, max; /* bytes of payload           */
};

static const struct shape shapes[] = {
    [AGENT_HELLO] = {"HELLO", FROM_GUEST, false, 0, 40, GUEST_REPLY_MAX},
    [AGENT_SETUP] = {"SETUP", FROM_HOST, false, 0, 40, AGENT_REQUEST_MAX},
    [AGENT_SETUP_DONE] = {"SETUP_DONE", FROM_GUEST, false, 0, 0, 0},
    [AGENT_ERROR] = {"ERROR", FROM_GUEST, false, 0, 4, GUEST_REPLY_MAX},
    [AGENT_PING] = {"PING", FROM_HOST, false, 0, 8, 8},
    [AGENT_PONG] = {"PONG", FROM_GUEST, false, 0, 8, 8},
    [AGENT_SHUTDOWN] = {"SHUTDOWN", FROM_HOST, false, 0, 8, 8},
    [AGENT_EXEC] = {"EXEC", FROM_HOST, true, 0, 40, AGENT_REQUEST_MAX},
    [AGENT_EXEC_STARTED] = {"EXEC_STARTED", FROM_GUEST, true, 0, 4, 4},
    [AGENT_EXEC_FAILED] = {"EXEC_FAILED", FROM_GUEST, true, 0, 12,
                           GUEST_REPLY_MAX},
    [AGENT_EXITED] = {"EXITED", FROM_GUEST, true, 0, 44, 44},
    [AGENT_STDIN] = {"STDIN", FROM_HOST, true, AGENT_END, 0, AGENT_DATA_MAX},
    [AGENT_STDOUT] = {"STDOUT", FROM_GUEST, true, AGENT_END, 0, AGENT_DATA_MAX},
    [AGENT_STDERR] = {"STDERR", FROM_GUEST, true, AGENT_END, 0, AGENT_DATA_MAX},
    [AGENT_WINDOW] = {"WINDOW", FROM_HOST | FROM_GUEST, true, 0, 8, 8},
    [AGENT_CLOSE] = {"CLOSE", FROM_HOST | FROM_GUEST, true, 0, 4, 4},
    [AGENT_SIGNAL] = {"SIGNAL", FROM_HOST, true, 0, 8, 8},
    [AGENT_RESIZE] = {"RESIZE", FROM_HOST, true, 0, 4, 4},
    [AGENT_HOLD] = {"HOLD", FROM_HOST, false, 0, 0, 0},
    [AGENT_HELD] = {"HELD", FROM_GUEST, false, 0, 8, GUEST_REPLY_MAX},
    [AGENT_RELEASE] = {"RELEASE", FROM_HOST, false, 0, 0, 0},
    [AGENT_CLONE] = {"CLONE", FROM_HOST, false, 0, 40, AGENT_REQUEST_MAX},
    [AGENT_CLONE_DONE] = {"CLONE_DONE", FROM_GUEST, false, 0, 0, 0},
    [AGENT_REPORT] = {"REPORT", FROM_HOST, false, 0, 4, 4},
    [AGENT_FIGURES] = {"FIGURES", FROM_GUEST, false, 0, 40, GUEST_REPLY_MAX},
    [AGENT_PROCESSES] = {"PROCESSES", FROM_GUEST, false, AGENT_END, 0,
                         AGENT_DATA_MAX},
    [AGENT_OOM] = {"OOM", FROM_GUEST, false, 0, 8, GUEST_REPLY_MAX},
};

const char *agent_type_name(uint16_t type)
{
    if (type >= ARRAY_LEN(shapes) || !shapes[type].name)
        return "?";
    return shapes[type].name;
}

static int check(const struct frame *frame, unsigned from, struct sm_error *err)
{
    const struct shape *shape = &shapes[AGENT_HELLO];
    unsigned flags = frame->flags & ~(unsigned)AGENT_MAY_IGNORE;

    if (frame->type < ARRAY_LEN(shapes) && shapes[frame->type].name)
        shape = &shapes[frame->type];
    else if (!(frame->flags & AGENT_MAY_IGNORE))
        return fail(err, SM_EPROTO, "frame of unknown type %u", frame->type);
    else if (frame->count > AGENT_DATA_MAX)
        return fail(err, SM_EPROTO, "frame of type %u: %u bytes, at most %u",
                    frame->type, frame->count, AGENT_DATA_MAX);
    else
        return 0;
    if (!(shape->from & from))
        return fail(err, SM_EPROTO, "%s from the wrong side", shape->name);
    if (shape->on_channel != (frame->channel != 0))
        return fail(err, SM_EPROTO, "%s on channel %u", shape->name,
                    frame->channel);
    if (flags & ~(unsigned)shape->flags)
        return fail(err, SM_EPROTO, "%s with flags 0x%x", shape->name,
                    frame->flags);
    if (frame->count < shape->min || frame->count > shape->max)
        return fail(err, SM_EPROTO, "%s of %u bytes, not %u to %u", shape->name,
                    frame->count, shape->min, shape->max);
    return 0;
}

int agent_check_from_guest(const struct frame *frame, struct sm_error *err)
{
    return check(frame, FROM_GUEST, err);
}

int agent_check_from_host(const struct frame *frame, struct sm_error *err)
{
    return check(frame, FROM_HOST, err);
}

static void open_payload(struct wire_reader *from, const struct frame *frame)
{
    wire_read(from, frame->payload, frame->count);
}

static int malformed(const struct frame *frame, struct sm_error *err)
{
    return fail(err, SM_EPROTO, "malformed %s", agent_type_name(frame->type));
}

/* A blob of the guest as a string of (size) bytes at most, for people's eyes
 * and terminals: what is not plain ASCII becomes '?'. */
static void read_text(struct wire_reader *from, char *to, size_t size)
{
    size_t count;
    const uint8_t *bytes = wire_blob(from, &count);
    size_t i;

    if (count > size - 1)
        count = size - 1;
    for (i = 0; bytes && i < count; i++)
        to[i] = bytes[i] < ' ' || bytes[i] > '~' ? '?' : (char)bytes[i];
    to[i] = '\0';
}

void agent_put_hello(struct buf *to, const struct agent_hello *hello)
{
    size_t begin = frame_begin(to, AGENT_HELLO, 0);

    wire_put_u32(to, hello->version);
    wire_put_u32(to, hello->set_up);
    wire_put_u64(to, hello->features);
    wire_put_u64(to, hello->monotonic_ns);
    wire_put_u64(to, hello->boottime_ns);
    wire_put_string(to, hello->kernel);
    wire_put_string(to, hello->agent);
    frame_end(to, begin);
}

int agent_get_hello(struct agent_hello *ret, const struct frame *frame,
                    struct sm_error *err)
{
    struct wire_reader from;
    uint32_t set_up;

    open_payload(&from, frame);
    ret->version = wire_u32(&from);
    set_up = wire_u32(&from);
    ret->set_up = set_up != 0;
    ret->features = wire_u64(&from);
    ret->monotonic_ns = wire_u64(&from);
    ret->boottime_ns = wire_u64(&from);
    read_text(&from, ret->kernel, sizeof ret->kernel);
    read_text(&from, ret->agent, sizeof ret->agent);
    if (!wire_ok(&from) || set_up > 1)
        return malformed(frame, err);
    return 0;
}

void agent_put_setup_done(struct buf *to)
{
    frame_put(to, &(struct frame){.type = AGENT_SETUP_DONE});
}

void agent_put_error(struct buf *to, const char *message)
{
    size_t begin = frame_begin(to, AGENT_ERROR, 0);
    size_t count = strlen(message);

    wire_put_blob(to, message, min_u64(count, GUEST_REPLY_MAX - 4));
    frame_end(to, begin);
}

int agent_get_error(const struct frame *frame, struct sm_error *err)
{
    struct wire_reader from;
    char message[512];

    open_payload(&from, frame);
    read_text(&from, message, sizeof message);
    if (!wire_ok(&from))
        return malformed(frame, err);
    return fail(err, SM_EGUEST, "%s", message);
}

void agent_put_hold(struct buf *to, uint16_t type)
{
    frame_put(to, &(struct frame){.type = type});
}

void agent_put_clone_done(struct buf *to)
{
    frame_put(to, &(struct frame){.type = AGENT_CLONE_DONE});
}

void agent_put_held(struct buf *to, const struct agent_held *held)
{
    size_t begin = frame_begin(to, AGENT_HELD, 0);

    wire_put_u32(to, held->reason);
    wire_put_string(to, held->message);
    frame_end(to, begin);
}

int agent_get_held(struct agent_held *ret, const struct frame *frame,
                   struct sm_error *err)
{
    struct wire_reader from;

    open_payload(&from, frame);
    ret->reason = wire_u32(&from);
    read_text(&from, ret->message, sizeof ret->message);
    if (!wire_ok(&from) || ret->reason > INT32_MAX)
        return malformed(frame, err);
    return 0;
}

/* A frame whose payload is one or two u32. */
static void put_u32s(struct buf *to, uint16_t type, uint32_t channel,
                     const uint32_t *numbers, unsigned count)
{
    size_t begin = frame_begin(to, type, channel);

    for (unsigned i = 0; i < count; i++)
        wire_put_u32(to, numbers[i]);
    frame_end(to, begin);
}

void agent_put_exec_started(struct buf *to, uint32_t channel, uint32_t pid)
{
    put_u32s(to, AGENT_EXEC_STARTED, channel, &pid, 1);
}

int agent_get_exec_started(uint32_t *ret_pid, const struct frame *frame,
                           struct sm_error *err)
{
    struct wire_reader from;

    open_payload(&from, frame);
    *ret_pid = wire_u32(&from);
    return wire_ok(&from) ? 0 : malformed(frame, err);
}

void agent_put_exec_failed(struct buf *to, uint32_t channel,
                           const struct agent_failure *failure)
{
    size_t begin = frame_begin(to, AGENT_EXEC_FAILED, channel);

    wire_put_u32(to, failure->reason);
    wire_put_u32(to, failure->os_error);
    wire_put_string(to, failure->message);
    frame_end(to, begin);
}

int agent_get_exec_failed(struct agent_failure *ret, const struct frame *frame,
                          struct sm_error *err)
{
    struct wire_reader from;
    uint32_t reason;

    open_payload(&from, frame);
    reason = wire_u32(&from);
    ret->os_error = wire_u32(&from);
    read_text(&from, ret->message, sizeof ret->message);
    if (!wire_ok(&from) || reason < AGENT_NOT_FOUND ||
        reason > AGENT_BAD_FILE || ret->os_error > INT32_MAX)
        return malformed(frame, err);
    ret->reason = (enum agent_reason)reason;
    return 0;
}

void agent_put_exited(struct buf *to, uint32_t channel,
                      const struct agent_exit *exited)
{
    size_t begin = frame_begin(to, AGENT_EXITED, channel);

    wire_put_u32(to, exited->signaled);
    wire_put_u32(to, exited->value);
    wire_put_u32(to, exited->flags);
    wire_put_u64(to, exited->user_ns);
    wire_put_u64(to, exited->system_ns);
    wire_put_u64(to, exited->wall_ns);
    wire_put_u64(to, exited->max_rss_bytes);
    frame_end(to, begin);
}

int agent_get_exited(struct agent_exit *ret, const struct frame *frame,
                     struct sm_error *err)
{
    struct wire_reader from;
    uint32_t signaled;

    open_payload(&from, frame);
    signaled = wire_u32(&from);
    ret->value = wire_u32(&from);
    ret->flags = wire_u32(&from);
    ret->user_ns = wire_u64(&from);
    ret->system_ns = wire_u64(&from);
    ret->wall_ns = wire_u64(&from);
    ret->max_rss_bytes = wire_u64(&from);
    ret->signaled = signaled != 0;
    if (!wire_ok(&from) || signaled > 1)
        return malformed(frame, err);
    if (signaled ? ret->value < 1 || ret->value > 64 : ret->value > 255)
        return malformed(frame, err);
    return 0;
}

void agent_put_signal(struct buf *to, uint32_t channel, uint32_t signal,
                      enum agent_target target)
{
    put_u32s(to, AGENT_SIGNAL, channel, (uint32_t[]){signal, target}, 2);
}

int agent_get_signal(uint32_t *ret_signal, enum agent_target *ret_target,
                     const struct frame *frame, struct sm_error *err)
{
    struct wire_reader from;
    uint32_t target;

    open_payload(&from, frame);
    *ret_signal = wire_u32(&from);
    target = wire_u32(&from);
    if (!wire_ok(&from) || *ret_signal < 1 || *ret_signal > 64 ||
        target > AGENT_TREE)
        return malformed(frame, err);
    *ret_target = (enum agent_target)target;
    return 0;
}

void agent_put_resize(struct buf *to, uint32_t channel, uint16_t rows,
                      uint16_t columns)
{
    size_t begin = frame_begin(to, AGENT_RESIZE, channel);

    wire_put_u16(to, rows);
    wire_put_u16(to, columns);
    frame_end(to, begin);
}

int agent_get_resize(uint16_t *ret_rows, uint16_t *ret_columns,
                     const struct frame *frame, struct sm_error *err)
{
    struct wire_reader from;

    open_payload(&from, frame);
    *ret_rows = wire_u16(&from);
    *ret_columns = wire_u16(&from);
    return wire_ok(&from) ? 0 : malformed(frame, err);
}

void agent_put_shutdown(struct buf *to, const struct agent_shutdown *shutdown)
{
    put_u32s(to, AGENT_SHUTDOWN, 0,
             (uint32_t[]){shutdown->end, shutdown->grace_ms}, 2);
}

int agent_get_shutdown(struct agent_shutdown *ret, const struct frame *frame,
                       struct sm_error *err)
{
    struct wire_reader from;
    uint32_t end;

    open_payload(&from, frame);
    end = wire_u32(&from);
    ret->grace_ms = wire_u32(&from);
    if (!wire_ok(&from) || end > AGENT_REBOOT ||
        ret->grace_ms > AGENT_TIMEOUT_MAX_MS)
        return malformed(frame, err);
    ret->end = (enum agent_end)end;
    return 0;
}

void agent_put_window(struct buf *to, uint32_t channel,
                      enum agent_stream stream, uint32_t bytes)
{
    put_u32s(to, AGENT_WINDOW, channel, (uint32_t[]){stream, bytes}, 2);
}

/* Which stream a WINDOW or CLOSE speaks of; those of the host name outputs,
 * those of the guest the input, but that is the caller's to check. */
static enum agent_stream read_stream(struct wire_reader *from)
{
    uint32_t stream = wire_u32(from);

    if (stream >= AGENT_STREAMS) {
        from->failed = true;
        return AGENT_IN;
    }
    return (enum agent_stream)stream;
}

int agent_get_window(enum agent_stream *ret_stream, uint32_t *ret_bytes,
                     const struct frame *frame, struct sm_error *err)
{
    struct wire_reader from;

    open_payload(&from, frame);
    *ret_stream = read_stream(&from);
    *ret_bytes = wire_u32(&from);
    if (!wire_ok(&from) || *ret_bytes == 0 || *ret_bytes > AGENT_WINDOW_MAX)
        return malformed(frame, err);
    return 0;
}

void agent_put_close(struct buf *to, uint32_t channel, enum agent_stream stream)
{
    put_u32s(to, AGENT_CLOSE, channel, (uint32_t[]){stream}, 1);
}

int agent_get_close(enum agent_stream *ret_stream, const struct frame *frame,
                    struct sm_error *err)
{
    struct wire_reader from;

    open_payload(&from, frame);
    *ret_stream = read_stream(&from);
    return wire_ok(&from) ? 0 : malformed(frame, err);
}

void agent_put_ping(struct buf *to, uint16_t type, uint64_t number)
{
    size_t begin = frame_begin(to, type, 0);

    wire_put_u64(to, number);
    frame_end(to, begin);
}

int agent_get_ping(uint64_t *ret_number, const struct frame *frame,
                   struct sm_error *err)
{
    struct wire_reader from;

    open_payload(&from, frame);
    *ret_number = wire_u64(&from);
    return wire_ok(&from) ? 0 : malformed(frame, err);
}
