/* ioapic.h: the I/O APIC (Intel 82093AA, 24 pins) in user space.
 *
 * How it works
 *   A hypervisor with a split interrupt controller keeps the local APICs and
 *   leaves this chip to us. The guest writes one redirection entry per pin:
 *   vector, destination, edge or level, masked. An interrupt on a pin becomes
 *   the message (MSI) that the entry describes, sent to the local APICs.
 *
 *   For devices that signal an event descriptor (irqfd), the message is sent
 *   by the hypervisor, without us: so every change of an entry is reported by
 *   route_changed(), and the machine programs the hypervisor's routing table
 *   with it. For a pin without irqfd, send() sends the message.
 *
 *   Level pins: once sent, the pin's remote IRR bit holds further messages
 *   back until the guest has ended the interrupt (ioapic_end_of_interrupt,
 *   from the hypervisor's EOI exit); a line that is still high then is sent
 *   again.
 *
 *   Masked pins: an edge on a masked pin is kept and sent on unmasking. The
 *   82093AA drops it; keeping it costs at most a spurious interrupt, while
 *   dropping it can hang a driver. The machine does the same for irqfds: while
 *   masked, they are detached, and the event stays in the descriptor.
 *
 *   Not supported: ExtINT delivery (there is no PIC; such a pin counts as
 *   masked) and destinations above 255.
 */
#ifndef SM_DEVICES_IOAPIC_H
#define SM_DEVICES_IOAPIC_H

#include "devices/device.h"
#include "devices/irq.h"

enum { IOAPIC_PINS = 24, IOAPIC_BYTES = 0x1000 };
#define IOAPIC_ADDRESS UINT64_C(0xfec00000) /* where PCs have the first one */

struct ioapic;

/* Where an interrupt of a pin goes (Intel SDM 3A, 11.11). */
struct ioapic_route {
    uint64_t address;
    uint32_t data;
    bool masked; /* nothing is to be sent; address and data may be senseless */
    bool level;  /* the hypervisor must report the end of (data & 0xff) */
};

/*
 * Called with the chip's lock held, from any thread that uses the chip: they
 * must not call back and not block.
 */
struct ioapic_ops {
    /* The entry of (pin) is now (route). Also after reset and load. */
    void (*route_changed)(void *context, unsigned pin,
                          const struct ioapic_route *route);
    /* Send the message of (route) now. */
    void (*send)(void *context, const struct ioapic_route *route);
};

struct ioapic_state {
    uint32_t select;             /* IOREGSEL */
    uint32_t id;                 /* bits 27..24 of register 0 */
    uint32_t lines;              /* bit per pin: level of the input */
    uint32_t pending;            /* bit per pin: an edge waits for unmasking */
    uint64_t entry[IOAPIC_PINS]; /* remote IRR is bit 14 */
};

int ioapic_new(const struct ioapic_ops *ops, void *context, struct ioapic **ret,
               struct sm_error *err);
struct device *ioapic_device(struct ioapic *ioapic);

/* Drive the input (pin) < IOAPIC_PINS. Any thread. */
void ioapic_set_pin(struct ioapic *ioapic, unsigned pin, bool level);
/* A line that drives (pin), valid as long as the chip. */
struct irq_line ioapic_line(struct ioapic *ioapic, unsigned pin);
/* The guest has ended interrupt (vector). Any thread. */
void ioapic_end_of_interrupt(struct ioapic *ioapic, uint8_t vector);
/* The route of (pin) now. Any thread. */
struct ioapic_route ioapic_route(struct ioapic *ioapic, unsigned pin);

#endif
