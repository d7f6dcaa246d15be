/* hold.c: the machine stands still for a snapshot; see hold.h. */
#include "hold.h"

#include "base/bytes.h"
#include "freezer.h"
#include "job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

_Static_assert(AGENT_HOLD_BUSY == EBUSY && AGENT_HOLD_BARE == EINVAL &&
                   AGENT_HOLD_UNABLE == ENOSYS &&
                   AGENT_HOLD_TIMED_OUT == ETIMEDOUT,
               "reasons are Linux's errno");

enum hold_state {
    HOLD_FREEZING, /* some program has not stopped yet                     */
    HOLD_FROZEN,   /* all have; what the agent itself is at is not done    */
    HOLD_HELD      /* HELD is said: only the link that holds is listened to */
};

struct hold {
    struct link *link;
    enum hold_state state;
    struct freezer freezer;
    int quiet; /* epoll with nothing but the link */
    int timer;
    struct source timer_source;
    struct grave grave;
};

int hold_epoll(const struct guest *guest)
{
    return guest->hold && guest->hold->state == HOLD_HELD ? guest->hold->quiet
                                                          : guest->epoll;
}

static void hold_bury(struct grave *grave)
{
    free(CONTAINER(grave, struct hold, grave));
}

void hold_end(struct guest *guest)
{
    struct hold *hold = guest->hold;

    if (!hold)
        return;
    freezer_close(&hold->freezer);
    guest_close(guest, &hold->timer);
    if (hold->quiet >= 0)
        close(hold->quiet);
    guest->hold = NULL;
    /* Outputs that waited are read on when the link is flushed. */
    if (hold->link && hold->link->fd >= 0)
        link_buf(hold->link);
    guest_bury(guest, &hold->grave);
    guest_answer(guest);
}

static void refuse(struct link *link, uint32_t reason, const char *message)
{
    struct agent_held held = {.reason = reason};

    snprintf(held.message, sizeof held.message, "%s", message);
    agent_put_held(link_buf(link), &held);
}

/* It cannot be: go on. */
static void give_up(struct guest *guest, uint32_t reason, const char *message)
{
    struct hold *hold = guest->hold;

    freezer_thaw(&hold->freezer);
    refuse(hold->link, reason, message);
    hold_end(guest);
}

static void check(struct guest *guest)
{
    struct hold *hold = guest->hold;
    char message[128];
    pid_t stray = 0;
    int failure;
    int rc;

    if (!hold || hold->state != HOLD_FREEZING)
        return;
    rc = freezer_check(&hold->freezer, &stray);
    if (rc > 0)
        hold->state = HOLD_FROZEN;
    if (rc >= 0)
        return;
    failure = errno;
    if (stray)
        snprintf(message, sizeof message,
                 "process %d is in the root of the control groups, where it "
                 "cannot be frozen",
                 (int)stray);
    else
        snprintf(message, sizeof message, "freeze the programs: %s",
                 strerror(failure));
    give_up(guest, (uint32_t)failure, message);
}

static void time_is_up(struct source *source, uint32_t events)
{
    struct hold *hold = CONTAINER(source, struct hold, timer_source);
    struct guest *guest = hold->freezer.guest;

    (void)events;
    if (guest->hold != hold || hold->state == HOLD_HELD)
        return;
    give_up(guest, AGENT_HOLD_TIMED_OUT,
            hold->state == HOLD_FREEZING
                ? "a program did not freeze in time; it may wait for a disk"
                : "the agent has not finished in time what it was at");
}

static int start_timer(struct guest *guest, struct hold *hold)
{
    const struct itimerspec when = {
        .it_value.tv_sec = AGENT_HOLD_MS / 1000,
        .it_value.tv_nsec = (long)(AGENT_HOLD_MS % 1000 * NS_PER_MS),
    };

    hold->timer_source.fn = time_is_up;
    hold->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (hold->timer < 0 || timerfd_settime(hold->timer, 0, &when, NULL))
        return -1;
    return guest_watch(guest, hold->timer, EPOLLIN, &hold->timer_source);
}

static int open_quiet(struct link *link, struct hold *hold)
{
    struct epoll_event event = {.events =
                                    EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = &link->source};

    hold->quiet = epoll_create1(EPOLL_CLOEXEC);
    return hold->quiet < 0 ||
                   epoll_ctl(hold->quiet, EPOLL_CTL_ADD, link->fd, &event)
               ? -1
               : 0;
}

void hold_begin(struct link *link)
{
    struct guest *guest = link->guest;
    struct hold *hold;

    if (guest->state == GUEST_BARE || guest->state == GUEST_FAILED) {
        refuse(link, AGENT_HOLD_BARE, "the machine is not set up");
        return;
    }
    /* In the clone another session would break off in the middle of a frame,
     * and its programs would die of that. */
    if (guest->state == GUEST_ENDING || guest->links->next) {
        refuse(link, AGENT_HOLD_BUSY,
               guest->links->next ? "the machine has another session"
                                  : "the machine is about to end");
        return;
    }
    if (!guest->cgroups) {
        refuse(link, AGENT_HOLD_UNABLE, "there are no control groups");
        return;
    }
    hold = calloc(1, sizeof *hold);
    if (!hold) {
        refuse(link, ENOMEM, "out of memory");
        return;
    }
    guest->hold = hold;
    hold->link = link;
    hold->quiet = hold->timer = -1;
    hold->grave.fn = hold_bury;
    if (freezer_open(&hold->freezer, guest, check) || open_quiet(link, hold) ||
        start_timer(guest, hold)) {
        give_up(guest, (uint32_t)errno, strerror(errno));
        return;
    }
    check(guest);
}

void hold_turn(struct guest *guest)
{
    struct hold *hold = guest->hold;

    /* A link with an ERROR to say goes, and the hold with it. */
    if (!hold || hold->state == HOLD_HELD || hold->link->ending)
        return;
    if (guest->state != GUEST_READY) {
        give_up(guest, AGENT_HOLD_BUSY, "the machine is about to end");
        return;
    }
    if (hold->state != HOLD_FROZEN || guest->due.head)
        return;
    agent_put_held(link_buf(hold->link), &(struct agent_held){0});
    hold->state = HOLD_HELD;
}

static int release(struct guest *guest, struct sm_error *err)
{
    if (freezer_thaw(&guest->hold->freezer))
        return fail_os(err, "thaw the programs");
    hold_end(guest);
    return 0;
}

static int become_another(struct link *link, const struct frame *frame,
                          struct sm_error *err)
{
    struct guest *guest = link->guest;
    struct agent_clone clone;
    int rc = agent_get_clone(&clone, frame, err);

    if (!rc)
        rc = jobs_find_resumed(link, &clone, err);
    if (!rc)
        rc = guest->config.ops->clone(guest->config.context, &clone, err);
    if (!rc) {
        jobs_resume(link);
        rc = release(guest, err);
    }
    if (!rc) {
        agent_put_clone_done(link_buf(link));
        jobs_announce(link, &clone);
    }
    agent_clone_done(&clone);
    return rc;
}

int hold_message(struct link *link, const struct frame *frame,
                 struct sm_error *err)
{
    struct guest *guest = link->guest;

    if (guest->hold->state == HOLD_HELD && link == guest->hold->link) {
        if (frame->type == AGENT_RELEASE)
            return release(guest, err);
        if (frame->type == AGENT_CLONE)
            return become_another(link, frame, err);
    }
    return fail(err, SM_EPROTO, "%s while the machine is held",
                agent_type_name(frame->type));
}

void hold_lost(struct link *link)
{
    struct guest *guest = link->guest;
    struct hold *hold = guest->hold;

    if (!hold || hold->link != link)
        return;
    hold->link = NULL;
    if (hold->state == HOLD_HELD)
        guest->state = GUEST_FAILED;
    else
        freezer_thaw(&hold->freezer);
    hold_end(guest);
}
