/* test_reports.c: what the agent tells of its machine; files and chains that
 * come with a program. */
#include "stand.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static int set_up_cgroups(void **state)
{
    (void)state;
    stand_start(&stand, STAND_CGROUPS);
    return 0;
}

static void test_figures_are_those_of_the_system(void **state)
{
    (void)state;
    assert_int_equal(session_report(stand.session, AGENT_REPORT_FIGURES, NULL),
                     0);
    stand_sync(&stand);
    assert_int_equal(stand.figures.memory_total_bytes / 1000000,
                     (uint64_t)sysconf(_SC_PHYS_PAGES) *
                         (uint64_t)sysconf(_SC_PAGESIZE) / 1000000);
    assert_in_range(stand.figures.memory_available_bytes, 1,
                    stand.figures.memory_total_bytes);
    assert_true(stand.figures.uptime_ns > 0);
    assert_true(stand.figures.processes >= 1);
    assert_int_equal(stand.figures.oom_kills, 0);
}

static void test_processes_are_listed_with_their_words(void **state)
{
    struct agent_process process;
    struct wire_reader from;
    bool self = false, found = false;
    struct run run;

    (void)state;
    run_init(&run, &stand, "echo ready; exec sleep 1000");
    run_start(&run);
    while (run.out.size < 6)
        loop_turn(stand.loop, -1);
    /* The exec may come after the word. */
    while (!found) {
        buf_clear(&stand.processes);
        stand.processes_whole = false;
        assert_int_equal(
            session_report(stand.session, AGENT_REPORT_PROCESSES, NULL), 0);
        stand_until(&stand, &stand.processes_whole);
        wire_read(&from, stand.processes.data, stand.processes.size);
        while (from.left) {
            assert_int_equal(agent_get_process(&process, &from, NULL), 0);
            self |= process.pid == (uint32_t)stand.guest;
            found |= process.pid == run.pid && process.command_count == 10 &&
                     memcmp(process.command, "sleep 1000", 10) == 0 &&
                     process.parent == (uint32_t)stand.guest &&
                     process.uid == getuid() && process.threads == 1 &&
                     process.rss_bytes > 0;
        }
    }
    assert_false(self);
    run_done(&run);
}

/* What the kernel would have written. */
static void kernel_says(const char *record)
{
    char path[128];
    int fd;

    snprintf(path, sizeof path, "%s/kmsg", stand.folder);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, record, strlen(record)), strlen(record));
    close(fd);
}

static void kernel_kills(const char *format, uint32_t pid)
{
    char record[256];

    snprintf(record, sizeof record,
             "3,451,64563000,-;%s: Killed process %u (sh) total-vm:18444kB, "
             "anon-rss:4kB\n",
             format, pid);
    kernel_says(record);
}

static void test_memory_that_ran_out_is_told(void **state)
{
    struct run run;

    (void)state;
    run_init(&run, &stand, "echo ready; exec sleep 1000");
    run_start(&run);
    while (run.out.size < 6)
        loop_turn(stand.loop, -1);
    kernel_kills("Out of memory", run.pid);
    kill((pid_t)run.pid, SIGKILL);
    run_wait(&run);
    assert_int_equal(run.end.status, 137);
    assert_int_equal(run.end.exit.flags, AGENT_EXIT_OOM);
    stand_sync(&stand);
    assert_int_equal(stand.oom.pid, run.pid);
    assert_string_equal(stand.oom.name, "sh");
    run_done(&run);
}

static void test_memory_of_a_grandchild_counts_for_its_program(void **state)
{
    struct run run;

    (void)state;
    run_init(&run, &stand, "sleep 1000 & echo $!; wait $!; exit 3");
    run_start(&run);
    while (!memchr(run.out.data ? run.out.data : (const uint8_t *)"", '\n',
                   run.out.size))
        loop_turn(stand.loop, -1);
    kernel_kills("Memory cgroup out of memory",
                 (uint32_t)strtoul(run_out(&run), NULL, 10));
    stand_sync(&stand);
    kill((pid_t)strtol(run_out(&run), NULL, 10), SIGKILL);
    run_wait(&run);
    assert_int_equal(run.end.status, 3);
    assert_int_equal(run.end.exit.flags, AGENT_EXIT_OOM);
    run_done(&run);
}

/* Its parent has waited for it before the record could be read. */
static void test_memory_of_one_that_is_gone_counts_for_who_fails(void **state)
{
    struct run fine;
    struct run run;
    struct run later;

    (void)state;
    /* Whatever time the next steps take, it waits for a line meanwhile. */
    run_init(&run, &stand, "echo ready; read x; exit 3");
    run.options.ports[AGENT_IN].kind = EXEC_BYTES;
    run_start(&run);
    while (run.out.size < 6)
        loop_turn(stand.loop, -1);
    /* No process has such a number. */
    kernel_kills("Out of memory", 0x7ffffff0);
    stand_sync(&stand);
    run_init(&fine, &stand, "exit 0");
    run_start(&fine);
    run_wait(&fine);
    assert_int_equal(fine.end.exit.flags, 0);
    exec_signal(run.exec, SIGTERM, AGENT_TREE, NULL);
    run_wait(&run);
    assert_int_equal(run.end.exit.flags, AGENT_EXIT_OOM);
    run_init(&later, &stand, "exit 4");
    run_start(&later);
    run_wait(&later);
    assert_int_equal(later.end.exit.flags, 0);
    run_done(&fine);
    run_done(&run);
    run_done(&later);
}

static void test_memory_is_the_kernels_word_only(void **state)
{
    static const char *const records[] = {
        /* Facility 1: a program wrote it. */
        "11,451,64563000,-;Out of memory: Killed process 5 (sh) total\n",
        "3,451,64563000,-;Killed process 5 (sh) total\n",
        "3,451,64563000,-;Out of memory: Killed process x (sh)\n",
        "3,451,64563000,-;Out of memory: Killed process 5\n",
        "3,451,64563000,-;Out of memory: Killed process 0 (sh)\n",
        "Out of memory: Killed process 5 (sh)\n",
        "\n",
        ";",
    };

    (void)state;
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        kernel_says(records[i]);
        stand_sync(&stand);
        assert_int_equal(stand.oom.pid, 0);
    }
    assert_int_equal(session_report(stand.session, AGENT_REPORT_FIGURES, NULL),
                     0);
    stand_sync(&stand);
    assert_int_equal(stand.figures.oom_kills, 0);
}

/* Chains ------------------------------------------------------------------ */

static void chain(struct run *run, const char *first,
                  const char *const *const *then, uint32_t count)
{
    run_init(run, &stand, first);
    run->options.program.then = then;
    run->options.program.then_count = count;
    run_start(run);
    run_wait(run);
}

static void test_chain_runs_until_one_fails(void **state)
{
    static const char *const second[] = {"sh", "-c", "echo 2; cat", NULL};
    static const char *const third[] = {"sh", "-c", "echo 3; exit 7", NULL};
    static const char *const killed[] = {"sh", "-c", "kill -TERM $$", NULL};
    static const char *const missing[] = {"no-such-command", NULL};
    static const char *const *const whole[] = {second, third};
    static const char *const *const cut[] = {killed, third};
    static const char *const *const gone[] = {missing, third};
    struct run run;

    (void)state;
    chain(&run, "echo 1", whole, 2);
    assert_string_equal(run_out(&run), "1\n2\n3\n");
    assert_int_equal(run.end.status, 7);
    run_done(&run);
    chain(&run, "echo 1; exit 5", whole, 2);
    assert_string_equal(run_out(&run), "1\n");
    assert_int_equal(run.end.status, 5);
    run_done(&run);
    chain(&run, "echo 1", cut, 2);
    assert_int_equal(run.end.outcome, EXEC_SIGNALED);
    assert_int_equal(run.end.status, 143);
    run_done(&run);
    chain(&run, "echo 1", gone, 2);
    assert_string_equal(run_out(&run), "1\n");
    assert_non_null(strstr(run_err(&run), "no-such-command"));
    assert_int_equal(run.end.status, 127);
    run_done(&run);
    /* The first is as if it were alone. */
    run_init(&run, &stand, NULL);
    run.options.program.argv = missing;
    run.options.program.then = whole;
    run.options.program.then_count = 2;
    run_start(&run);
    run_wait(&run);
    assert_int_equal(run.end.outcome, EXEC_FAILED);
    assert_int_equal(run.end.status, 127);
    run_done(&run);
}

/* A chain's own process must not hold what others wait to see closed. */
static void test_chain_keeps_nothing_open(void **state)
{
    static const char *const list[] = {"sh", "-c", "ls /proc/$PPID/fd", NULL};
    static const char *const last[] = {"true", NULL};
    static const char *const *const then[] = {list, last};
    struct run run;

    (void)state;
    chain(&run, "ls /proc/$PPID/fd", then, 2);
    /* While the first runs its error pipe is gone, too. */
    assert_string_equal(run_out(&run), "0\n1\n2\n0\n1\n2\n");
    run_done(&run);
}

/* Files ------------------------------------------------------------------- */

static void test_files_are_there_before_the_program(void **state)
{
    static const uint8_t bytes[] = {'a', 0, 'b'};
    char deep[128], link[128], target[128], script[512];
    struct agent_file files[3];
    struct stat st;
    struct run run;

    (void)state;
    snprintf(deep, sizeof deep, "%s/one/two/file", stand.folder);
    snprintf(link, sizeof link, "%s/link", stand.folder);
    snprintf(target, sizeof target, "%s/passwd", stand.folder);
    assert_int_equal(symlink(target, link), 0);
    files[0] = (struct agent_file){
        .path = deep, .mode = 0750, .bytes = bytes, .count = sizeof bytes};
    files[1] = (struct agent_file){.path = link, .mode = 0600};
    files[2] = (struct agent_file){
        .path = "below", .mode = 0644, .bytes = bytes, .count = 1};
    snprintf(script, sizeof script,
             "od -An -c %s; stat -c %%a:%%s %s %s; cat "
             "below",
             deep, deep, link);
    run_init(&run, &stand, script);
    run.options.program.cwd = stand.folder;
    run.options.program.files = files;
    run.options.program.file_count = 3;
    run_start(&run);
    run_wait(&run);
    assert_string_equal(run_out(&run), "   a  \\0   b\n750:3\n600:0\na");
    run_done(&run);
    /* The link was replaced; what it led to is as before. */
    assert_int_equal(stat(target, &st), 0);
    assert_true(st.st_size > 0);
    snprintf(script, sizeof script, "cd %s && rm -r one link below",
             stand.folder);
    run_script(&run, &stand, script);
    assert_int_equal(run.end.status, 0);
    run_done(&run);
}

static void test_file_that_cannot_be_is_told(void **state)
{
    const struct agent_file file = {.path = "/proc/none/file", .mode = 0644};
    struct run run;

    (void)state;
    run_init(&run, &stand, "true");
    run.options.program.files = &file;
    run.options.program.file_count = 1;
    run_start(&run);
    run_wait(&run);
    assert_int_equal(run.end.outcome, EXEC_FAILED);
    assert_int_equal(run.end.error.code, SM_EIO);
    assert_non_null(strstr(run.end.error.message, "/proc/none/file"));
    run_done(&run);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_figures_are_those_of_the_system),
        TEST(test_processes_are_listed_with_their_words),
        TEST(test_memory_that_ran_out_is_told),
        cmocka_unit_test_setup_teardown(
            test_memory_of_a_grandchild_counts_for_its_program, set_up_cgroups,
            tear_down),
        TEST(test_memory_of_one_that_is_gone_counts_for_who_fails),
        TEST(test_memory_is_the_kernels_word_only),
        TEST(test_chain_runs_until_one_fails),
        TEST(test_chain_keeps_nothing_open),
        TEST(test_files_are_there_before_the_program),
        TEST(test_file_that_cannot_be_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
