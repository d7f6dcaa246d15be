/* exec.h: one program in a machine, seen from the host.
 *
 * How it works
 *   exec_start() sends the request; everything else comes as events. Each of
 *   the three streams has a port: nothing, a descriptor of the caller, or
 *   bytes that the caller gives and takes itself. Descriptors may be pipes,
 *   sockets, terminals, files or devices; the exec uses a duplicate, and never
 *   changes their flags, so a terminal stays blocking for everybody else.
 *
 *   Back-pressure is end to end: the program blocks in write() when the
 *   caller's descriptor does not take bytes (or exec_consumed() does not come)
 *   and the caller's descriptor is not read while the program does not read.
 *   At most EXEC_WINDOW bytes per stream are under way.
 *
 *   An output descriptor that breaks (EPIPE) closes that stream only: the
 *   program gets SIGPIPE at its next write, as it would without a machine.
 */
#ifndef SM_EXEC_EXEC_H
#define SM_EXEC_EXEC_H

#include "exec/session.h"

enum { EXEC_WINDOW = 256 << 10 };

struct exec;

enum exec_port_kind {
    EXEC_NONE, /* the program has /dev/null there            */
    EXEC_FD,   /* fd; the caller may close its own afterwards */
    EXEC_BYTES /* exec_write(), or the `output` event         */
};

struct exec_port {
    enum exec_port_kind kind;
    int fd;
};

enum exec_outcome {
    EXEC_EXITED,   /* exit.value is its status                 */
    EXEC_SIGNALED, /* exit.value is the signal                 */
    EXEC_FAILED,   /* never started; error says why            */
    EXEC_LOST,     /* the session ended first; error says why  */
    EXEC_UNWRITTEN /* it ended, but a descriptor did not take all of its output:
                      error says why. A closed pipe is no such case. */
};

struct exec_end {
    enum exec_outcome outcome;
    /* What a shell would give: the status; 128 + signal; 127 not found; 126
     * not executable; 125 for everything else. */
    int status;
    struct agent_exit exit; /* EXITED, SIGNALED: also times and memory */
    /* FAILED: SM_ENOCMD, SM_ENOEXEC, SM_EINVAL (user, working directory),
     * SM_ELIMIT, SM_ESTATE; LOST: as of session_events.closed; UNWRITTEN:
     * SM_ENOSPC, SM_EIO, SM_ENOMEM. */
    struct sm_error error;
};

/* All may be NULL but `ended`. */
struct exec_events {
    /* Its code runs in the guest, as this process number there. */
    void (*started)(void *context, uint32_t pid);
    /*
     * EXEC_BYTES on stdout or stderr: (count) bytes, valid during the call;
     * 0: the stream has ended. Tell exec_consumed() when there is room again.
     */
    void (*output)(void *context, enum agent_stream stream,
                   const uint8_t *bytes, size_t count);
    /* EXEC_BYTES on stdin: exec_write() would take bytes again. */
    void (*writable)(void *context);
    /* Last: all output has been delivered. exec_free() may be called here. */
    void (*ended)(void *context, const struct exec_end *end);
};

struct exec_options {
    /* The stream bits in `flags` and the windows are filled in by exec_start()
     * from the ports. */
    struct agent_exec program;
    struct exec_port ports[AGENT_STREAMS]; /* AGENT_ERR: none with a TTY */
    const struct exec_events *events;      /* these two outlive the exec */
    void *context;
};

/*
 * Start a program; before SETUP is answered, too. (options) is not needed
 * after the call.
 * Returns 0, SM_EINVAL, SM_ESTATE (no session any more), SM_ELIMIT (arguments
 * and environment beyond AGENT_REQUEST_MAX, or too many programs), SM_ENOMEM.
 */
int exec_start(struct session *session, const struct exec_options *options,
               struct exec **ret, struct sm_error *err);

/*
 * A program that runs in a machine that came out of a snapshot goes on with
 * this session: between session_restored() and session_clone(). (old_channel)
 * is what exec_channel() said of it where the snapshot was made. Of
 * options->program only the flags AGENT_EXEC_TTY and AGENT_EXEC_KEEP count, and
 * must be what they were; the ports are new: an output without one is read and
 * dropped from now on, a stdin without one is closed. All events come,
 * `started` soon after `ready`. If there is no such program, the clone fails.
 * Returns 0, SM_EINVAL, SM_ESTATE, SM_ELIMIT or SM_ENOMEM.
 */
int exec_resume(struct session *session, const struct exec_options *options,
                uint32_t old_channel, struct exec **ret, struct sm_error *err);

/* Its number within the session. */
uint32_t exec_channel(const struct exec *exec);

/*
 * Forget the program; if it has not ended it is killed with all that it
 * started, unless it has AGENT_EXEC_KEEP. No event comes any more. May be
 * called from its own events and after session_close(). NULL is fine.
 */
void exec_free(struct exec *exec);

/* (signal) is Linux's number, 1 to 64. A program that has ended already is
 * not an error. */
int exec_signal(struct exec *exec, uint32_t signal, enum agent_target target,
                struct sm_error *err);
int exec_resize(struct exec *exec, uint16_t rows, uint16_t columns,
                struct sm_error *err);

/* EXEC_BYTES on stdin: how many of (count) bytes were taken, 0 to all; if less
 * than all, `writable` follows. After the program closed its stdin all bytes
 * are taken and dropped. */
size_t exec_write(struct exec *exec, const void *bytes, size_t count);
/* Close the program's stdin once everything written before has arrived. On a
 * terminal it sees the end-of-file character (Ctrl-D) instead. */
void exec_write_end(struct exec *exec);

/* EXEC_BYTES on (stream): (count) more bytes of what `output` gave are dealt
 * with; the guest may send as many again. */
void exec_consumed(struct exec *exec, enum agent_stream stream, size_t count);

/* Nobody reads (stream) any more (the program gets SIGPIPE), or, for AGENT_IN,
 * nothing more is written to it now. */
void exec_close_stream(struct exec *exec, enum agent_stream stream);

#endif
