/* parts.h: what sessions, programs and their streams know of each other;
 * nobody else includes it.
 *
 * How it works
 *   session ── exec ─┬─ exec_source   stdin: descriptor or exec_write() ->
 * frames └─ exec_sink x2  frames -> descriptor or `output`
 *
 *   Callbacks may free what calls them. Sessions and execs are counted
 *   references: the caller has one until session_close() or exec_free(), and
 *   whoever is about to call back holds one more.
 */
#ifndef SM_EXEC_PARTS_H
#define SM_EXEC_PARTS_H

#include "exec/exec.h"

#include "base/queue.h"
#include "platform/foreign.h"

enum { EXEC_BUCKETS = 64 };

/* The caller's side to the guest's stdin. */
struct exec_source {
    struct exec *exec;
    enum exec_port_kind kind;
    struct foreign from; /* EXEC_FD */
    struct loop_watch *watch;
    uint32_t credit; /* bytes that the guest takes                        */
    bool ended;      /* END was sent, or the program reads no more        */
    bool refused;    /* exec_write() took less: `writable` is owed        */
    bool stuck;      /* on session->stuck until the session takes data    */
    struct exec_source *next_stuck;
};

/* The guest's stdout or stderr to the caller's side. */
struct exec_sink {
    struct exec *exec;
    enum exec_port_kind kind;
    enum agent_stream stream;
    struct foreign to;        /* EXEC_FD */
    struct loop_watch *watch; /* NULL until it had to wait once */
    struct queue wait;        /* EXEC_FD: came, not yet written */
    uint32_t allowed;         /* bytes that the guest may send  */
    uint32_t returned;        /* dealt with, not yet said       */
    uint32_t lent;            /* EXEC_BYTES: given to `output`, not consumed */
    bool ended;               /* the guest sends no more        */
    bool done;                /* and all of it was delivered    */
    bool broken;              /* nobody takes it: told the guest */
    int lost; /* broken by this error of ours, not by its reader; or 0 */
};

struct exec {
    unsigned refs;
    struct session *session;          /* NULL: over, only exec_free() is left */
    struct exec *next;                /* in its bucket                        */
    const struct exec_events *events; /* NULL: freed by the caller   */
    void *context;
    uint32_t channel;
    uint32_t old_channel; /* of a resumed one; else 0 */
    uint32_t flags;       /* AGENT_EXEC_* */
    struct exec_source in;
    struct exec_sink out;
    struct exec_sink err;
    bool finished; /* the end is known, output may be on its way */
    struct exec_end end;
};

enum session_state {
    SESSION_SILENT, /* HELLO has not come                    */
    SESSION_OPEN,   /* HELLO has come                        */
    SESSION_OVER    /* closed or failed; nothing leads on    */
};

enum session_hold {
    HOLD_NONE,
    HOLD_ASKED,  /* HOLD was said; what is to be said waits in `later`      */
    HOLD_HELD,   /* and HELD came, or the session began with a held machine */
    HOLD_CLONING /* CLONE was said; CLONE_DONE has not come                 */
};

struct session {
    unsigned refs;
    struct loop *loop;
    int fd;
    struct loop_watch *watch;
    const struct session_events *events; /* NULL: closed by the caller */
    void *context;
    enum session_state state;
    bool set_up_sent;
    bool restored; /* session_restored() */
    enum session_hold hold;
    struct frame_reader in;
    struct queue out;
    struct queue later; /* frames that leave after the hold */
    struct exec *execs[EXEC_BUCKETS];
    unsigned exec_count;
    uint32_t last_channel;
    struct exec_source *stuck;
    uint8_t scratch[AGENT_FRAME_MAX]; /* for one data frame */
};

/* session.c */
void session_ref(struct session *session);
void session_unref(struct session *session);
/* Where to put a frame that leaves soon. */
struct buf *session_buf(struct session *session);
/* Before a frame whose failure is the caller's own: SM_ESTATE, or SM_ENOMEM if
 * one that was put before is lost, which ends the session soon. */
int session_check(const struct session *session, struct sm_error *err);
/* The last frame found no memory (SM_ENOMEM) or no room (SM_ELIMIT): forget
 * that. Returns the error. */
int session_buf_failed(struct session *session, struct sm_error *err);
/* The same for a SETUP or EXEC that begins at (begin) of session_buf(); takes
 * it out again if it is too long: SM_ELIMIT. */
int session_end_request(struct session *session, size_t begin,
                        struct sm_error *err);
bool session_takes_data(const struct session *session);
/* Nothing may be sent: frames wait in session->later. */
static inline bool session_is_quiet(const struct session *session)
{
    return session->hold == HOLD_ASKED || session->hold == HOLD_HELD;
}
/* Send scratch[0 .. FRAME_HEADER_BYTES + count). */
void session_send_data(struct session *session, const struct frame *header);
/* Have the source resumed when the session takes data again. */
void session_wait(struct session *session, struct exec_source *source);
void session_forget(struct session *session, struct exec_source *source);

/* hold.c. The agent said HELD or CLONE_DONE. 0 or SM_EPROTO. */
int session_take_held(struct session *session, const struct frame *frame,
                      struct sm_error *err);
int session_take_clone_done(struct session *session, struct sm_error *err);
/* Whether the agent may say (type) at all, as far as a hold goes. */
int session_check_held(const struct session *session, uint16_t type,
                       struct sm_error *err);

/* exec.c */
struct exec *exec_by_channel(struct session *session, uint32_t channel);
/* Serve a frame of the guest for the exec. 0 or SM_EPROTO. */
int exec_message(struct exec *exec, const struct frame *frame,
                 struct sm_error *err);
/* The session is over. Calls `ended`. */
void exec_lose(struct exec *exec, const struct sm_error *why);
/* A sink has delivered everything. */
void exec_check_end(struct exec *exec);
void exec_ref(struct exec *exec);
void exec_unref(struct exec *exec);

/* source.c */
int source_open(struct exec_source *source, struct exec *exec,
                const struct exec_port *port, struct sm_error *err);
/* Watch the descriptor from now on. */
int source_start(struct exec_source *source, struct sm_error *err);
void source_close(struct exec_source *source);
/* Tell the guest that nothing more comes. */
void source_end(struct exec_source *source);
/* Credit came, or the session takes data again. */
void source_resume(struct exec_source *source);
int source_grant(struct exec_source *source, uint32_t bytes,
                 struct sm_error *err);
size_t source_write(struct exec_source *source, const void *bytes,
                    size_t count);

/* sink.c */
int sink_open(struct exec_sink *sink, struct exec *exec,
              enum agent_stream stream, const struct exec_port *port,
              struct sm_error *err);
void sink_close(struct exec_sink *sink);
/* Bytes of the guest. 0, or SM_EPROTO if there are too many. */
int sink_take(struct exec_sink *sink, const struct frame *frame,
              struct sm_error *err);
/* The guest sends no more. */
void sink_end(struct exec_sink *sink);
/* Nobody takes its bytes any more. */
void sink_break(struct exec_sink *sink);
void sink_consumed(struct exec_sink *sink, size_t count);

#endif
