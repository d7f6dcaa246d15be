/* run_irq.c: tiny guests about interrupts, notifications and timers. */
#include "run.h"

#include "base/bytes.h"

TINY_GUEST(guest_interrupt_delivery);
TINY_GUEST(guest_ioeventfd);
TINY_GUEST(guest_timer);

enum { GSI = 6, VECTOR = 0x40 };

/* To APIC id 0, physical (SDM 3, 11.11). */
static const struct hv_msi edge = {.address = 0xfee00000, .data = VECTOR};
static const struct hv_msi level = {.address = 0xfee00000,
                                    .data = 1 << 15 | 1 << 14 | VECTOR};

static void start(struct tiny *tiny, const uint8_t *code, size_t bytes)
{
    struct sm_error err;

    tiny_new(tiny, 1);
    tiny_setup(tiny, 1);
    tiny_load(tiny, code, bytes);
    assert_int_equal(hv_vcpu_new(tiny->vm, 0, &tiny->vcpu, &err), 0);
    tiny_enter(tiny->vcpu);
}

static void test_message_reaches_the_handler(void **state)
{
    struct tiny tiny;

    (void)state;
    start(&tiny, TINY_CODE(guest_interrupt_delivery));
    tiny_expect_report(&tiny, 0);
    for (uint32_t i = 1; i <= 20; i++) {
        assert_int_equal(hv_msi_send(tiny.vm, &edge), 0);
        tiny_expect_report(&tiny, i);
    }
    tiny_stop(&tiny);
}

static void test_line_sends_its_route_unless_masked(void **state)
{
    struct sm_error err;
    struct tiny tiny;

    (void)state;
    start(&tiny, TINY_CODE(guest_interrupt_delivery));
    tiny_expect_report(&tiny, 0);
    assert_int_equal(hv_irq_set(tiny.vm, GSI, true), 0); /* no route yet */
    assert_int_equal(hv_irq_set(tiny.vm, HV_X86_GSIS, true), SM_EINVAL);
    assert_int_equal(hv_route_set(tiny.vm, GSI, &edge, &err), 0);
    assert_int_equal(hv_irq_set(tiny.vm, GSI, true), 0);
    tiny_expect_report(&tiny, 1);
    assert_int_equal(hv_irq_set(tiny.vm, GSI, false), 0);
    assert_int_equal(hv_route_set(tiny.vm, GSI, NULL, &err), 0);
    assert_int_equal(hv_irq_set(tiny.vm, GSI, true), 0);
    /* Neither the one before the route nor the masked one came. */
    assert_int_equal(hv_msi_send(tiny.vm, &edge), 0);
    tiny_expect_report(&tiny, 2);
    hv_vcpu_kick(&tiny.vcpu, 1);
    tiny_expect(&tiny, HV_EXIT_KICKED);
    tiny_stop(&tiny);
}

static void test_irqfd_reaches_the_handler(void **state)
{
    struct notifier notifier;
    struct sm_error err;
    struct tiny tiny;

    (void)state;
    start(&tiny, TINY_CODE(guest_interrupt_delivery));
    assert_int_equal(notifier_init(&notifier, &err), 0);
    assert_int_equal(hv_route_set(tiny.vm, GSI, &edge, &err), 0);
    assert_int_equal(hv_irqfd_attach(tiny.vm, GSI, &notifier, &err), 0);
    tiny_expect_report(&tiny, 0);
    for (uint32_t i = 1; i <= 20; i++) {
        notifier_signal(&notifier);
        tiny_expect_report(&tiny, i);
    }
    assert_int_equal(hv_irqfd_detach(tiny.vm, GSI, &notifier, &err), 0);
    notifier_signal(&notifier);
    assert_true(notifier_clear(&notifier)); /* nobody took it */
    tiny_stop(&tiny);
    notifier_done(&notifier);
}

/* While an irqfd is detached its signal stays in the descriptor and is
 * delivered on attaching: so a masked pin loses nothing. */
static void test_irqfd_delivers_what_waited_in_it(void **state)
{
    struct notifier notifier;
    struct sm_error err;
    struct tiny tiny;

    (void)state;
    start(&tiny, TINY_CODE(guest_interrupt_delivery));
    assert_int_equal(notifier_init(&notifier, &err), 0);
    assert_int_equal(hv_route_set(tiny.vm, GSI, &edge, &err), 0);
    tiny_expect_report(&tiny, 0); /* its APIC is on */
    notifier_signal(&notifier);
    assert_int_equal(hv_irqfd_attach(tiny.vm, GSI, &notifier, &err), 0);
    tiny_expect_report(&tiny, 1);
    tiny_stop(&tiny);
    notifier_done(&notifier);
}

static void test_end_of_a_level_interrupt_is_an_exit(void **state)
{
    struct sm_error err;
    struct tiny tiny;

    (void)state;
    start(&tiny, TINY_CODE(guest_interrupt_delivery));
    assert_int_equal(hv_route_set(tiny.vm, GSI, &level, &err), 0);
    tiny_expect_report(&tiny, 0);
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(hv_irq_set(tiny.vm, GSI, true), 0);
        tiny_expect(&tiny, HV_EXIT_EOI);
        assert_int_equal(tiny.exit.eoi.vector, VECTOR);
        tiny_expect_report(&tiny, i);
    }
    tiny_stop(&tiny);
}

static void test_ioeventfd_takes_what_matches(void **state)
{
    const struct hv_io_match queue1 = {
        .at = GUEST_MMIO + 0x50, .size = 4, .has_value = true, .value = 1};
    const struct hv_io_match port = {.pio = true, .at = 0x40, .size = 1};
    struct notifier mmio;
    struct notifier pio;
    struct sm_error err;
    struct tiny tiny;

    (void)state;
    start(&tiny, TINY_CODE(guest_ioeventfd));
    assert_int_equal(notifier_init(&mmio, &err), 0);
    assert_int_equal(notifier_init(&pio, &err), 0);
    assert_int_equal(hv_ioeventfd_attach(tiny.vm, &queue1, &mmio, &err), 0);
    assert_int_equal(hv_ioeventfd_attach(tiny.vm, &port, &pio, &err), 0);
    tiny_expect_mmio(&tiny, GUEST_MMIO + 0x50, 4, true);
    assert_int_equal(load_le32(tiny.exit.mmio.data), 0);
    assert_false(notifier_clear(&mmio));
    tiny_expect_mmio(&tiny, GUEST_MMIO + 0x50, 4, true);
    assert_int_equal(load_le32(tiny.exit.mmio.data), 2);
    assert_true(notifier_clear(&mmio));
    tiny_expect_done(&tiny);
    assert_true(notifier_clear(&pio));
    tiny_stop(&tiny);
    notifier_done(&mmio);
    notifier_done(&pio);
}

static void test_ioeventfd_detached_is_an_exit_again(void **state)
{
    const struct hv_io_match any = {.at = GUEST_MMIO + 0x50, .size = 4};
    struct notifier notifier;
    struct sm_error err;
    struct tiny tiny;

    (void)state;
    start(&tiny, TINY_CODE(guest_ioeventfd));
    assert_int_equal(notifier_init(&notifier, &err), 0);
    assert_int_equal(hv_ioeventfd_attach(tiny.vm, &any, &notifier, &err), 0);
    assert_int_equal(hv_ioeventfd_detach(tiny.vm, &any, &notifier, &err), 0);
    tiny_expect_mmio(&tiny, GUEST_MMIO + 0x50, 4, true);
    tiny_stop(&tiny);
    notifier_done(&notifier);
}

static void test_tsc_deadline_timer_fires(void **state)
{
    struct tiny tiny;

    (void)state;
    start(&tiny, TINY_CODE(guest_timer));
    tiny_expect_pio(&tiny, 0x20, 4, false);
    store_le32(tiny.exit.pio.data, 1000000);
    tiny_expect_report(&tiny, 0);
    tiny_expect_report(&tiny, 1);
    tiny_expect_done(&tiny);
    tiny_stop(&tiny);
}

const struct CMUnitTest irq_tests[] = {
    cmocka_unit_test(test_message_reaches_the_handler),
    cmocka_unit_test(test_line_sends_its_route_unless_masked),
    cmocka_unit_test(test_irqfd_reaches_the_handler),
    cmocka_unit_test(test_irqfd_delivers_what_waited_in_it),
    cmocka_unit_test(test_end_of_a_level_interrupt_is_an_exit),
    cmocka_unit_test(test_ioeventfd_takes_what_matches),
    cmocka_unit_test(test_ioeventfd_detached_is_an_exit_again),
    cmocka_unit_test(test_tsc_deadline_timer_fires),
};
const size_t irq_test_count = ARRAY_LEN(irq_tests);
