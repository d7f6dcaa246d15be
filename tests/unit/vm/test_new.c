/* test_new.c: machines that cannot be made leave nothing behind. */
#include "base/bytes.h"
#include "platform/loop.h"
#include "unit.h"
#include "vm/vm.h"

#include <fcntl.h>

static void nothing_done(void *context, const char *what)
{
    (void)context;
    (void)what;
}

static const struct vm_events events = {.step = nothing_done};

static unsigned count_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Before anything asks the hypervisor. */
static void test_vm_refuses_what_no_machine_can_have(void **state)
{
    static const struct {
        uint64_t memory_bytes;
        uint32_t vcpus;
    } table[] = {
        {64 * MIB, 0},    {64 * MIB, 255},
        {64 * MIB, 4096}, {64 * MIB, UINT32_MAX},
        {0, 1},           {64 * MIB + 1, 1},
        {MIB, 1},
    };
    struct loop *first = NULL;
    unsigned before;

    (void)state;
    /* libuv's first loop makes a pipe that stays for all of them. */
    assert_int_equal(loop_new(&first, NULL), 0);
    loop_free(first);
    before = count_descriptors();
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct vm_config config = {.hv = hv_host(),
                                   .hv_device_fd = -1,
                                   .memory_bytes = table[i].memory_bytes,
                                   .vcpus = table[i].vcpus,
                                   .kernel_fd = -1,
                                   .initrd_fd = -1,
                                   .cmdline = "",
                                   .events = &events};
        struct vm *vm = NULL;
        struct sm_error err;

        assert_int_equal(loop_new(&config.loop, NULL), 0);
        assert_int_equal(vm_new(&config, &vm, &err), SM_EINVAL);
        assert_int_equal(err.code, SM_EINVAL);
        assert_null(vm);
        loop_free(config.loop);
        assert_int_equal(count_descriptors(), before);
    }
    vm_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vm_refuses_what_no_machine_can_have),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
