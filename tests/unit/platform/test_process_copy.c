/* test_process_copy.c: this process a second time: its result, its end, what
 * it has of ours and what it has not. */
#include "base/bytes.h"
#include "platform/loop.h"
#include "platform/process.h"
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WATCHDOG_S = 600, PAGE = 4096 };

static void stop(void *context, unsigned events)
{
    (void)events;
    loop_stop(context);
}

/* Wait in a loop, as a program would, and take the result. */
static int end_of(struct process_copy *copy, uint64_t *value,
                  struct sm_error *err)
{
    struct loop_watch *watch;
    struct loop *loop;
    int rc;

    assert_int_equal(loop_new(&loop, NULL), 0);
    assert_int_equal(
        loop_watch(loop, copy->process.fd, LOOP_READ, stop, loop, &watch, NULL),
        0);
    loop_run(loop);
    loop_unwatch(watch);
    loop_free(loop);
    rc = process_copy_end(copy, value, err);
    assert_int_equal(copy->process.fd, -1);
    return rc;
}

/* The same for a copy that does (fn) with (fds). */
static int do_copied(process_work_fn *fn, void *context, const int *fds,
                     unsigned fd_count, uint64_t *value, struct sm_error *err)
{
    const struct process_work work = {
        .work = fn, .context = context, .fds = fds, .fd_count = fd_count};
    struct process_copy copy;

    assert_int_equal(process_copy(&work, &copy, err), 0);
    return end_of(&copy, value, err);
}

/* Block until the peer of (fd) says a word. */
static bool wait_word(int fd)
{
    char word;

    return read(fd, &word, 1) == 1;
}

/* ---- results ---- */

static int succeed(void *context, uint64_t *value, struct sm_error *err)
{
    (void)err;
    *value = *(const uint64_t *)context + 1;
    return 0;
}

static int run_out_of_room(void *context, uint64_t *value, struct sm_error *err)
{
    (void)context;
    *value = 5;
    return fail(err, SM_ENOSPC, "disk %d is full", 7);
}

static void test_copy_tells_its_result(void **state)
{
    uint64_t number = UINT64_C(1) << 40;
    uint64_t value = 0;
    struct sm_error err;

    (void)state;
    assert_int_equal(do_copied(succeed, &number, NULL, 0, &value, &err), 0);
    assert_true(value == number + 1);
    assert_int_equal(do_copied(run_out_of_room, NULL, NULL, 0, &value, &err),
                     SM_ENOSPC);
    assert_int_equal(err.code, SM_ENOSPC);
    assert_string_equal(err.message, "disk 7 is full");
    assert_int_equal(do_copied(run_out_of_room, NULL, NULL, 0, &value, NULL),
                     SM_ENOSPC);
}

static int die(void *context, uint64_t *value, struct sm_error *err)
{
    (void)value;
    (void)err;
    if (*(int *)context)
        raise(*(int *)context);
    _exit(0);
}

static void test_copy_that_dies_is_an_error(void **state)
{
    static const int ways[] = {0, SIGKILL, SIGTERM, SIGALRM};
    struct sm_error err;
    uint64_t value;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        int way = ways[i];

        assert_int_equal(do_copied(die, &way, NULL, 0, &value, &err), SM_EIO);
        assert_non_null(strstr(err.message, "died"));
    }
}

/* A program that collects every child, or none, changes nothing. */
static void test_copy_needs_no_sigchld(void **state)
{
    struct sigaction usual;
    struct sigaction none = {.sa_handler = SIG_IGN};
    uint64_t number = 1;
    uint64_t value;

    (void)state;
    assert_int_equal(sigaction(SIGCHLD, &none, &usual), 0);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(do_copied(succeed, &number, NULL, 0, &value, NULL), 0);
        assert_true(value == 2);
    }
    assert_int_equal(sigaction(SIGCHLD, &usual, NULL), 0);
}

/* ---- memory ---- */

struct shared {
    uint8_t *memory;
    int word; /* to read */
};

/* After the parent's change: is it the memory of before? Then change it. */
static int look_late(void *context, uint64_t *value, struct sm_error *err)
{
    struct shared *shared = context;

    if (!wait_word(shared->word))
        return fail(err, SM_EIO, "no word");
    *value = shared->memory[0];
    memset(shared->memory, 'c', PAGE);
    return shared->memory[PAGE - 1] == 'c' ? 0 : fail(err, SM_EIO, "no memory");
}

static void test_copy_has_memory_of_its_own(void **state)
{
    struct shared shared;
    struct process_work work = {.work = look_late, .context = &shared};
    struct process_copy copy;
    uint64_t value = 0;
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    shared.word = ends[0];
    shared.memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(shared.memory != MAP_FAILED);
    memset(shared.memory, 'a', PAGE);
    work.fds = &shared.word;
    work.fd_count = 1;
    assert_int_equal(process_copy(&work, &copy, NULL), 0);
    memset(shared.memory, 'b', PAGE);
    assert_int_equal(write(ends[1], "!", 1), 1);
    assert_int_equal(end_of(&copy, &value, NULL), 0);
    assert_int_equal(value, 'a');
    assert_int_equal(shared.memory[0], 'b');
    munmap(shared.memory, PAGE);
    close(ends[0]);
    close(ends[1]);
}

static void *allocate(void *context)
{
    const bool *over = context;

    while (!__atomic_load_n(over, __ATOMIC_RELAXED))
        for (size_t bytes = 16; bytes < 4096; bytes *= 2)
            free(malloc(bytes));
    return NULL;
}

static int allocate_some(void *context, uint64_t *value, struct sm_error *err)
{
    (void)context;
    for (size_t bytes = 16; bytes < MIB; bytes *= 2) {
        void *block = malloc(bytes);

        if (!block)
            return fail(err, SM_ENOMEM, "out of memory");
        memset(block, 1, bytes);
        free(block);
        *value += bytes;
    }
    return 0;
}

/* Other threads may be in the allocator when the copy is made. */
static void test_copy_may_allocate(void **state)
{
    enum { THREADS = 3, COPIES = 50 };
    pthread_t thread[THREADS];
    bool over = false;

    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, allocate, &over), 0);
    for (unsigned i = 0; i < COPIES; i++) {
        uint64_t value;

        assert_int_equal(do_copied(allocate_some, NULL, NULL, 0, &value, NULL),
                         0);
        assert_true(value == MIB - 16);
    }
    __atomic_store_n(&over, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
}

/* ---- what it has ---- */

struct given {
    const int *fds;
    unsigned count;
};

/* How many of its descriptors from 3 on are open; with the given ones. */
static int count_open(void *context, uint64_t *value, struct sm_error *err)
{
    const struct given *given = context;

    for (int fd = 3; fd < 1024; fd++)
        *value += fcntl(fd, F_GETFD) >= 0;
    for (unsigned i = 0; i < given->count; i++)
        if (given->fds[i] >= 0 && fcntl(given->fds[i], F_GETFD) < 0)
            return fail(err, SM_EIO, "descriptor %d is closed", given->fds[i]);
    return 0;
}

static void test_copy_has_the_descriptors_it_was_given(void **state)
{
    int fds[12];
    struct given given;
    struct sm_error err;
    uint64_t value;
    int some[5];

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = memfd_create("given", i % 2 ? MFD_CLOEXEC : 0);
    given = (struct given){NULL, 0};
    assert_int_equal(do_copied(count_open, &given, NULL, 0, &value, &err), 0);
    assert_int_equal(value, 1); /* for its result */
    /* In any order, next to each other or not, some twice or none at all. */
    memcpy(some, (int[]){fds[11], fds[3], -1, fds[4], fds[3]}, sizeof some);
    given = (struct given){some, ARRAY_LEN(some)};
    assert_int_equal(
        do_copied(count_open, &given, some, ARRAY_LEN(some), &value, &err), 0);
    assert_int_equal(value, 1 + 3);
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
        assert_int_equal(close(fds[i]), 0);
}

static void handle(int number)
{
    (void)number;
}

/* 0 if signals are as they should be, else the number of one that is not. */
static int check_signals(void *context, uint64_t *value, struct sm_error *err)
{
    static const int ignored[] = {SIGINT, SIGQUIT, SIGHUP, SIGPIPE, SIGUSR2};
    struct sigaction action;
    sigset_t blocked;

    (void)context;
    (void)err;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    for (int i = 1; i < 32; i++)
        if (sigismember(&blocked, i))
            *value = (uint64_t)i;
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        if (sigaction(ignored[i], NULL, &action) != 0 ||
            action.sa_handler != SIG_IGN)
            *value = (uint64_t)ignored[i];
    if (sigaction(SIGUSR1, NULL, &action) != 0 || action.sa_handler != SIG_DFL)
        *value = SIGUSR1;
    return 0;
}

static void test_copy_runs_no_handler_of_ours(void **state)
{
    static const int numbers[] = {SIGUSR1, SIGINT, SIGUSR2};
    struct sigaction action = {.sa_handler = handle};
    struct sigaction before[ARRAY_LEN(numbers)];
    uint64_t value;
    sigset_t set;
    sigset_t mask;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        action.sa_handler = numbers[i] == SIGUSR2 ? SIG_IGN : handle;
        assert_int_equal(sigaction(numbers[i], &action, &before[i]), 0);
    }
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, &mask), 0);
    assert_int_equal(do_copied(check_signals, NULL, NULL, 0, &value, NULL), 0);
    assert_int_equal(value, 0);
    /* Ours are as they were. */
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &mask, &set), 0);
    assert_true(sigismember(&set, SIGTERM));
    assert_false(sigismember(&set, SIGUSR1));
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        assert_int_equal(sigaction(numbers[i], &before[i], NULL), 0);
}

static int exit_fd = -1;

static void write_at_exit(void)
{
    if (exit_fd >= 0)
        (void)!write(exit_fd, "exit", 4);
}

static void test_copy_leaves_streams_and_exit_handlers_alone(void **state)
{
    int fds[2] = {memfd_create("stream", MFD_CLOEXEC),
                  memfd_create("exit", MFD_CLOEXEC)};
    FILE *stream = fdopen(fds[0], "w");
    uint64_t number = 0;
    uint64_t value;
    struct stat st;

    (void)state;
    assert_non_null(stream);
    assert_int_equal(atexit(write_at_exit), 0);
    exit_fd = fds[1];
    assert_true(fputs("ours", stream) >= 0);
    assert_int_equal(do_copied(succeed, &number, fds, 2, &value, NULL), 0);
    exit_fd = -1;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(fstat(fds[i], &st), 0);
        assert_int_equal(st.st_size, 0);
    }
    assert_int_equal(fflush(stream), 0);
    assert_int_equal(fstat(fds[0], &st), 0);
    assert_int_equal(st.st_size, 4);
    fclose(stream);
    close(fds[1]);
}

/* ---- ends ---- */

/* A pipe whose writing end lives as long as who has it; another that nobody
 * ever writes to. */
struct lifelines {
    int alive[2];
    int never[2];
};

static void open_lifelines(struct lifelines *lines)
{
    assert_int_equal(pipe2(lines->alive, O_CLOEXEC), 0);
    assert_int_equal(pipe2(lines->never, O_CLOEXEC), 0);
}

static void close_lifelines(struct lifelines *lines)
{
    close(lines->alive[0]);
    close(lines->never[0]);
    close(lines->never[1]);
}

/* Say that it lives, and do so until it is killed. */
static int live(void *context, uint64_t *value, struct sm_error *err)
{
    struct lifelines *lines = context;

    (void)value;
    if (write(lines->alive[1], "!", 1) != 1)
        return fail(err, SM_EIO, "write");
    (void)wait_word(lines->never[0]);
    return 0;
}

/* A process, with all that this one has, that has a copy which lives. */
static int start_parent(struct lifelines *lines)
{
    const int fds[] = {lines->alive[1], lines->never[0], lines->never[1]};
    const struct process_work work = {
        .work = live, .context = lines, .fds = fds, .fd_count = 3};
    int pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct process_copy copy;

        if (process_copy(&work, &copy, NULL) == 0)
            (void)wait_word(lines->never[0]);
        _exit(1);
    }
    return pid;
}

static void test_copy_is_killed(void **state)
{
    struct lifelines lines;
    const struct process_work work = {.work = live,
                                      .context = &lines,
                                      .fds = (const int *)&lines,
                                      .fd_count = 4};
    struct process_copy none = PROCESS_COPY_NONE;
    struct process_copy copy;

    (void)state;
    open_lifelines(&lines);
    assert_int_equal(process_copy(&work, &copy, NULL), 0);
    close(lines.alive[1]);
    assert_true(wait_word(lines.alive[0]));
    process_copy_kill(&copy);
    assert_false(wait_word(lines.alive[0]));
    assert_int_equal(copy.process.fd, -1);
    process_copy_kill(&none);
    close_lifelines(&lines);
}

static void test_copy_ends_with_its_parent(void **state)
{
    struct lifelines lines;
    int parent;

    (void)state;
    open_lifelines(&lines);
    parent = start_parent(&lines);
    assert_true(wait_word(lines.alive[0]));
    close(lines.alive[1]);
    assert_int_equal(kill(parent, SIGKILL), 0);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    /* It ends when the last one that can write is gone. */
    assert_false(wait_word(lines.alive[0]));
    close_lifelines(&lines);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_tells_its_result),
        cmocka_unit_test(test_copy_that_dies_is_an_error),
        cmocka_unit_test(test_copy_needs_no_sigchld),
        cmocka_unit_test(test_copy_has_memory_of_its_own),
        cmocka_unit_test(test_copy_may_allocate),
        cmocka_unit_test(test_copy_has_the_descriptors_it_was_given),
        cmocka_unit_test(test_copy_runs_no_handler_of_ours),
        cmocka_unit_test(test_copy_leaves_streams_and_exit_handlers_alone),
        cmocka_unit_test(test_copy_is_killed),
        cmocka_unit_test(test_copy_ends_with_its_parent),
    };

    alarm(WATCHDOG_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
