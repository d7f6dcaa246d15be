/* cgroup.c: one control group per program; see cgroup.h.
 *
 * How it works
 *   A group is a folder programs/exec-N: limits cannot be put on a root, nor
 *   can it be frozen. Programs may leave processes behind when they
 *   end; such a group cannot be removed yet. The kernel touches cgroup.events
 *   when its last process is gone, and an inotify watch waits for that.
 */
#include "cgroup.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { NAME_SIZE = 32, NAME_TRIES = 1000 };

/* A group whose program has ended, but not all that it started. */
struct leftover {
    struct leftover *next;
    uint64_t number;
    int watch;
};

struct cgroups {
    struct guest *guest;
    int root;
    int programs; /* the folder below it that all groups are in */
    int inotify;  /* -1 until the first leftover */
    struct source source;
    uint64_t last_number;
    struct leftover *leftovers;
};

struct cgroups *cgroups_open(struct guest *guest, const char *root)
{
    AUTO_CLOSE int fd =
        root ? open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    AUTO_CLOSE int programs = -1;
    struct cgroups *cgroups;
    struct statfs fs;

    if (fd < 0 || fstatfs(fd, &fs) || fs.f_type != CGROUP2_SUPER_MAGIC ||
        (mkdirat(fd, CGROUP_PROGRAMS, 0755) && errno != EEXIST))
        return NULL;
    programs = openat(fd, CGROUP_PROGRAMS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (programs < 0)
        return NULL;
    cgroups = calloc(1, sizeof *cgroups);
    if (!cgroups)
        return NULL;
    cgroups->guest = guest;
    cgroups->root = own_take_fd(&fd);
    cgroups->programs = own_take_fd(&programs);
    cgroups->inotify = -1;
    return cgroups;
}

void cgroups_close(struct cgroups *cgroups)
{
    if (!cgroups)
        return;
    while (cgroups->leftovers) {
        struct leftover *leftover = cgroups->leftovers;

        cgroups->leftovers = leftover->next;
        free(leftover);
    }
    if (cgroups->inotify >= 0)
        close(cgroups->inotify);
    close(cgroups->programs);
    close(cgroups->root);
    free(cgroups);
}

int cgroups_root(const struct cgroups *cgroups)
{
    return cgroups->root;
}

static int write_to(int folder, const char *file, const char *text)
{
    AUTO_CLOSE int fd = openat(folder, file, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

int cgroups_limit(struct cgroups *cgroups, uint32_t count)
{
    char text[16];

    if (!cgroups) {
        errno = ENOSYS;
        return -1;
    }
    snprintf(text, sizeof text, "%" PRIu32, count);
    if (write_to(cgroups->root, "cgroup.subtree_control", "+pids"))
        return -1;
    return write_to(cgroups->programs, "pids.max", text);
}

static void name_group(char name[NAME_SIZE], uint64_t number)
{
    snprintf(name, NAME_SIZE, "exec-%" PRIu64, number);
}

void cgroup_make(struct cgroups *cgroups, struct cgroup *ret)
{
    char name[NAME_SIZE];
    unsigned tries = 0;
    int failed;

    *ret = (struct cgroup){.fd = -1};
    if (!cgroups)
        return;
    /* A program of the machine may have made a group of that name. Never
     * share one: to kill a tree is to kill the whole group. */
    do {
        ret->number = ++cgroups->last_number;
        name_group(name, ret->number);
        failed = mkdirat(cgroups->programs, name, 0755);
    } while (failed && errno == EEXIST && tries++ < NAME_TRIES);
    if (failed)
        return;
    ret->fd =
        openat(cgroups->programs, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

uint64_t cgroup_of_process(const char *proc, pid_t pid)
{
    static const char begin[] = "0::/";
    char path[64];
    char line[256];
    uint64_t number = 0;
    FILE *from;

    snprintf(path, sizeof path, "%s/%d/cgroup", proc, (int)pid);
    from = fopen(path, "re");
    if (!from)
        return 0;
    while (fgets(line, sizeof line, from)) {
        const char *group = strstr(line, "/exec-");

        if (strncmp(line, begin, sizeof begin - 1) == 0 && group)
            number = strtoull(group + 6, NULL, 10);
    }
    fclose(from);
    return number;
}

/* The slow way, for signals other than SIGKILL and for old kernels. */
static void signal_each(const struct cgroup *cgroup, int signal)
{
    int fd = openat(cgroup->fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *procs = fd < 0 ? NULL : fdopen(fd, "r");
    char line[32];

    if (!procs) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while (fgets(line, sizeof line, procs)) {
        pid_t pid = (pid_t)strtol(line, NULL, 10);

        if (pid > 1)
            kill(pid, signal);
    }
    fclose(procs);
}

void cgroup_signal(const struct cgroup *cgroup, int signal)
{
    AUTO_CLOSE int fd = signal == SIGKILL ? openat(cgroup->fd, "cgroup.kill",
                                                   O_WRONLY | O_CLOEXEC)
                                          : -1;

    if (fd < 0 || write(fd, "1", 1) != 1)
        signal_each(cgroup, signal);
}

static bool remove_group(struct cgroups *cgroups, uint64_t number)
{
    char name[NAME_SIZE];

    name_group(name, number);
    return unlinkat(cgroups->programs, name, AT_REMOVEDIR) == 0;
}

static void group_emptied(struct cgroups *cgroups, int watch)
{
    for (struct leftover **at = &cgroups->leftovers; *at; at = &(*at)->next) {
        struct leftover *leftover = *at;

        if (leftover->watch == watch) {
            if (remove_group(cgroups, leftover->number)) {
                *at = leftover->next;
                free(leftover);
            }
            return;
        }
    }
}

static void groups_changed(struct source *source, uint32_t events)
{
    struct cgroups *cgroups = CONTAINER(source, struct cgroups, source);
    _Alignas(struct inotify_event) char bytes[4096];
    ssize_t count;

    (void)events;
    while ((count = read(cgroups->inotify, bytes, sizeof bytes)) > 0) {
        size_t at = 0;

        while (at < (size_t)count) {
            const struct inotify_event *event = (const void *)(bytes + at);

            group_emptied(cgroups, event->wd);
            at += sizeof *event + event->len;
        }
    }
}

static bool open_inotify(struct cgroups *cgroups)
{
    if (cgroups->inotify >= 0)
        return true;
    cgroups->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    cgroups->source.fn = groups_changed;
    return cgroups->inotify >= 0 &&
           guest_watch(cgroups->guest, cgroups->inotify, EPOLLIN,
                       &cgroups->source) == 0;
}

/* Have the group removed once it is empty. If that cannot be arranged an empty
 * group stays, which costs a little memory and nothing else. */
static void await_empty(struct cgroups *cgroups, const struct cgroup *cgroup)
{
    struct leftover *leftover;
    char path[64];

    if (!open_inotify(cgroups))
        return;
    leftover = calloc(1, sizeof *leftover);
    if (!leftover)
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d/cgroup.events", cgroup->fd);
    leftover->number = cgroup->number;
    leftover->watch = inotify_add_watch(cgroups->inotify, path, IN_MODIFY);
    leftover->next = cgroups->leftovers;
    cgroups->leftovers = leftover;
    /* It may have become empty before the watch was there. */
    group_emptied(cgroups, leftover->watch);
}

void cgroup_drop(struct cgroups *cgroups, struct cgroup *cgroup)
{
    if (cgroup->fd < 0)
        return;
    if (!remove_group(cgroups, cgroup->number))
        await_empty(cgroups, cgroup);
    close(cgroup->fd);
    cgroup->fd = -1;
}
