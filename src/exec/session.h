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
 *
 *   For a snapshot the machine is held: its programs stand still and nothing
 *   is under way in either direction. Calls are fine meanwhile; what they say
 *   leaves when the hold has ended.
 *
 *       session_hold() -> held -> (capture) -> session_release()
 *
 *   The machine that comes out of the snapshot is held, too. Its session is
 *   another one, on the connection that the agent had:
 *
 *       session_open(), session_restored(), exec_resume()..., session_clone()
 *           -> ready
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
    /* SETUP is done: entropy and clock are set, the root is in place. Or CLONE
     * is: the machine is another one, and its programs run. */
    void (*ready)(void *context);
    /*
     * The answer to session_hold(). (why) is NULL: the machine is held, until
     * session_release(). Else it is not, and goes on: SM_EBUSY (another session
     * with it, or it is about to end), SM_ETIMEOUT (a program did not freeze
     * within AGENT_HOLD_MS), SM_ENOTSUP (no control groups), SM_ESTATE (not
     * set up) or SM_EGUEST.
     */
    void (*held)(void *context, const struct sm_error *why);
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
     * SM_EGUEST (SETUP or CLONE failed, with the agent's words), SM_EPROTO or
     * SM_EIO. All programs of the session have had their `ended` before. Only
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

/* The same for a machine that was held when it was captured: only
 * exec_resume() and session_clone() reach the agent now, all else leaves behind
 * CLONE. */
void session_restored(struct session *session);

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

/*
 * Have the machine's programs stand still, and the agent fall silent; answered
 * by `held`. For an agent with AGENT_CAN_HOLD.
 * Returns 0, SM_ESTATE (before HELLO; held already) or SM_ENOMEM.
 */
int session_hold(struct session *session, struct sm_error *err);
/* End a hold that has begun: after `held` with no reason.
 * Returns 0, SM_ESTATE or SM_ENOMEM. */
int session_release(struct session *session, struct sm_error *err);

/*
 * Once, after session_restored(): give the machine what must differ from the
 * one that was captured, and have it go on; answered by `ready`. The programs
 * that were resumed go on with this session, `programs` of (clone) is not
 * used; all others go on without any. (clone) is not needed after the call.
 * Returns 0, SM_ESTATE, SM_EINVAL (values out of range), SM_ELIMIT (files
 * beyond AGENT_REQUEST_MAX) or SM_ENOMEM.
 */
int session_clone(struct session *session, const struct agent_clone *clone,
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
