/* setup.c: SETUP and CLONE: a machine becomes a certain one; see setup.h.
 *
 * How it works
 *   The agent lives in the initramfs, which is memory. The root disk is
 *   mounted on a folder there, /dev, /proc and /sys move into it, and then it
 *   is moved over / and becomes the root. From there on every path is the
 *   image's, symbolic links included, and no care for links that lead out of
 *   the image is needed.
 *
 *   A machine that comes out of a template was booted with a disk of another
 *   size, and its kernel may learn of the change after we hear of SETUP: the
 *   disk is waited for, by the kernel's uevents.
 */
#include "setup.h"

#include "base/bytes.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/netlink.h>

_Static_assert((int)AGENT_MOUNT_RDONLY == (int)MS_RDONLY,
               "flags are mount(2)\'s");
_Static_assert((int)AGENT_MOUNT_NOSUID == (int)MS_NOSUID,
               "flags are mount(2)\'s");
_Static_assert((int)AGENT_MOUNT_NODEV == (int)MS_NODEV,
               "flags are mount(2)\'s");
_Static_assert((int)AGENT_MOUNT_NOEXEC == (int)MS_NOEXEC,
               "flags are mount(2)\'s");
_Static_assert((int)AGENT_MOUNT_NOATIME == (int)MS_NOATIME,
               "flags are mount(2)\'s");
_Static_assert((int)AGENT_MOUNT_BIND == (int)MS_BIND, "flags are mount(2)\'s");
_Static_assert((int)AGENT_MOUNT_REC == (int)MS_REC, "flags are mount(2)\'s");

#define NEW_ROOT "/root"

enum {
    DISK_TIMEOUT_S = 10,
    UEVENTS_OF_KERNEL = 1 /* multicast group of NETLINK_KOBJECT_UEVENT */
};

/* Move the mounts at /name into the new root. */
static int move_into_root(const char *name, struct sm_error *err)
{
    char target[64];

    snprintf(target, sizeof target, "%s%s", NEW_ROOT, name);
    /* EROFS and the like show at the mount. */
    mkdir(target, 0755);
    if (mount(name, target, NULL, MS_MOVE, NULL))
        return fail_os(err, "root: the image needs a folder %s", name);
    return 0;
}

static bool disk_is(const char *path, uint64_t bytes)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t found;

    return fd >= 0 && ioctl(fd, BLKGETSIZE64, &found) == 0 && found == bytes;
}

/* The kernel tells of every disk that changes its size (resize uevent). */
static int await_disk(const char *path, uint64_t bytes, struct sm_error *err)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK,
                                       .nl_groups = UEVENTS_OF_KERNEL};
    const struct timeval patience = {.tv_sec = DISK_TIMEOUT_S};
    AUTO_CLOSE int fd = -1;
    char event[4096];

    if (!bytes || disk_is(path, bytes))
        return 0;
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
    if (fd < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) ||
        bind(fd, (const struct sockaddr *)&kernel, sizeof kernel))
        return fail_os(err, "root: wait for %s", path);
    /* It may have changed before the kernel knew that we listen. */
    while (!disk_is(path, bytes))
        if (recv(fd, event, sizeof event, 0) < 0 && errno != EINTR &&
            errno != ENOBUFS)
            return fail_os(err, "root: %s does not become %llu bytes", path,
                           (unsigned long long)bytes);
    return 0;
}

static int enter_root(const struct agent_mount *root, uint64_t disk_bytes,
                      struct sm_error *err)
{
    static const char *const moved[] = {"/dev", "/proc", "/sys"};
    int rc;

    if (!root->source[0])
        return 0;
    rc = await_disk(root->source, disk_bytes, err);
    if (rc)
        return rc;
    if (mkdir(NEW_ROOT, 0755) && errno != EEXIST)
        return fail_os(err, "root: %s", NEW_ROOT);
    if (mount(root->source, NEW_ROOT, root->fstype, root->flags,
              root->data[0] ? root->data : NULL))
        return fail_os(err, "root: mount %s (%s)", root->source, root->fstype);
    for (size_t i = 0; i < ARRAY_LEN(moved); i++) {
        rc = move_into_root(moved[i], err);
        if (rc)
            return rc;
    }
    if (chdir(NEW_ROOT) || mount(".", "/", NULL, MS_MOVE, NULL) ||
        chroot(".") || chdir("/"))
        return fail_os(err, "root: change to %s", root->source);
    return 0;
}

/* A bind mount of a file needs a file below, everything else a folder. */
static int make_target(const struct agent_mount *wanted)
{
    struct stat st;
    int fd;

    if (stat(wanted->target, &st) == 0)
        return 0;
    if (!(wanted->flags & MS_BIND) || stat(wanted->source, &st) ||
        S_ISDIR(st.st_mode))
        return identity_make_folders(wanted->target, true);
    if (identity_make_folders(wanted->target, false))
        return -1;
    fd = open(wanted->target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static int mount_one(const struct agent_mount *wanted, struct sm_error *err)
{
    const char *data = wanted->data[0] ? wanted->data : NULL;
    unsigned long flags = (unsigned long)wanted->flags;
    unsigned long later = flags & ~(unsigned long)(MS_BIND | MS_REC);

    if (make_target(wanted) ||
        mount(wanted->source, wanted->target, wanted->fstype, flags, data))
        return fail_os(err, "mount %s on %s", wanted->source, wanted->target);
    /* The first call of a bind mount heeds no other flag (mount(2)). */
    if (flags & MS_BIND && later &&
        mount(NULL, wanted->target, NULL, MS_BIND | MS_REMOUNT | later, NULL))
        return fail_os(err, "mount flags of %s", wanted->target);
    return 0;
}

int setup_apply(struct identity *identity, const struct agent_setup *setup,
                struct sm_error *err)
{
    int rc = identity_open(identity, err);

    if (!rc)
        rc = identity_renew(setup->wall_clock_ns, setup->entropy,
                            setup->entropy_count, setup->hostname, err);
    if (!rc)
        rc = enter_root(&setup->root, setup->root_bytes, err);
    if (!rc)
        rc = identity_tell(identity, NULL, err);
    for (uint32_t i = 0; !rc && i < setup->mount_count; i++)
        rc = mount_one(&setup->mounts[i], err);
    if (!rc)
        rc = identity_place_ids(identity, setup->machine_id, setup->boot_id,
                                err);
    if (!rc)
        rc = identity_place_files(identity, setup->files, setup->file_count,
                                  err);
    return rc ? wrap(err, rc, "set up the machine") : 0;
}

int setup_clone(struct identity *identity, const struct agent_clone *clone,
                struct sm_error *err)
{
    int rc = identity_renew(clone->wall_clock_ns, clone->entropy,
                            clone->entropy_count, clone->hostname, err);

    if (!rc)
        rc = identity_place_ids(identity, clone->machine_id, clone->boot_id,
                                err);
    if (!rc)
        rc = identity_place_files(identity, clone->files, clone->file_count,
                                  err);
    if (!rc)
        rc = identity_tell(identity, clone->generation, err);
    return rc ? wrap(err, rc, "clone the machine") : 0;
}
