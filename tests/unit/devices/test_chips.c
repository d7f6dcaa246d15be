/* test_chips.c: the bus, and the devices that are no virtio devices. */
#include "unit.h"

#include "records.h"

#include "base/bytes.h"
#include "devices/bus.h"
#include "devices/power.h"
#include "devices/pvpanic.h"
#include "devices/serial.h"

/* ---- the bus ---- */

struct probe {
    struct device device;
    uint64_t offset;
    unsigned bytes;
    uint64_t value;
};

static uint64_t probe_read(struct device *device, uint64_t offset,
                           unsigned bytes)
{
    struct probe *probe = CONTAINER_OF(device, struct probe, device);

    probe->offset = offset;
    probe->bytes = bytes;
    return 0x1122334455667788;
}

static void probe_write(struct device *device, uint64_t offset, unsigned bytes,
                        uint64_t value)
{
    struct probe *probe = CONTAINER_OF(device, struct probe, device);

    probe->offset = offset;
    probe->bytes = bytes;
    probe->value = value;
}

static const struct device_ops probe_ops = {
    .name = "probe", .read = probe_read, .write = probe_write};

static void test_bus_finds_the_device_and_its_offset(void **state)
{
    struct probe probe[2] = {{.device = {&probe_ops}},
                             {.device = {&probe_ops}}};
    struct bus bus;
    uint64_t value;

    (void)state;
    bus_init(&bus, "mmio", UINT64_MAX);
    assert_int_equal(bus_add(&bus, 0x2000, 16, &probe[1].device, NULL), 0);
    assert_int_equal(bus_add(&bus, 0x1000, 16, &probe[0].device, NULL), 0);
    assert_true(bus_read(&bus, 0x1004, 4, &value));
    assert_int_equal(value, 0x55667788);
    assert_int_equal(probe[0].offset, 4);
    assert_true(bus_read(&bus, 0x2008, 8, &value));
    assert_int_equal(value, 0x1122334455667788);
    assert_int_equal(probe[1].offset, 8);
    assert_true(bus_write(&bus, 0x200f, 1, 0xabcd));
    assert_int_equal(probe[1].offset, 15);
    assert_int_equal(probe[1].value, 0xcd);
}

static void test_bus_holes_read_all_ones(void **state)
{
    struct probe probe = {.device = {&probe_ops}, .bytes = 99};
    static const struct {
        uint64_t at;
        unsigned bytes;
        uint64_t ones;
    } holes[] = {
        {0, 1, 0xff},
        {0xfff, 1, 0xff},
        {0x1010, 2, 0xffff},
        {0x100d, 4, UINT32_MAX}, /* half inside */
        {0xffe, 4, UINT32_MAX},
        {UINT64_MAX, 8, UINT64_MAX},
        {0x1000, 3, 0xffffff}, /* no device knows such sizes */
        {0x1000, 5, 0xffffffffff},
    };
    struct bus bus;
    uint64_t value;

    (void)state;
    bus_init(&bus, "mmio", UINT64_MAX);
    assert_int_equal(bus_add(&bus, 0x1000, 16, &probe.device, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(holes); i++) {
        assert_false(bus_read(&bus, holes[i].at, holes[i].bytes, &value));
        assert_int_equal(value, holes[i].ones);
        assert_false(bus_write(&bus, holes[i].at, holes[i].bytes, 0));
    }
    assert_int_equal(probe.bytes, 99);
}

static void test_bus_refuses_overlaps(void **state)
{
    struct probe probe = {.device = {&probe_ops}};
    struct bus bus;

    (void)state;
    bus_init(&bus, "port", BUS_PORT_BYTES);
    assert_int_equal(bus_add(&bus, 100, 10, &probe.device, NULL), 0);
    assert_int_equal(bus_add(&bus, 109, 1, &probe.device, NULL), SM_EEXIST);
    assert_int_equal(bus_add(&bus, 95, 6, &probe.device, NULL), SM_EEXIST);
    assert_int_equal(bus_add(&bus, 90, 30, &probe.device, NULL), SM_EEXIST);
    assert_int_equal(bus_add(&bus, 100, 10, &probe.device, NULL), SM_EEXIST);
    assert_int_equal(bus_add(&bus, 95, 5, &probe.device, NULL), 0);
    assert_int_equal(bus_add(&bus, 110, 5, &probe.device, NULL), 0);
    assert_int_equal(bus_add(&bus, 200, 0, &probe.device, NULL), SM_EINVAL);
    assert_int_equal(bus_add(&bus, 0xffff, 2, &probe.device, NULL), SM_EINVAL);
    assert_int_equal(bus_add(&bus, 1, UINT64_MAX, &probe.device, NULL),
                     SM_EINVAL);
    for (uint64_t at = 1000; bus.count < BUS_RANGES_MAX; at += 2)
        assert_int_equal(bus_add(&bus, at, 2, &probe.device, NULL), 0);
    assert_int_equal(bus_add(&bus, 9000, 1, &probe.device, NULL), SM_ELIMIT);
}

/* ---- registers of any device ---- */

static uint32_t in(struct device *device, uint64_t offset)
{
    return (uint32_t)device->ops->read(device, offset, 1);
}

static void out(struct device *device, uint64_t offset, uint32_t value)
{
    device->ops->write(device, offset, 1, value);
}

/* ---- power and panic ---- */

static unsigned heard;

static void hear_power(void *context, enum power_event event)
{
    (void)context;
    heard |= 1u << event;
}

static void test_power_hears_off_and_reset_and_nothing_else(void **state)
{
    struct power *power;
    struct device *device;

    (void)state;
    assert_int_equal(power_new(hear_power, NULL, &power, NULL), 0);
    device = power_device(power);
    heard = 0;
    for (uint32_t value = 0; value < 256; value++) {
        bool off = (value & 0x20) && (value >> 2 & 7) == POWER_S5_TYPE;

        heard = 0;
        out(device, POWER_SLEEP_CONTROL, value);
        assert_int_equal(heard, off ? 1 << POWER_EVENT_OFF : 0);
        heard = 0;
        out(device, POWER_SLEEP_STATUS, value);
        assert_int_equal(heard, 0);
        out(device, POWER_RESET, value);
        assert_int_equal(
            heard, value == POWER_RESET_VALUE ? 1 << POWER_EVENT_REBOOT : 0);
    }
    assert_int_equal(in(device, POWER_SLEEP_STATUS), 0);
    assert_int_equal(save_and_load(device, 0, SIZE_MAX), 0);
    device_free(device);
}

static void hear_panic(void *context, unsigned events)
{
    (void)context;
    heard = events;
}

static void test_pvpanic_hears_what_it_offers(void **state)
{
    struct pvpanic *pvpanic;
    struct device *device;

    (void)state;
    assert_int_equal(pvpanic_new(hear_panic, NULL, &pvpanic, NULL), 0);
    device = pvpanic_device(pvpanic);
    assert_int_equal(in(device, 0), 3);
    heard = 0;
    out(device, 0, 0xfc);
    assert_int_equal(heard, 0);
    out(device, 0, 0xff);
    assert_int_equal(heard, 3);
    out(device, 0, PVPANIC_PANICKED);
    assert_int_equal(heard, PVPANIC_PANICKED);
    device_free(device);
}

/* ---- serial ---- */

struct terminal {
    struct serial *serial;
    struct device *device;
    bool line;
    unsigned edges;
    size_t count;
    uint8_t text[64];
};

static void take_output(void *context, const uint8_t *bytes, size_t count)
{
    struct terminal *terminal = context;

    for (size_t i = 0; i < count && terminal->count < 64; i++)
        terminal->text[terminal->count++] = bytes[i];
}

static void take_line(void *context, bool level)
{
    struct terminal *terminal = context;

    terminal->edges += level && !terminal->line;
    terminal->line = level;
}

static struct terminal *new_terminal(void)
{
    struct terminal *terminal = test_calloc(1, sizeof *terminal);
    struct serial_config config = {
        .irq = {.set = take_line, .context = terminal, .pulse = {.fd = -1}},
        .output = take_output,
        .context = terminal,
    };

    assert_int_equal(serial_new(&config, &terminal->serial, NULL), 0);
    terminal->device = serial_device(terminal->serial);
    return terminal;
}

static void free_terminal(struct terminal *terminal)
{
    device_free(terminal->device);
    test_free(terminal);
}

static void test_serial_transmits_and_is_always_ready(void **state)
{
    struct terminal *terminal = new_terminal();

    (void)state;
    assert_int_equal(in(terminal->device, 5), 0x60);
    out(terminal->device, 0, 'h');
    out(terminal->device, 0, 'i');
    assert_int_equal(in(terminal->device, 5), 0x60);
    assert_int_equal(terminal->count, 2);
    assert_memory_equal(terminal->text, "hi", 2);
    free_terminal(terminal);
}

/* The driver's way: enable the interrupt, read the cause, fill, read again. */
static void test_serial_interrupts_when_it_can_transmit(void **state)
{
    struct terminal *terminal = new_terminal();
    struct device *device = terminal->device;

    (void)state;
    out(device, 4, 0x08); /* OUT2 */
    assert_false(terminal->line);
    out(device, 1, 0x02);
    assert_true(terminal->line);
    assert_int_equal(in(device, 2), 0x02);
    assert_false(terminal->line);
    assert_int_equal(in(device, 2), 0x01);
    out(device, 0, 'x');
    assert_int_equal(terminal->edges, 2);
    assert_int_equal(in(device, 2), 0x02);
    /* Without OUT2 a PC hears nothing. */
    out(device, 4, 0);
    out(device, 0, 'y');
    assert_false(terminal->line);
    free_terminal(terminal);
}

static void test_serial_input_waits_for_the_guest(void **state)
{
    static uint8_t flood[2 * SERIAL_INPUT_MAX];
    struct terminal *terminal = new_terminal();
    struct device *device = terminal->device;

    (void)state;
    out(device, 4, 0x08);
    out(device, 1, 0x01);
    assert_int_equal(serial_input(terminal->serial, (const uint8_t *)"ab", 2),
                     2);
    assert_true(terminal->line);
    assert_int_equal(in(device, 2), 0x04);
    assert_int_equal(in(device, 5), 0x61);
    assert_int_equal(in(device, 0), 'a');
    assert_true(terminal->line);
    assert_int_equal(in(device, 0), 'b');
    assert_false(terminal->line);
    assert_int_equal(in(device, 0), 0);
    assert_int_equal(serial_input(terminal->serial, flood, sizeof flood),
                     SERIAL_INPUT_MAX);
    assert_int_equal(serial_input(terminal->serial, flood, 1), 0);
    out(device, 2, 0x03); /* clear the receiver */
    assert_int_equal(in(device, 5), 0x60);
    free_terminal(terminal);
}

/* What Linux looks at to find a 16550A. */
static void test_serial_passes_the_drivers_probe(void **state)
{
    struct terminal *terminal = new_terminal();
    struct device *device = terminal->device;

    (void)state;
    out(device, 1, 0);
    assert_int_equal(in(device, 1), 0);
    out(device, 1, 0xff);
    assert_int_equal(in(device, 1), 0x0f);
    out(device, 1, 0);
    out(device, 4, 0x1a); /* loop-back, OUT2, RTS */
    assert_int_equal(in(device, 6) & 0xf0, 0x90);
    out(device, 0, 0x5a);
    assert_int_equal(terminal->count, 0);
    assert_int_equal(in(device, 0), 0x5a);
    out(device, 4, 0);
    out(device, 2, 0x01);
    assert_int_equal(in(device, 2) >> 6, 3);
    out(device, 7, 0xa5);
    assert_int_equal(in(device, 7), 0xa5);
    out(device, 3, 0x80);
    out(device, 0, 0x01);
    out(device, 1, 0x02);
    assert_int_equal(in(device, 0), 0x01);
    assert_int_equal(in(device, 1), 0x02);
    out(device, 3, 0x03);
    assert_int_equal(in(device, 1), 0);
    free_terminal(terminal);
}

static void test_serial_loop_back_overrun_is_bounded(void **state)
{
    struct terminal *terminal = new_terminal();
    struct device *device = terminal->device;

    (void)state;
    out(device, 4, 0x10);
    for (unsigned i = 0; i < 3 * SERIAL_INPUT_MAX; i++)
        out(device, 0, i);
    assert_int_equal(in(device, 5), 0x63);
    assert_int_equal(in(device, 5), 0x61);
    free_terminal(terminal);
}

static void test_serial_record_comes_back(void **state)
{
    struct terminal *terminal = new_terminal();
    struct device *device = terminal->device;

    (void)state;
    out(device, 7, 0x42);
    serial_input(terminal->serial, (const uint8_t *)"key", 3);
    assert_int_equal(save_and_load(device, 0, SIZE_MAX), 0);
    assert_int_equal(in(device, 7), 0x42);
    assert_int_equal(in(device, 0), 'k');
    for (size_t cut = 1; cut < 30; cut++)
        assert_int_equal(save_and_load(device, cut, SIZE_MAX), SM_EIMAGE);
    for (size_t flip = 0; flip < 40; flip++)
        (void)save_and_load(device, 0, flip);
    free_terminal(terminal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bus_finds_the_device_and_its_offset),
        cmocka_unit_test(test_bus_holes_read_all_ones),
        cmocka_unit_test(test_bus_refuses_overlaps),
        cmocka_unit_test(test_power_hears_off_and_reset_and_nothing_else),
        cmocka_unit_test(test_pvpanic_hears_what_it_offers),
        cmocka_unit_test(test_serial_transmits_and_is_always_ready),
        cmocka_unit_test(test_serial_interrupts_when_it_can_transmit),
        cmocka_unit_test(test_serial_input_waits_for_the_guest),
        cmocka_unit_test(test_serial_passes_the_drivers_probe),
        cmocka_unit_test(test_serial_loop_back_overrun_is_bounded),
        cmocka_unit_test(test_serial_record_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
