/* hold.c: a machine that is held, and one that goes on as another; see
 * session.h.
 */
#include "exec/parts.h"

#include "base/own.h"

/* What the calls said meanwhile leaves behind what ended the hold. */
static void end_hold(struct session *session, enum session_hold hold)
{
    struct queue *later = &session->later;

    session->hold = hold;
    if (queue_count(later) == 0)
        return;
    buf_append(session_buf(session), queue_front(later), queue_count(later));
    queue_drop(later, queue_count(later));
}

int session_hold(struct session *session, struct sm_error *err)
{
    int rc = session_check(session, err);

    if (rc)
        return rc;
    if (session->state != SESSION_OPEN || session->hold != HOLD_NONE)
        return fail(err, SM_ESTATE, "session: the machine cannot be held now");
    agent_put_hold(session_buf(session), AGENT_HOLD);
    rc = session_buf_failed(session, err);
    if (!rc)
        session->hold = HOLD_ASKED;
    return rc;
}

int session_release(struct session *session, struct sm_error *err)
{
    int rc = session_check(session, err);

    if (rc)
        return rc;
    if (session->hold != HOLD_HELD || session->restored)
        return fail(err, SM_ESTATE, "session: the machine is not held");
    session->hold = HOLD_NONE;
    agent_put_hold(session_buf(session), AGENT_RELEASE);
    end_hold(session, HOLD_NONE);
    return 0;
}

void session_restored(struct session *session)
{
    session_greeted(session);
    session->restored = true;
    session->hold = HOLD_HELD;
}

/* The programs that were resumed, in the order of their channels. */
static int list_programs(struct session *session, struct agent_clone *clone,
                         struct sm_error *err)
{
    struct agent_resume *list =
        calloc((size_t)session->exec_count + 1, sizeof *list);
    uint32_t count = 0;

    if (!list)
        return fail(err, SM_ENOMEM, "clone: out of memory");
    for (uint32_t i = 1; i <= session->last_channel; i++) {
        const struct exec *exec = exec_by_channel(session, i);

        if (exec && exec->old_channel)
            list[count++] = (struct agent_resume){
                .old_channel = exec->old_channel,
                .channel = exec->channel,
                .flags = exec->flags & AGENT_EXEC_STDIN,
                .out_window = exec->out.allowed,
                .err_window = exec->err.allowed,
            };
    }
    clone->programs = list;
    clone->program_count = count;
    return 0;
}

int session_clone(struct session *session, const struct agent_clone *wanted,
                  struct sm_error *err)
{
    AUTO_FREE struct agent_resume *programs = NULL;
    struct agent_clone clone = *wanted;
    int rc = session_check(session, err);
    size_t begin;

    if (rc)
        return rc;
    if (!session->restored || session->hold != HOLD_HELD)
        return fail(err, SM_ESTATE, "session: there is nothing to clone");
    rc = list_programs(session, &clone, err);
    if (rc)
        return rc;
    programs = (struct agent_resume *)(uintptr_t)clone.programs;
    if (!agent_clone_is_valid(&clone))
        return fail(err, SM_EINVAL, "session: clone with values out of range");
    session->hold = HOLD_CLONING;
    begin = session_buf(session)->size;
    agent_put_clone(session_buf(session), &clone);
    rc = session_end_request(session, begin, err);
    if (rc) {
        session->hold = HOLD_HELD;
        return rc;
    }
    session->set_up_sent = true;
    session->restored = false;
    end_hold(session, HOLD_CLONING);
    return 0;
}

/* The agent's errno as ours. */
static int code_of(uint32_t reason)
{
    switch (reason) {
    case AGENT_HOLD_BUSY:
        return SM_EBUSY;
    case AGENT_HOLD_BARE:
        return SM_ESTATE;
    case AGENT_HOLD_UNABLE:
        return SM_ENOTSUP;
    case AGENT_HOLD_TIMED_OUT:
        return SM_ETIMEOUT;
    default:
        return SM_EGUEST;
    }
}

int session_take_held(struct session *session, const struct frame *frame,
                      struct sm_error *err)
{
    const struct session_events *events = session->events;
    struct agent_held held;
    struct sm_error why = {0};
    int rc = agent_get_held(&held, frame, err);

    if (rc)
        return rc;
    if (session->hold != HOLD_ASKED)
        return fail(err, SM_EPROTO, "HELD without HOLD");
    if (held.reason == 0) {
        session->hold = HOLD_HELD;
    } else {
        fail(&why, code_of(held.reason), "hold: %s", held.message);
        end_hold(session, HOLD_NONE);
    }
    if (events && events->held)
        events->held(session->context, held.reason ? &why : NULL);
    return 0;
}

int session_take_clone_done(struct session *session, struct sm_error *err)
{
    const struct session_events *events = session->events;

    if (session->hold != HOLD_CLONING)
        return fail(err, SM_EPROTO, "CLONE_DONE without CLONE");
    session->hold = HOLD_NONE;
    if (events && events->ready)
        events->ready(session->context);
    return 0;
}

int session_check_held(const struct session *session, uint16_t type,
                       struct sm_error *err)
{
    if (type == AGENT_ERROR ||
        (session->hold != HOLD_HELD && session->hold != HOLD_CLONING) ||
        (session->hold == HOLD_CLONING && type == AGENT_CLONE_DONE))
        return 0;
    return fail(err, SM_EPROTO, "%s of a machine that is held",
                agent_type_name(type));
}
