/* test_state.c: records of saved vcpus come back, and only whole ones. */
#include "hypervisor/state.h"
#include "unit.h"

static const struct hv_reg regs[] = {
    {HV_X86_MSRS, 0x10, 1, 0},
    {HV_X86_MSRS, 0x174, UINT64_MAX, 2},
    {HV_X86_MSRS, 0xc0000080, 3, UINT64_MAX},
};

enum { COUNT = 3 };

static void put_record(struct buf *to)
{
    static const uint8_t blob[] = {1, 2, 3, 4, 5};

    buf_init(to, 4096);
    state_put_header(to);
    state_put_list(to, HV_X86_MSRS, regs, COUNT);
    state_put_blob(to, HV_X86_FPU, blob, sizeof blob);
    assert_false(to->failed);
}

/* The whole record, as it was put. */
static int get_record(struct wire_reader *from, struct hv_reg *to, unsigned max,
                      struct sm_error *err)
{
    const uint8_t *blob;
    size_t bytes;
    unsigned count = 0;
    int rc = state_get_header(from, err);

    if (!rc)
        rc = state_get_list(from, HV_X86_MSRS, to, max, &count, err);
    if (!rc)
        rc = state_get_blob(from, HV_X86_FPU, &blob, &bytes, err);
    if (rc)
        return rc;
    assert_int_equal(count, COUNT);
    assert_int_equal(bytes, 5);
    assert_int_equal(blob[4], 5);
    return 0;
}

static void test_state_comes_back_as_it_was(void **state)
{
    struct hv_reg got[COUNT];
    struct wire_reader from;
    struct sm_error err;
    struct buf record;

    (void)state;
    put_record(&record);
    wire_read(&from, record.data, record.size);
    assert_int_equal(get_record(&from, got, COUNT, &err), 0);
    assert_true(wire_end(&from));
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(got[i].group, regs[i].group);
        assert_int_equal(got[i].number, regs[i].number);
        assert_int_equal(got[i].value, regs[i].value);
        assert_int_equal(got[i].high, regs[i].high);
    }
    buf_done(&record);
}

static void test_state_truncated_anywhere_is_refused(void **state)
{
    struct hv_reg got[COUNT];
    struct wire_reader from;
    struct sm_error err;
    struct buf record;

    (void)state;
    put_record(&record);
    for (size_t size = 0; size < record.size; size++) {
        wire_read(&from, record.data, size);
        assert_int_equal(get_record(&from, got, COUNT, &err), SM_EPROTO);
    }
    buf_done(&record);
}

static void test_state_of_more_registers_than_room_is_refused(void **state)
{
    struct hv_reg got[COUNT];
    struct wire_reader from;
    struct sm_error err;
    struct buf record;

    (void)state;
    put_record(&record);
    wire_read(&from, record.data, record.size);
    assert_int_equal(get_record(&from, got, COUNT - 1, &err), SM_EPROTO);
    buf_done(&record);
}

static void test_state_out_of_order_is_refused(void **state)
{
    const struct hv_reg twice[] = {regs[0], regs[0]};
    struct hv_reg got[COUNT];
    struct wire_reader from;
    struct sm_error err;
    struct buf record;
    unsigned count;

    (void)state;
    buf_init(&record, 4096);
    state_put_list(&record, HV_X86_MSRS, twice, 2);
    wire_read(&from, record.data, record.size);
    assert_int_equal(
        state_get_list(&from, HV_X86_MSRS, got, COUNT, &count, &err),
        SM_EPROTO);
    wire_read(&from, record.data, record.size);
    assert_int_equal(
        state_get_list(&from, HV_X86_GENERAL, got, COUNT, &count, &err),
        SM_EPROTO);
    buf_done(&record);
}

static void test_state_of_another_version_is_not_supported(void **state)
{
    struct wire_reader from;
    struct sm_error err;
    struct buf record;

    (void)state;
    put_record(&record);
    record.data[0]++;
    wire_read(&from, record.data, record.size);
    assert_int_equal(state_get_header(&from, &err), SM_ENOTSUP);
    buf_done(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_comes_back_as_it_was),
        cmocka_unit_test(test_state_truncated_anywhere_is_refused),
        cmocka_unit_test(test_state_of_more_registers_than_room_is_refused),
        cmocka_unit_test(test_state_out_of_order_is_refused),
        cmocka_unit_test(test_state_of_another_version_is_not_supported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
