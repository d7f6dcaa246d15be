/* notifier.c: an event as an eventfd; see notifier.h. */
#include "platform/notifier.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int notifier_init(struct notifier *notifier, struct sm_error *err)
{
    notifier->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (notifier->fd < 0)
        return fail_os(err, "eventfd");
    return 0;
}

void notifier_done(struct notifier *notifier)
{
    if (notifier->fd >= 0)
        close(notifier->fd);
    notifier->fd = -1;
}

void notifier_signal(const struct notifier *notifier)
{
    uint64_t one = 1;

    /* EAGAIN: the counter is full, so it is signalled already. */
    while (write(notifier->fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

bool notifier_clear(const struct notifier *notifier)
{
    uint64_t count;
    ssize_t got;

    do
        got = read(notifier->fd, &count, sizeof count);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof count;
}
