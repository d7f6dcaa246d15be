/* test_host.c: a host that cannot run guests is told so, with the way out. */
#include "hypervisor/soundness.h"
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void test_host_device_of_another_kind_is_refused(void **state)
{
    int fd = open("/dev/null", O_RDWR);
    struct hv_soundness soundness;
    struct hv_vm_config config = {.device_fd = fd, .vcpus = 1};
    struct hv_caps caps;
    struct sm_error err;
    struct hv_vm *vm;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(hv_probe(hv_host(), fd, &caps, &err), SM_ENOHV);
    assert_non_null(strstr(err.message, "not a KVM device"));
    assert_int_equal(hv_vm_new(hv_host(), &config, &vm, &err), SM_ENOHV);
    assert_null(vm);
    assert_int_equal(hv_soundness(hv_host(), fd, &soundness, &err), SM_ENOHV);
    assert_false(soundness.sound);
    /* The descriptor stays the caller's. */
    assert_int_equal(close(fd), 0);
}

static void test_host_that_interprets_is_refused_with_a_way_out(void **state)
{
    struct hv_soundness soundness = {.ns = 25000000};
    struct sm_error err;

    (void)state;
    assert_int_equal(hv_soundness_check(&soundness, &err), SM_ENOHV);
    assert_non_null(strstr(err.message, "interprets guest kernel code"));
    assert_non_null(strstr(err.message, "25000 us"));
    assert_non_null(strstr(err.message, "nested virtualization"));
    soundness.sound = true;
    assert_int_equal(hv_soundness_check(&soundness, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_device_of_another_kind_is_refused),
        cmocka_unit_test(test_host_that_interprets_is_refused_with_a_way_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
