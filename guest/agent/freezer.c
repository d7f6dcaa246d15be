/* freezer.c: all programs of the machine stand still; see freezer.h.
 *
 * How it works
 *   A process that is in a frozen control group runs none of its own code,
 *   whatever it is in the middle of: one that was just forked is born frozen,
 *   one that waits in the kernel freezes before it comes out of there. SIGKILL
 *   still ends it (Documentation/admin-guide/cgroup-v2.rst, cgroup.freeze).
 *
 *   Programs are born below one folder, but root may have made groups beside
 *   it and moved there, as container engines do: every folder below the root
 *   is frozen. The kernel touches a group's cgroup.events when the last of its
 *   processes has stopped; an inotify watch waits for that, and all of them
 *   are looked at again. All stand still once all were frozen from the
 *   beginning of a look to its end: before that, somebody may have made
 *   another group behind our back. A process in the root itself cannot be
 *   frozen, and is an error.
 *
 *   The inotify descriptor stays open from then on, without watches: closing
 *   one waits in the kernel for a tick and for readers of its lists, some 20 ms
 *   in all, for which every clone would have to wait.
 */
#include "freezer.h"

#include "base/own.h"
#include "report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Groups beside that of the programs: more are nobody's honest work. */
enum { GROUPS_MAX = 1024 };

/* What one look at all groups has found. */
struct look {
    bool fresh;   /* one was not to be frozen before      */
    bool pending; /* one is to be, but not all in it stop */
};

static void groups_changed(struct source *source, uint32_t events)
{
    struct guest *guest = CONTAINER(source, struct guest, group_source);
    char bytes[4096];

    (void)events;
    while (read(guest->group_watch, bytes, sizeof bytes) > 0) {
    }
    guest->groups_changed(guest);
}

int freezer_open(struct freezer *freezer, struct guest *guest,
                 void (*changed)(struct guest *guest))
{
    *freezer = (struct freezer){.guest = guest};
    guest->groups_changed = changed;
    if (faccessat(cgroups_root(guest->cgroups),
                  CGROUP_PROGRAMS "/cgroup.freeze", W_OK, 0)) {
        errno = ENOSYS;
        return -1;
    }
    if (guest->group_watch >= 0)
        return 0;
    guest->group_source.fn = groups_changed;
    guest->group_watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (guest->group_watch < 0)
        return -1;
    return guest_watch(guest, guest->group_watch, EPOLLIN,
                       &guest->group_source);
}

void freezer_close(struct freezer *freezer)
{
    for (unsigned i = 0; i < freezer->count; i++) {
        inotify_rm_watch(freezer->guest->group_watch, freezer->groups[i].watch);
        close(freezer->groups[i].fd);
    }
    free(freezer->groups);
    freezer->groups = NULL;
    freezer->count = 0;
}

/* (text) becomes what the short file says. */
static int read_short(int folder, const char *name, char text[256])
{
    AUTO_CLOSE int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    ssize_t count = fd < 0 ? -1 : read(fd, text, 255);

    if (count < 0)
        return -1;
    text[count] = '\0';
    return 0;
}

static int write_state(int group, const char *state)
{
    AUTO_CLOSE int fd = openat(group, "cgroup.freeze", O_WRONLY | O_CLOEXEC);

    return fd >= 0 && write(fd, state, 1) == 1 ? 0 : -1;
}

/* Have the group frozen, and remember that it was us. */
static int freeze(struct freezer *freezer, int group)
{
    struct frozen_group *groups;
    struct frozen_group kept;
    char path[64];

    if (freezer->count == GROUPS_MAX) {
        errno = EMFILE;
        return -1;
    }
    groups = realloc(freezer->groups,
                     (freezer->count + 1) * sizeof *freezer->groups);
    if (!groups)
        return -1;
    freezer->groups = groups;
    snprintf(path, sizeof path, "/proc/self/fd/%d/cgroup.events", group);
    kept.watch =
        inotify_add_watch(freezer->guest->group_watch, path, IN_MODIFY);
    if (kept.watch < 0)
        return -1;
    kept.fd = fcntl(group, F_DUPFD_CLOEXEC, 0);
    if (kept.fd < 0) {
        inotify_rm_watch(freezer->guest->group_watch, kept.watch);
        return -1;
    }
    groups[freezer->count++] = kept;
    return write_state(group, "1");
}

static int look_at(struct freezer *freezer, int group, struct look *look)
{
    char text[256];

    if (read_short(group, "cgroup.freeze", text))
        return -1;
    if (text[0] != '1') {
        look->fresh = true;
        if (freeze(freezer, group))
            return -1;
    }
    if (read_short(group, "cgroup.events", text))
        return -1;
    if (!strstr(text, "frozen 1"))
        look->pending = true;
    return 0;
}

/* Every folder below the root. */
static int look_around(struct freezer *freezer, struct look *look)
{
    int root = openat(cgroups_root(freezer->guest->cgroups), ".",
                      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = root < 0 ? NULL : fdopendir(root);
    const struct dirent *entry;
    int rc = folder ? 0 : -1;

    if (!folder && root >= 0)
        close(root);
    while (!rc && (entry = readdir(folder))) {
        AUTO_CLOSE int group = -1;

        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        group = openat(root, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        /* One that is gone holds nobody. */
        if ((group < 0 || look_at(freezer, group, look)) && errno != ENOENT &&
            errno != ENODEV)
            rc = -1;
    }
    if (folder)
        closedir(folder);
    return rc;
}

/* A program that has left all groups. */
static pid_t find_stray(const struct guest *guest)
{
    int fd = openat(cgroups_root(guest->cgroups), "cgroup.procs",
                    O_RDONLY | O_CLOEXEC);
    FILE *procs = fd < 0 ? NULL : fdopen(fd, "r");
    pid_t found = 0;
    char line[32];

    if (!procs && fd >= 0)
        close(fd);
    while (procs && !found && fgets(line, sizeof line, procs)) {
        pid_t pid = (pid_t)strtol(line, NULL, 10);

        if (report_is_program(guest, pid))
            found = pid;
    }
    if (procs)
        fclose(procs);
    return found;
}

int freezer_check(struct freezer *freezer, pid_t *ret_stray)
{
    struct look look;

    do {
        look = (struct look){0};
        if (look_around(freezer, &look))
            return -1;
        if (look.pending)
            return 0;
    } while (look.fresh);
    *ret_stray = find_stray(freezer->guest);
    if (!*ret_stray)
        return 1;
    errno = EBUSY;
    return -1;
}

int freezer_thaw(struct freezer *freezer)
{
    int rc = 0;

    for (unsigned i = 0; i < freezer->count; i++)
        if (write_state(freezer->groups[i].fd, "0") && errno != ENOENT &&
            errno != ENODEV)
            rc = -1;
    return rc;
}
