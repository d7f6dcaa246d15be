/* ioapic.c: the I/O APIC (82093AA); see ioapic.h. */
#include "devices/ioapic.h"

#include "base/own.h"

#include <assert.h>
#include <pthread.h>

enum {
    WINDOW_SELECT = 0x00, /* IOREGSEL */
    WINDOW_DATA = 0x10,   /* IOWIN    */

    REG_ID = 0,
    REG_VERSION = 1,
    REG_ARBITRATION = 2,
    REG_ENTRIES = 0x10, /* two registers per pin */

    /* Version 0x11 has no EOI register: ends come from the local APICs. */
    VERSION_VALUE = (IOAPIC_PINS - 1) << 16 | 0x11,
    ID_MASK = 0x0f000000,

    DELIVERY_EXTINT = 7
};

/* A redirection entry. */
#define ENTRY_VECTOR         UINT64_C(0xff)
#define ENTRY_DELIVERY(e)    ((uint32_t)((e) >> 8 & 7))
#define ENTRY_LOGICAL(e)     ((uint32_t)((e) >> 11 & 1))
#define ENTRY_REMOTE_IRR     (UINT64_C(1) << 14) /* read-only */
#define ENTRY_LEVEL          (UINT64_C(1) << 15)
#define ENTRY_MASKED         (UINT64_C(1) << 16)
#define ENTRY_WRITABLE       UINT64_C(0xff0000000001afff)
#define ENTRY_LOW            UINT64_C(0xffffffff)
#define ENTRY_DESTINATION(e) ((e) >> 56)

/* The message, Intel SDM 3A, 11.11. */
#define MSI_ADDRESS           UINT64_C(0xfee00000)
#define MSI_DESTINATION_SHIFT 12
#define MSI_LOGICAL_SHIFT     2
#define MSI_DELIVERY_SHIFT    8
#define MSI_ASSERT            (UINT32_C(1) << 14)
#define MSI_LEVEL             (UINT32_C(1) << 15)

#define ALL_PINS              ((UINT32_C(1) << IOAPIC_PINS) - 1)

/* What a line has to know. */
struct ioapic_pin {
    struct ioapic *ioapic;
    unsigned number;
};

struct ioapic {
    struct device device;
    const struct ioapic_ops *ops;
    void *context;
    pthread_mutex_t lock;
    struct ioapic_state state;
    struct ioapic_pin pin[IOAPIC_PINS];
};

static struct ioapic *ioapic_of(struct device *device)
{
    return CONTAINER_OF(device, struct ioapic, device);
}

static struct ioapic_route route_of(uint64_t entry)
{
    bool level = entry & ENTRY_LEVEL;

    return (struct ioapic_route){
        .address = MSI_ADDRESS |
                   ENTRY_DESTINATION(entry) << MSI_DESTINATION_SHIFT |
                   ENTRY_LOGICAL(entry) << MSI_LOGICAL_SHIFT,
        .data = (uint32_t)(entry & ENTRY_VECTOR) |
                ENTRY_DELIVERY(entry) << MSI_DELIVERY_SHIFT |
                (level ? MSI_LEVEL | MSI_ASSERT : 0),
        .masked =
            entry & ENTRY_MASKED || ENTRY_DELIVERY(entry) == DELIVERY_EXTINT,
        .level = level,
    };
}

static void tell_route(struct ioapic *ioapic, unsigned pin)
{
    struct ioapic_route route = route_of(ioapic->state.entry[pin]);

    ioapic->ops->route_changed(ioapic->context, pin, &route);
}

/* Send what waits on (pin), if its entry lets it. */
static void service(struct ioapic *ioapic, unsigned pin)
{
    struct ioapic_state *state = &ioapic->state;
    uint64_t *entry = &state->entry[pin];
    struct ioapic_route route = route_of(*entry);
    uint32_t bit = UINT32_C(1) << pin;

    if (route.masked)
        return;
    if (route.level) {
        if (!(state->lines & bit) || *entry & ENTRY_REMOTE_IRR)
            return;
        *entry |= ENTRY_REMOTE_IRR;
    } else {
        if (!(state->pending & bit))
            return;
        state->pending &= ~bit;
    }
    ioapic->ops->send(ioapic->context, &route);
}

/* ---- pins ---- */

/* Polarity is not looked at: a line is asserted or not, and devices here say
 * so, whatever voltage the guest thinks that is. */
void ioapic_set_pin(struct ioapic *ioapic, unsigned pin, bool level)
{
    struct ioapic_state *state = &ioapic->state;
    uint32_t bit = UINT32_C(1) << pin;

    assert(pin < IOAPIC_PINS);
    pthread_mutex_lock(&ioapic->lock);
    if (!level) {
        state->lines &= ~bit;
    } else {
        if (!(state->lines & bit) && !(state->entry[pin] & ENTRY_LEVEL))
            state->pending |= bit;
        state->lines |= bit;
        service(ioapic, pin);
    }
    pthread_mutex_unlock(&ioapic->lock);
}

static void set_line(void *context, bool level)
{
    struct ioapic_pin *pin = context;

    ioapic_set_pin(pin->ioapic, pin->number, level);
}

struct irq_line ioapic_line(struct ioapic *ioapic, unsigned pin)
{
    struct irq_line line = IRQ_NONE;

    assert(pin < IOAPIC_PINS);
    line.set = set_line;
    line.context = &ioapic->pin[pin];
    return line;
}

void ioapic_end_of_interrupt(struct ioapic *ioapic, uint8_t vector)
{
    pthread_mutex_lock(&ioapic->lock);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *entry = &ioapic->state.entry[pin];

        if ((*entry & ENTRY_VECTOR) != vector || !(*entry & ENTRY_LEVEL) ||
            !(*entry & ENTRY_REMOTE_IRR))
            continue;
        *entry &= ~ENTRY_REMOTE_IRR;
        service(ioapic, pin);
    }
    pthread_mutex_unlock(&ioapic->lock);
}

struct ioapic_route ioapic_route(struct ioapic *ioapic, unsigned pin)
{
    struct ioapic_route route;

    assert(pin < IOAPIC_PINS);
    pthread_mutex_lock(&ioapic->lock);
    route = route_of(ioapic->state.entry[pin]);
    pthread_mutex_unlock(&ioapic->lock);
    return route;
}

/* ---- registers ---- */

static uint32_t read_register(const struct ioapic_state *state)
{
    uint32_t entry = (state->select - REG_ENTRIES) / 2;

    switch (state->select) {
    case REG_ID:
    case REG_ARBITRATION:
        return state->id;
    case REG_VERSION:
        return VERSION_VALUE;
    default:
        break;
    }
    if (state->select < REG_ENTRIES || entry >= IOAPIC_PINS)
        return 0;
    return (uint32_t)(state->entry[entry] >> (state->select & 1 ? 32 : 0));
}

static void write_entry(struct ioapic *ioapic, unsigned pin, bool high,
                        uint32_t value)
{
    struct ioapic_state *state = &ioapic->state;
    uint64_t entry = state->entry[pin];
    uint64_t keep = (high ? ENTRY_LOW : ~ENTRY_LOW) | ~ENTRY_WRITABLE;
    uint64_t fresh = high ? (uint64_t)value << 32 : value;

    entry = (entry & keep) | (fresh & ~keep);
    /* Remote IRR means something for level pins only. Linux clears a stuck one
     * by making the pin an edge pin for a moment. */
    if (entry & ENTRY_LEVEL)
        state->pending &= ~(UINT32_C(1) << pin);
    else
        entry &= ~ENTRY_REMOTE_IRR;
    state->entry[pin] = entry;
    tell_route(ioapic, pin);
    service(ioapic, pin);
}

static void write_register(struct ioapic *ioapic, uint32_t value)
{
    struct ioapic_state *state = &ioapic->state;
    uint32_t pin = (state->select - REG_ENTRIES) / 2;

    if (state->select == REG_ID)
        state->id = value & ID_MASK;
    else if (state->select >= REG_ENTRIES && pin < IOAPIC_PINS)
        write_entry(ioapic, pin, state->select & 1, value);
}

static uint64_t ioapic_read(struct device *device, uint64_t offset,
                            unsigned bytes)
{
    struct ioapic *ioapic = ioapic_of(device);
    uint64_t value = 0;

    if (bytes != 4)
        return UINT64_MAX;
    pthread_mutex_lock(&ioapic->lock);
    if (offset == WINDOW_SELECT)
        value = ioapic->state.select;
    else if (offset == WINDOW_DATA)
        value = read_register(&ioapic->state);
    pthread_mutex_unlock(&ioapic->lock);
    return value;
}

static void ioapic_write(struct device *device, uint64_t offset, unsigned bytes,
                         uint64_t value)
{
    struct ioapic *ioapic = ioapic_of(device);

    if (bytes != 4)
        return;
    pthread_mutex_lock(&ioapic->lock);
    if (offset == WINDOW_SELECT)
        ioapic->state.select = value & 0xff;
    else if (offset == WINDOW_DATA)
        write_register(ioapic, (uint32_t)value);
    pthread_mutex_unlock(&ioapic->lock);
}

/* ---- life ---- */

static void ioapic_reset(struct device *device)
{
    struct ioapic *ioapic = ioapic_of(device);

    pthread_mutex_lock(&ioapic->lock);
    ioapic->state = (struct ioapic_state){0};
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        ioapic->state.entry[pin] = ENTRY_MASKED;
        tell_route(ioapic, pin);
    }
    pthread_mutex_unlock(&ioapic->lock);
}

static void ioapic_save(struct device *device, struct buf *to)
{
    const struct ioapic_state *state = &ioapic_of(device)->state;

    wire_put_u32(to, state->select);
    wire_put_u32(to, state->id);
    wire_put_u32(to, state->lines);
    wire_put_u32(to, state->pending);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        wire_put_u64(to, state->entry[pin]);
}

static int ioapic_load(struct device *device, struct wire_reader *from,
                       struct sm_error *err)
{
    struct ioapic *ioapic = ioapic_of(device);
    struct ioapic_state state;
    uint64_t wrong = 0;

    state.select = wire_u32(from);
    state.id = wire_u32(from);
    state.lines = wire_u32(from);
    state.pending = wire_u32(from);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        state.entry[pin] = wire_u64(from);
        wrong |= state.entry[pin] & ~(ENTRY_WRITABLE | ENTRY_REMOTE_IRR);
    }
    if (!wire_end(from) || wrong || state.select > 0xff ||
        state.id & ~(uint32_t)ID_MASK || state.lines & ~ALL_PINS ||
        state.pending & ~ALL_PINS)
        return fail(err, SM_EIMAGE, "record is damaged");
    pthread_mutex_lock(&ioapic->lock);
    ioapic->state = state;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        tell_route(ioapic, pin);
    pthread_mutex_unlock(&ioapic->lock);
    return 0;
}

static void ioapic_free(struct device *device)
{
    struct ioapic *ioapic = ioapic_of(device);

    pthread_mutex_destroy(&ioapic->lock);
    free(ioapic);
}

static const struct device_ops ioapic_ops = {
    .name = "ioapic",
    .version = 1,
    .read = ioapic_read,
    .write = ioapic_write,
    .reset = ioapic_reset,
    .save = ioapic_save,
    .load = ioapic_load,
    .free = ioapic_free,
};

int ioapic_new(const struct ioapic_ops *ops, void *context, struct ioapic **ret,
               struct sm_error *err)
{
    struct ioapic *ioapic = calloc(1, sizeof *ioapic);

    if (!ioapic)
        return fail(err, SM_ENOMEM, "ioapic: out of memory");
    ioapic->device.ops = &ioapic_ops;
    ioapic->ops = ops;
    ioapic->context = context;
    pthread_mutex_init(&ioapic->lock, NULL);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        ioapic->state.entry[pin] = ENTRY_MASKED;
        ioapic->pin[pin] = (struct ioapic_pin){ioapic, pin};
    }
    *ret = ioapic;
    return 0;
}

struct device *ioapic_device(struct ioapic *ioapic)
{
    return &ioapic->device;
}
