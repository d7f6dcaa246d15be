/* early.c: the kernel's file systems and the loopback device; see early.h.
 *
 * /run and /tmp stay the image's: images keep folders of services there, with
 * owners of their own (/run/postgresql), which a fresh tmpfs would hide. The
 * host may ask for a tmpfs there with SETUP.
 */
#include "early.h"

#include "base/bytes.h"
#include "base/own.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <net/if.h>

struct early_mount {
    const char *fstype;
    const char *target;
    unsigned long flags;
    const char *data;
    bool needed;      /* else: if the kernel has it      */
    bool make_folder; /* else a mount before brought it  */
};

static const struct early_mount mounts[] = {
    {"devtmpfs", "/dev", MS_NOSUID, "mode=0755", true, true},
    {"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true, true},
    {"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true, true},
    {"cgroup2", EARLY_CGROUP_ROOT, MS_NOSUID | MS_NODEV | MS_NOEXEC,
     "nsdelegate", false, false},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC,
     "newinstance,ptmxmode=0666,mode=0620,gid=5", true, true},
    {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777", true, true},
    {"mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false,
     true},
};

static const struct {
    const char *to;
    const char *path;
} links[] = {
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
};

/* EBUSY: an initramfs that another program began with has it already. */
static int mount_one(const struct early_mount *wanted, struct sm_error *err)
{
    if (wanted->make_folder)
        mkdir(wanted->target, 0755);
    if (mount(wanted->fstype, wanted->target, wanted->fstype, wanted->flags,
              wanted->data) == 0 ||
        errno == EBUSY || !wanted->needed)
        return 0;
    return fail_os(err, "mount %s on %s", wanted->fstype, wanted->target);
}

static int loopback_up(struct sm_error *err)
{
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};

    /* A kernel without IPv4 has no loopback device to miss. */
    if (fd < 0)
        return errno == EAFNOSUPPORT ? 0 : fail_os(err, "socket");
    if (ioctl(fd, SIOCSIFFLAGS, &request))
        return fail_os(err, "loopback device");
    return 0;
}

int early_setup(struct sm_error *err)
{
    umask(0);
    for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
        int rc = mount_one(&mounts[i], err);

        if (rc)
            return rc;
    }
    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        if (symlink(links[i].to, links[i].path) && errno != EEXIST)
            return fail_os(err, "link %s", links[i].path);
    umask(022);
    return loopback_up(err);
}
