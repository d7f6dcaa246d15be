/* report.c: what goes on in the machine, read out of /proc; see report.h.
 *
 * Processes come and go while they are looked at: one that has gone meanwhile
 * is left out.
 */
#include "report.h"

#include "base/bytes.h"
#include "base/own.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The parent of the kernel's threads, itself one of them (kthreadd). */
enum { KERNEL_PARENT = 2 };

/* What (path), below folder (at), begins with, as a string. False: nothing. */
static bool read_text(int at, const char *path, char *to, size_t size,
                      size_t *ret_count)
{
    AUTO_CLOSE int fd = openat(at, path, O_RDONLY | O_CLOEXEC);
    size_t count = 0;
    ssize_t some = 1;

    if (fd < 0)
        return false;
    while (some > 0 && count < size - 1) {
        some = read(fd, to + count, size - 1 - count);
        if (some > 0)
            count += (size_t)some;
    }
    to[count] = '\0';
    if (ret_count)
        *ret_count = count;
    return count > 0;
}

/* Figures ----------------------------------------------------------------- */

/* The bytes of a line "NAME:   123 kB" of /proc/meminfo; 0: no such line. */
static uint64_t find_memory(const char *text, const char *name)
{
    const char *line = strstr(text, name);

    return line ? strtoull(line + strlen(name), NULL, 10) * KIB : 0;
}

static void read_memory(int proc, struct agent_figures *ret)
{
    char text[4096];

    if (!read_text(proc, "meminfo", text, sizeof text, NULL))
        return;
    ret->memory_total_bytes = find_memory(text, "MemTotal:");
    ret->memory_available_bytes = find_memory(text, "MemAvailable:");
    ret->memory_cached_bytes = find_memory(text, "\nCached:");
}

/* Processes --------------------------------------------------------------- */

static uint64_t ticks_ns(uint64_t ticks)
{
    return ticks * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* proc(5), /proc/PID/stat. The name, in parentheses, may hold anything. */
static bool parse_stat(char *text, struct agent_process *ret, char **ret_name)
{
    char *name = strchr(text, '(');
    char *end = strrchr(text, ')');
    uint64_t user, system, started, threads, rss;
    unsigned parent;
    char state;

    if (!name || !end || end < name ||
        sscanf(end + 1,
               " %c %u %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
               " %*d %*d %*d %*d %" SCNu64 " %*d %" SCNu64 " %*u %" SCNu64,
               &state, &parent, &user, &system, &threads, &started, &rss) != 7)
        return false;
    *end = '\0';
    *ret_name = name + 1;
    ret->state = (uint8_t)state;
    ret->parent = parent;
    ret->threads = (uint32_t)threads;
    ret->cpu_ns = ticks_ns(user + system);
    ret->started_ns = ticks_ns(started);
    ret->rss_bytes = rss * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

/* The command as `ps` shows it: "[name]" for one that has no arguments. */
static size_t read_command(int folder, const char *name, char *to, size_t size)
{
    size_t count = 0;

    if (!read_text(folder, "cmdline", to, size, &count))
        return (size_t)snprintf(to, size, "[%s]", name);
    while (count > 0 && to[count - 1] == '\0')
        count--;
    for (size_t i = 0; i < count; i++)
        if (to[i] == '\0')
            to[i] = ' ';
    return count;
}

/* One process: its entry at the end of (to), which may be NULL. False: it is
 * gone, or the kernel's, or this one. */
static bool look_at(int proc, const char *pid, struct buf *to)
{
    struct agent_process process = {.pid = (uint32_t)strtoul(pid, NULL, 10)};
    AUTO_CLOSE int folder =
        openat(proc, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char command[AGENT_COMMAND_MAX + 1];
    char text[1024];
    struct stat st;
    size_t before;
    char *name;

    if (process.pid == (uint32_t)getpid() || process.pid == KERNEL_PARENT ||
        folder < 0 || fstat(folder, &st) ||
        !read_text(folder, "stat", text, sizeof text, NULL) ||
        !parse_stat(text, &process, &name) || process.parent == KERNEL_PARENT)
        return false;
    if (!to)
        return true;
    process.uid = st.st_uid;
    process.command = command;
    process.command_count = read_command(folder, name, command, sizeof command);
    before = to->size;
    agent_put_process(to, &process);
    /* A full list takes no more: what began to go in comes out again. */
    if (to->failed)
        to->size = before;
    return true;
}

bool report_is_program(const struct guest *guest, pid_t pid)
{
    AUTO_CLOSE int proc =
        open(guest->config.proc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char name[16];

    snprintf(name, sizeof name, "%d", (int)pid);
    return proc >= 0 && look_at(proc, name, NULL);
}

/* Every process; their entries at the end of (to), which may be NULL. Returns
 * how many there are. */
static uint32_t look_around(const struct guest *guest, struct buf *to)
{
    DIR *proc = opendir(guest->config.proc);
    const struct dirent *entry;
    uint32_t count = 0;

    while (proc && (entry = readdir(proc)))
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            count += look_at(dirfd(proc), entry->d_name, to);
    if (proc)
        closedir(proc);
    return count;
}

void report_figures(const struct guest *guest, struct buf *to)
{
    struct agent_figures figures = {.oom_kills = guest->oom_kills};
    AUTO_CLOSE int proc =
        open(guest->config.proc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    figures.uptime_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
    if (proc >= 0)
        read_memory(proc, &figures);
    figures.processes = look_around(guest, NULL);
    agent_put_figures(to, &figures);
}

void report_processes(const struct guest *guest, struct buf *to)
{
    struct buf list;
    size_t at = 0;

    buf_init(&list, AGENT_PROCESSES_MAX);
    look_around(guest, &list);
    do {
        uint32_t count = (uint32_t)min_u64(list.size - at, AGENT_DATA_MAX);

        frame_put(to, &(struct frame){
                          .type = AGENT_PROCESSES,
                          .flags = at + count == list.size ? AGENT_END : 0,
                          .count = count,
                          .payload = list.data + at});
        at += count;
    } while (at < list.size);
    buf_done(&list);
}
