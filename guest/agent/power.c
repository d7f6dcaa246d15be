/* power.c: the last thing that the agent does; see power.h. */
#include "power.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

/* /proc/self/mounts writes blanks and backslashes in names as "\\ooo". */
static void unescape(char *name)
{
    char *to = name;

    while (*name) {
        if (name[0] == '\\' && name[1] && name[2] && name[3]) {
            *to++ = (char)((name[1] - '0') << 6 | (name[2] - '0') << 3 |
                           (name[3] - '0'));
            name += 4;
        } else {
            *to++ = *name++;
        }
    }
    *to = '\0';
}

/*
 * A file system on a disk that is not unmounted would have its journal
 * replayed at the next mount. Processes may still hold files open (they get no
 * more time when there is no grace), and the root always is in use: read-only
 * is clean, too.
 */
static void close_disks(void)
{
    FILE *mounts = fopen("/proc/self/mounts", "re");
    char line[4096];

    while (mounts && fgets(line, sizeof line, mounts)) {
        char *target = strchr(line, ' ');
        char *end = target ? strchr(target + 1, ' ') : NULL;

        if (strncmp(line, "/dev/", 5) != 0 || !end)
            continue;
        *end = '\0';
        unescape(target + 1);
        mount(NULL, target + 1, NULL, MS_REMOUNT | MS_RDONLY, NULL);
    }
    if (mounts)
        fclose(mounts);
}

_Noreturn void power_end(enum agent_end end)
{
    sync();
    close_disks();
    reboot(end == AGENT_REBOOT ? RB_AUTOBOOT : RB_POWER_OFF);
    /* The kernel returns here only if it cannot: there is no machine then that
     * could do anything, but an exit of process 1 would be a panic. */
    for (;;)
        pause();
}
