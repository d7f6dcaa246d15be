/* test_host.c: the public calls that need no machine. */
#include "api/inside.h"
#include "base/bytes.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_api_every_error_code_has_a_text_of_its_own(void **state)
{
    static const int codes[] = {
#define CODE(name, value, text) name,
        SM_ERRORS(CODE)
#undef CODE
            SM_OK};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        assert_string_not_equal(sm_strerror(codes[i]), "unknown error");
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(sm_strerror(codes[i]),
                                    sm_strerror(codes[k]));
    }
    assert_string_equal(sm_strerror(1), "unknown error");
    assert_string_equal(sm_strerror(-1000), "unknown error");
}

static void test_api_configs_begin_with_their_defaults(void **state)
{
    struct sm_machine_config machine;
    struct sm_exec_config exec;
    struct sm_host_config host;

    (void)state;
    memset(&machine, 0xff, sizeof machine);
    memset(&exec, 0xff, sizeof exec);
    memset(&host, 0xff, sizeof host);
    sm_machine_config_init(&machine);
    sm_exec_config_init(&exec);
    sm_host_config_init(&host);
    assert_int_equal(machine.size, sizeof machine);
    assert_null(machine.kernel);
    assert_int_equal(exec.size, sizeof exec);
    assert_int_equal(exec.stdin_fd, -1);
    assert_int_equal(exec.stdout_fd, 1);
    assert_int_equal(exec.stderr_fd, 2);
    assert_null(exec.argv);
    assert_int_equal(host.size, sizeof host);
    assert_null(host.home);
}

/* Older callers give less than the library knows, newer ones more. */
static void test_api_config_of_another_version(void **state)
{
    struct {
        struct sm_host_config config;
        char more[16];
    } given = {.config = {.home = "/h", .runtime_dir = "/r"}};
    struct sm_host_config copy;
    struct sm_error err;

    (void)state;
    given.config.size = offsetof(struct sm_host_config, runtime_dir);
    sm_host_config_init(&copy);
    assert_int_equal(config_copy(&copy, sizeof copy, &given, "config", NULL),
                     0);
    assert_string_equal(copy.home, "/h");
    assert_null(copy.runtime_dir);
    given.config.size = sizeof given;
    assert_int_equal(config_copy(&copy, sizeof copy, &given, "config", NULL),
                     0);
    assert_string_equal(copy.runtime_dir, "/r");
    given.more[15] = 1;
    assert_int_equal(config_copy(&copy, sizeof copy, &given, "config", &err),
                     SM_EINVAL);
    for (size_t size = 0; size < sizeof(size_t); size++) {
        given.config.size = size;
        assert_int_equal(
            config_copy(&copy, sizeof copy, &given, "config", &err), SM_EINVAL);
    }
}

static void test_api_host_finds_its_home(void **state)
{
    static const struct {
        const char *home_of_ours;
        const char *data_home;
        const char *home;
        const char *found; /* NULL: SM_ENOENT */
    } table[] = {
        {"/own", "/data", "/home/u", "/own"},
        {"own", NULL, NULL, "own"},
        {NULL, "/data", "/home/u", "/data/supermachine"},
        {"", "/data", "/home/u", "/data/supermachine"},
        {NULL, "data", "/home/u", "/home/u/.local/share/supermachine"},
        {NULL, "", "/home/u", "/home/u/.local/share/supermachine"},
        {NULL, NULL, "/home/u", "/home/u/.local/share/supermachine"},
        {NULL, NULL, "", NULL},
        {NULL, NULL, NULL, NULL},
    };
    static const char *const names[] = {"SUPERMACHINE_HOME", "XDG_DATA_HOME",
                                        "HOME"};

    (void)state;
    unsetenv("SUPERMACHINE_RUNTIME_DIR");
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const char *const values[] = {table[i].home_of_ours, table[i].data_home,
                                      table[i].home};
        struct sm_host_config config;
        char storage[4096];
        struct sm_error err;
        int rc;

        for (size_t k = 0; k < ARRAY_LEN(names); k++)
            if (values[k])
                setenv(names[k], values[k], 1);
            else
                unsetenv(names[k]);
        sm_host_config_init(&config);
        rc = sm_host_config_from_environment(&config, storage, sizeof storage,
                                             &err);
        assert_int_equal(rc, table[i].found ? 0 : SM_ENOENT);
        if (!rc)
            assert_string_equal(config.home, table[i].found);
        assert_null(config.runtime_dir);
    }
}

static void test_api_environment_fills_only_what_is_unset(void **state)
{
    struct sm_host_config config;
    char storage[64];
    struct sm_error err;

    (void)state;
    setenv("SUPERMACHINE_HOME", "/env/home", 1);
    setenv("SUPERMACHINE_RUNTIME_DIR", "/env/runtime", 1);
    sm_host_config_init(&config);
    config.home = "/mine";
    assert_int_equal(
        sm_host_config_from_environment(&config, storage, sizeof storage, NULL),
        0);
    assert_string_equal(config.home, "/mine");
    assert_string_equal(config.runtime_dir, "/env/runtime");
    /* Both with their NULs need 23 bytes. */
    for (size_t capacity = 0; capacity <= 23; capacity++) {
        sm_host_config_init(&config);
        assert_int_equal(
            sm_host_config_from_environment(&config, storage, capacity, &err),
            capacity == 23 ? 0 : SM_ELIMIT);
    }
    unsetenv("SUPERMACHINE_HOME");
    unsetenv("SUPERMACHINE_RUNTIME_DIR");
}

static void test_api_host_needs_home_and_runtime(void **state)
{
    char folder[] = "/tmp/test_api.XXXXXX";
    struct sm_host_config config;
    struct sm_host *host = NULL;
    struct sm_error err;
    char home[64];
    struct stat st;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(home, sizeof home, "%s/home", folder);
    sm_host_config_init(&config);
    assert_int_equal(sm_host_new(&config, &host, &err), SM_EINVAL);
    config.home = "";
    assert_int_equal(sm_host_new(&config, &host, &err), SM_EINVAL);
    config.home = home;
    config.runtime_dir = "/no/such/runtime";
    assert_int_equal(sm_host_new(&config, &host, &err), SM_ENOENT);
    assert_non_null(strstr(err.message, "/no/such/runtime"));
    assert_null(host);
    config.runtime_dir = folder;
    assert_int_equal(sm_host_new(&config, &host, &err), 0);
    assert_string_equal(host->home, home);
    assert_int_equal(stat(home, &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0700);
    sm_host_free(host);
    sm_host_free(NULL);
    rmdir(home);
    rmdir(folder);
}

static void test_api_image_work_gets_what_registries_need(void **state)
{
    static const char *const given[] = {
        "PATH=/bin",          "SECRET=1",          "SSL_CERT_DIR=/c",
        "https_proxy=p",      "HTTP_PROXY=header", "AWS_PROFILE=a",
        "LD_PRELOAD=evil.so", "XPATH=/x",          NULL};
    static const char *const kept[] = {"PATH=/bin", "SSL_CERT_DIR=/c",
                                       "https_proxy=p", "AWS_PROFILE=a", NULL};
    struct sm_host_config config;
    struct sm_host *host = NULL;
    struct sm_error err;
    size_t i;

    (void)state;
    sm_host_config_init(&config);
    config.home = "/";
    config.runtime_dir = "/";
    config.environment = given;
    assert_int_equal(sm_host_new(&config, &host, &err), 0);
    for (i = 0; kept[i]; i++)
        assert_string_equal(host->image_env[i], kept[i]);
    assert_null(host->image_env[i]);
    sm_host_free(host);
}

static const char *const ls[] = {"ls", NULL};

static void test_api_machine_config_is_checked_before_anything_is_made(
    void **state)
{
    static const struct {
        uint64_t memory_bytes;
        uint32_t vcpus;
        int result;
    } table[] = {
        {0, 0, 0},
        {SM_MEMORY_MIN, 1, 0},
        {SM_MEMORY_MAX, SM_VCPUS_MAX, 0},
        {SM_MEMORY_MIN - 2 * MIB, 1, SM_EINVAL},
        {1024, 1, SM_EINVAL},
        {SM_MEMORY_MAX + 2 * MIB, 1, SM_EINVAL},
        {UINT64_C(1) << 50, 1, SM_EINVAL},
        {UINT64_MAX, 1, SM_EINVAL},
        {SM_MEMORY_MIN + MIB, 1, SM_EINVAL},
        {0, SM_VCPUS_MAX + 1, SM_EINVAL},
        {0, UINT32_MAX, SM_EINVAL},
    };
    struct sm_host host = {.home = (char[]){"/h"},
                           .runtime_dir = (char[]){"/r"}};
    struct sm_image image = {
        .name = (char[]){"image"},
        .result = {.rootfs = (char[]){"/r"},
                   .digest = (char[]){"sha256:00"},
                   .config = {.workdir = (char[]){""}, .user = (char[]){""}}}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct sm_machine_config config;
        struct sm_exec_config command;
        struct sm_machine *machine = NULL;
        struct sm_exec *exec = NULL;
        struct sm_machine_end end;
        struct sm_error err;
        char text;

        sm_machine_config_init(&config);
        config.memory_bytes = table[i].memory_bytes;
        config.vcpus = table[i].vcpus;
        assert_int_equal(sm_machine_new(&host, &image, &config, &machine, &err),
                         table[i].result);
        if (table[i].result) {
            assert_null(machine);
            continue;
        }
        /* An image without a command runs only what is given. */
        assert_int_equal(sm_exec_new(machine, NULL, &exec, &err), SM_EINVAL);
        sm_exec_config_init(&command);
        command.argv = ls;
        command.columns = 65536;
        assert_int_equal(sm_exec_new(machine, &command, &exec, &err),
                         SM_EINVAL);
        command.columns = 0;
        command.stderr_fd = -3;
        assert_int_equal(sm_exec_new(machine, &command, &exec, &err),
                         SM_EINVAL);
        command.stderr_fd = command.stdin_fd = SM_BYTES;
        assert_int_equal(sm_exec_new(machine, &command, &exec, &err), 0);
        assert_int_equal(sm_exec_signal(exec, 0, &err), SM_EINVAL);
        assert_int_equal(sm_exec_signal(exec, 65, &err), SM_EINVAL);
        assert_int_equal(sm_exec_signal(exec, -1, &err), SM_EINVAL);
        assert_int_equal(sm_exec_signal(exec, 64, &err), 0);
        assert_int_equal(sm_exec_read(exec, 0, &text, 1, 0, &err), SM_EINVAL);
        assert_int_equal(sm_exec_read(exec, 3, &text, 1, 0, &err), SM_EINVAL);
        assert_int_equal(sm_exec_read(exec, 1, &text, 0, 0, &err), SM_EINVAL);
        assert_int_equal(sm_exec_read(exec, 1, &text, 1, 0, &err), SM_EINVAL);
        assert_int_equal(sm_exec_read(exec, 2, &text, 1, 0, &err), SM_ESTATE);
        assert_int_equal(sm_exec_write(exec, "", 0, 0, &err), 0);
        assert_int_equal(sm_exec_write(exec, "x", 1, 0, &err), SM_ESTATE);
        sm_exec_write_end(exec);
        assert_int_equal(sm_exec_write(exec, "x", 1, 0, &err), SM_ECLOSED);
        assert_true(sm_exec_fd(exec, &err) >= 0);
        assert_int_equal(sm_machine_state(machine), SM_MACHINE_NEW);
        assert_int_equal(sm_machine_stop(machine, 3600001, &err), SM_EINVAL);
        assert_int_equal(sm_machine_stop(machine, 1, &err), SM_ESTATE);
        assert_int_equal(sm_machine_wait(machine, 0, &end, &err), SM_ESTATE);
        assert_int_equal(sm_exec_resize(exec, 0, 80, &err), SM_EINVAL);
        assert_int_equal(sm_exec_resize(exec, 24, 0, &err), SM_EINVAL);
        assert_int_equal(sm_exec_resize(exec, 65536, 80, &err), SM_EINVAL);
        assert_int_equal(sm_exec_resize(exec, 65535, 1, &err), 0);
        assert_int_equal(sm_machine_start(machine, 3600001, &err), SM_EINVAL);
        sm_exec_free(exec);
        sm_machine_free(machine);
    }
}

/* A machine of an image that has nothing in it. */
static int make_machine(const struct sm_machine_config *config,
                        struct sm_machine **ret, struct sm_error *err)
{
    struct sm_host host = {.home = (char[]){"/h"},
                           .runtime_dir = (char[]){"/r"}};
    struct sm_image image = {
        .name = (char[]){"image"},
        .result = {.rootfs = (char[]){"/r"},
                   .digest = (char[]){"sha256:00"},
                   .config = {.workdir = (char[]){""}, .user = (char[]){""}}}};

    return sm_machine_new(&host, &image, config, ret, err);
}

static void test_api_limits_and_labels_are_checked(void **state)
{
    static const struct sm_limit bad[] = {
        {"nofiles", 1, 1}, {"nofile", 2, 1}, {NULL, 1, 1}, {"", 1, 1}};
    static const struct sm_limit good = {"nofile", 1, UINT64_MAX};
    static const char *const nameless[] = {"a=b", "=c", NULL};
    static const char *const labels[] = {"a=1", "b", "a=\"2\"", NULL};
    struct sm_machine *machine = NULL;
    struct sm_machine_config config;
    struct sm_machine_stats stats;
    struct sm_event event;
    char *text = NULL;

    (void)state;
    sm_machine_config_init(&config);
    config.limit_count = 1;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        config.limits = &bad[i];
        assert_int_equal(make_machine(&config, &machine, NULL), SM_EINVAL);
    }
    config.limits = &good;
    config.limit_count = 17;
    assert_int_equal(make_machine(&config, &machine, NULL), SM_EINVAL);
    config.limit_count = 1;
    config.labels = nameless;
    assert_int_equal(make_machine(&config, &machine, NULL), SM_EINVAL);
    config.labels = labels;
    config.processes_max = (1 << 22) + 1;
    assert_int_equal(make_machine(&config, &machine, NULL), SM_EINVAL);
    config.processes_max = 5;
    config.workdir = "here";
    assert_int_equal(make_machine(&config, &machine, NULL), SM_EINVAL);
    config.workdir = "/";
    assert_null(machine);
    assert_int_equal(make_machine(&config, &machine, NULL), 0);
    assert_int_equal(
        sm_machine_inspect(machine, SM_INSPECT_MACHINE, &text, NULL), 0);
    assert_non_null(
        strstr(text, "\"labels\":{\"b\":\"\",\"a\":\"\\\"2\\\"\"}"));
    assert_non_null(strstr(text, "{\"name\":\"nofile\",\"soft\":1,"));
    free(text);
    assert_int_equal(
        sm_machine_inspect(machine, SM_INSPECT_PROCESSES, &text, NULL),
        SM_ESTATE);
    assert_int_equal(
        sm_machine_inspect(machine, (enum sm_inspection)7, &text, NULL),
        SM_EINVAL);
    assert_int_equal(sm_machine_stats(machine, &stats, NULL), SM_ESTATE);
    assert_int_equal(sm_machine_next_event(machine, SM_NOWAIT, &event, NULL),
                     SM_ESTATE);
    sm_machine_free(machine);
}

/* What the image says of its own program is told as it stands. */
static void test_api_ports_and_health_are_told(void **state)
{
    char *ports[] = {(char[]){"80/tcp"},
                     (char[]){"1111111111111111111111111111111111/tcp"},
                     (char[]){"53/udp"}, NULL};
    struct sm_host host = {.home = (char[]){"/h"},
                           .runtime_dir = (char[]){"/r"}};
    struct sm_image image = {
        .name = (char[]){"image"},
        .result = {.rootfs = (char[]){"/r"},
                   .digest = (char[]){"sha256:00"},
                   .config = {.workdir = (char[]){""},
                              .user = (char[]){""},
                              .ports = {ports, 3},
                              .healthcheck = (char[]){"{\"Test\":[]}"}}}};
    struct sm_machine *machine = NULL;
    char *text = NULL;

    (void)state;
    assert_int_equal(sm_machine_new(&host, &image, NULL, &machine, NULL), 0);
    assert_int_equal(
        sm_machine_inspect(machine, SM_INSPECT_MACHINE, &text, NULL), 0);
    assert_non_null(strstr(text, "\"ports\":[\"80/tcp\",\"53/udp\"]"));
    assert_non_null(strstr(text, "\"healthcheck\":\"{\\\"Test\\\":[]}\""));
    free(text);
    sm_machine_free(machine);
}

/* What a second thread gets while the first is in a call that waits. */
static void test_api_two_waits_at_once_are_told(void **state)
{
    struct sm_machine *machine = NULL;
    struct sm_machine_stats stats;
    struct sm_exec_config command;
    struct sm_exit_status status;
    struct sm_machine_end end;
    struct sm_event event;
    struct sm_exec *exec = NULL;
    char *text = NULL;
    char byte;

    (void)state;
    sm_exec_config_init(&command);
    command.argv = ls;
    assert_int_equal(make_machine(NULL, &machine, NULL), 0);
    assert_int_equal(sm_exec_new(machine, &command, &exec, NULL), 0);
    assert_int_equal(machine_enter(machine, NULL), 0);
    assert_int_equal(sm_machine_start(machine, 0, NULL), SM_EBUSY);
    assert_int_equal(sm_machine_wait(machine, 0, &end, NULL), SM_EBUSY);
    assert_int_equal(sm_machine_stop(machine, 0, NULL), SM_EBUSY);
    assert_int_equal(sm_machine_pause(machine, NULL), SM_EBUSY);
    assert_int_equal(sm_machine_resume(machine, NULL), SM_EBUSY);
    assert_int_equal(sm_machine_stats(machine, &stats, NULL), SM_EBUSY);
    assert_int_equal(sm_machine_next_event(machine, 0, &event, NULL), SM_EBUSY);
    assert_int_equal(
        sm_machine_inspect(machine, SM_INSPECT_PROCESSES, &text, NULL),
        SM_EBUSY);
    assert_int_equal(sm_exec_wait(exec, 0, &status, NULL), SM_EBUSY);
    assert_int_equal(sm_exec_wait_started(exec, 0, NULL), SM_EBUSY);
    assert_int_equal(sm_exec_read(exec, 1, &byte, 1, 0, NULL), SM_EBUSY);
    assert_int_equal(sm_exec_write(exec, "x", 1, 0, NULL), SM_EBUSY);
    sm_machine_dispatch(machine);
    machine_leave(machine);
    assert_int_equal(sm_machine_wait(machine, 0, &end, NULL), SM_ESTATE);
    sm_exec_free(exec);
    sm_machine_free(machine);
}

static void test_api_exit_code_is_what_a_shell_would_say(void **state)
{
    (void)state;
    assert_int_equal(
        sm_exit_code(&(struct sm_exit_status){.exited = 1, .code = 7}), 7);
    assert_int_equal(sm_exit_code(&(struct sm_exit_status){.signal = 9}), 137);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_api_every_error_code_has_a_text_of_its_own),
        cmocka_unit_test(test_api_configs_begin_with_their_defaults),
        cmocka_unit_test(test_api_config_of_another_version),
        cmocka_unit_test(test_api_host_finds_its_home),
        cmocka_unit_test(test_api_environment_fills_only_what_is_unset),
        cmocka_unit_test(test_api_host_needs_home_and_runtime),
        cmocka_unit_test(test_api_image_work_gets_what_registries_need),
        cmocka_unit_test(
            test_api_machine_config_is_checked_before_anything_is_made),
        cmocka_unit_test(test_api_limits_and_labels_are_checked),
        cmocka_unit_test(test_api_ports_and_health_are_told),
        cmocka_unit_test(test_api_two_waits_at_once_are_told),
        cmocka_unit_test(test_api_exit_code_is_what_a_shell_would_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
