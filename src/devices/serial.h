/* serial.h: a 16550A UART, for the kernel's console and its log.
 *
 * How it works
 *   What the guest transmits is handed to a sink at once: the transmitter is
 *   always empty. What the host sends waits in a bounded buffer of which the
 *   guest sees one byte at a time. Registers: National Semiconductor PC16550D
 *   data sheet, table II; eight ports from 0x3f8.
 *
 *   Line speed, parity and modem control do nothing but read back; loop-back
 *   mode feeds the transmitter into the receiver, as the guest's probe wants.
 */
#ifndef SM_DEVICES_SERIAL_H
#define SM_DEVICES_SERIAL_H

#include "devices/device.h"
#include "devices/irq.h"

enum {
    SERIAL_PORT = 0x3f8,
    SERIAL_BYTES = 8,
    SERIAL_GSI = 4,
    SERIAL_INPUT_MAX = 4096 /* bytes of input that wait at most */
};

struct serial;

struct serial_config {
    struct irq_line irq; /* level */
    /* Guest's output, in order, on the vcpu's thread with the device's lock
     * held: must not block and not call back; it drops what it has no room
     * for. NULL: dropped. */
    void (*output)(void *context, const uint8_t *bytes, size_t count);
    void *context;
};

struct serial_state {
    uint8_t ier; /* interrupt enable */
    uint8_t fcr; /* bit 0: FIFOs on */
    uint8_t lcr; /* bit 7: divisor latch visible */
    uint8_t mcr; /* bit 4: loop-back; bit 3: OUT2 gates the interrupt */
    uint8_t lsr; /* bit 1: overrun; the others are computed */
    uint8_t scratch;
    uint16_t divisor;
    bool transmit_pending; /* "transmitter empty" not yet taken by the guest */
    uint16_t input_count;
    uint8_t input[SERIAL_INPUT_MAX];
};

int serial_new(const struct serial_config *config, struct serial **ret,
               struct sm_error *err);
struct device *serial_device(struct serial *serial);

/* Give the guest input. Returns how many bytes found room. Any thread. */
size_t serial_input(struct serial *serial, const uint8_t *bytes, size_t count);

#endif
