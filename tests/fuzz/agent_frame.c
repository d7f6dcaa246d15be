/* agent_frame.c: fuzzes the decoders of both ends of an agent's session.
 *
 * The input is a stream as it comes from a socket, in one piece for even
 * lengths and byte by byte for odd ones; every frame that passes the check of
 * a side goes through that side's decoder.
 */
#include "proto/agent.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_strings(const char *const *list)
{
    size_t total = 0;

    for (; list && *list; list++)
        total += strlen(*list);
    if (total > AGENT_REQUEST_MAX)
        abort();
}

/* What was accepted must be accepted again once it was written anew. */
static void read_requests(const struct frame *frame)
{
    struct agent_setup setup;
    struct agent_clone clone;
    struct agent_exec exec;
    struct buf again;
    int rc;

    buf_init(&again, 2 * AGENT_REQUEST_MAX);
    if (frame->type == AGENT_SETUP) {
        rc = agent_get_setup(&setup, frame, NULL);
        if (rc == 0) {
            agent_put_setup(&again, &setup);
            if (again.size > FRAME_HEADER_BYTES + frame->count)
                abort();
        }
        agent_setup_done(&setup);
    } else if (frame->type == AGENT_CLONE) {
        rc = agent_get_clone(&clone, frame, NULL);
        if (rc == 0) {
            agent_put_clone(&again, &clone);
            if (again.size > FRAME_HEADER_BYTES + frame->count ||
                clone.program_count > AGENT_CHANNELS_MAX)
                abort();
        }
        agent_clone_done(&clone);
    } else if (frame->type == AGENT_EXEC) {
        rc = agent_get_exec(&exec, frame, NULL);
        if (rc == 0) {
            check_strings(exec.argv);
            check_strings(exec.env);
            agent_put_exec(&again, frame->channel, &exec);
            if (again.size > FRAME_HEADER_BYTES + frame->count)
                abort();
        }
        agent_exec_done(&exec);
    }
    buf_done(&again);
}

static void read_from_host(const struct frame *frame)
{
    struct agent_shutdown shutdown;
    enum agent_target target;
    enum agent_stream stream;
    uint16_t rows, columns;
    uint64_t number;
    uint32_t value;

    switch (frame->type) {
    case AGENT_SHUTDOWN:
        agent_get_shutdown(&shutdown, frame, NULL);
        break;
    case AGENT_SIGNAL:
        if (!agent_get_signal(&value, &target, frame, NULL) &&
            (value < 1 || value > 64 || target > AGENT_TREE))
            abort();
        break;
    case AGENT_RESIZE:
        agent_get_resize(&rows, &columns, frame, NULL);
        break;
    case AGENT_PING:
        agent_get_ping(&number, frame, NULL);
        break;
    case AGENT_WINDOW:
        if (!agent_get_window(&stream, &value, frame, NULL) &&
            (stream >= AGENT_STREAMS || value > AGENT_WINDOW_MAX))
            abort();
        break;
    default:
        read_requests(frame);
    }
}

static void read_from_guest(const struct frame *frame)
{
    struct agent_failure failure;
    struct agent_hello hello;
    struct agent_exit exited;
    struct agent_held held;
    enum agent_stream stream;
    struct sm_error err;
    uint32_t pid;

    switch (frame->type) {
    case AGENT_HELLO:
        if (!agent_get_hello(&hello, frame, &err) &&
            strlen(hello.kernel) + strlen(hello.agent) > 190)
            abort();
        break;
    case AGENT_HELD:
        if (!agent_get_held(&held, frame, &err) && strlen(held.message) > 255)
            abort();
        break;
    case AGENT_ERROR:
        if (agent_get_error(frame, &err) == 0)
            abort();
        break;
    case AGENT_EXEC_STARTED:
        agent_get_exec_started(&pid, frame, &err);
        break;
    case AGENT_EXEC_FAILED:
        agent_get_exec_failed(&failure, frame, &err);
        break;
    case AGENT_EXITED:
        if (!agent_get_exited(&exited, frame, &err) && exited.value > 255)
            abort();
        break;
    case AGENT_CLOSE:
        agent_get_close(&stream, frame, &err);
        break;
    default:
        break;
    }
}

static void read_stream(const uint8_t *bytes, size_t count,
                        frame_check_fn *check, size_t longest,
                        void (*use)(const struct frame *))
{
    size_t step = count % 2 ? 1 : count;
    struct frame_reader reader;
    struct frame frame;
    int rc = 0;

    frame_reader_init(&reader, 4096, FRAME_HEADER_BYTES + longest, check);
    while (count > 0 && rc >= 0) {
        size_t room;
        uint8_t *to = frame_reader_room(&reader, &room);
        size_t some = step < count ? step : count;

        if (!to)
            break;
        some = some < room ? some : room;
        memcpy(to, bytes, some);
        frame_reader_added(&reader, some);
        bytes += some;
        count -= some;
        while ((rc = frame_reader_next(&reader, &frame, NULL)) > 0)
            use(&frame);
    }
    frame_reader_done(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    read_stream(bytes, count, agent_check_from_host, AGENT_REQUEST_MAX,
                read_from_host);
    read_stream(bytes, count, agent_check_from_guest, AGENT_FRAME_MAX,
                read_from_guest);
    return 0;
}
