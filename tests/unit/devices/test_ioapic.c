/* test_ioapic.c: the I/O APIC. */
#include "unit.h"

#include "records.h"

#include "devices/ioapic.h"

#include <string.h>

struct chip {
    struct ioapic *ioapic;
    struct device *device;
    unsigned sent;
    struct ioapic_route last;
    unsigned changes;
    struct ioapic_route route[IOAPIC_PINS];
};

static void take_route(void *context, unsigned pin,
                       const struct ioapic_route *route)
{
    struct chip *chip = context;

    chip->changes++;
    chip->route[pin] = *route;
}

static void take_message(void *context, const struct ioapic_route *route)
{
    struct chip *chip = context;

    chip->sent++;
    chip->last = *route;
}

static const struct ioapic_ops chip_ops = {.route_changed = take_route,
                                           .send = take_message};

static void set_register(struct chip *chip, uint32_t number, uint32_t value)
{
    chip->device->ops->write(chip->device, 0x00, 4, number);
    chip->device->ops->write(chip->device, 0x10, 4, value);
}

static uint32_t get_register(struct chip *chip, uint32_t number)
{
    chip->device->ops->write(chip->device, 0x00, 4, number);
    return (uint32_t)chip->device->ops->read(chip->device, 0x10, 4);
}

static struct chip *new_chip(void)
{
    struct chip *chip = test_calloc(1, sizeof *chip);

    assert_int_equal(ioapic_new(&chip_ops, chip, &chip->ioapic, NULL), 0);
    chip->device = ioapic_device(chip->ioapic);
    return chip;
}

static void free_chip(struct chip *chip)
{
    device_free(chip->device);
    test_free(chip);
}

enum { LEVEL = 0x8000, MASKED = 0x10000 };

static void set_entry(struct chip *chip, unsigned pin, uint32_t low,
                      uint32_t destination)
{
    set_register(chip, 0x11 + 2 * pin, destination << 24);
    set_register(chip, 0x10 + 2 * pin, low);
}

static void pulse(struct chip *chip, unsigned pin)
{
    struct irq_line line = ioapic_line(chip->ioapic, pin);

    irq_pulse(&line);
}

static void test_ioapic_starts_masked_with_24_pins(void **state)
{
    struct chip *chip = new_chip();

    (void)state;
    assert_int_equal(get_register(chip, 1), 0x170011);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        assert_int_equal(get_register(chip, 0x10 + 2 * pin), MASKED);
        assert_true(ioapic_route(chip->ioapic, pin).masked);
    }
    assert_int_equal(get_register(chip, 0x40), 0);
    assert_int_equal(get_register(chip, 0xff), 0);
    set_register(chip, 0, UINT32_MAX);
    assert_int_equal(get_register(chip, 0), 0x0f000000);
    free_chip(chip);
}

static void test_ioapic_makes_the_message_that_the_entry_says(void **state)
{
    struct chip *chip = new_chip();

    (void)state;
    /* Vector 0x31, lowest priority, logical, to 0x0c. */
    set_entry(chip, 5, 0x31 | 1 << 8 | 1 << 11, 0x0c);
    assert_int_equal(chip->route[5].address, 0xfee00000 | 0x0c << 12 | 1 << 2);
    assert_int_equal(chip->route[5].data, 0x31 | 1 << 8);
    assert_false(chip->route[5].masked);
    assert_false(chip->route[5].level);
    pulse(chip, 5);
    assert_int_equal(chip->sent, 1);
    assert_int_equal(chip->last.data, 0x131);
    /* An edge is one message, however long the line stays high. */
    ioapic_set_pin(chip->ioapic, 5, true);
    ioapic_set_pin(chip->ioapic, 5, true);
    assert_int_equal(chip->sent, 2);
    set_entry(chip, 6, 0x32 | LEVEL, 0);
    assert_true(chip->route[6].level);
    assert_int_equal(chip->route[6].data, 0x32 | 1 << 14 | 1 << 15);
    free_chip(chip);
}

static void test_ioapic_keeps_an_edge_while_masked(void **state)
{
    struct chip *chip = new_chip();

    (void)state;
    set_entry(chip, 3, 0x40 | MASKED, 0);
    pulse(chip, 3);
    pulse(chip, 3);
    assert_int_equal(chip->sent, 0);
    set_entry(chip, 3, 0x40, 0);
    assert_int_equal(chip->sent, 1);
    set_entry(chip, 3, 0x40 | MASKED, 0);
    set_entry(chip, 3, 0x40, 0);
    assert_int_equal(chip->sent, 1);
    free_chip(chip);
}

static void test_ioapic_level_waits_for_the_end(void **state)
{
    struct chip *chip = new_chip();

    (void)state;
    set_entry(chip, 9, 0x50 | LEVEL, 0);
    ioapic_set_pin(chip->ioapic, 9, true);
    assert_int_equal(chip->sent, 1);
    assert_true(get_register(chip, 0x10 + 18) & 1 << 14);
    ioapic_set_pin(chip->ioapic, 9, false);
    ioapic_set_pin(chip->ioapic, 9, true);
    assert_int_equal(chip->sent, 1);
    ioapic_end_of_interrupt(chip->ioapic, 0x51); /* somebody else's */
    assert_int_equal(chip->sent, 1);
    ioapic_end_of_interrupt(chip->ioapic, 0x50); /* still high: again */
    assert_int_equal(chip->sent, 2);
    ioapic_set_pin(chip->ioapic, 9, false);
    ioapic_end_of_interrupt(chip->ioapic, 0x50);
    assert_int_equal(chip->sent, 2);
    assert_false(get_register(chip, 0x10 + 18) & 1 << 14);
    free_chip(chip);
}

static void test_ioapic_guest_cannot_write_remote_irr(void **state)
{
    struct chip *chip = new_chip();

    (void)state;
    set_entry(chip, 9, 0x50 | LEVEL | 1 << 14 | 1 << 12, 0);
    assert_int_equal(get_register(chip, 0x10 + 18), 0x50 | LEVEL);
    ioapic_set_pin(chip->ioapic, 9, true);
    /* As Linux gets rid of a stuck one: edge and back. */
    set_entry(chip, 9, 0x50 | MASKED, 0);
    assert_int_equal(get_register(chip, 0x10 + 18), 0x50 | MASKED);
    set_entry(chip, 9, 0x50 | LEVEL, 0);
    assert_int_equal(chip->sent, 2);
    free_chip(chip);
}

static void test_ioapic_ext_int_is_masked(void **state)
{
    struct chip *chip = new_chip();

    (void)state;
    set_entry(chip, 0, 7 << 8, 0);
    assert_true(chip->route[0].masked);
    pulse(chip, 0);
    assert_int_equal(chip->sent, 0);
    free_chip(chip);
}

static void test_ioapic_reset_masks_all_and_says_so(void **state)
{
    struct chip *chip = new_chip();

    (void)state;
    set_entry(chip, 4, 0x77, 2);
    set_entry(chip, 5, 0x78 | MASKED, 2);
    pulse(chip, 5);
    chip->changes = 0;
    device_reset(chip->device);
    assert_int_equal(chip->changes, IOAPIC_PINS);
    assert_true(chip->route[4].masked);
    set_entry(chip, 5, 0x78, 2);
    assert_int_equal(chip->sent, 0);
    free_chip(chip);
}

static void test_ioapic_record_comes_back_with_its_routes(void **state)
{
    struct chip *chip = new_chip();

    (void)state;
    set_entry(chip, 4, 0x77, 2);
    set_entry(chip, 5, 0x78 | MASKED, 2);
    pulse(chip, 5);
    memset(chip->route, 0, sizeof chip->route);
    chip->changes = 0;
    assert_int_equal(save_and_load(chip->device, 0, SIZE_MAX), 0);
    assert_int_equal(chip->changes, IOAPIC_PINS);
    assert_int_equal(chip->route[4].data, 0x77);
    set_entry(chip, 5, 0x78, 2);
    assert_int_equal(chip->sent, 1);
    for (size_t cut = 1; cut < 220; cut++)
        assert_int_equal(save_and_load(chip->device, cut, SIZE_MAX), SM_EIMAGE);
    for (size_t flip = 0; flip < 240; flip++)
        (void)save_and_load(chip->device, 0, flip);
    free_chip(chip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ioapic_starts_masked_with_24_pins),
        cmocka_unit_test(test_ioapic_makes_the_message_that_the_entry_says),
        cmocka_unit_test(test_ioapic_keeps_an_edge_while_masked),
        cmocka_unit_test(test_ioapic_level_waits_for_the_end),
        cmocka_unit_test(test_ioapic_guest_cannot_write_remote_irr),
        cmocka_unit_test(test_ioapic_ext_int_is_masked),
        cmocka_unit_test(test_ioapic_reset_masks_all_and_says_so),
        cmocka_unit_test(test_ioapic_record_comes_back_with_its_routes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
