/* mux.c - frames, and the two ends of a stream. */
#include "mux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A source pauses while this much waits for the line. */
#define LINE_FULL (64u << 10)

static size_t buffer_length(const struct mux_buffer *buffer)
{
    return buffer->end - buffer->start;
}

void buffer_done(struct mux_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct mux_buffer){0};
}

static uint8_t *buffer_reserve(struct mux_buffer *buffer, size_t length)
{
    if (buffer->start == buffer->end) {
        buffer->start = 0;
        buffer->end = 0;
    }
    if (buffer->room - buffer->end < length && buffer->start > 0) {
        memmove(buffer->data, buffer->data + buffer->start,
                buffer_length(buffer));
        buffer->end -= buffer->start;
        buffer->start = 0;
    }
    if (buffer->room - buffer->end < length) {
        size_t room = (buffer->end + length) * 2;
        uint8_t *data = realloc(buffer->data, room);

        if (data == NULL) {
            fprintf(stderr, "testbed: out of memory\n");
            abort();
        }
        buffer->data = data;
        buffer->room = room;
    }
    return buffer->data + buffer->end;
}

void buffer_put(struct mux_buffer *buffer, const void *data, size_t length)
{
    if (length == 0)
        return;
    memcpy(buffer_reserve(buffer, length), data, length);
    buffer->end += length;
}

static void set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0)
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

void mux_init(struct mux *mux, int fd)
{
    *mux = (struct mux){.fd = fd};
    set_nonblocking(fd);
}

void mux_send(struct mux *mux, enum mux_type type, unsigned session,
              unsigned stream, const void *payload, size_t length)
{
    struct mux_header header = {
        .type = (uint8_t)type,
        .stream = (uint8_t)stream,
        .session = (uint16_t)session,
        .length = (uint32_t)length,
    };

    buffer_put(&mux->out, &header, sizeof(header));
    buffer_put(&mux->out, payload, length);
}

void mux_send_u32(struct mux *mux, enum mux_type type, unsigned session,
                  unsigned stream, uint32_t value)
{
    mux_send(mux, type, session, stream, &value, sizeof(value));
}

short mux_events(const struct mux *mux)
{
    return buffer_length(&mux->out) > 0 ? POLLIN | POLLOUT : POLLIN;
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* Writes what fd takes. Returns bytes written, or -1 when fd is dead. */
static ssize_t buffer_drain(struct mux_buffer *buffer, int fd)
{
    ssize_t total = 0;

    while (buffer_length(buffer) > 0) {
        ssize_t n =
            write(fd, buffer->data + buffer->start, buffer_length(buffer));

        if (n <= 0)
            return n < 0 && would_block() ? total : -1;
        buffer->start += (size_t)n;
        total += n;
    }
    return total;
}

bool mux_write(struct mux *mux)
{
    return buffer_drain(&mux->out, mux->fd) >= 0;
}

/* Handles the frames that are complete. False: the line speaks nonsense. */
static bool handle_frames(struct mux *mux, mux_handler *handler, void *context)
{
    struct mux_header header;

    while (buffer_length(&mux->in) >= sizeof(header)) {
        const uint8_t *at = mux->in.data + mux->in.start;

        memcpy(&header, at, sizeof(header));
        if (header.length > MUX_PAYLOAD_MAX)
            return false;
        if (buffer_length(&mux->in) < sizeof(header) + header.length)
            break;
        handler(context, &header, at + sizeof(header));
        mux->in.start += sizeof(header) + header.length;
    }
    return true;
}

bool mux_read(struct mux *mux, mux_handler *handler, void *context)
{
    /* A bounded number of rounds, so that the streams get their turn. */
    for (int round = 0; round < 16; round++) {
        uint8_t *at = buffer_reserve(&mux->in, MUX_CHUNK * 2);
        ssize_t n = read(mux->fd, at, MUX_CHUNK * 2);

        if (n < 0 && would_block())
            return true;
        if (n <= 0)
            return false;
        mux->in.end += (size_t)n;
        if (!handle_frames(mux, handler, context))
            return false;
    }
    return true;
}

void stream_init(struct mux_stream *stream, int fd, unsigned session,
                 unsigned number, bool source)
{
    *stream = (struct mux_stream){
        .fd = fd,
        .session = (uint16_t)session,
        .number = (uint8_t)number,
        .source = source,
        .credit = source ? MUX_WINDOW : 0,
        .limit = UINT64_MAX,
    };
    set_nonblocking(fd);
}

void stream_close(struct mux_stream *stream)
{
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
    buffer_done(&stream->buffer);
}

struct pollfd stream_poll(const struct mux_stream *stream,
                          const struct mux *mux)
{
    struct pollfd nothing = {.fd = -1};

    if (stream->fd < 0)
        return nothing;
    if (!stream->source) {
        /* POLLERR tells of a reader that has gone, asked for or not. */
        return (struct pollfd){
            .fd = stream->fd,
            .events = buffer_length(&stream->buffer) > 0 ? POLLOUT : 0,
        };
    }
    if (stream->credit == 0 || buffer_length(&mux->out) >= LINE_FULL)
        return nothing;
    return (struct pollfd){.fd = stream->fd, .events = POLLIN};
}

static void end_source(struct mux_stream *stream, struct mux *mux)
{
    mux_send(mux, MUX_END, stream->session, stream->number, NULL, 0);
    stream_close(stream);
}

static void move_source(struct mux_stream *stream, struct mux *mux)
{
    static uint8_t chunk[MUX_CHUNK];

    while (stream->credit > 0 && buffer_length(&mux->out) < LINE_FULL) {
        size_t want = sizeof(chunk);

        if (want > stream->credit)
            want = stream->credit;
        if (want > stream->limit)
            want = (size_t)stream->limit;
        ssize_t n = read(stream->fd, chunk, want);

        if (n < 0 && would_block())
            return;
        if (n <= 0) {
            end_source(stream, mux);
            return;
        }
        mux_send(mux, MUX_DATA, stream->session, stream->number, chunk,
                 (size_t)n);
        stream->credit -= (uint32_t)n;
        stream->limit -= (uint64_t)n;
        if (stream->limit == 0) {
            end_source(stream, mux);
            return;
        }
    }
}

static void move_sink(struct mux_stream *stream, struct mux *mux)
{
    struct pollfd probe = {.fd = stream->fd};
    ssize_t n = buffer_drain(&stream->buffer, stream->fd);

    if (n < 0 || (poll(&probe, 1, 0) > 0 && (probe.revents & POLLERR))) {
        mux_send(mux, MUX_STOP, stream->session, stream->number, NULL, 0);
        stream_close(stream);
        return;
    }
    stream->spent += (uint32_t)n;
    if (stream->spent >= MUX_WINDOW / 4) {
        mux_send_u32(mux, MUX_CREDIT, stream->session, stream->number,
                     stream->spent);
        stream->spent = 0;
    }
    if (stream->ended && buffer_length(&stream->buffer) == 0)
        stream_close(stream);
}

void stream_move(struct mux_stream *stream, struct mux *mux)
{
    if (stream->fd < 0)
        return;
    if (stream->source)
        move_source(stream, mux);
    else
        move_sink(stream, mux);
}

void stream_finish(struct mux_stream *stream, struct mux *mux)
{
    int held = 0;

    if (stream->fd < 0)
        return;
    if (ioctl(stream->fd, FIONREAD, &held) < 0 || held <= 0) {
        end_source(stream, mux);
        return;
    }
    stream->limit = (uint64_t)held;
    move_source(stream, mux);
}

void stream_frame(struct mux_stream *stream, struct mux *mux,
                  const struct mux_header *header, const uint8_t *payload)
{
    uint32_t bytes;

    if (stream->fd < 0)
        return;
    switch (header->type) {
    case MUX_DATA:
        if (!stream->source) {
            buffer_put(&stream->buffer, payload, header->length);
            move_sink(stream, mux);
        }
        break;
    case MUX_END:
        if (!stream->source) {
            stream->ended = true;
            move_sink(stream, mux);
        }
        break;
    case MUX_STOP:
        if (stream->source)
            stream_close(stream);
        break;
    case MUX_CREDIT:
        if (stream->source && header->length == sizeof(bytes)) {
            memcpy(&bytes, payload, sizeof(bytes));
            stream->credit += bytes;
        }
        break;
    default:
        break;
    }
}
