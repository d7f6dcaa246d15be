/* notifier.h: an event that one side signals and another waits for.
 *
 * On Linux an eventfd, so that KVM can signal it (ioeventfd) or be signalled
 * by it (irqfd) without a thread in between. Signals before a wait add up to
 * one. Any thread may signal.
 */
#ifndef SM_PLATFORM_NOTIFIER_H
#define SM_PLATFORM_NOTIFIER_H

#include "base/error.h"

#include <stdbool.h>

struct notifier {
    int fd; /* readable while signalled; -1: none. For poll, irqfd, ioeventfd */
};

#define NOTIFIER_NONE ((struct notifier){.fd = -1})

int notifier_init(struct notifier *notifier, struct sm_error *err);
void notifier_done(struct notifier *notifier);
void notifier_signal(const struct notifier *notifier);
/* Take the signal back; true if there was one. Never blocks. */
bool notifier_clear(const struct notifier *notifier);

#endif
