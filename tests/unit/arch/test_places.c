/* test_places.c: memory and devices never overlap, whatever the size. */
#include "arch/arch.h"
#include "unit.h"

#include "base/bytes.h"

static void lay_out(uint64_t memory, uint64_t window, struct arch_layout *ret)
{
    const struct arch_config config = {
        .memory_bytes = memory, .window_bytes = window, .vcpus = 1};
    struct sm_error err;

    assert_int_equal(arch_layout(&config, ret, &err), 0);
}

static bool overlaps(const struct arch_range *a, uint64_t from, uint64_t bytes)
{
    return a->bytes && a->at.v < from + bytes && from < a->at.v + a->bytes;
}

static void check_place(const struct arch_layout *layout, uint64_t from,
                        uint64_t bytes)
{
    for (unsigned i = 0; i < layout->ram_count; i++)
        assert_false(overlaps(&layout->ram[i], from, bytes));
    assert_false(overlaps(&layout->window, from, bytes));
}

static void test_places_keep_clear_of_memory(void **state)
{
    static const uint64_t sizes[] = {
        32 * MIB, 512 * MIB, 3 * GIB - 2 * MIB, 3 * GIB,   3 * GIB + 2 * MIB,
        4 * GIB,  5 * GIB,   64 * GIB,          1024 * GIB};
    struct arch_layout layout;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct arch_place ioapic = arch_place(ARCH_IOAPIC);
        uint64_t total = 0;

        lay_out(sizes[i], 256 * MIB, &layout);
        for (unsigned n = 0; n < layout.ram_count; n++)
            total += layout.ram[n].bytes;
        assert_int_equal(total, sizes[i]);
        check_place(&layout, ioapic.at, ioapic.bytes);
        check_place(&layout, 0xfee00000, 0x1000);
        for (uint32_t slot = 0; slot < ARCH_VIRTIO_MAX; slot++)
            check_place(&layout, arch_virtio_place(slot).at,
                        arch_virtio_place(slot).bytes);
        for (unsigned n = 0; n < layout.ram_count; n++)
            assert_false(overlaps(&layout.window, layout.ram[n].at.v,
                                  layout.ram[n].bytes));
        assert_true(layout.window.at.v + layout.window.bytes <=
                    UINT64_C(1) << layout.gpa_bits);
    }
}

static void test_places_give_each_device_its_own_interrupt(void **state)
{
    bool taken[HV_X86_GSIS] = {0};

    (void)state;
    taken[arch_place(ARCH_SERIAL).gsi] = true;
    taken[arch_place(ARCH_GENERATION).gsi] = true;
    for (uint32_t slot = 0; slot < ARCH_VIRTIO_MAX; slot++) {
        struct arch_place place = arch_virtio_place(slot);

        assert_in_range(place.gsi, 1, HV_X86_GSIS - 1);
        assert_false(taken[place.gsi]);
        taken[place.gsi] = true;
        if (slot)
            assert_true(place.at >= arch_virtio_place(slot - 1).at +
                                        arch_virtio_place(slot - 1).bytes);
    }
}

static void refuse(uint64_t memory, uint64_t window, uint32_t vcpus,
                   uint32_t slots)
{
    const struct arch_config config = {.memory_bytes = memory,
                                       .window_bytes = window,
                                       .vcpus = vcpus,
                                       .virtio_slots = slots};
    struct arch_layout layout;
    struct sm_error err;

    assert_int_equal(arch_layout(&config, &layout, &err), SM_EINVAL);
    assert_true(err.message[0] != '\0');
}

static void test_places_refuse_what_cannot_be(void **state)
{
    (void)state;
    refuse(0, 0, 1, 0);
    refuse(1024, 0, 1, 0);
    refuse(30 * MIB, 0, 1, 0);
    refuse(32 * MIB + 4096, 0, 1, 0);
    refuse(UINT64_C(1) << 50, 0, 1, 0); /* 1 PiB */
    refuse(UINT64_MAX, 0, 1, 0);
    refuse(64 * MIB, 4096, 1, 0);
    refuse(64 * MIB, UINT64_C(1) << 63, 1, 0);
    refuse(64 * MIB, 0, 0, 0);
    refuse(64 * MIB, 0, 4096, 0);
    refuse(64 * MIB, 0, 1, ARCH_VIRTIO_MAX + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places_keep_clear_of_memory),
        cmocka_unit_test(test_places_give_each_device_its_own_interrupt),
        cmocka_unit_test(test_places_refuse_what_cannot_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
