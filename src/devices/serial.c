/* serial.c: a 16550A UART; see serial.h. */
#include "devices/serial.h"

#include "base/bytes.h"
#include "base/own.h"

#include <pthread.h>

/* Registers by offset. */
enum {
    REG_DATA = 0, /* RBR, THR; with DLAB the divisor's low byte  */
    REG_IER = 1,  /* with DLAB the divisor's high byte           */
    REG_IIR = 2,  /* reads; writes go to FCR                     */
    REG_LCR = 3,
    REG_MCR = 4,
    REG_LSR = 5,
    REG_MSR = 6,
    REG_SCRATCH = 7
};

enum {
    IER_RECEIVED = 1,
    IER_TRANSMITTED = 2,
    IER_LINE_STATUS = 4,
    IER_MASK = 0x0f,

    IIR_NONE = 0x01, /* no interrupt is pending */
    IIR_TRANSMITTED = 0x02,
    IIR_RECEIVED = 0x04,
    IIR_LINE_STATUS = 0x06,
    IIR_FIFOS = 0xc0,

    FCR_ENABLE = 1,
    FCR_CLEAR_RECEIVER = 2,

    LCR_DLAB = 0x80,

    MCR_DTR = 0x01,
    MCR_RTS = 0x02,
    MCR_OUT1 = 0x04,
    MCR_OUT2 = 0x08, /* on a PC it lets the interrupt through */
    MCR_LOOP = 0x10,
    MCR_MASK = 0x1f,

    LSR_RECEIVED = 0x01,
    LSR_OVERRUN = 0x02,
    LSR_EMPTY = 0x60, /* holding and shift register */

    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80,

    DIVISOR_9600 = 12
};

struct serial {
    struct device device;
    struct serial_config config;
    pthread_mutex_t lock; /* protects state and the order of output */
    struct serial_state state;
};

static struct serial *serial_of(struct device *device)
{
    return CONTAINER_OF(device, struct serial, device);
}

/* The pending interrupt of the highest priority, as IIR names it. */
static uint8_t interrupt_cause(const struct serial_state *state)
{
    if (state->ier & IER_LINE_STATUS && state->lsr & LSR_OVERRUN)
        return IIR_LINE_STATUS;
    if (state->ier & IER_RECEIVED && state->input_count)
        return IIR_RECEIVED;
    if (state->ier & IER_TRANSMITTED && state->transmit_pending)
        return IIR_TRANSMITTED;
    return IIR_NONE;
}

static void drive_irq(struct serial *serial)
{
    const struct serial_state *state = &serial->state;
    bool gate = (state->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

    irq_set(&serial->config.irq, gate && interrupt_cause(state) != IIR_NONE);
}

static size_t put_input(struct serial_state *state, const uint8_t *bytes,
                        size_t count)
{
    count = min_u64(count, SERIAL_INPUT_MAX - state->input_count);
    memcpy(state->input + state->input_count, bytes, count);
    state->input_count = (uint16_t)(state->input_count + count);
    return count;
}

static uint8_t take_input(struct serial_state *state)
{
    uint8_t byte = state->input[0];

    if (!state->input_count)
        return 0;
    state->input_count--;
    memmove(state->input, state->input + 1, state->input_count);
    return byte;
}

static uint8_t modem_status(const struct serial_state *state)
{
    uint8_t mcr = state->mcr;

    if (!(mcr & MCR_LOOP))
        return MSR_CTS | MSR_DSR | MSR_DCD;
    return (uint8_t)((mcr & MCR_RTS ? MSR_CTS : 0) |
                     (mcr & MCR_DTR ? MSR_DSR : 0) |
                     (mcr & MCR_OUT1 ? MSR_RI : 0) |
                     (mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static uint8_t read_iir(struct serial_state *state)
{
    uint8_t cause = interrupt_cause(state);

    if (cause == IIR_TRANSMITTED)
        state->transmit_pending = false;
    return (uint8_t)(cause | (state->fcr & FCR_ENABLE ? IIR_FIFOS : 0));
}

static uint8_t read_lsr(struct serial_state *state)
{
    uint8_t lsr = state->lsr;

    state->lsr = 0;
    return (uint8_t)(lsr | LSR_EMPTY | (state->input_count ? LSR_RECEIVED : 0));
}

static uint8_t read_register(struct serial_state *state, uint64_t offset)
{
    bool dlab = state->lcr & LCR_DLAB;

    switch (offset) {
    case REG_DATA:
        return dlab ? (uint8_t)state->divisor : take_input(state);
    case REG_IER:
        return dlab ? (uint8_t)(state->divisor >> 8) : state->ier;
    case REG_IIR:
        return read_iir(state);
    case REG_LCR:
        return state->lcr;
    case REG_MCR:
        return state->mcr;
    case REG_LSR:
        return read_lsr(state);
    case REG_MSR:
        return modem_status(state);
    default:
        return state->scratch;
    }
}

static uint64_t serial_read(struct device *device, uint64_t offset,
                            unsigned bytes)
{
    struct serial *serial = serial_of(device);
    uint8_t value;

    if (bytes != 1)
        return UINT64_MAX;
    pthread_mutex_lock(&serial->lock);
    value = read_register(&serial->state, offset);
    drive_irq(serial);
    pthread_mutex_unlock(&serial->lock);
    return value;
}

static void transmit(struct serial *serial, uint8_t byte)
{
    struct serial_state *state = &serial->state;

    if (state->mcr & MCR_LOOP) {
        if (!put_input(state, &byte, 1))
            state->lsr |= LSR_OVERRUN;
    } else if (serial->config.output) {
        serial->config.output(serial->config.context, &byte, 1);
    }
    state->transmit_pending = true;
}

static void write_ier(struct serial_state *state, uint8_t value)
{
    /* The transmitter is empty all the time, so enabling its interrupt raises
     * it at once. */
    if (value & ~state->ier & IER_TRANSMITTED)
        state->transmit_pending = true;
    state->ier = value & IER_MASK;
}

static void write_fcr(struct serial_state *state, uint8_t value)
{
    if (value & FCR_CLEAR_RECEIVER || (value ^ state->fcr) & FCR_ENABLE)
        state->input_count = 0;
    state->fcr = value & FCR_ENABLE;
}

static void write_register(struct serial *serial, uint64_t offset,
                           uint8_t value)
{
    struct serial_state *state = &serial->state;
    bool dlab = state->lcr & LCR_DLAB;

    switch (offset) {
    case REG_DATA:
        if (dlab)
            state->divisor = (uint16_t)((state->divisor & 0xff00) | value);
        else
            transmit(serial, value);
        break;
    case REG_IER:
        if (dlab)
            state->divisor = (uint16_t)((state->divisor & 0x00ff) | value << 8);
        else
            write_ier(state, value);
        break;
    case REG_IIR:
        write_fcr(state, value);
        break;
    case REG_LCR:
        state->lcr = value;
        break;
    case REG_MCR:
        state->mcr = value & MCR_MASK;
        break;
    case REG_SCRATCH:
        state->scratch = value;
        break;
    default: /* LSR and MSR are read-only */
        break;
    }
}

static void serial_write(struct device *device, uint64_t offset, unsigned bytes,
                         uint64_t value)
{
    struct serial *serial = serial_of(device);

    if (bytes != 1)
        return;
    pthread_mutex_lock(&serial->lock);
    write_register(serial, offset, (uint8_t)value);
    drive_irq(serial);
    pthread_mutex_unlock(&serial->lock);
}

size_t serial_input(struct serial *serial, const uint8_t *bytes, size_t count)
{
    pthread_mutex_lock(&serial->lock);
    count = put_input(&serial->state, bytes, count);
    drive_irq(serial);
    pthread_mutex_unlock(&serial->lock);
    return count;
}

static void serial_reset(struct device *device)
{
    struct serial *serial = serial_of(device);

    serial->state = (struct serial_state){.divisor = DIVISOR_9600};
    drive_irq(serial);
}

static void serial_save(struct device *device, struct buf *to)
{
    const struct serial_state *state = &serial_of(device)->state;

    wire_put_u8(to, state->ier);
    wire_put_u8(to, state->fcr);
    wire_put_u8(to, state->lcr);
    wire_put_u8(to, state->mcr);
    wire_put_u8(to, state->lsr);
    wire_put_u8(to, state->scratch);
    wire_put_u16(to, state->divisor);
    wire_put_u8(to, state->transmit_pending);
    wire_put_blob(to, state->input, state->input_count);
}

static int serial_load(struct device *device, struct wire_reader *from,
                       struct sm_error *err)
{
    struct serial *serial = serial_of(device);
    struct serial_state state = {0};
    const uint8_t *input;
    uint8_t pending;
    size_t count;

    state.ier = wire_u8(from);
    state.fcr = wire_u8(from);
    state.lcr = wire_u8(from);
    state.mcr = wire_u8(from);
    state.lsr = wire_u8(from);
    state.scratch = wire_u8(from);
    state.divisor = wire_u16(from);
    pending = wire_u8(from);
    input = wire_blob(from, &count);
    if (!wire_end(from) || state.ier & ~IER_MASK || state.fcr & ~FCR_ENABLE ||
        state.mcr & ~MCR_MASK || state.lsr & ~LSR_OVERRUN || pending > 1 ||
        count > SERIAL_INPUT_MAX)
        return fail(err, SM_EIMAGE, "record is damaged");
    state.transmit_pending = pending;
    put_input(&state, input, count);
    serial->state = state;
    drive_irq(serial);
    return 0;
}

static void serial_free(struct device *device)
{
    struct serial *serial = serial_of(device);

    pthread_mutex_destroy(&serial->lock);
    free(serial);
}

static const struct device_ops serial_ops = {
    .name = "serial",
    .version = 1,
    .read = serial_read,
    .write = serial_write,
    .reset = serial_reset,
    .save = serial_save,
    .load = serial_load,
    .free = serial_free,
};

int serial_new(const struct serial_config *config, struct serial **ret,
               struct sm_error *err)
{
    struct serial *serial = calloc(1, sizeof *serial);

    if (!serial)
        return fail(err, SM_ENOMEM, "serial: out of memory");
    serial->device.ops = &serial_ops;
    serial->config = *config;
    serial->state.divisor = DIVISOR_9600;
    pthread_mutex_init(&serial->lock, NULL);
    *ret = serial;
    return 0;
}

struct device *serial_device(struct serial *serial)
{
    return &serial->device;
}
