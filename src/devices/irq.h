/* irq.h: an interrupt line as a device sees it: a wire to pull.
 *
 * A device keeps an `irq_line` by value and never learns what is behind it: an
 * interrupt controller in this process, a call into a hypervisor, or an event
 * descriptor that a hypervisor listens to (irqfd), which needs neither lock
 * nor call. Any thread, never blocks, allowed while a device's lock is held.
 */
#ifndef SM_DEVICES_IRQ_H
#define SM_DEVICES_IRQ_H

#include "platform/notifier.h"

struct irq_line {
    /* Drive the line's level. Never calls back into the device. May be NULL:
     * then the line is not connected. */
    void (*set)(void *context, bool level);
    void *context;
    /* If its fd is >= 0, a pulse signals it instead of calling set(). It stays
     * the machine's and outlives the device. For edge-triggered pins only. */
    struct notifier pulse;
};

#define IRQ_NONE ((struct irq_line){.pulse = {.fd = -1}})

/* One edge. A pulse that is raised again before it was taken may count once.
 */
static inline void irq_pulse(const struct irq_line *line)
{
    if (line->pulse.fd >= 0) {
        notifier_signal(&line->pulse);
    } else if (line->set) {
        line->set(line->context, true);
        line->set(line->context, false);
    }
}

/* Hold the line at (level). The line needs a set(). */
static inline void irq_set(const struct irq_line *line, bool level)
{
    if (line->set)
        line->set(line->context, level);
}

#endif
