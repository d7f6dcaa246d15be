/* main.c: the library's calls against real machines; see library.sh.
 *
 *     library REFERENCE
 *
 * Each test prints "ok NAME" or "not ok NAME". A wait that would never end is
 * ended by the alarm of the whole program.
 */
#include "common.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WATCHDOG_S = 1800,
    CATS = 32,
    CAT_BYTES = 1 << 18,
    CYCLES = 3,
    MOMENTS = 64,
    POLL_MS = 60000,
    STILL_MS = 1000,
    UNDER_WAY_MAX = 50 /* reads of what had been said by then */
};

/* One `cat` that is given bytes and gives them back. */
struct cat {
    struct sm_exec *exec;
    uint8_t seed;
    size_t written;
    size_t read;
    bool over;
};

static uint8_t byte_at(const struct cat *cat, size_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) + cat->seed);
}

static bool give(struct cat *cat)
{
    uint8_t bytes[5000];
    int64_t taken = 1;

    while (cat->written < CAT_BYTES && taken > 0) {
        size_t count = CAT_BYTES - cat->written;

        if (count > sizeof bytes)
            count = sizeof bytes;
        for (size_t i = 0; i < count; i++)
            bytes[i] = byte_at(cat, cat->written + i);
        taken = sm_exec_write(cat->exec, bytes, count, SM_NOWAIT, &err);
        NEED(taken > 0 || taken == SM_ETIMEOUT);
        if (taken > 0)
            cat->written += (size_t)taken;
        if (cat->written == CAT_BYTES)
            sm_exec_write_end(cat->exec);
    }
    return true;
}

static bool take(struct cat *cat)
{
    uint8_t bytes[7000];
    int64_t count = 1;

    while (count > 0) {
        count =
            sm_exec_read(cat->exec, 1, bytes, sizeof bytes, SM_NOWAIT, &err);
        NEED(count >= 0 || count == SM_ETIMEOUT);
        for (int64_t i = 0; i < count; i++)
            NEED(bytes[i] == byte_at(cat, cat->read++));
    }
    cat->over = count == 0;
    return true;
}

/* Everything is driven by what the descriptors show. */
static bool test_many_at_once_whole_and_apart(void)
{
    struct sm_machine *machine = start();
    struct cat cats[CATS] = {{0}};
    struct pollfd wait[CATS + 1] = {{0}};
    struct sm_exit_status status;
    int left = CATS;

    for (int i = 0; i < CATS; i++) {
        cats[i].exec = shell(machine, "cat");
        cats[i].seed = (uint8_t)(i * 7);
        wait[i] = (struct pollfd){.fd = sm_exec_fd(cats[i].exec, &err),
                                  .events = POLLIN};
        NEED(wait[i].fd >= 0);
        NEED(give(&cats[i]));
    }
    wait[CATS] =
        (struct pollfd){.fd = sm_machine_fd(machine, &err), .events = POLLIN};
    NEED(wait[CATS].fd >= 0);
    while (left > 0) {
        NEED(poll(wait, CATS + 1, POLL_MS) > 0);
        if (wait[CATS].revents)
            sm_machine_dispatch(machine);
        for (int i = 0; i < CATS; i++) {
            if (cats[i].over || !wait[i].revents)
                continue;
            NEED(give(&cats[i]) && take(&cats[i]));
            if (cats[i].over)
                left--, wait[i].fd = -1;
        }
    }
    for (int i = 0; i < CATS; i++) {
        NEED(cats[i].read == CAT_BYTES);
        NEED(sm_exec_wait(cats[i].exec, 0, &status, &err) == 0);
        NEED(status.exited && status.code == 0);
        sm_exec_free(cats[i].exec);
    }
    sm_machine_free(machine);
    return true;
}

static bool test_descriptor_shows_what_there_is(void)
{
    struct sm_machine *machine = start();
    struct sm_exec *exec = shell(machine, "read x; echo got $x; read x");
    int machine_fd = sm_machine_fd(machine, &err);
    int fd = sm_exec_fd(exec, &err);
    struct sm_exit_status status;
    char text[64];

    NEED(machine_fd >= 0 && fd >= 0 && fd == sm_exec_fd(exec, &err));
    NEED(machine_fd == sm_machine_fd(machine, &err));
    NEED(sm_exec_wait(exec, 200, &status, &err) == SM_ETIMEOUT);
    NEED(!is_readable(fd, 0));
    NEED(sm_exec_read(exec, 1, text, 64, SM_NOWAIT, &err) == SM_ETIMEOUT);
    NEED(sm_exec_read(exec, 1, text, 64, 100, &err) == SM_ETIMEOUT);
    NEED(sm_exec_write(exec, "it\n", 3, 0, &err) == 3);
    while (!is_readable(fd, 0)) {
        NEED(is_readable(machine_fd, POLL_MS));
        sm_machine_dispatch(machine);
    }
    NEED(sm_exec_read(exec, 1, text, 3, 0, &err) == 3);
    NEED(is_readable(fd, 0));
    NEED(sm_exec_read(exec, 1, text + 3, 61, 0, &err) == 4);
    NEED(memcmp(text, "got it\n", 7) == 0);
    NEED(!is_readable(fd, 0));
    sm_exec_write_end(exec);
    NEED(sm_exec_wait(exec, 0, &status, &err) == 0 && status.code == 1);
    NEED(is_readable(fd, 0));
    NEED(sm_exec_read(exec, 1, text, 64, 0, &err) == 0);
    NEED(sm_exec_read(exec, 2, text, 64, 0, &err) == 0);
    NEED(sm_exec_write(exec, "x", 1, 0, &err) == SM_ECLOSED);
    sm_exec_free(exec);
    sm_machine_free(machine);
    return true;
}

static bool test_start_without_waiting(void)
{
    struct sm_machine *machine = NULL;
    struct sm_exec *execs[MOMENTS];
    struct sm_exit_status status;
    struct sm_machine_end end;
    int count = 0;
    int fd;

    NEED(sm_machine_new(host, image, NULL, &machine, &err) == 0);
    NEED(sm_machine_state(machine) == SM_MACHINE_NEW);
    NEED(sm_machine_wait(machine, 0, &end, &err) == SM_ESTATE);
    NEED(sm_machine_stop(machine, 0, &err) == SM_ESTATE);
    fd = sm_machine_fd(machine, &err);
    NEED(fd >= 0);
    NEED(sm_machine_start(machine, SM_NOWAIT, &err) == 0);
    NEED(sm_machine_state(machine) == SM_MACHINE_STARTING);
    /* Commands that come at every moment of the start. */
    while (sm_machine_state(machine) == SM_MACHINE_STARTING) {
        if (count < MOMENTS)
            execs[count++] = shell(machine, "exit 6");
        NEED(is_readable(fd, POLL_MS));
        sm_machine_dispatch(machine);
    }
    NEED(sm_machine_state(machine) == SM_MACHINE_RUNNING);
    NEED(count > 0);
    while (count > 0) {
        NEED(sm_exec_wait(execs[--count], POLL_MS, &status, &err) == 0);
        NEED(status.code == 6);
        sm_exec_free(execs[count]);
    }
    NEED(sm_machine_wait(machine, SM_NOWAIT, &end, &err) == SM_ETIMEOUT);
    NEED(sm_machine_wait(machine, 50, &end, &err) == SM_ETIMEOUT);
    sm_machine_free(machine);
    return true;
}

/* A start that takes too long shows on the descriptor, too. */
static bool test_start_that_is_late(void)
{
    struct sm_machine *machine = NULL;
    struct sm_machine_end end;

    NEED(sm_machine_new(host, image, NULL, &machine, &err) == 0);
    NEED(sm_machine_start(machine, 1, &err) == SM_ETIMEOUT);
    NEED(sm_machine_wait(machine, 0, &end, &err) == 0);
    NEED(end.reason == SM_END_FAILED && end.error.code == SM_ETIMEOUT);
    sm_machine_free(machine);
    return true;
}

static bool test_stop_lets_commands_finish(void)
{
    struct sm_machine *machine = start();
    struct sm_exec *exec =
        shell(machine, "trap 'echo bye; exit 3' TERM; echo up; "
                       "while :; do sleep 1; done");
    struct sm_exit_status status;
    struct sm_machine_end end;
    char text[16];

    NEED(sm_exec_read(exec, 1, text, sizeof text, 0, &err) == 3);
    NEED(sm_machine_stop(machine, 20000, &err) == 0);
    NEED(sm_machine_state(machine) == SM_MACHINE_STOPPED);
    NEED(sm_machine_wait(machine, SM_NOWAIT, &end, &err) == 0);
    NEED(end.reason == SM_END_POWER_OFF);
    NEED(sm_exec_read(exec, 1, text, sizeof text, 0, &err) == 4);
    NEED(memcmp(text, "bye\n", 4) == 0);
    NEED(sm_exec_wait(exec, 0, &status, &err) == 0 && status.code == 3);
    NEED(sm_machine_stop(machine, 0, &err) == 0);
    sm_exec_free(exec);
    sm_machine_free(machine);
    return true;
}

static bool test_paused_machine_stands_still(void)
{
    struct sm_machine *machine = start();
    struct sm_exec *exec =
        shell(machine, "while :; do echo tick; sleep 0.1; done");
    struct sm_exec *later;
    struct sm_exit_status status;
    struct sm_machine_end end;
    char text[4096];

    NEED(sm_machine_resume(machine, &err) == 0);
    for (int i = 0; i < 3; i++) {
        int64_t got = 0;
        int reads;

        NEED(sm_exec_read(exec, 1, text, sizeof text, 0, &err) > 0);
        NEED(sm_machine_pause(machine, &err) == 0);
        NEED(sm_machine_pause(machine, &err) == 0);
        NEED(sm_machine_state(machine) == SM_MACHINE_PAUSED);
        /* What was under way comes, then nothing: one that goes on would
         * never let a second pass. */
        for (reads = 0; reads <= UNDER_WAY_MAX && got != SM_ETIMEOUT; reads++) {
            got = sm_exec_read(exec, 1, text, sizeof text, STILL_MS, &err);
            NEED(got > 0 || got == SM_ETIMEOUT);
        }
        NEED(got == SM_ETIMEOUT);
        later = shell(machine, "exit 5");
        NEED(sm_exec_wait(later, 200, &status, &err) == SM_ETIMEOUT);
        NEED(sm_machine_resume(machine, &err) == 0);
        NEED(sm_machine_state(machine) == SM_MACHINE_RUNNING);
        NEED(sm_exec_wait(later, 0, &status, &err) == 0 && status.code == 5);
        sm_exec_free(later);
    }
    NEED(sm_machine_pause(machine, &err) == 0);
    NEED(sm_machine_stop(machine, 0, &err) == 0);
    NEED(sm_machine_wait(machine, 0, &end, &err) == 0);
    NEED(end.reason == SM_END_POWER_OFF);
    NEED(sm_machine_pause(machine, &err) == SM_ESTATE);
    sm_exec_free(exec);
    sm_machine_free(machine);
    return true;
}

static void *kill_machine(void *machine)
{
    sm_machine_kill(machine);
    return NULL;
}

static bool test_kill_from_another_thread(void)
{
    struct sm_machine *machine = start();
    struct sm_exec *exec = shell(machine, "sleep 1000");
    struct sm_exit_status status;
    struct sm_machine_end end;
    pthread_t thread;

    NEED(pthread_create(&thread, NULL, kill_machine, machine) == 0);
    NEED(sm_exec_wait(exec, 0, &status, &err) == SM_EGUEST);
    NEED(sm_machine_wait(machine, 0, &end, &err) == 0);
    NEED(end.reason == SM_END_KILLED);
    pthread_join(thread, NULL);
    sm_exec_free(exec);
    sm_machine_free(machine);
    return true;
}

static bool test_free_kills_what_it_started(void)
{
    struct sm_machine *machine = start();
    struct sm_exec *exec = shell(machine, "sleep 1000 & echo up; sleep 1000");
    struct sm_exit_status status;
    char text[16];

    NEED(sm_exec_read(exec, 1, text, sizeof text, 0, &err) == 3);
    sm_exec_free(exec);
    exec = shell(machine, "while pidof sleep; do sleep 0.1; done >/dev/null");
    /* Its own sleeps come and go; those of the first would never. */
    NEED(sm_exec_wait(exec, POLL_MS, &status, &err) == 0);
    sm_exec_free(exec);
    sm_machine_free(machine);
    return true;
}

static bool test_nothing_leaks(void)
{
    int before = count_entries("/proc/self/fd");

    for (int i = 0; i < CYCLES; i++) {
        struct sm_machine *machine = start();
        struct sm_exec *exec = shell(machine, "echo word");
        struct sm_exit_status status;

        NEED(sm_machine_fd(machine, &err) >= 0 && sm_exec_fd(exec, &err) >= 0);
        NEED(sm_exec_wait(exec, 0, &status, &err) == 0);
        sm_exec_free(exec);
        sm_machine_free(machine);
    }
    NEED(count_entries("/proc/self/fd") == before);
    return true;
}

/* One file as bytes. */
static bool write_file(struct sm_machine *machine, const char *path,
                       const char *text)
{
    struct sm_exit_status status;
    struct sm_file_config config;
    struct sm_exec *exec;

    sm_file_config_init(&config);
    config.work = SM_FILE_WRITE;
    config.path = path;
    config.mode = 0600;
    NEED(sm_file_open(machine, &config, &exec, &err) == 0);
    NEED(sm_exec_write(exec, text, strlen(text), 0, &err) ==
         (int64_t)strlen(text));
    sm_exec_write_end(exec);
    NEED(sm_exec_wait(exec, 0, &status, &err) == 0);
    sm_exec_free(exec);
    return true;
}

static bool test_files_between_two_machines(void)
{
    struct sm_machine *one = start();
    struct sm_machine *other = start();
    struct sm_copy_config copy;
    struct sm_file_stat stat;

    NEED(write_file(one, "/tmp/file", "from one"));
    sm_copy_config_init(&copy);
    copy.from_machine = one;
    copy.from = "/tmp/file";
    copy.to_machine = other;
    copy.to = "/tmp/copy";
    NEED(sm_copy(&copy, NULL, &err) == 0);
    NEED(sm_file_stat(other, "/tmp/copy", 0, &stat, &err) == 0);
    NEED(stat.bytes == 8 && stat.mode == 0100600 && stat.uid == 0);
    NEED(sm_file_stat(other, "/tmp/file", 0, &stat, &err) == SM_ENOENT);
    copy.from = "/none";
    NEED(sm_copy(&copy, NULL, &err) == SM_ENOENT);
    copy.from = "/tmp/file";
    copy.to = "/none/copy";
    NEED(sm_copy(&copy, NULL, &err) == SM_ENOENT);
    copy.to_machine = one;
    copy.to = "/tmp/same";
    NEED(sm_copy(&copy, NULL, &err) == 0);
    sm_machine_free(other);
    sm_machine_kill(one);
    NEED(sm_copy(&copy, NULL, &err) != 0);
    sm_machine_free(one);
    return true;
}

/* A machine that says nothing for ever costs no more than the time-out. */
static bool test_copy_has_a_time_out(void)
{
    struct sm_machine *machine = NULL;
    struct sm_copy_config copy;

    NEED(sm_machine_new(host, image, NULL, &machine, &err) == 0);
    sm_copy_config_init(&copy);
    copy.from_machine = machine;
    copy.from = "/etc";
    copy.to = "/tmp";
    copy.timeout_ms = 300;
    NEED(sm_copy(&copy, NULL, &err) == SM_ESTATE);
    NEED(sm_machine_start(machine, 0, &err) == 0);
    NEED(sm_machine_pause(machine, &err) == 0);
    NEED(sm_copy(&copy, NULL, &err) == SM_ETIMEOUT);
    copy.to_machine = machine;
    copy.from_machine = NULL;
    NEED(sm_copy(&copy, NULL, &err) == SM_ETIMEOUT);
    sm_machine_free(machine);
    return true;
}

/* Until it is no longer under way, in an event loop. */
static int await_snapshot(struct sm_machine *machine,
                          const struct sm_snapshot_config *config,
                          struct sm_snapshot_info *info)
{
    int fd = sm_machine_fd(machine, &err);
    int rc;

    while ((rc = sm_snapshot_create(machine, config, info, &err)) == 1 &&
           is_readable(fd, POLL_MS))
        sm_machine_dispatch(machine);
    return rc;
}

static bool drop_snapshot(const char *name)
{
    NEED(sm_store_remove(host, name, 0, NULL, NULL, &err) == 0);
    return true;
}

static bool test_snapshot_without_waiting(void)
{
    struct sm_machine *machine = start();
    struct sm_snapshot_config config;
    struct sm_snapshot_info info;
    struct sm_exit_status status;
    struct sm_machine *forks[1];
    struct sm_exec *exec;

    sm_snapshot_config_init(&config);
    config.flags = SM_SNAPSHOT_NOWAIT;
    config.name = "one";
    NEED(sm_machine_fd(machine, &err) >= 0);
    NEED(sm_snapshot_create(machine, &config, &info, &err) == 1);
    NEED(sm_machine_fork(machine, NULL, 1, forks, &err) == SM_EBUSY);
    config.name = "two";
    NEED(sm_snapshot_create(machine, &config, &info, &err) == SM_EBUSY);
    /* The machine does all that it does at other times. */
    NEED(sm_machine_pause(machine, &err) == 0);
    NEED(sm_machine_resume(machine, &err) == 0);
    exec = shell(machine, "exit 4");
    NEED(sm_exec_wait(exec, POLL_MS, &status, &err) == 0 && status.code == 4);
    config.name = "one";
    NEED(await_snapshot(machine, &config, &info) == 0);
    NEED(strcmp(info.name, "one") == 0 && info.paused_ns > 0);
    NEED(sm_snapshot_create(machine, &config, &info, &err) == SM_EEXIST);
    /* One that was begun can be waited for. */
    config.name = "two";
    NEED(sm_snapshot_create(machine, &config, &info, &err) == 1);
    config.flags = 0;
    NEED(sm_snapshot_create(machine, &config, &info, &err) == 0);
    NEED(sm_machine_fork(machine, NULL, 1, forks, &err) == 0);
    sm_machine_free(forks[0]);
    sm_exec_free(exec);
    sm_machine_free(machine);
    return drop_snapshot("snapshot:one") && drop_snapshot("snapshot:two");
}

static int count_snapshots(void)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/snapshots", getenv("SUPERMACHINE_HOME"));
    return count_entries(path);
}

static bool test_snapshot_that_comes_to_nothing(void)
{
    struct sm_machine *machine = start();
    struct sm_exec *exec = shell(machine, "sleep 1000");
    struct sm_snapshot_config config;
    struct sm_exit_status status;
    int before = count_snapshots();
    int rc;

    sm_snapshot_config_init(&config);
    config.flags = SM_SNAPSHOT_NOWAIT;
    config.name = "none";
    config.command = exec;
    NEED(sm_snapshot_create(machine, &config, NULL, &err) == 1);
    /* Its command goes: it may have been taken before that. */
    sm_exec_free(exec);
    config.command = NULL;
    rc = await_snapshot(machine, &config, NULL);
    NEED(rc == SM_ESTATE || (rc == 0 && drop_snapshot("snapshot:none")));
    exec = shell(machine, "exit 0");
    NEED(sm_exec_wait(exec, POLL_MS, &status, &err) == 0);
    config.command = exec;
    NEED(sm_snapshot_create(machine, &config, NULL, &err) == SM_ESTATE);
    sm_exec_free(exec);
    config.command = NULL;
    NEED(sm_snapshot_create(machine, &config, NULL, &err) == 1);
    NEED(count_snapshots() == before + 1);
    sm_machine_kill(machine);
    NEED(await_snapshot(machine, &config, NULL) == SM_EGUEST);
    NEED(sm_snapshot_create(machine, &config, NULL, &err) == SM_ESTATE);
    sm_machine_free(machine);
    NEED(count_snapshots() == before);
    machine = start();
    NEED(sm_snapshot_create(machine, &config, NULL, &err) == 1);
    sm_machine_free(machine);
    NEED(count_snapshots() == before);
    return true;
}

#define RUN(name) report(#name, test_##name())

int main(int argc, char **argv)
{
    if (argc != 2)
        return fprintf(stderr, "library REFERENCE\n"), 2;
    open_image(argv[1], WATCHDOG_S);
    RUN(descriptor_shows_what_there_is);
    RUN(many_at_once_whole_and_apart);
    RUN(start_without_waiting);
    RUN(start_that_is_late);
    RUN(stop_lets_commands_finish);
    RUN(paused_machine_stands_still);
    RUN(kill_from_another_thread);
    RUN(free_kills_what_it_started);
    RUN(files_between_two_machines);
    RUN(copy_has_a_time_out);
    RUN(snapshot_without_waiting);
    RUN(snapshot_that_comes_to_nothing);
    RUN(nothing_leaks);
    close_image();
    return 0;
}
