/* test_files.c: copies without a machine, and what no copy can be. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <supermachine.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];
static struct sm_error err;

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/api-files-XXXXXX");
    return !mkdtemp(folder) || chdir(folder) ? -1 : 0;
}

static void shell(const char *script)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        execl("/bin/sh", "sh", "-ec", script, NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int tear_down(void **state)
{
    (void)state;
    shell("rm -rf \"$PWD\"");
    return chdir("/tmp");
}

static void test_tree_goes_through_a_descriptor(void **state)
{
    int tar = open("tar", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct sm_copy_config config;
    uint64_t bytes = 0;

    (void)state;
    shell("mkdir -p from/sub; seq 1000 >from/sub/a; ln from/sub/a from/b");
    sm_copy_config_init(&config);
    config.from = "from";
    config.to_fd = tar;
    assert_int_equal(sm_copy(&config, &bytes, &err), 0);
    assert_int_equal(bytes, 3893);
    assert_int_equal(lseek(tar, 0, SEEK_SET), 0);
    sm_copy_config_init(&config);
    config.from_fd = tar;
    config.from = "/some/where/from";
    config.to = "to";
    assert_int_equal(sm_copy(&config, &bytes, &err), 0);
    assert_int_equal(bytes, 3893);
    shell("diff -r from to; test to/b -ef to/sub/a");
    /* The same as any tar. */
    assert_int_equal(lseek(tar, 0, SEEK_SET), 0);
    config.from = NULL;
    assert_int_equal(sm_copy(&config, &bytes, &err), 0);
    shell("diff -r from to/from");
    close(tar);
}

static void test_another_tree_than_asked_for(void **state)
{
    int tar = open("tar", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct sm_copy_config config;

    (void)state;
    shell("mkdir from to; echo >from/a");
    sm_copy_config_init(&config);
    config.from = "from";
    config.to_fd = tar;
    assert_int_equal(sm_copy(&config, NULL, &err), 0);
    assert_int_equal(lseek(tar, 0, SEEK_SET), 0);
    sm_copy_config_init(&config);
    config.from_fd = tar;
    config.from = "/etc";
    config.to = "to";
    assert_int_equal(sm_copy(&config, NULL, &err), SM_EPROTO);
    shell("rmdir to");
    close(tar);
}

static void test_time_out_of_a_stream(void **state)
{
    struct sm_copy_config config;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    sm_copy_config_init(&config);
    config.from_fd = ends[0];
    config.to = ".";
    config.timeout_ms = 20;
    assert_int_equal(sm_copy(&config, NULL, &err), SM_ETIMEOUT);
    close(ends[1]);
    /* That it has ended is to be seen however long that takes. */
    config.timeout_ms = 0;
    assert_int_equal(sm_copy(&config, NULL, &err), SM_ECLOSED);
    close(ends[0]);
}

/* No SIGPIPE, an error. */
static void test_stream_that_nobody_reads(void **state)
{
    struct sm_copy_config config;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    shell("seq 100000 >from");
    sm_copy_config_init(&config);
    config.from = "from";
    config.to_fd = ends[1];
    assert_int_equal(sm_copy(&config, NULL, &err), SM_ECLOSED);
    close(ends[1]);
}

static void expect_invalid(const struct sm_copy_config *config)
{
    err.message[0] = '\0';
    assert_int_equal(sm_copy(config, NULL, &err), SM_EINVAL);
    assert_true(err.message[0]);
}

static void test_copies_that_cannot_be(void **state)
{
    struct sm_copy_config config;

    (void)state;
    sm_copy_config_init(&config);
    expect_invalid(&config);
    config.from = "a";
    expect_invalid(&config);
    config.to = "b";
    expect_invalid(&config); /* no machine */
    config.to = NULL;
    config.from_fd = 0;
    config.to_fd = 1;
    expect_invalid(&config); /* two streams */
    sm_copy_config_init(&config);
    config.from = "a";
    config.to_fd = 1;
    config.flags = 8;
    expect_invalid(&config);
    config.flags = 0;
    config.timeout_ms = SM_NOWAIT;
    expect_invalid(&config);
    config.timeout_ms = 0;
    config.size = 4;
    expect_invalid(&config);
}

static void test_defaults_are_no_work(void **state)
{
    struct sm_file_config config;

    (void)state;
    sm_file_config_init(&config);
    assert_int_equal(config.size, sizeof config);
    assert_int_equal(config.work, 0);
    assert_int_equal(config.fd, SM_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        ROW(test_tree_goes_through_a_descriptor),
        ROW(test_another_tree_than_asked_for),
        ROW(test_time_out_of_a_stream),
        ROW(test_stream_that_nobody_reads),
        ROW(test_copies_that_cannot_be),
        ROW(test_defaults_are_no_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
