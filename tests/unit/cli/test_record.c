/* test_record.c: folders of machines, their names, and what crashes leave. */
#include "cli/record.h"
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[] = "/tmp/record-test-XXXXXX";

static struct record make(const char *name)
{
    struct record record;
    struct sm_error err;

    assert_int_equal(record_create(home, name, &record, &err), 0);
    assert_true(record_set(&record.image, "image:\\with\nall"));
    assert_true(record_set(&record.command, "sh -c 'a\\nb'\n"));
    record.created_ns = record_now_ns();
    record.state = RECORD_RUNNING;
    assert_int_equal(record_save(&record, &err), 0);
    return record;
}

static size_t entries(const char *below)
{
    char path[256];
    struct dirent *entry;
    size_t count = 0;
    DIR *folder;

    snprintf(path, sizeof path, "%s/machines/%s", home, below);
    folder = opendir(path);
    assert_non_null(folder);
    while ((entry = readdir(folder)))
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static void test_record_comes_back_as_it_was(void **state)
{
    struct record record = make("one");
    struct record found;
    struct sm_error err;
    char start[9];

    (void)state;
    record.cpus = 3;
    record.memory_bytes = UINT64_C(1) << 40;
    record.exit_code = 137;
    record.detached = true;
    assert_int_equal(record_save(&record, &err), 0);
    snprintf(start, sizeof start, "%.8s", record.id);
    assert_int_equal(record_find(home, start, &found, &err), 0);
    assert_string_equal(found.name, "one");
    assert_string_equal(found.image, "image:\\with\nall");
    assert_string_equal(found.command, "sh -c 'a\\nb'\n");
    assert_int_equal(found.cpus, 3);
    assert_int_equal(found.memory_bytes, UINT64_C(1) << 40);
    assert_int_equal(found.exit_code, 137);
    assert_int_equal(found.created_ns, record.created_ns);
    assert_true(found.detached);
    assert_false(found.remove);
    assert_int_equal(found.state, RECORD_RUNNING);
    record_done(&found);
    record_remove(&record);
    record_done(&record);
    assert_int_equal(entries("names"), 0);
    assert_int_equal(entries(""), 1); /* names */
}

static void test_record_without_its_keeper_is_dead(void **state)
{
    struct record record = make("victim");
    struct record found;
    struct sm_error err;

    (void)state;
    /* As the kernel does when the keeper is killed. */
    record_done(&record);
    assert_int_equal(record_find(home, "victim", &found, &err), 0);
    assert_int_equal(found.state, RECORD_DEAD);
    record_remove(&found);
    record_done(&found);
}

static void test_record_that_nobody_wants_goes_by_itself(void **state)
{
    struct record record = make("fleeting");
    struct record found;
    struct sm_error err;

    (void)state;
    record.remove = true;
    assert_int_equal(record_save(&record, &err), 0);
    record_done(&record);
    assert_int_equal(record_find(home, "fleeting", &found, &err), SM_ENOENT);
    assert_int_equal(entries("names"), 0);
    assert_int_equal(entries(""), 1);
}

static void test_record_names_are_given_once(void **state)
{
    struct record record = make("taken");
    struct record other;
    struct sm_error err;

    (void)state;
    assert_int_equal(record_create(home, "taken", &other, &err), SM_EEXIST);
    assert_non_null(strstr(err.message, "taken"));
    other = make(NULL);
    assert_int_equal(record_rename(&other, "taken", &err), SM_EEXIST);
    assert_int_equal(record_rename(&other, "-x", &err), SM_EINVAL);
    assert_int_equal(record_rename(&other, "free", &err), 0);
    assert_int_equal(entries("names"), 2);
    record_remove(&other);
    record_done(&other);
    record_remove(&record);
    record_done(&record);
    /* And again, once it is free. */
    record = make("taken");
    record_remove(&record);
    record_done(&record);
    assert_int_equal(entries("names"), 0);
}

static void test_record_bad_names_are_refused(void **state)
{
    static const char *const wrong[] = {"",   "-a", "a/b", "../a",     "a b",
                                        "\n", ".",  "_a",  "\xc3\xa4", "a\nb"};
    char long_name[RECORD_NAME_MAX + 2];
    struct record record;
    struct sm_error err;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(record_create(home, wrong[i], &record, &err),
                         SM_EINVAL);
    memset(long_name, 'a', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(record_create(home, long_name, &record, &err), SM_EINVAL);
    assert_int_equal(entries(""), 1);
}

static void test_record_near_names_are_suggested(void **state)
{
    struct record record = make("database");
    struct record found;
    struct sm_error err;

    (void)state;
    assert_int_equal(record_find(home, "databse", &found, &err), SM_ENOENT);
    assert_non_null(strstr(err.message, "database?"));
    record_remove(&record);
    record_done(&record);
}

static void test_record_damage_hides_no_other(void **state)
{
    struct record record = make("whole");
    struct record *list;
    struct sm_error err;
    char path[256];
    size_t count;
    FILE *file;

    (void)state;
    snprintf(path, sizeof path, "%s/machines/%064d", home, 7);
    assert_int_equal(mkdir(path, 0700), 0);
    strcat(path, "/machine");
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("no equals sign\n", file);
    fclose(file);
    assert_int_equal(record_list(home, &list, &count, &err), 0);
    assert_int_equal(count, 1);
    assert_string_equal(list[0].name, "whole");
    record_list_done(list, count);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
    record_remove(&record);
    record_done(&record);
}

static int make_home(void **state)
{
    (void)state;
    return mkdtemp(home) ? 0 : -1;
}

static int remove_home(void **state)
{
    char path[256];

    (void)state;
    snprintf(path, sizeof path, "%s/machines/names", home);
    rmdir(path);
    *strrchr(path, '/') = '\0';
    if (rmdir(path) != 0)
        return -1;
    return rmdir(home);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_comes_back_as_it_was),
        cmocka_unit_test(test_record_without_its_keeper_is_dead),
        cmocka_unit_test(test_record_that_nobody_wants_goes_by_itself),
        cmocka_unit_test(test_record_names_are_given_once),
        cmocka_unit_test(test_record_bad_names_are_refused),
        cmocka_unit_test(test_record_near_names_are_suggested),
        cmocka_unit_test(test_record_damage_hides_no_other),
    };

    return cmocka_run_group_tests(tests, make_home, remove_home);
}
