/* test_wires.c: what connects devices and guest, with the hypervisor's help
 * and without. */
#include "arch/arch.h"
#include "base/bytes.h"
#include "devices/virtio/mmio.h"
#include "played.h"
#include "unit.h"

#include <string.h>

/* Guest memory of a queue with one request. */
enum {
    DESCRIPTORS = 0x200000,
    AVAILABLE = 0x201000,
    USED = 0x202000,
    DATA = 0x203000,
    DATA_BYTES = 64,
    DESCRIPTOR_WRITE = 2,
    VECTOR = 0x51,
    MASKED = 1 << 16,
    UP_STEPS = 15 /* of add_driver() */
};

static uint8_t *guest(struct played *played, uint64_t at)
{
    uint8_t *host = fake_memory(played->script, GPA(at), 4096);

    assert_non_null(host);
    return host;
}

static void add_register(struct played *played, uint64_t offset, uint32_t value)
{
    uint64_t at = arch_virtio_place(VM_SLOT_RNG).at + offset;

    played_add(played, 0, FAKE_MMIO_WRITE(at, 4, value));
}

/* What a driver does to bring the entropy device up (virtio 1.2, 3.1.1). */
static void add_driver(struct played *played)
{
    add_register(played, VIRTIO_MMIO_STATUS, 1);
    add_register(played, VIRTIO_MMIO_STATUS, 3);
    add_register(played, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    add_register(played, VIRTIO_MMIO_DRIVER_FEATURES, 1); /* VERSION_1 */
    add_register(played, VIRTIO_MMIO_STATUS, 11);
    add_register(played, VIRTIO_MMIO_QUEUE_SEL, 0);
    add_register(played, VIRTIO_MMIO_QUEUE_NUM, 8);
    add_register(played, VIRTIO_MMIO_QUEUE_DESC_LOW, DESCRIPTORS);
    add_register(played, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0);
    add_register(played, VIRTIO_MMIO_QUEUE_DRIVER_LOW, AVAILABLE);
    add_register(played, VIRTIO_MMIO_QUEUE_DRIVER_HIGH, 0);
    add_register(played, VIRTIO_MMIO_QUEUE_DEVICE_LOW, USED);
    add_register(played, VIRTIO_MMIO_QUEUE_DEVICE_HIGH, 0);
    add_register(played, VIRTIO_MMIO_QUEUE_READY, 1);
    add_register(played, VIRTIO_MMIO_STATUS, 15);
}

/* One request for DATA_BYTES of randomness. */
static void put_request(struct played *played)
{
    uint8_t *descriptor = guest(played, DESCRIPTORS);
    uint8_t *available = guest(played, AVAILABLE);

    store_le64(descriptor, DATA);
    store_le32(descriptor + 8, DATA_BYTES);
    store_le16(descriptor + 12, DESCRIPTOR_WRITE);
    store_le16(available + 2, 1); /* idx: one head, descriptor 0 */
}

/* The device's loop serves the request. */
static void expect_served(struct played *played)
{
    enum { TURNS = 100, TURN_MS = 200 };
    static const uint8_t zero[DATA_BYTES];
    const uint8_t *used = guest(played, USED);

    for (unsigned i = 0; i < TURNS && !load_le16(used + 2); i++)
        loop_turn(played->loop, TURN_MS);
    assert_int_equal(load_le16(used + 2), 1);
    assert_int_equal(load_le32(used + 4), 0); /* head */
    assert_int_equal(load_le32(used + 8), DATA_BYTES);
    assert_memory_not_equal(guest(played, DATA), zero, DATA_BYTES);
}

static uint32_t pin(void)
{
    return arch_virtio_place(VM_SLOT_RNG).gsi;
}

/* Two steps. */
static void add_pin(struct played *played, uint32_t low)
{
    uint64_t at = arch_place(ARCH_IOAPIC).at;

    played_add(played, 0, FAKE_MMIO_WRITE(at, 4, 0x10 + 2 * pin()));
    played_add(played, 0, FAKE_MMIO_WRITE(at + 0x10, 4, low));
}

/* A machine whose driver has asked for randomness and got it; so far UP_STEPS
 * + 1 steps. Whether the kick was a wire's. */
static bool start_and_serve(struct played *played,
                            const struct fake_options *options)
{
    played_init(played, 1, options);
    played_start(played);
    add_driver(played);
    played_wait(played, 0, UP_STEPS);
    put_request(played);
    add_register(played, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    played_wait(played, 0, UP_STEPS + 1);
    expect_served(played);
    return fake_script_step(played->script, 0, UP_STEPS).signaled;
}

static void test_wires_kick_is_an_ioeventfd(void **state)
{
    struct played played;

    (void)state;
    assert_true(start_and_serve(&played, NULL));
    assert_int_equal(fake_ioeventfds(played.script), VM_SLOTS);
    played_done(&played);
}

static void test_wires_kick_is_an_exit_without_ioeventfds(void **state)
{
    struct fake_options options = {.no_ioeventfd = true};
    struct played played;

    (void)state;
    assert_false(start_and_serve(&played, &options));
    assert_int_equal(fake_ioeventfds(played.script), 0);
    played_done(&played);
}

static void test_wires_irqfd_follows_the_mask_of_its_pin(void **state)
{
    struct played played;
    struct hv_msi msi;

    (void)state;
    played_init(&played, 1, NULL);
    played_start(&played);
    assert_false(fake_has_irqfd(played.script, pin()));
    add_pin(&played, VECTOR);
    played_wait(&played, 0, 2);
    assert_true(fake_has_irqfd(played.script, pin()));
    assert_false(fake_has_irqfd(played.script, pin() + 1));
    assert_true(fake_route(played.script, pin(), &msi));
    assert_int_equal(msi.data, VECTOR);
    assert_int_equal(msi.address, 0xfee00000);
    /* Another vector: the wire stays, the route changes. */
    add_pin(&played, VECTOR + 1);
    played_wait(&played, 0, 4);
    assert_true(fake_has_irqfd(played.script, pin()));
    assert_true(fake_route(played.script, pin(), &msi));
    assert_int_equal(msi.data, VECTOR + 1);
    add_pin(&played, MASKED | VECTOR);
    played_wait(&played, 0, 6);
    assert_false(fake_has_irqfd(played.script, pin()));
    played_done(&played);
}

static void test_wires_event_on_a_masked_pin_waits_in_its_irqfd(void **state)
{
    struct played played;
    struct hv_msi msi;

    (void)state;
    start_and_serve(&played, NULL);
    assert_int_equal(fake_msis(played.script, NULL, 0), 0);
    add_pin(&played, VECTOR);
    played_wait(&played, 0, UP_STEPS + 3);
    assert_true(fake_irqfd_take(played.script, pin()));
    assert_int_equal(fake_msis(played.script, &msi, 1), 1);
    assert_int_equal(msi.data, VECTOR);
    played_done(&played);
}

static void test_wires_ioapic_sends_without_irqfds(void **state)
{
    struct fake_options options = {.no_irqfd = true};
    struct played played;
    struct hv_msi msi;

    (void)state;
    start_and_serve(&played, &options);
    assert_int_equal(fake_msis(played.script, NULL, 0), 0);
    add_pin(&played, VECTOR);
    assert_true(fake_wait_msis(played.script, 1));
    assert_int_equal(fake_msis(played.script, &msi, 1), 1);
    assert_int_equal(msi.data, VECTOR);
    assert_false(fake_has_irqfd(played.script, pin()));
    played_done(&played);
}

static void test_wires_controller_of_the_hypervisor_gets_the_line(void **state)
{
    struct fake_options options = {.no_irqfd = true, .no_user_ioapic = true};
    struct played played;
    bool level = true;

    (void)state;
    start_and_serve(&played, &options);
    assert_int_equal(fake_rises(played.script, pin(), &level), 1);
    assert_false(level);
    played_done(&played);
}

static void test_wires_controller_of_the_hypervisor_gets_irqfds(void **state)
{
    struct fake_options options = {.no_user_ioapic = true};
    struct played played;

    (void)state;
    start_and_serve(&played, &options);
    assert_true(fake_irqfd_take(played.script, pin()));
    played_done(&played);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wires_kick_is_an_ioeventfd),
        cmocka_unit_test(test_wires_kick_is_an_exit_without_ioeventfds),
        cmocka_unit_test(test_wires_irqfd_follows_the_mask_of_its_pin),
        cmocka_unit_test(test_wires_event_on_a_masked_pin_waits_in_its_irqfd),
        cmocka_unit_test(test_wires_ioapic_sends_without_irqfds),
        cmocka_unit_test(test_wires_controller_of_the_hypervisor_gets_the_line),
        cmocka_unit_test(test_wires_controller_of_the_hypervisor_gets_irqfds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
