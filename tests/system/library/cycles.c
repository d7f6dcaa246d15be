/* cycles.c: machines that come and go in one process leave nothing in it; see
 * library.sh.
 *
 *     cycles REFERENCE COUNT
 *
 * The allocator must not keep freed blocks to itself: library.sh sees to that.
 *
 * Each cycle makes a machine, runs a command in it, and ends it: by a stop, by
 * a kill, or by freeing it as it is, in turn. Descriptors, threads, children
 * and the bytes that are allocated must be after the last cycle what they were
 * after the first few.
 */
#include "common.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LIMIT_S = 14000,
    MEMORY_BYTES = 96 << 20,
    WARM_UP = 3,                 /* one of each kind               */
    RESIDENT_MORE_MAX = 2 << 20, /* bytes: the allocator's own way */
};

/* AddressSanitizer's, if that is what this is built with. */
extern size_t __sanitizer_get_current_allocated_bytes(void)
    __attribute__((weak));

struct use {
    int descriptors;
    int threads;
    size_t allocated;
    size_t resident;
};

static bool is_sanitized(void)
{
    return __sanitizer_get_current_allocated_bytes != NULL;
}

static struct use measure(void)
{
    struct mallinfo2 info = mallinfo2();
    struct use use = {.descriptors = count_entries("/proc/self/fd"),
                      .threads = count_entries("/proc/self/task"),
                      .allocated = info.uordblks + info.hblkhd};
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    if (is_sanitized())
        use.allocated = __sanitizer_get_current_allocated_bytes();
    if (!file || fscanf(file, "%*u %lu", &pages) != 1)
        printf("    /proc/self/statm cannot be read\n");
    if (file)
        fclose(file);
    use.resident = pages * (size_t)sysconf(_SC_PAGESIZE);
    return use;
}

static bool cycle(long number)
{
    struct sm_machine *machine = NULL;
    struct sm_machine_config config;
    struct sm_exit_status status;
    struct sm_exec *exec;
    char text[16];

    sm_machine_config_init(&config);
    config.memory_bytes = MEMORY_BYTES;
    NEED(sm_machine_new(host, image, &config, &machine, &err) == 0);
    NEED(sm_machine_start(machine, 0, &err) == 0);
    exec = shell(machine, "cat; echo word >&2; exit 9");
    NEED(sm_machine_fd(machine, &err) >= 0 && sm_exec_fd(exec, &err) >= 0);
    NEED(sm_exec_write(exec, "in", 2, 0, &err) == 2);
    sm_exec_write_end(exec);
    NEED(sm_exec_read(exec, 1, text, sizeof text, 0, &err) == 2);
    NEED(sm_exec_wait(exec, 0, &status, &err) == 0 && status.code == 9);
    if (number % 3 == 0)
        NEED(sm_machine_stop(machine, 1000, &err) == 0);
    if (number % 3 == 1)
        sm_machine_kill(machine);
    sm_exec_free(exec);
    sm_machine_free(machine);
    return true;
}

static bool leaves_nothing(long count)
{
    struct use before;
    struct use after;
    long number = 0;

    while (number < WARM_UP)
        NEED(cycle(number++));
    before = measure();
    while (number < count)
        NEED(cycle(number++));
    after = measure();
    printf("    %ld cycles%s: descriptors %d, %d; threads %d, %d; allocated "
           "%zu, %zu; resident %zu, %zu\n",
           count, is_sanitized() ? " (sanitized)" : "", before.descriptors,
           after.descriptors, before.threads, after.threads, before.allocated,
           after.allocated, before.resident, after.resident);
    NEED(after.descriptors == before.descriptors);
    NEED(after.threads == before.threads);
    NEED(after.allocated == before.allocated);
    /* What is freed stays resident for a while under AddressSanitizer. */
    NEED(is_sanitized() ||
         after.resident <= before.resident + RESIDENT_MORE_MAX);
    NEED(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return fprintf(stderr, "cycles REFERENCE COUNT\n"), 2;
    open_image(argv[1], LIMIT_S);
    report(is_sanitized() ? "cycles_leave_nothing_sanitized"
                          : "cycles_leave_nothing",
           leaves_nothing(strtol(argv[2], NULL, 10)));
    close_image();
    return 0;
}
