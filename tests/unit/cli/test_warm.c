/* test_warm.c: what makes two `run --warm` the same, and what does not. */
#include "base/bytes.h"
#include "cli/warm.h"
#include "failing_alloc.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { NAMES = SM_SNAPSHOT_NAME_MAX + 1 };

/* The library that warm.c asks: it has (shelf), and gives them away. */
static const char *const *shelf;
static char removed[256];

int sm_snapshot_list(struct sm_host *host,
                     void (*report)(void *context,
                                    const struct sm_stored_snapshot *snapshot),
                     void *context, struct sm_error *err)
{
    (void)host;
    (void)err;
    for (size_t i = 0; shelf[i]; i++)
        report(context, &(struct sm_stored_snapshot){.name = shelf[i]});
    return 0;
}

int sm_store_remove(struct sm_host *host, const char *name, unsigned flags,
                    void (*report)(void *context,
                                   const struct sm_store_change *change),
                    void *context, struct sm_error *err)
{
    const struct sm_store_change change = {.what = strchr(name, ':') + 1,
                                           .bytes = 5};

    (void)host;
    (void)err;
    assert_int_equal(flags, 0);
    snprintf(removed + strlen(removed), sizeof removed - strlen(removed), "%s ",
             name);
    if (strstr(name, "ffff"))
        return SM_ENOENT;
    report(context, &change);
    return 0;
}

static const char machine[] =
    "{\"state\":\"new\",\"config\":{\"name\":\"one\",\"labels\":{},"
    "\"image\":\"sha256:00\",\"rootfs\":\"/a\",\"hostname\":\"0123\","
    "\"memory_bytes\":1024,\"vcpus\":1,\"kernel\":\"\",\"kernel_args\":\"\","
    "\"entrypoint\":[],\"command\":[\"sh\"],\"env\":[\"A=1\"],"
    "\"workdir\":\"/\",\"user\":\"0\",\"ports\":[],\"healthcheck\":\"\","
    "\"limits\":[],\"processes_max\":0,\"lifetime_ms\":0},\"end\":null}";

/* (machine) with (from) in place of the first (to). */
static const char *changed(const char *from, const char *to)
{
    static char text[2 * sizeof machine];
    const char *at = strstr(machine, from);

    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - machine), machine, to,
             at + strlen(from));
    return text;
}

static const struct warm_kind plain = {.machine = machine};

static bool is_same(const struct warm_kind *kind)
{
    char names[2][NAMES];

    assert_int_equal(warm_name(&plain, names[0], NULL), 0);
    assert_int_equal(warm_name(kind, names[1], NULL), 0);
    assert_true(warm_is_name(names[1]));
    return strcmp(names[0], names[1]) == 0;
}

static void test_warm_machine_s_own_words_are_no_other_kind(void **state)
{
    static const char *const table[][2] = {
        {"\"new\"", "\"running\""},
        {"\"one\"", "\"two\""},
        {"\"labels\":{}", "\"labels\":{\"a\":\"b\"}"},
        {"\"/a\"", "\"/b\""},
        {"\"0123\"", "\"4567\""},
        {"_ms\":0", "_ms\":90000"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_true(is_same(
            &(struct warm_kind){.machine = changed(table[i][0], table[i][1])}));
}

static void test_warm_other_machine_is_another_kind(void **state)
{
    static const char *const table[][2] = {
        {"sha256:00", "sha256:01"},
        {"1024", "1025"},
        {"\"vcpus\":1", "\"vcpus\":2"},
        {"_args\":\"\"", "_args\":\"quiet\""},
        {"\"entrypoint\":[]", "\"entrypoint\":[\"sh\"]"},
        {"[\"sh\"]", "[\"s\",\"h\"]"},
        {"[\"sh\"]", "[]"},
        {"A=1", "A=2"},
        {"\"workdir\":\"/\"", "\"workdir\":\"/b\""},
        {"\"user\":\"0\"", "\"user\":\"1\""},
        {"\"ports\":[]", "\"ports\":[\"80/tcp\"]"},
        {"\"healthcheck\":\"\"", "\"healthcheck\":\"{}\""},
        {"\"limits\":[]", "\"limits\":[{\"name\":\"core\"}]"},
        {"processes_max\":0", "processes_max\":9"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_false(is_same(
            &(struct warm_kind){.machine = changed(table[i][0], table[i][1])}));
}

static void test_warm_other_words_are_another_kind(void **state)
{
    static const struct warm_kind table[] = {
        {.machine = machine, .hostname = ""},
        {.machine = machine, .hostname = "a"},
        {.machine = machine, .ready = ""},
        {.machine = machine, .ready = "true"},
        /* The image's command, called by its words, is not asked for as the
         * image says. */
        {.machine = machine, .way = READY_QUIET},
        {.machine = machine, .way = READY_PORTS},
        {.machine = machine, .tty = true},
        {.machine = machine, .open_stdin = true},
        {.machine = machine, .timeout_ms = 1},
        {.machine = machine, .kernel = "/dev/null"},
    };
    char names[ARRAY_LEN(table)][NAMES];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        assert_false(is_same(&table[i]));
        assert_int_equal(warm_name(&table[i], names[i], NULL), 0);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(names[i], names[j]);
    }
}

/* Another file of that name is another kernel, and so is one that somebody has
 * written to. */
static void test_warm_kernel_is_the_file(void **state)
{
    char path[32];
    const struct warm_kind kind = {.machine = machine, .kernel = path};
    char names[3][NAMES];
    struct sm_error err;
    int fd = memfd_create("kernel", MFD_CLOEXEC);

    (void)state;
    assert_true(fd >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    assert_int_equal(warm_name(&kind, names[0], NULL), 0);
    assert_int_equal(warm_name(&kind, names[1], NULL), 0);
    assert_string_equal(names[0], names[1]);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(warm_name(&kind, names[2], NULL), 0);
    assert_string_not_equal(names[0], names[2]);
    assert_int_equal(close(fd), 0);
    assert_int_equal(warm_name(&kind, names[2], &err), SM_ENOENT);
    assert_non_null(strstr(err.message, path));
}

static void test_warm_names_are_its_own_alone(void **state)
{
    static const struct {
        const char *name;
        bool is_one;
    } table[] = {
        {"warm-0123456789abcdef0123456789abcdef", true},
        {"warm-0123456789abcdef0123456789abcde", false},
        {"warm-0123456789abcdef0123456789abcdef0", false},
        {"warm-0123456789abcdef0123456789abcdeF", false},
        {"warm-0123456789abcdef0123456789abcdef.a", false},
        {"worm-0123456789abcdef0123456789abcdef", false},
        {"warm-", false},
        {"warm", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_int_equal(warm_is_name(table[i].name), table[i].is_one);
}

#define ONE  "warm-0123456789abcdef0123456789abcdef"
#define TWO  "warm-00000000000000000000000000000000"
#define GONE "warm-ffffffffffffffffffffffffffffffff"

static void test_warm_prune_leaves_the_user_s_alone(void **state)
{
    static const char *const names[] = {"a", ONE, "warm-mine", GONE, TWO, NULL};
    uint64_t freed = 2;

    (void)state;
    shelf = names;
    removed[0] = '\0';
    assert_int_equal(warm_prune(NULL, &freed, NULL), 0);
    assert_string_equal(removed,
                        "snapshot:" ONE " snapshot:" GONE " snapshot:" TWO " ");
    assert_int_equal(freed, 12);
}

static void test_warm_without_memory_is_an_error(void **state)
{
    static const char *const names[] = {ONE, TWO, NULL};
    size_t live = alloc_live();
    char name[NAMES];
    uint64_t freed = 0;
    size_t failed[2] = {0};

    (void)state;
    shelf = names;
    for (size_t i = 1;; i++) {
        alloc_fail_at(i);
        int rc = warm_name(&plain, name, NULL);

        if (!alloc_has_failed())
            break;
        assert_int_equal(rc, SM_ENOMEM);
        assert_int_equal(alloc_live(), live);
        failed[0]++;
    }
    for (size_t i = 1;; i++) {
        alloc_fail_at(i);
        removed[0] = '\0';
        int rc = warm_prune(NULL, &freed, NULL);

        if (!alloc_has_failed())
            break;
        assert_int_equal(rc, SM_ENOMEM);
        assert_string_equal(removed, "");
        assert_int_equal(alloc_live(), live);
        failed[1]++;
    }
    alloc_fail_at(0);
    assert_true(failed[0] > 0 && failed[1] > 0);
    assert_int_equal(alloc_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warm_machine_s_own_words_are_no_other_kind),
        cmocka_unit_test(test_warm_other_machine_is_another_kind),
        cmocka_unit_test(test_warm_other_words_are_another_kind),
        cmocka_unit_test(test_warm_kernel_is_the_file),
        cmocka_unit_test(test_warm_names_are_its_own_alone),
        cmocka_unit_test(test_warm_prune_leaves_the_user_s_alone),
        cmocka_unit_test(test_warm_without_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
