/* run.c: runs every tiny guest on this machine's hypervisor.
 *
 *     tools/with-kvm -- build/tests/guests/run [PATTERN]
 *
 * (pattern) names the tests to run, with * and ?. Needs a hypervisor that is
 * sound. Status 77: there is none here, which is said.
 */
#include "run.h"

#include "hypervisor/soundness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Nothing that runs here takes long: a guest that hangs is found. */
enum { LIMIT_SECONDS = 120, TESTS_MAX = 64 };

static struct CMUnitTest all[TESTS_MAX];
static size_t count;

static void add(const struct CMUnitTest *tests, size_t tests_count)
{
    if (count + tests_count > TESTS_MAX)
        abort();
    memcpy(all + count, tests, tests_count * sizeof *tests);
    count += tests_count;
}

int main(int argc, char **argv)
{
    struct hv_soundness soundness;
    struct sm_error err;
    int rc = hv_soundness(hv_host(), -1, &soundness, &err);

    if (!rc)
        rc = hv_soundness_check(&soundness, &err);
    if (rc) {
        printf("skipped: %s\n", err.message);
        return 77;
    }
    printf("soundness: %llu us\n", (unsigned long long)soundness.ns / 1000);
    alarm(LIMIT_SECONDS);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    add(access_tests, access_test_count);
    add(vcpu_tests, vcpu_test_count);
    add(irq_tests, irq_test_count);
    add(state_tests, state_test_count);
    return _cmocka_run_group_tests("guests", all, count, NULL, NULL);
}
