/* test_cpuid.c: the guest sees what the table keeps, and its own topology. */
#include "arch/x86_64/cpuid.h"
#include "unit.h"

#include "base/bytes.h"

#define BIT(n) (UINT32_C(1) << (n))

/* A processor with everything: every bit of every leaf that exists. */
static void make_host(struct hv_cpuid_table *host, const char *vendor)
{
    static const uint32_t plain[] = {
        1,          2,          5,          6,          0xa,        0x15,
        0x40000000, 0x40000001, 0x80000001, 0x80000002, 0x80000007, 0x80000008,
        0x8000000a, 0x8000001e, 0x8000001f, 0x80000021, 0x80000022};

    *host = (struct hv_cpuid_table){0};
    host->entry[host->count++] = (struct hv_cpuid){.leaf = 0, .eax = 0x20};
    memcpy(&host->entry[0].ebx, vendor, 4);
    memcpy(&host->entry[0].edx, vendor + 4, 4);
    memcpy(&host->entry[0].ecx, vendor + 8, 4);
    host->entry[host->count++] =
        (struct hv_cpuid){.leaf = 0x80000000, .eax = 0x80000023};
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        host->entry[host->count++] = (struct hv_cpuid){.leaf = plain[i],
                                                       .eax = UINT32_MAX,
                                                       .ebx = UINT32_MAX,
                                                       .ecx = UINT32_MAX,
                                                       .edx = UINT32_MAX};
    for (uint32_t sub = 0; sub < 4; sub++)
        host->entry[host->count++] = (struct hv_cpuid){
            .leaf = 4,
            .subleaf = sub,
            .has_subleaf = true,
            /* A cache of level 1, 1, 2 and 3, shared by very many. */
            .eax = 1 | (sub < 2 ? 1 : sub) << 5 | 0xffffc000};
    for (uint32_t sub = 0; sub < 3; sub++)
        host->entry[host->count++] = (struct hv_cpuid){.leaf = 7,
                                                       .subleaf = sub,
                                                       .has_subleaf = true,
                                                       .eax = UINT32_MAX,
                                                       .ebx = UINT32_MAX,
                                                       .ecx = UINT32_MAX,
                                                       .edx = UINT32_MAX};
    for (uint32_t sub = 0; sub < 20; sub++)
        host->entry[host->count++] = (struct hv_cpuid){
            .leaf = 0xd,
            .subleaf = sub,
            .has_subleaf = true,
            .eax = sub < 2 ? UINT32_MAX : 64,
            .ebx = sub < 2 ? UINT32_MAX : 576 + 64 * (sub - 2),
        };
}

static const struct hv_cpuid *get(const struct hv_cpuid_table *table,
                                  uint32_t leaf, uint32_t subleaf)
{
    const struct hv_cpuid *entry = cpuid_find(table, leaf, subleaf);

    assert_non_null(entry);
    return entry;
}

static void make(const char *vendor, uint32_t vcpus, struct hv_cpuid_table *ret)
{
    struct hv_cpuid_table host;
    struct sm_error err;

    make_host(&host, vendor);
    assert_int_equal(cpuid_make(&host, vcpus, ret, &err), 0);
}

static void test_cpuid_keeps_what_a_guest_needs(void **state)
{
    struct hv_cpuid_table table;

    (void)state;
    make("GenuineIntel", 1, &table);
    assert_true(get(&table, 1, 0)->ecx & BIT(31));         /* hypervisor */
    assert_true(get(&table, 1, 0)->ecx & BIT(24));         /* TSC deadline */
    assert_true(get(&table, 1, 0)->ecx & BIT(21));         /* x2APIC */
    assert_true(get(&table, 1, 0)->ecx & BIT(26));         /* XSAVE */
    assert_true(get(&table, 0x40000001, 0)->eax & BIT(3)); /* kvmclock */
    assert_true(get(&table, 0x80000001, 0)->edx & BIT(29));
    assert_true(get(&table, 0x80000001, 0)->edx & BIT(20)); /* NX */
    assert_int_equal(get(&table, 0x40000000, 0)->eax, 0x40000001);
    assert_int_equal(get(&table, 0, 0)->eax, 0x1f);
}

static void test_cpuid_leaves_out_what_is_not_saved(void **state)
{
    static const uint32_t absent[] = {
        5, 0xa, 0x15, 0x80000007, 0x8000000a, 0x8000001f, 0x80000022};
    struct hv_cpuid_table table;

    (void)state;
    make("AuthenticAMD", 1, &table);
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        assert_null(cpuid_find(&table, absent[i], 0));
    assert_false(get(&table, 1, 0)->ecx & BIT(5));          /* VMX */
    assert_false(get(&table, 1, 0)->ecx & BIT(3));          /* MONITOR */
    assert_false(get(&table, 0x80000001, 0)->ecx & BIT(2)); /* SVM */
    assert_false(get(&table, 7, 0)->ebx & BIT(11));         /* RTM */
    assert_false(get(&table, 7, 0)->ebx & BIT(2));          /* SGX */
    assert_false(get(&table, 7, 0)->ecx & BIT(7));          /* CET */
    assert_false(get(&table, 7, 0)->ecx & BIT(16));         /* LA57 */
    assert_false(get(&table, 7, 0)->edx & BIT(24));         /* AMX */
    assert_false(get(&table, 0x40000001, 0)->eax & BIT(15));
}

static void test_cpuid_xsave_has_only_kept_components(void **state)
{
    struct hv_cpuid_table table;
    uint32_t xcr0;

    (void)state;
    make("GenuineIntel", 1, &table);
    xcr0 = get(&table, 0xd, 0)->eax;
    assert_int_equal(xcr0, 0x2e7);
    for (uint32_t sub = 2; sub < 20; sub++)
        assert_int_equal(cpuid_find(&table, 0xd, sub) != NULL,
                         (xcr0 >> sub & 1) != 0);
    /* Component 9 is the last: 576 + 64 * 7, and its 64 bytes. */
    assert_int_equal(get(&table, 0xd, 0)->ecx, 576 + 64 * 8);
}

static void check_topology(uint32_t vcpus, uint32_t bits)
{
    struct hv_cpuid_table table;

    make("AuthenticAMD", vcpus, &table);
    assert_int_equal(get(&table, 1, 0)->ebx >> 24, 0);
    assert_int_equal(get(&table, 1, 0)->ebx >> 16 & 0xff, 1u << bits);
    assert_int_equal((get(&table, 1, 0)->edx & BIT(28)) != 0, vcpus > 1);
    assert_int_equal(get(&table, 0xb, 0)->ebx, 1);
    assert_int_equal(get(&table, 0xb, 1)->ebx, vcpus);
    assert_int_equal(get(&table, 0xb, 1)->eax, bits);
    assert_int_equal(get(&table, 0x1f, 1)->ebx, vcpus);
    assert_int_equal(get(&table, 0x80000008, 0)->ecx & 0xff, vcpus - 1);
    assert_int_equal(get(&table, 0x80000008, 0)->ecx >> 12, bits);
    assert_int_equal(get(&table, 4, 0)->eax >> 14 & 0xfff, 0);
    assert_int_equal(get(&table, 4, 3)->eax >> 14 & 0xfff, (1u << bits) - 1);
    assert_int_equal((get(&table, 0x80000001, 0)->ecx & BIT(1)) != 0,
                     vcpus > 1);
}

static void test_cpuid_says_one_socket_of_cores(void **state)
{
    (void)state;
    check_topology(1, 0);
    check_topology(2, 1);
    check_topology(3, 2);
    check_topology(4, 2);
    check_topology(64, 6);
}

static void test_cpuid_of_a_poor_host_is_refused(void **state)
{
    struct hv_cpuid_table host;
    struct hv_cpuid_table table;
    struct sm_error err;

    (void)state;
    make_host(&host, "GenuineIntel");
    for (uint32_t i = 0; i < host.count; i++)
        if (host.entry[i].leaf == 0x80000001)
            host.entry[i].edx &= ~BIT(29);
    assert_int_equal(cpuid_make(&host, 1, &table, &err), SM_ENOTSUP);
    host.count = 0;
    assert_int_equal(cpuid_make(&host, 1, &table, &err), SM_ENOTSUP);
}

/* A snapshot goes on where everything that it was promised is there, and
 * nowhere else. */
static void test_cpuid_check_finds_what_is_missing(void **state)
{
    struct hv_cpuid_table made;
    struct hv_cpuid_table here;
    struct sm_error err;

    (void)state;
    make("GenuineIntel", 2, &made);
    here = made;
    assert_int_equal(cpuid_check(&made, &here, &err), 0);
    for (uint32_t i = 0; i < here.count; i++) {
        if (here.entry[i].leaf != 7 || here.entry[i].subleaf)
            continue;
        here.entry[i].ebx &= ~BIT(5); /* AVX2 */
        assert_int_equal(cpuid_check(&made, &here, &err), SM_ENOTSUP);
        assert_non_null(strstr(err.message, "0x7.0 EBX"));
        /* A host that has more is fine. */
        assert_int_equal(cpuid_check(&here, &made, &err), 0);
    }
    make("AuthenticAMD", 2, &here);
    assert_int_equal(cpuid_check(&made, &here, &err), SM_ENOTSUP);
    make("GenuineIntel", 4, &here);
    assert_int_equal(cpuid_check(&made, &here, &err), SM_ENOTSUP);
}

/* A record that somebody made up cannot smuggle in a feature. */
static void test_cpuid_check_refuses_what_the_policy_drops(void **state)
{
    struct hv_cpuid_table made;
    struct hv_cpuid_table evil;
    struct sm_error err;

    (void)state;
    make("GenuineIntel", 1, &made);
    for (uint32_t i = 0; i < made.count; i++) {
        if (made.entry[i].leaf != 1)
            continue;
        evil = made;
        evil.entry[i].ecx |= BIT(5); /* VMX */
        assert_int_equal(cpuid_check(&evil, &made, &err), SM_ENOTSUP);
    }
    evil = made;
    evil.entry[evil.count++] = (struct hv_cpuid){.leaf = 0xa};
    assert_int_equal(cpuid_check(&evil, &made, &err), SM_ENOTSUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpuid_keeps_what_a_guest_needs),
        cmocka_unit_test(test_cpuid_leaves_out_what_is_not_saved),
        cmocka_unit_test(test_cpuid_xsave_has_only_kept_components),
        cmocka_unit_test(test_cpuid_says_one_socket_of_cores),
        cmocka_unit_test(test_cpuid_of_a_poor_host_is_refused),
        cmocka_unit_test(test_cpuid_check_finds_what_is_missing),
        cmocka_unit_test(test_cpuid_check_refuses_what_the_policy_drops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
