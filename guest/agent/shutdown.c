/* shutdown.c: how the machine ends: SIGTERM, grace, SIGKILL, off. */
#include "guest.h"

#include "base/bytes.h"

#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* After SIGKILL: for processes that hang in the kernel. */
enum { LAST_WAIT_MS = 1000 };

/* The rest happens when the turn ends, so that what was said still leaves. */
static void finish(struct guest *guest)
{
    guest->finishing = true;
}

void guest_finish(struct guest *guest)
{
    /* With grace, programs that have ended may still have output to send. */
    if (!guest->finishing || (guest->end.grace_ms > 0 && guest->due.head))
        return;
    guest->config.ops->end_machine(guest->config.context, guest->end.end);
    guest_stop(guest);
}

static bool has_children(void)
{
    siginfo_t info;

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void arm(struct guest *guest, uint32_t delay_ms)
{
    struct itimerspec when = {
        .it_value.tv_sec = delay_ms / 1000,
        .it_value.tv_nsec = (long)(delay_ms % 1000 * NS_PER_MS),
    };

    timerfd_settime(guest->end_timer, 0, &when, NULL);
}

static void patience_ended(struct source *source, uint32_t events)
{
    struct guest *guest = CONTAINER(source, struct guest, end_source);
    uint64_t count;

    (void)events;
    if (read(guest->end_timer, &count, sizeof count) != sizeof count)
        return;
    if (guest->end.grace_ms == 0) {
        finish(guest);
        return;
    }
    guest->end.grace_ms = 0;
    guest->config.ops->signal_all(guest->config.context, SIGKILL);
    arm(guest, LAST_WAIT_MS);
}

void guest_childless(struct guest *guest)
{
    if (guest->state == GUEST_ENDING)
        finish(guest);
}

void guest_end(struct guest *guest, const struct agent_shutdown *shutdown)
{
    if (guest->state == GUEST_ENDING)
        return;
    guest->state = GUEST_ENDING;
    guest->end = *shutdown;
    if (shutdown->grace_ms == 0 || !has_children()) {
        finish(guest);
        return;
    }
    guest->end_timer =
        timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    guest->end_source.fn = patience_ended;
    if (guest->end_timer < 0 ||
        guest_watch(guest, guest->end_timer, EPOLLIN, &guest->end_source)) {
        finish(guest);
        return;
    }
    guest->config.ops->signal_all(guest->config.context, SIGTERM);
    /* A stopped process takes no SIGTERM. */
    guest->config.ops->signal_all(guest->config.context, SIGCONT);
    arm(guest, shutdown->grace_ms);
}
