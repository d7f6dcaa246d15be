/* test_streams.c: stdin, stdout and stderr: whole, apart, bounded. */
#include "stand.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LARGE = 100 << 20, PIECE = 1 << 16 };

static struct stand stand;

static int set_up(void **state)
{
    (void)state;
    stand_start(&stand, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stand_stop(&stand);
    return 0;
}

/* Bytes that differ from place to place, so that a shift shows. */
static void fill_pattern(uint8_t *bytes, size_t count, uint64_t place)
{
    for (size_t i = 0; i < count; i++, place++)
        bytes[i] = (uint8_t)(place * 131 + (place >> 8) * 7 + (place >> 16));
}

static uint64_t pattern_sum(uint64_t count)
{
    static uint8_t bytes[PIECE];
    uint64_t sum = 0;

    for (uint64_t at = 0; at < count; at += sizeof bytes) {
        fill_pattern(bytes, sizeof bytes, at);
        sum = sum_bytes(sum, at, bytes, sizeof bytes);
    }
    return sum;
}

static int memory_file(uint64_t count)
{
    static uint8_t bytes[PIECE];
    int fd = memfd_create("pattern", MFD_CLOEXEC);

    assert_true(fd >= 0);
    for (uint64_t at = 0; at < count; at += sizeof bytes) {
        fill_pattern(bytes, sizeof bytes, at);
        assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
    }
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static uint64_t sum_file(int fd, uint64_t *count)
{
    static uint8_t bytes[PIECE];
    uint64_t sum = 0;
    ssize_t got;

    *count = 0;
    while ((got = read(fd, bytes, sizeof bytes)) > 0) {
        sum = sum_bytes(sum, *count, bytes, (size_t)got);
        *count += (uint64_t)got;
    }
    return sum;
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_100_mib_through_files_both_ways(void **state)
{
    int from = memory_file(LARGE);
    int to = memfd_create("result", MFD_CLOEXEC);
    double begin = seconds();
    uint64_t count;
    struct run run;

    (void)state;
    run_init(&run, &stand, "cat");
    run.options.ports[AGENT_IN] = (struct exec_port){EXEC_FD, from};
    run.options.ports[AGENT_OUT] = (struct exec_port){EXEC_FD, to};
    run_start(&run);
    close(from);
    run_wait(&run);
    print_message("files, 100 MiB in and out: %.0f MiB/s\n",
                  100 / (seconds() - begin));
    assert_int_equal(run.end.status, 0);
    lseek(to, 0, SEEK_SET);
    assert_int_equal(sum_file(to, &count), pattern_sum(LARGE));
    assert_int_equal(count, LARGE);
    close(to);
    run_done(&run);
}

/* Processes at both ends of real pipes, as a shell makes them. */
static void test_100_mib_through_pipes_both_ways(void **state)
{
    int file = memory_file(LARGE);
    int in[2], out[2], result[2];
    double begin = seconds();
    uint64_t got[2];
    pid_t writer, reader;
    struct run run;

    (void)state;
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC) |
                         pipe2(result, O_CLOEXEC),
                     0);
    writer = fork();
    if (writer == 0) {
        dup2(file, 0);
        dup2(in[1], 1);
        execlp("cat", "cat", (char *)NULL);
        _exit(1);
    }
    reader = fork();
    if (reader == 0) {
        close(in[0]), close(in[1]), close(out[1]);
        got[0] = sum_file(out[0], &got[1]);
        _exit(write(result[1], got, sizeof got) != sizeof got);
    }
    run_init(&run, &stand, "cat");
    run.options.ports[AGENT_IN] = (struct exec_port){EXEC_FD, in[0]};
    run.options.ports[AGENT_OUT] = (struct exec_port){EXEC_FD, out[1]};
    run_start(&run);
    close(in[0]), close(in[1]), close(out[0]), close(out[1]);
    run_wait(&run);
    print_message("pipes, 100 MiB in and out: %.0f MiB/s\n",
                  100 / (seconds() - begin));
    assert_int_equal(run.end.status, 0);
    assert_int_equal(read(result[0], got, sizeof got), sizeof got);
    assert_int_equal(got[1], LARGE);
    assert_int_equal(got[0], pattern_sum(LARGE));
    waitpid(writer, NULL, 0);
    waitpid(reader, NULL, 0);
    close(file), close(result[0]), close(result[1]);
    run_done(&run);
}

static void test_100_mib_through_buffers_both_ways(void **state)
{
    static uint8_t bytes[PIECE];
    double begin = seconds();
    uint64_t sent = 0;
    struct run run;

    (void)state;
    run_init(&run, &stand, "cat");
    run.drop = true;
    run.options.ports[AGENT_IN].kind = EXEC_BYTES;
    run_start(&run);
    while (sent < LARGE) {
        size_t piece = LARGE - sent < PIECE ? LARGE - sent : PIECE;
        size_t done;

        fill_pattern(bytes, piece, sent);
        done = exec_write(run.exec, bytes, piece);
        sent += done;
        if (done == piece)
            continue;
        run.writable = false;
        stand_until(&stand, &run.writable);
    }
    exec_write_end(run.exec);
    run_wait(&run);
    print_message("buffers, 100 MiB in and out: %.0f MiB/s\n",
                  100 / (seconds() - begin));
    assert_int_equal(run.count, LARGE);
    assert_int_equal(run.sum, pattern_sum(LARGE));
    run_done(&run);
}

static void test_end_of_stdin_reaches_the_program(void **state)
{
    struct run run;

    (void)state;
    run_init(&run, &stand, "wc -c");
    run.options.ports[AGENT_IN].kind = EXEC_BYTES;
    run_start(&run);
    assert_int_equal(exec_write(run.exec, "12345", 5), 5);
    exec_write_end(run.exec);
    run_wait(&run);
    assert_string_equal(run_out(&run), "5\n");
    run_done(&run);
}

static void test_dev_null_as_every_stream(void **state)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct run run;

    (void)state;
    run_init(&run, &stand, "echo a; echo b >&2; test $(wc -c) = 0");
    for (int i = 0; i < AGENT_STREAMS; i++)
        run.options.ports[i] = (struct exec_port){EXEC_FD, null};
    run_start(&run);
    run_wait(&run);
    assert_int_equal(run.end.status, 0);
    close(null);
    run_done(&run);
}

static void test_streams_that_nobody_wants_are_dev_null(void **state)
{
    struct run run;

    (void)state;
    run_init(&run, &stand,
             "echo lost; for i in 0 1 2; do readlink /proc/self/fd/$i >&2; "
             "done");
    run.options.ports[AGENT_OUT].kind = EXEC_NONE;
    run_start(&run);
    run_wait(&run);
    assert_non_null(strstr(run_err(&run), "/dev/null\n"));
    assert_int_equal(run.out.size, 0);
    run_done(&run);
}

static void test_stderr_stays_apart(void **state)
{
    struct run run;

    (void)state;
    run_script(&run, &stand, "echo out; echo err >&2; echo out again");
    assert_string_equal(run_out(&run), "out\nout again\n");
    assert_string_equal(run_err(&run), "err\n");
    assert_true(run.out_ended && run.err_ended);
    run_done(&run);
}

/* 60000 bytes fit into the pipe: the program is gone before they are read. */
static void test_output_left_in_the_pipe_is_delivered(void **state)
{
    struct run run;

    (void)state;
    run_script(&run, &stand, "head -c 60000 /dev/zero; exit 5");
    assert_int_equal(run.count, 60000);
    assert_int_equal(run.end.status, 5);
    run_done(&run);
}

/* As `docker run` does: the program's end is the end, whoever else holds the
 * pipe. */
static void test_background_process_does_not_hold_the_exit_back(void **state)
{
    struct run run;

    (void)state;
    run_script(&run, &stand, "sleep 1000 & echo $!; exit 4");
    assert_int_equal(run.end.status, 4);
    kill((pid_t)strtol(run_out(&run), NULL, 10), SIGKILL);
    run_done(&run);
}

static void test_slow_reader_is_bounded_and_blocks_nobody(void **state)
{
    struct run slow;
    struct run other;

    (void)state;
    run_init(&slow, &stand, "head -c 3000000 /dev/zero");
    slow.hold = true;
    run_start(&slow);
    while (slow.count < EXEC_WINDOW)
        loop_turn(stand.loop, -1);
    run_script(&other, &stand, "head -c 1000000 /dev/zero");
    assert_int_equal(other.count, 1000000);
    run_done(&other);
    stand_sync(&stand);
    assert_int_equal(slow.count, EXEC_WINDOW);
    assert_false(slow.ended);
    slow.hold = false;
    exec_consumed(slow.exec, AGENT_OUT, EXEC_WINDOW);
    run_wait(&slow);
    assert_int_equal(slow.count, 3000000);
    run_done(&slow);
}

static void test_slow_program_is_bounded_and_blocks_nobody(void **state)
{
    static const uint8_t bytes[1 << 20];
    struct run slow;
    struct run other;
    char path[96];
    size_t taken = 0;
    size_t before;

    (void)state;
    snprintf(path, sizeof path, "%s/pipe", stand.folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    run_init(&slow, &stand, "read line < $0/pipe; wc -c");
    slow.argv[3] = stand.folder;
    slow.options.ports[AGENT_IN].kind = EXEC_BYTES;
    run_start(&slow);
    do {
        before = taken;
        taken += exec_write(slow.exec, bytes, sizeof bytes);
        stand_sync(&stand);
        stand_sync(&stand);
    } while (taken > before && taken < sizeof bytes);
    /* It waits for another pipe and takes nothing: its own and both windows
     * are full. */
    assert_true(taken <= 2 * AGENT_STDIN_WINDOW + (64 << 10));
    run_script(&other, &stand, "echo quick");
    assert_string_equal(run_out(&other), "quick\n");
    run_done(&other);
    run_done(&slow);
}

/* Each writes again only when it is told that there is room: a program that is
 * forgotten hangs. */
static void test_many_programs_fed_with_bytes_all_get_room(void **state)
{
    enum { FED = 24, FED_BYTES = 1 << 20 };
    static const uint8_t bytes[FED_BYTES];
    struct run runs[FED];
    size_t given[FED] = {0};
    int left = FED;

    (void)state;
    for (int i = 0; i < FED; i++) {
        run_init(&runs[i], &stand, "wc -c");
        runs[i].options.ports[AGENT_IN].kind = EXEC_BYTES;
        run_start(&runs[i]);
        runs[i].writable = true;
    }
    while (left > 0) {
        for (int i = 0; i < FED; i++) {
            if (!runs[i].writable || given[i] == FED_BYTES)
                continue;
            given[i] += exec_write(runs[i].exec, bytes + given[i],
                                   FED_BYTES - given[i]);
            runs[i].writable = false;
            if (given[i] == FED_BYTES) {
                exec_write_end(runs[i].exec);
                left--;
            }
        }
        if (left > 0)
            loop_turn(stand.loop, -1);
    }
    for (int i = 0; i < FED; i++) {
        run_wait(&runs[i]);
        assert_string_equal(run_out(&runs[i]), "1048576\n");
        run_done(&runs[i]);
    }
}

static void test_broken_output_ends_that_program_only(void **state)
{
    struct run run;
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    run_init(&run, &stand, "exec yes");
    run.options.ports[AGENT_OUT] = (struct exec_port){EXEC_FD, ends[1]};
    run_start(&run);
    close(ends[1]);
    run_wait(&run);
    assert_int_equal(run.end.outcome, EXEC_SIGNALED);
    assert_int_equal(run.end.exit.value, SIGPIPE);
    run_done(&run);
    run_script(&run, &stand, "echo still here");
    assert_string_equal(run_out(&run), "still here\n");
    run_done(&run);
}

static void test_output_that_a_full_disk_refuses_is_missed(void **state)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    struct run run;

    (void)state;
    assert_true(full >= 0);
    for (int i = AGENT_OUT; i <= AGENT_ERR; i++) {
        run_init(&run, &stand, "echo word; echo word >&2");
        run.options.ports[i] = (struct exec_port){EXEC_FD, full};
        run_start(&run);
        run_wait(&run);
        assert_int_equal(run.end.outcome, EXEC_UNWRITTEN);
        assert_int_equal(run.end.status, 125);
        assert_int_equal(run.end.error.code, SM_ENOSPC);
        assert_non_null(strstr(run.end.error.message,
                               i == AGENT_OUT ? "stdout" : "stderr"));
        run_done(&run);
    }
    close(full);
}

static void test_closed_stdin_takes_and_drops(void **state)
{
    static const uint8_t bytes[1 << 20];
    struct run run;
    size_t taken = 0;

    (void)state;
    run_init(&run, &stand, "exec <&-; echo closed; read x; sleep 1000");
    run.options.ports[AGENT_IN].kind = EXEC_BYTES;
    run_start(&run);
    while (run.count == 0)
        loop_turn(stand.loop, -1);
    while (taken < 8 * sizeof bytes) {
        taken += exec_write(run.exec, bytes, sizeof bytes);
        stand_sync(&stand);
    }
    assert_false(run.ended);
    run_done(&run);
}

static void test_200_programs_at_once_are_not_mixed(void **state)
{
    enum { COUNT = 200 };
    static struct run runs[COUNT];
    static char scripts[COUNT][96];
    char wanted[32];

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        snprintf(scripts[i], sizeof scripts[i],
                 "echo out %d; cat; echo err %d >&2; exit %d", i, i, i);
        run_init(&runs[i], &stand, scripts[i]);
        runs[i].options.ports[AGENT_IN].kind = EXEC_BYTES;
        run_start(&runs[i]);
        snprintf(wanted, sizeof wanted, "in %d\n", i);
        assert_int_equal(exec_write(runs[i].exec, wanted, strlen(wanted)),
                         strlen(wanted));
    }
    for (int i = COUNT - 1; i >= 0; i--)
        exec_write_end(runs[i].exec);
    for (int i = 0; i < COUNT; i++) {
        run_wait(&runs[i]);
        snprintf(wanted, sizeof wanted, "out %d\nin %d\n", i, i);
        assert_string_equal(run_out(&runs[i]), wanted);
        snprintf(wanted, sizeof wanted, "err %d\n", i);
        assert_string_equal(run_err(&runs[i]), wanted);
        assert_int_equal(runs[i].end.status, i);
        run_done(&runs[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_100_mib_through_files_both_ways),
        cmocka_unit_test(test_100_mib_through_pipes_both_ways),
        cmocka_unit_test(test_100_mib_through_buffers_both_ways),
        cmocka_unit_test(test_end_of_stdin_reaches_the_program),
        cmocka_unit_test(test_dev_null_as_every_stream),
        cmocka_unit_test(test_streams_that_nobody_wants_are_dev_null),
        cmocka_unit_test(test_stderr_stays_apart),
        cmocka_unit_test(test_output_left_in_the_pipe_is_delivered),
        cmocka_unit_test(test_background_process_does_not_hold_the_exit_back),
        cmocka_unit_test(test_slow_reader_is_bounded_and_blocks_nobody),
        cmocka_unit_test(test_slow_program_is_bounded_and_blocks_nobody),
        cmocka_unit_test(test_many_programs_fed_with_bytes_all_get_room),
        cmocka_unit_test(test_broken_output_ends_that_program_only),
        cmocka_unit_test(test_output_that_a_full_disk_refuses_is_missed),
        cmocka_unit_test(test_closed_stdin_takes_and_drops),
        cmocka_unit_test(test_200_programs_at_once_are_not_mixed),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
