/* session.h: the host end of a session with an agent.
 *
 * How it works
 *   A session drives one connected stream socket (to the worker's vsock
 *   device) from a loop. It has no thread and no lock of its own: every call
 *   is made on the loop's thread, also from inside of its callbacks, and every
 *   callback comes from the loop, never from inside of a call (session_close()
 *   is the exception that says so). What is to be
 *   sent in one go goes out together: session_setup() and exec_start() right
 *   after each other reach the agent in one piece, which is how the first
 *   program starts in the same round trip.
 *
 *   The guest is taken to be hostile: whatever it sends, the session ends with
 *   SM_EPROTO at worst, and buffers no more than the windows that it granted.
 *   Programs run through exec.h.
 */
#ifndef SM_EXEC_SESSION_H
#define SM_EXEC_SESSION_H

#include "platform/loop.h"
#include "proto/agent.h"

struct session;

/* All may be NULL but `closed`. */
struct session_events {
    /* The agent has introduced itself, with a version that is understood. */
    void (*hello)(void *context, const struct agent_hello *hello);
    /* SETUP is done: entropy and clock are set, the root is in place. */
    void (*ready)(void *context);
    void (*pong)(void *context, uint64_t number);
    /* Answers to session_report(). Of the list of processes the entries come
     * piece by piece, any bytes (agent_get_process()). */
    void (*figures)(void *context, const struct agent_figures *figures);
    void (*processes)(void *context, const uint8_t *bytes, size_t count,
                      bool last);
    /* The guest's kernel killed a process for want of memory. */
    void (*oom)(void *context, const struct agent_oom *oom);
    /*
     * The session is over: why->code is SM_ECLOSED (the guest's end closed),
     * SM_EGUEST (SETUP failed, with the agent's words), SM_EPROTO or SM_EIO.
     * All programs of the session have had their `ended` before. Only
     * session_close() is left to be called, also from here.
     */
    void (*closed)(void *context, const struct sm_error *why);
};

/*
 * (fd) is a connected stream socket; the session owns it from here on, also
 * when this fails. (events) and (context) must outlive the session.
 * Returns 0, SM_ENOMEM, or what loop_watch() says.
 */
int session_open(struct loop *loop, int fd, const struct session_events *events,
                 void *context, struct session **ret, struct sm_error *err);

/* The agent has introduced itself before: its machine comes out of a snapshot,
 * and goes on with the connection that it had. Right after session_open(). */
void session_greeted(struct session *session);

/*
 * End the session; the agent kills the programs that were not started with
 * AGENT_EXEC_KEEP. Programs that are still known have their `ended` first,
 * with EXEC_LOST; `closed` is not called. NULL is fine.
 */
void session_close(struct session *session);

/* Once per machine, after `hello`. (setup) is not needed after the call.
 * Returns 0, SM_ESTATE, SM_EINVAL (no entropy, or too large) or SM_ENOMEM. */
int session_setup(struct session *session, const struct agent_setup *setup,
                  struct sm_error *err);

/* End the machine; what is seen of it is that the worker says so. */
int session_shutdown(struct session *session,
                     const struct agent_shutdown *shutdown,
                     struct sm_error *err);

/* Answered by `figures` or `processes`. */
int session_report(struct session *session, enum agent_report report,
                   struct sm_error *err);

/* Answered by `pong`. */
int session_ping(struct session *session, uint64_t number,
                 struct sm_error *err);

#endif
