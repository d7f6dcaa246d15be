/* test_account.c: users and groups by the rules of Docker. */
#include "account.h"
#include "base/bytes.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static void write_file(const char *name, const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_files(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/account-XXXXXX");
    assert_non_null(mkdtemp(folder));
    write_file("passwd", "root:x:0:0:root:/root:/bin/sh\n"
                         "# no entry\n"
                         "short:x:1\n"
                         "negative:x:-1:0::/:\n"
                         "huge:x:4294967295:0::/:\n"
                         "app:x:1000:1001:,,,:/home/app:/bin/sh\n"
                         "app:x:2000:2001::/second:/bin/sh\n"
                         "1234:x:55:56::/digits:/bin/sh\n"
                         "relative:x:7:8::home:/bin/sh\n"
                         "last:x:9:10::/last:/bin/false");
    write_file("group", "root:x:0:\n"
                        "app:x:1001:\n"
                        "wheel:x:10:root,app\n"
                        "apple:x:11:application,apple\n"
                        "bad:x:no:app\n"
                        "audio:x:12:,app,\n");
    return 0;
}

static int remove_files(void **state)
{
    char path[128];

    (void)state;
    snprintf(path, sizeof path, "%s/passwd", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/group", folder);
    unlink(path);
    return rmdir(folder);
}

static void test_account_follows_dockers_rules(void **state)
{
    static const struct {
        const char *spec;
        int rc;
        uid_t uid;
        gid_t gid;
        const char *home;
        size_t groups;
        gid_t group[3];
    } rows[] = {
        {"", 0, 0, 0, "/root", 1, {10}},
        {"root", 0, 0, 0, "/root", 1, {10}},
        {"0", 0, 0, 0, "/root", 1, {10}},
        /* The first entry counts. */
        {"app", 0, 1000, 1001, "/home/app", 2, {10, 12}},
        {"1000", 0, 1000, 1001, "/home/app", 2, {10, 12}},
        /* A group that is named is the only one. */
        {"app:wheel", 0, 1000, 10, "/home/app", 0, {0}},
        {"app:77", 0, 1000, 77, "/home/app", 0, {0}},
        {":wheel", 0, 0, 10, "/root", 0, {0}},
        /* Numbers need no entry. */
        {"4000", 0, 4000, 0, "/", 0, {0}},
        {"4000:5000", 0, 4000, 5000, "/", 0, {0}},
        /* Digits are a number even where a name is written with them. */
        {"1234", 0, 1234, 0, "/", 0, {0}},
        {"relative", 0, 7, 8, "/", 0, {0}},
        {"last", 0, 9, 10, "/last", 0, {0}},
        {"nobody", SM_ENOENT, 0, 0, NULL, 0, {0}},
        {"app:nogroup", SM_ENOENT, 0, 0, NULL, 0, {0}},
        {"app:", SM_EINVAL, 0, 0, NULL, 0, {0}},
        {"negative", SM_ENOENT, 0, 0, NULL, 0, {0}},
        {"huge", SM_ENOENT, 0, 0, NULL, 0, {0}},
        {"4294967295", SM_ENOENT, 0, 0, NULL, 0, {0}},
        {"-1", SM_ENOENT, 0, 0, NULL, 0, {0}},
        {"short", SM_ENOENT, 0, 0, NULL, 0, {0}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct account account;
        struct sm_error err = {0};
        int rc = account_find(folder, rows[i].spec, &account, &err);

        print_message("    \"%s\" %s\n", rows[i].spec, err.message);
        assert_int_equal(rc, rows[i].rc);
        if (rc)
            continue;
        assert_int_equal(account.uid, rows[i].uid);
        assert_int_equal(account.gid, rows[i].gid);
        assert_string_equal(account.home, rows[i].home);
        assert_int_equal(account.group_count, rows[i].groups);
        for (size_t k = 0; k < rows[i].groups; k++)
            assert_int_equal(account.groups[k], rows[i].group[k]);
    }
}

static void test_account_without_files(void **state)
{
    struct account account;

    (void)state;
    assert_int_equal(account_find("/no/such", "", &account, NULL), 0);
    assert_int_equal(account.uid, 0);
    assert_string_equal(account.home, "/");
    assert_int_equal(account_find("/no/such", "5:6", &account, NULL), 0);
    assert_int_equal(account.gid, 6);
    assert_int_equal(account_find("/no/such", "app", &account, NULL),
                     SM_ENOENT);
}

static void test_account_bounds_the_groups(void **state)
{
    static char text[40000] = "";
    struct account account;
    size_t used = 0;

    (void)state;
    for (unsigned i = 0; i < 2 * ACCOUNT_GROUPS_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "g%u:x:%u:app\n", i, i + 100);
    write_file("group", text);
    assert_int_equal(account_find(folder, "app", &account, NULL), 0);
    assert_int_equal(account.group_count, ACCOUNT_GROUPS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_account_follows_dockers_rules),
        cmocka_unit_test(test_account_without_files),
        cmocka_unit_test(test_account_bounds_the_groups),
    };

    return cmocka_run_group_tests(tests, make_files, remove_files);
}
