/* mux.h - many commands' streams over the test bed's one serial line.
 *
 * The bed has one virtio-serial port. At its host end sits the daemon
 * (bed-daemon.c), at its other end the agent (bed-agent.c), process 1 of the
 * bed. Both speak frames: an eight-byte header, then `length` bytes.
 *
 * A session is one command: a number chosen by the daemon, three streams
 * (0 stdin, 1 stdout, 2 stderr) and one end. Each stream has a source, which
 * reads a pipe into DATA frames, and a sink, which writes DATA into a pipe.
 * A source may have at most MUX_WINDOW bytes under way; the sink gives CREDIT
 * as it gets rid of them. So a reader that stands still holds up its own
 * stream and nothing else, and no end ever buffers without bound.
 *
 * Numbers are little-endian; both ends are little-endian machines.
 */
#ifndef SM_TESTBED_MUX_H
#define SM_TESTBED_MUX_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUX_VERSION     1
#define MUX_SESSIONS    64           /* commands at a time */
#define MUX_STREAMS     3            /* stdin, stdout, stderr */
#define MUX_WINDOW      (256u << 10) /* bytes under way in a stream */
#define MUX_CHUNK       (16u << 10)  /* most bytes in a DATA frame */
#define MUX_PAYLOAD_MAX (8u << 20)   /* most bytes in any frame: an OPEN */

enum mux_type {
    MUX_HELLO = 1, /* agent: u32 MUX_VERSION; the bed is up */
    MUX_SETUP,     /* daemon: u64 realtime in ns, strings: host's --out DIRs */
    MUX_READY,     /* agent: SETUP is done */
    MUX_OPEN,      /* daemon: a request, see bed.h */
    MUX_DATA,      /* source to sink */
    MUX_END,       /* source: no more data */
    MUX_STOP,      /* sink: nobody reads any more; close the source */
    MUX_CREDIT,    /* sink: u32 bytes that have gone */
    MUX_SIGNAL,    /* daemon: u32 signal for the command's process group */
    MUX_KILL,      /* daemon: end everything of the session at once */
    MUX_EXIT,      /* agent: u32 exit status; the session's last frame */
};

struct mux_header {
    uint8_t type;
    uint8_t stream;
    uint16_t session;
    uint32_t length; /* of what follows, in bytes */
};

_Static_assert(sizeof(struct mux_header) == 8, "a wire format");

/* A growing run of bytes, consumed from its start. */
struct mux_buffer {
    uint8_t *data;
    size_t start, end, room;
};

struct mux {
    int fd; /* non-blocking */
    struct mux_buffer in, out;
};

/* One end of one stream; closed when fd is -1. */
struct mux_stream {
    int fd; /* non-blocking end of a pipe */
    uint16_t session;
    uint8_t number;
    bool source;
    bool ended;      /* sink: END has come, close once the buffer is empty */
    uint32_t credit; /* source: bytes that may still be sent */
    uint32_t spent;  /* sink: bytes gone that were not yet credited */
    uint64_t limit;  /* source: stop after this many bytes */
    struct mux_buffer buffer; /* sink only */
};

/* Called for each frame, in order. payload lives until it returns. */
typedef void mux_handler(void *context, const struct mux_header *header,
                         const uint8_t *payload);

/* Appends; the process ends when there is no memory for it. */
void buffer_put(struct mux_buffer *buffer, const void *data, size_t length);
void buffer_done(struct mux_buffer *buffer);

void mux_init(struct mux *mux, int fd);

/* Queues a frame. It leaves with mux_write, which poll asks for. */
void mux_send(struct mux *mux, enum mux_type type, unsigned session,
              unsigned stream, const void *payload, size_t length);
void mux_send_u32(struct mux *mux, enum mux_type type, unsigned session,
                  unsigned stream, uint32_t value);

/* What poll shall wait for on mux->fd. */
short mux_events(const struct mux *mux);

/* Both return false when the line is dead. */
bool mux_write(struct mux *mux);
bool mux_read(struct mux *mux, mux_handler *handler, void *context);

/* Takes fd over and makes it non-blocking. */
void stream_init(struct mux_stream *stream, int fd, unsigned session,
                 unsigned number, bool source);
void stream_close(struct mux_stream *stream);

/* What poll shall wait for, and on which descriptor: -1 for nothing. */
struct pollfd stream_poll(const struct mux_stream *stream,
                          const struct mux *mux);

/* Moves what can be moved. To be called when poll has said something. */
void stream_move(struct mux_stream *stream, struct mux *mux);

/* The writer has ended: sends what the pipe holds now, then END, even if some
 * other process still has the pipe open. Source only. */
void stream_finish(struct mux_stream *stream, struct mux *mux);

/* Takes a DATA, END, STOP or CREDIT frame. */
void stream_frame(struct mux_stream *stream, struct mux *mux,
                  const struct mux_header *header, const uint8_t *payload);

#endif
