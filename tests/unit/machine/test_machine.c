/* test_machine.c: a machine before and without its worker. */
#include "base/bytes.h"
#include "machine/inside.h"
#include "platform/file.h"
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct machine_paths paths = {.home = "/no/such/home",
                                           .runtime_dir = "/no/such/runtime"};

static struct machine *make_machine(const char *hostname)
{
    struct machine *machine = NULL;

    assert_int_equal(machine_new(&paths,
                                 &(struct machine_config){
                                     .memory_bytes = 64 * MIB,
                                     .vcpus = 1,
                                     .hostname = hostname,
                                     .rootfs = "/no/such/rootfs",
                                 },
                                 &machine, NULL),
                     0);
    return machine;
}

static bool is_readable(int fd)
{
    struct pollfd list = {.fd = fd, .events = POLLIN};

    return poll(&list, 1, 0) == 1;
}

static void test_machine_host_names(void **state)
{
    static const struct {
        const char *name;
        bool taken;
    } table[] = {
        {"a", true},
        {"web-1.example.org", true},
        {"0", true},
        {"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk",
         true}, /* 63 */
        {"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl",
         false},
        {"", false},
        {"-a", false},
        {"a b", false},
        {"a\nb", false},
        {"a/b", false},
        {"a_b", false},
        {"\xc3\xa9", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct machine *machine = NULL;
        struct machine_config config = {.hostname = table[i].name,
                                        .rootfs = "/r"};
        struct sm_error err;
        int rc = machine_new(&paths, &config, &machine, &err);

        assert_int_equal(rc, table[i].taken ? 0 : SM_EINVAL);
        if (!rc)
            assert_string_equal(machine->config.hostname, table[i].name);
        else
            assert_null(machine);
        machine_free(machine);
    }
}

static void test_machine_without_a_name_gets_a_random_one(void **state)
{
    struct machine *machine[2] = {make_machine(NULL), make_machine(NULL)};

    (void)state;
    assert_int_equal(strlen(machine[0]->config.hostname), 12);
    assert_int_equal(strspn(machine[0]->config.hostname, "0123456789abcdef"),
                     12);
    assert_string_not_equal(machine[0]->config.hostname,
                            machine[1]->config.hostname);
    machine_free(machine[0]);
    machine_free(machine[1]);
    machine_free(NULL);
}

static void test_machine_that_cannot_start_is_stopped(void **state)
{
    const struct program_config config = {.fds = {-1, -1, -1}, .tty = true};
    struct machine *machine = make_machine("a");
    struct sm_exit_status status;
    struct command command = {0};
    struct program *program = NULL;
    struct sm_error err;
    int fd;

    (void)state;
    assert_int_equal(program_new(machine, &command, &config, &program, NULL),
                     0);
    assert_int_equal(program_wait(program, 0, &status, &err), SM_ESTATE);
    fd = machine_fd(machine, NULL);
    assert_false(is_readable(fd));
    assert_int_equal(machine_start(machine, 1000, &err), SM_ENOENT);
    assert_int_equal(err.code, SM_ENOENT);
    assert_true(is_readable(fd));
    assert_non_null(strstr(err.message, "/no/such/runtime/supermachine-vmm"));
    assert_int_equal(machine->state, MACHINE_STOPPED);
    assert_int_equal(machine_start(machine, 1000, &err), SM_ESTATE);
    /* The program was lost for the reason that the machine was. */
    assert_int_equal(program_wait(program, 0, &status, &err), SM_ENOENT);
    program_signal(program, 15);
    program_resize(program, 50, 132);
    program_free(program);
    assert_int_equal(program_new(machine, &command, &config, &program, &err),
                     SM_ESTATE);
    machine_kill(machine);
    machine_free(machine);
    machine = make_machine("b");
    fd = machine_fd(machine, NULL);
    assert_int_equal(machine_start(machine, SM_NOWAIT, &err), SM_ENOENT);
    assert_true(is_readable(fd));
    machine_free(machine);
}

static void test_machine_log_is_the_end_of_what_was_printed(void **state)
{
    static const char end[] = "first\0second\n";
    struct machine *machine = make_machine("a");
    char *log = NULL;

    (void)state;
    assert_int_equal(machine_log(machine, &log, NULL), 0);
    assert_string_equal(log, "");
    free(log);
    assert_int_equal(file_in_memory("log", &machine->log_fd, NULL), 0);
    assert_int_equal(machine_log(machine, &log, NULL), 0);
    assert_string_equal(log, "");
    free(log);
    /* A guest may print NULs. */
    assert_int_equal(
        file_write_at(machine->log_fd, end, sizeof end - 1, 0, NULL), 0);
    assert_int_equal(machine_log(machine, &log, NULL), 0);
    assert_string_equal(log, "first second\n");
    free(log);
    assert_int_equal(file_write_at(machine->log_fd, "last", 4, 3 * MIB, NULL),
                     0);
    assert_int_equal(machine_log(machine, &log, NULL), 0);
    assert_int_equal(strlen(log), MIB);
    assert_string_equal(log + MIB - 4, "last");
    free(log);
    machine_free(machine);
}

static void test_machine_cost_counts_from_the_first_step(void **state)
{
    struct machine *machine = make_machine("a");
    struct sm_error err;
    char *cost = NULL;

    (void)state;
    assert_int_equal(machine_cost(machine, &cost, &err), SM_ESTATE);
    worker_step_add(&machine->steps, "late", 5000999);
    worker_step_add(&machine->steps, "start called", 2000000);
    assert_int_equal(machine_cost(machine, &cost, NULL), 0);
    assert_string_equal(cost,
                        "{\"steps\":[{\"name\":\"start called\",\"us\":0},"
                        "{\"name\":\"late\",\"us\":3000}]}");
    free(cost);
    for (unsigned i = 0; i < WORKER_STEPS_MAX; i++)
        worker_step_add(&machine->steps, "abcdefghijklmnopqrstuvwxyzabcdefgh",
                        UINT64_MAX);
    assert_int_equal(machine_cost(machine, &cost, NULL), 0);
    assert_string_equal(cost + strlen(cost) - 3, "}]}");
    free(cost);
    machine_free(machine);
}

/* As long as there is a byte in the pipe. */
struct news {
    struct machine *machine;
    int ends[2];
};

static void something_happens(void *context, unsigned events)
{
    const struct news *news = context;
    char byte;

    (void)events;
    assert_int_equal(read(news->ends[0], &byte, 1), 1);
    event_add(news->machine, SM_EVENT_OUT_OF_MEMORY, 1, "x");
}

/* Who asks for one thing after the other may meet news of the first one with
 * the second, and would wait for them for ever. */
static void test_machine_fd_shows_what_another_call_has_met(void **state)
{
    static const bool never = false;
    static const uint32_t timeouts_ms[] = {SM_NOWAIT, 1};
    struct news news = {.machine = make_machine("a")};
    struct loop_watch *watch;
    int fd = machine_fd(news.machine, NULL);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(pipe2(news.ends, O_CLOEXEC), 0);
    assert_int_equal(loop_watch(news.machine->loop, news.ends[0], LOOP_READ,
                                something_happens, &news, &watch, NULL),
                     0);
    machine_dispatch(news.machine);
    assert_false(is_readable(fd));
    for (size_t i = 0; i < ARRAY_LEN(timeouts_ms); i++) {
        assert_int_equal(write(news.ends[1], "", 1), 1);
        machine_turn(news.machine, &never, timeouts_ms[i]);
        assert_int_equal(news.machine->events.count, i + 1);
        assert_true(is_readable(fd));
        /* Also after one that met nothing. */
        machine_turn(news.machine, &never, SM_NOWAIT);
        assert_true(is_readable(fd));
        machine_dispatch(news.machine);
        assert_false(is_readable(fd));
        machine_turn(news.machine, &never, SM_NOWAIT);
        assert_false(is_readable(fd));
    }
    /* Nor is what was met in asking for the descriptor. */
    assert_int_equal(write(news.ends[1], "", 1), 1);
    assert_int_equal(machine_fd(news.machine, NULL), fd);
    assert_int_equal(news.machine->events.count, ARRAY_LEN(timeouts_ms) + 1);
    assert_true(is_readable(fd));
    assert_int_equal(machine_fd(news.machine, NULL), fd);
    assert_true(is_readable(fd));
    machine_dispatch(news.machine);
    assert_false(is_readable(fd));
    loop_unwatch(watch);
    machine_free(news.machine);
    close(news.ends[0]);
    close(news.ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_machine_host_names),
        cmocka_unit_test(test_machine_without_a_name_gets_a_random_one),
        cmocka_unit_test(test_machine_that_cannot_start_is_stopped),
        cmocka_unit_test(test_machine_log_is_the_end_of_what_was_printed),
        cmocka_unit_test(test_machine_cost_counts_from_the_first_step),
        cmocka_unit_test(test_machine_fd_shows_what_another_call_has_met),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
